"""The linear layer's kernels: bias and activation where the product stands, on any threads; value and pullback."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw, forced_kernels
from pillars.backends.on_numpy import _blocks, linear as module
from pillars.backends.on_numpy.linear import linear_and_pullback
from pillars.calculus import value_and_grad
from pillars.layers import linear
from pillars.layers._activations import ACTIVATIONS

NAMED = (None, *ACTIVATIONS)
RECORD = linear.record


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", NAMED)
@pytest.mark.parametrize("batch", [(), (1,), (0,), (37,), (3, 4)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_the_body(draw: Draw, batch: Any, activation: Any, biased: bool, dtype: str) -> None:
    arrays = [a.astype(dtype) for a in (draw.normal(*batch, 6), draw.normal(6, 5), draw.normal(5))]
    arrays = arrays if biased else arrays[:2]
    with forced_kernels():
        got = linear(*arrays, activation=activation)
    expected = linear.reference(*arrays, activation=activation)
    assert got.dtype == dtype
    assert got.shape == expected.shape
    unit = np.finfo(dtype).eps
    assert np.allclose(got, expected, rtol=8 * unit, atol=8 * unit)


@pytest.mark.parametrize("activation", NAMED)
def test_threads_change_nothing(draw: Draw, activation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = draw.normal(40, 8), draw.normal(8, 30), draw.normal(30)
    with forced_kernels():
        once = linear(*arrays, activation=activation)
    monkeypatch.setattr(_blocks, "_THREADED", 1)
    for block, threads in ((60, "1"), (60, "2"), (700, "3"), (1, "2")):
        monkeypatch.setattr(module, "_BLOCK", block)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        with forced_kernels():
            assert np.array_equal(linear(*arrays, activation=activation), once)


def test_nan_and_infinities_as_in_the_body() -> None:
    x = np.asarray([[1.0, np.nan], [np.inf, 1.0], [-np.inf, 1.0], [0.0, 0.0]])
    w, b = np.asarray([[1.0, 0.5], [1.0, -1.0]]), np.asarray([0.0, -1.0])
    for activation in NAMED:
        with forced_kernels():
            got = linear(x, w, b, activation=activation)
        assert np.allclose(got, linear.reference(x, w, b, activation=activation), rtol=1e-15, equal_nan=True)


def test_inputs_stay_as_they_are(draw: Draw) -> None:
    arrays = [draw.normal(7, 4), draw.normal(4, 3), draw.normal(3)]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    with forced_kernels():
        linear(*arrays, activation="gelu")
    assert all(np.array_equal(a, kept) for a, kept in zip(arrays, before, strict=True))


def test_what_it_serves() -> None:
    x, w, b = np.ones((2**18, 2)), np.ones((2, 4)), np.ones(4)
    assert explain(linear, x, w, b).kernel == "on_numpy.linear:linear"
    assert explain(linear, x[1:], w, b).kernel == "body"  # threads would not pay
    assert explain(linear, x, w, activation="relu").kernel == "on_numpy.linear:linear"
    assert "a product alone is BLAS's" in explain(linear, x, w).reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (7, 4), (2, 3, 4), (0, 4)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_it_gives_what_the_rule_gives(
    draw: Draw, shape: tuple[int, ...], dtype: str, biased: bool, activation: str | None
) -> None:
    x, weight, bias, g = (draw.normal(*s) for s in (shape, (4, 3), (3,), (*shape[:-1], 3)))
    needs = RECORD.needs(True, True, biased)
    narrow = [a.astype(dtype) for a in (x, weight, bias, g)]
    kept = [a.copy() for a in narrow]
    y, pullback = linear_and_pullback(
        *narrow[:2], narrow[2] if biased else None, activation=activation, needs=needs
    )
    found = pullback(narrow[3])
    true, residuals = RECORD.rules.forward(x, weight, bias if biased else None, activation=activation)
    expected = RECORD.rules.vjp(
        g, true, x, weight, bias if biased else None, activation=activation, needs=needs, residuals=residuals
    )
    eps = float(np.finfo(dtype).eps)
    for a, b in zip((y, *found), (true, *expected), strict=True):
        if b is None:
            assert a is None
            continue
        assert (a.dtype, a.shape) == (dtype, b.shape)
        # inner products of at most 8 numbers, drawn to float64: their rounding, and that of the inputs
        assert np.allclose(a, b, rtol=0, atol=32 * eps * (1 + np.max(np.abs(b), initial=0.0)))
    for a, b in zip(narrow, kept, strict=True):
        assert np.array_equal(a, b)


def test_what_is_not_needed_is_not_computed() -> None:
    x, weight, bias = np.ones((2, 4)), np.ones((4, 3)), np.ones(3)
    for wanted in np.ndindex(2, 2, 2):
        _, pullback = linear_and_pullback(x, weight, bias, activation=None, needs=RECORD.needs(*wanted))
        assert [found is not None for found in pullback(np.ones((2, 3)))] == [bool(one) for one in wanted]


def test_a_gradient_goes_through_it_unless_another_activation_than_relu_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*args: Any, **options: Any) -> Any:
        raise AssertionError("the rule ran, not the kernel")

    monkeypatch.setattr(RECORD.rules, "forward", refused)
    x, weight, bias = np.ones((2, 4)), np.full((4, 3), 0.5), np.zeros(3)
    value, found = value_and_grad(lambda w: linear(x, w, bias).sum())(weight)
    assert value == 12.0
    assert np.array_equal(found, np.full((4, 3), 2.0))
    assert (
        linear_and_pullback(x, weight, bias, activation="tanh", needs=RECORD.needs(True, True, True)) is None
    )
