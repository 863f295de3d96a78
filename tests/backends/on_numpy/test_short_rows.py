"""cross_entropy and its pullback on rows of few classes: the rule's numbers, edges, blocks, threads, what it leaves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import pillars
from pillars import ShapeError
from pillars.backends import Draw, forward_and_pullback
from pillars.backends._operation import mode
from pillars.backends.on_numpy._blocks import BLOCK
from pillars.backends.on_numpy.short_rows import SHORT, cross_entropy_and_pullback
from pillars.calculus import value_and_grad
from pillars.probability import cross_entropy

RECORD = cross_entropy.record
DEFAULTS = {p.name: p.default for p in RECORD.options}
REDUCTIONS = ("mean", "sum", "none")


def only_logits() -> Any:
    return RECORD.needs(**{p.name: p.name == "logits" for p in RECORD.differentiable})


def by_kernel(logits: Any, labels: Any, **options: Any) -> Any:
    needs = only_logits()._replace(label_smoothing=options.pop("smoothing_too", False))
    given = {**DEFAULTS, **options}
    with np.errstate(all="ignore"):
        return cross_entropy_and_pullback(logits, labels, **given, needs=needs)


def by_rule(logits: Any, labels: Any, g: Any, **options: Any) -> tuple[Any, Any]:
    """The rule's value and gradient in float64."""
    needs = only_logits()
    given = {**DEFAULTS, **options}
    wide = logits.astype(np.float64)
    with np.errstate(all="ignore"):
        y, residuals = RECORD.rules.forward(wide, labels, **given)
        found = RECORD.rules.vjp(
            np.asarray(g, np.float64), y, wide, labels, **given, needs=needs, residuals=residuals
        )
    return np.asarray(y), found[0]


SHAPES = [(5,), (1, 2), (7, 3), (2, 3, 10), (3, SHORT), (BLOCK // 8 + 3, 10)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_gives_what_the_rule_gives(draw: Draw, shape: tuple[int, ...], dtype: str) -> None:
    logits = draw.normal(*shape, scale=4.0).astype(dtype)
    labels = draw.integers(0, shape[-1], *shape[:-1])
    eps = float(np.finfo(dtype).eps)
    for reduction, temperature in product(REDUCTIONS, (1.0, 0.7)):
        options: dict[str, Any] = {"reduction": reduction, "temperature": temperature}
        y, pullback = by_kernel(logits, labels, **options)
        g = draw.positive(*np.shape(y)).astype(dtype)
        true, gradient = by_rule(logits, labels, g, **options)
        (found, *rest) = pullback(np.asarray(g))
        assert rest == [None] * (len(RECORD.differentiable) - 1)
        assert (y.dtype, y.shape, found.dtype, found.shape) == (dtype, true.shape, dtype, shape)
        # each loss is within some roundings of its largest logit; sums of n of one sign add log n of them
        size = np.max(np.abs(logits)) / temperature
        assert np.allclose(
            y, true, rtol=32 * eps, atol=8 * eps * size * (y.size == labels.size or labels.size)
        )
        # probabilities within the rounding of z, which is exact to eps·|z|
        scale = np.max(g) / (temperature * (labels.size if reduction == "mean" else 1))
        assert np.max(np.abs(found - gradient)) <= (8 + 4 * size) * eps * scale


def test_odd_rows_have_the_rule_s_answers_and_leave_the_others_alone(draw: Draw) -> None:
    logits = draw.normal(9, 4).astype(np.float32)
    labels = draw.integers(0, 4, 9)
    plain, pull = by_kernel(logits, labels, reduction="none")
    clean = pull(np.ones(9, np.float32))[0]
    odd = logits.copy()
    odd[0, 1], odd[1, 2], odd[2] = np.nan, np.inf, -np.inf
    odd[3, (labels[3] + 1) % 4] = -np.inf  # a class that cannot be, and has no weight
    odd[4, labels[4]] = -np.inf  # one that has all of it
    odd[5] = [500.0, -500.0, 300.0, 499.0]
    y, pullback = by_kernel(odd, labels, reduction="none")
    found = pullback(np.ones(9, np.float32))[0]
    true, gradient = by_rule(odd, labels, np.ones(9), reduction="none")
    assert np.array_equal(np.isnan(y), np.isnan(true))
    assert np.array_equal(np.isnan(found), np.isnan(gradient))
    assert np.all(np.isnan(y[:3]))
    assert y[4] == np.inf
    finite = np.isfinite(true)
    assert np.allclose(y[finite], true[finite], rtol=1e-5)
    assert np.allclose(found, gradient, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert np.array_equal(y[6:], plain[6:])  # to the bit
    assert np.array_equal(found[6:], clean[6:])


def test_bits_depend_on_the_row_alone(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    n = BLOCK // 2
    logits = draw.normal(n, 6).astype(np.float32)
    labels = draw.integers(0, 6, n)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        y, pullback = by_kernel(logits, labels, reduction="none")
        found.append((y, pullback(np.ones(n, np.float32))[0]))
    part, pullback = by_kernel(logits[100:117], labels[100:117], reduction="none")
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
    assert np.array_equal(found[0][0][100:117], part)
    assert np.array_equal(found[0][1][100:117], pullback(np.ones(17, np.float32))[0])


def test_the_pullback_may_be_called_again(draw: Draw) -> None:
    _, pullback = by_kernel(draw.normal(5, 3), np.asarray([0, 1, 2, 0, 1]))
    first = pullback(np.asarray(1.0))[0].copy()
    second = pullback(np.asarray(2.0))[0]
    assert np.array_equal(second, 2 * first)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_labels_of_any_integer(dtype: Any) -> None:
    logits = np.eye(3)
    y, pullback = by_kernel(logits, np.asarray([2, 0, 1], dtype))
    true, gradient = by_rule(logits, np.asarray([2, 0, 1]), 1.0)
    assert np.isclose(y, true)
    assert np.allclose(pullback(np.asarray(1.0))[0], gradient)


def test_layouts_of_logits() -> None:
    logits = np.random.default_rng(0).standard_normal((4, 12))
    labels = np.asarray([0, 1, 2, 1])
    for view in (np.asfortranarray(logits[:, :3]), logits[:, ::4], logits[::-1, :3]):
        y, pullback = by_kernel(view, labels)
        true, gradient = by_rule(view, labels, 1.0)
        assert np.isclose(y, true)
        assert np.allclose(pullback(np.asarray(1.0))[0], gradient)


@pytest.mark.parametrize(
    ("logits", "labels", "options"),
    [
        (np.zeros((2, SHORT + 1)), np.asarray([0, 1]), {}),
        (np.zeros((2, 3)), np.full((2, 3), 1 / 3), {}),
        (np.zeros((2, 3)), np.asarray([0, 1]), {"label_smoothing": 0.1}),
        (np.zeros((2, 3)), np.asarray([0, 1]), {"smoothing_too": True}),
        (np.zeros((2, 3)), np.asarray([0, 3]), {}),
        (np.zeros((2, 3)), np.asarray([0, -1]), {}),
        (np.zeros((2, 3)), np.asarray([0, 200], np.uint8), {}),
        (np.zeros((0, 3)), np.zeros(0, int), {"reduction": "sum"}),
        (np.zeros((2, 3)), np.asarray([0, 1]), {"weight": np.ones(3)}),
        (np.zeros((2, 3)), np.asarray([0, 1]), {"ignore_index": 0}),
        (np.zeros((2, 3)), np.asarray([0, 1]), {"where": np.asarray([True, False])}),
        (np.zeros((2, 3)), np.asarray([0, 1, 1]), {"axis": 0}),
    ],
    ids=[
        *("long", "probabilities", "smoothed", "needs", "outside", "negative", "unsigned", "empty"),
        *("weight", "ignored", "where", "axis"),
    ],
)
def test_what_it_leaves_to_the_rule(logits: Any, labels: Any, options: dict[str, Any]) -> None:
    assert by_kernel(logits, labels, **options) is None


def test_a_gradient_goes_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> Any:
        raise AssertionError("the rule ran, not the kernel")

    logits, labels = np.random.default_rng(1).standard_normal((20, 10)), np.arange(20) % 10
    expected = value_and_grad(lambda z: cross_entropy(z, labels))(logits)
    with mode("reference"):
        true = value_and_grad(lambda z: cross_entropy(z, labels))(logits)
    for a, b in zip(expected, true, strict=True):
        assert np.allclose(a, b, rtol=1e-13, atol=1e-15)
    monkeypatch.setattr(RECORD.rules, "vjp", refused)
    again = value_and_grad(lambda z: cross_entropy(z, labels))(logits)
    assert np.array_equal(again[1], expected[1])
    y, pullback = forward_and_pullback(
        RECORD,
        RECORD.bind((logits, labels), {}),
        only_logits(),
    )
    assert np.array_equal(pullback(np.asarray(1.0))[0], expected[1])
    assert y.shape == ()


def test_labels_outside_are_refused_under_a_gradient_too() -> None:
    with pytest.raises(ShapeError, match=r"labels\[1\] is 3, expected a class number in \[0, 3\)"):
        pillars.grad(lambda z: cross_entropy(z, np.asarray([0, 3])))(np.zeros((2, 3)))
    half = pillars.grad(lambda z: cross_entropy(z, np.asarray([0, 2])))(np.zeros((2, 3), np.float16))
    assert half.dtype == np.float16
    assert np.allclose(half, (1 / 3 - np.eye(3)[[0, 2]]) / 2, atol=2.0**-11)
