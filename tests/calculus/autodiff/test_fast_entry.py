"""The hot path of operations on traced arrays: the usual way to the bit, and what is not its own goes there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pillars
from contracts._support import draw, float_positions, invoke, leaves, operations, refill
from pillars import CapabilityError, ShapeError
from pillars.backends import Record, dtype_kind, namespace
from pillars.calculus import grad, value_and_grad, vjp
from pillars.calculus.autodiff._traced_array import TracedArray
from pillars.layers import linear
from pillars.probability import cross_entropy, softmax


def entries(record: Record) -> list[Any]:
    """The entries that a record has for traced arrays."""
    return [key for key in record.entries if TracedArray in (key if isinstance(key, tuple) else (key,))]


@pytest.fixture
def fresh() -> None:
    """No operation has been called with traced arrays yet."""
    for record in operations():
        for key in entries(record):
            del record.entries[key]


def with_rules() -> list[Record]:
    return [record for record in operations() if record.rules.vjp is not None]


@pytest.mark.parametrize("record", with_rules(), ids=lambda record: record.name)
@pytest.mark.usefixtures("fresh")
def test_the_second_call_is_the_first_one_again(record: Record) -> None:
    values = draw(record, 0)
    arrays = {p.position for p in record.arrays}
    places = [place for place in float_positions(record, values) if place in arrays]

    def total(*xs: Any) -> Any:
        ys = leaves(invoke(record, refill(values, places, xs)))
        return sum(namespace(y).sum(y * y) for y in ys if dtype_kind(y.dtype) == "float")

    # JAX's rules are what autodiff is told apart from: here the first call goes the usual way, and the second directly
    both = value_and_grad(total, tuple(range(len(places))))
    given = [values[place] for place in places]
    first = both(*given)
    assert entries(record)
    second = both(*given)
    assert np.array_equal(first[0], second[0], equal_nan=True)
    for a, b in zip(first[1], second[1], strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b, equal_nan=True)


def test_traces_inside_traces_go_the_usual_way() -> None:
    x = np.asarray([0.3, -1.2, 0.8])

    def f(x: Any) -> Any:
        return namespace(x).sum(softmax(x) ** 2)

    grad(f)(x)
    curvature = np.stack([grad(lambda x, i=i: grad(f)(x)[i])(x) for i in range(3)])
    step = 1e-5
    numeric = np.stack([(grad(f)(x + step * e) - grad(f)(x - step * e)) / (2 * step) for e in np.eye(3)])
    assert np.allclose(curvature, numeric, atol=1e-9)
    assert np.allclose(curvature, curvature.T, atol=1e-15)


def test_promotion_goes_the_usual_way() -> None:
    x, w = np.ones((2, 3)), np.full((3, 2), 0.5)
    loss = lambda w, x: namespace(w).sum(linear(x, w))  # noqa: E731
    assert grad(loss)(w, x).dtype == np.float64
    narrow = grad(loss)(w.astype(np.float32), x)
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, np.full((3, 2), 2.0))
    halves = grad(loss)(w.astype(np.float16), x.astype(np.float16))
    assert halves.dtype == np.float16
    integers = grad(loss)(w, np.ones((2, 3), int))
    assert np.array_equal(integers, np.full((3, 2), 2.0))


@pytest.mark.usefixtures("fresh")
def test_one_library_s_entry_does_not_serve_another() -> None:
    strict = pytest.importorskip("array_api_strict")
    x = np.asarray([0.3, -1.2, 0.8])
    f = lambda x: namespace(x).sum(softmax(x) ** 2)  # noqa: E731
    expected = grad(f)(x)  # its entry is for traced arrays, whatever they are of
    for _ in range(2):
        found = grad(f)(strict.asarray(x))
        assert type(found) is type(strict.asarray(x))
        assert np.allclose(np.asarray(found), expected, rtol=1e-15)
        assert np.array_equal(grad(f)(x), expected)


def test_what_is_not_differentiated_is_kept_as_it_was() -> None:
    buffer = np.asarray([1.0, 2.0, 3.0])
    for _ in range(2):
        buffer[:] = [1.0, 2.0, 3.0]

        def f(w: Any) -> Any:
            y = linear(buffer, w)
            buffer[:] = 0.0  # its owner may refill it before the gradient is taken
            return namespace(y).sum(y)

        _, pullback = vjp(f, np.ones((3, 1)))
        assert pullback(np.asarray(1.0))[0].ravel().tolist() == [1.0, 2.0, 3.0]


def test_checks_speak_on_the_hot_path_too() -> None:
    weight, x = np.ones((3, 2)), np.ones((4, 3))
    f = lambda w, x: namespace(w).sum(linear(x, w, name="encoder.1"))  # noqa: E731
    grad(f)(weight, x)
    with pytest.raises(ShapeError, match=r"linear 'encoder.1': x has 4 features on axis -1"):
        grad(f)(weight, np.ones((3, 4)))
    g = lambda z: cross_entropy(z, np.asarray([0, 1]))  # noqa: E731
    grad(g)(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="label_smoothing is 2"):
        grad(lambda z: cross_entropy(z, np.asarray([0, 1]), label_smoothing=2.0))(np.zeros((2, 3)))


def test_an_escaped_value_is_refused() -> None:
    kept: list[Any] = []
    grad(lambda x: kept.append(x) or namespace(x).sum(softmax(x)))(np.ones(2))
    grad(lambda x: namespace(x).sum(softmax(x)))(np.ones(2))
    with pytest.raises(CapabilityError, match="outside the call that traced it"):
        pillars.grad(lambda x: namespace(x).sum(x * softmax(kept[0])))(np.ones(2))


def test_what_does_not_depend_on_the_parameters_is_a_constant() -> None:
    def f(w: Any, x: Any) -> Any:
        return namespace(w).sum(w * softmax(x))

    x = np.asarray([0.0, 1.0])
    for _ in range(2):
        assert np.allclose(grad(f)(np.ones(2), x), softmax(x), rtol=1e-15)


@pytest.mark.parametrize("twice", [False, True], ids=["first call", "entry"])
@pytest.mark.usefixtures("fresh")
def test_a_kernels_pullback_takes_a_traced_cotangent(twice: bool) -> None:
    """It is linear: the gradient of ⟨pullback(c), w⟩ by c is the forward derivative along w, by differences here."""
    rng = np.random.default_rng(5)
    x, labels, w = rng.normal(size=(40, 3)), rng.integers(0, 3, 40), rng.normal(size=(40, 3))

    def losses(x: Any) -> Any:
        return cross_entropy(x, labels, reduction="none")

    def outputs(w: Any) -> Any:
        return linear(x, w, np.zeros(3))

    weight, turn = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    for f, at, along in ((losses, x, w), (outputs, weight, turn)):
        y, pullback = vjp(f, at)
        if twice:
            y, pullback = vjp(f, at)
        pushed = grad(lambda c, pullback=pullback, along=along: np.sum(pullback(c)[0] * along))(
            np.ones_like(y)
        )
        step = 1e-5
        np.testing.assert_allclose(
            pushed, (f(at + step * along) - f(at - step * along)) / (2 * step), rtol=0, atol=1e-8
        )
