"""hessian: closed forms, special points, several arguments and trees, traces, and errors that say what to do."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError, DTypeError, ShapeError
from pillars.backends import available, backend, namespace
from pillars.calculus import grad, hessian, hvp, jacobian
from pillars.calculus.autodiff._hessian import _symmetric
from pillars.layers import linear
from pillars.measure.audit.cases import SPECIAL, Special
from pillars.probability import cross_entropy, logsumexp, softmax

EVERYWHERE = pytest.mark.parametrize(
    "library", [*(name for name, state in available().items() if state.usable), "strict"]
)


@EVERYWHERE
def test_closed_forms(library: str) -> None:
    home = backend(library)
    a = np.random.default_rng(0).normal(size=(3, 3))
    x, matrix = home.asarray(np.asarray([0.3, -1.2, 0.8])), home.asarray(a)
    bound = 8 * float(np.finfo(home.to_numpy(x).dtype).eps)
    p = home.to_numpy(softmax(x)).astype(float)
    host = home.to_numpy(x).astype(float)
    for f, expected in (
        (lambda x, m: logsumexp(x), np.diag(p) - np.outer(p, p)),
        (lambda x, m: x @ (m @ x), a + a.T),
        (lambda x, m: namespace(x).sum(namespace(x).exp(x)), np.diag(np.exp(host))),
        (lambda x, m: x[0] * x[1] * x[2], _of_product(host)),
    ):
        found = hessian(f)(x, matrix)
        assert type(found) is type(x)
        assert found.dtype == x.dtype
        np.testing.assert_allclose(
            home.to_numpy(found), expected, atol=bound * max(1.0, np.abs(expected).max())
        )


def _of_product(x: Any) -> Any:
    return np.asarray([[0.0, x[2], x[1]], [x[2], 0.0, x[0]], [x[1], x[0], 0.0]])


@pytest.mark.parametrize("number", [pytest.param(i, id=f"{p.name}-{i}") for i, p in enumerate(SPECIAL)])
def test_special_points(number: int) -> None:
    point: Special = SPECIAL[number]
    x, truth = np.asarray(point.x, float), np.asarray(point.hessian, float)
    with np.errstate(all="ignore"):
        found = hessian(partial(point.f, np))(x)
    assert found.shape == x.shape + x.shape
    left_open = np.isnan(truth) | (False if point.whole else np.isnan(found))
    assert not np.isfinite(found[np.isnan(truth)]).any()
    np.testing.assert_allclose(found[~left_open], truth[~left_open], rtol=1e-12, atol=1e-12)
    flat = found.reshape(x.size, x.size)
    np.testing.assert_array_equal(flat, flat.T)


def test_it_is_symmetric_to_the_last_bit_and_multiplies_as_hvp_does() -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    w, v = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))

    def loss(w: Any, x: Any, *, labels: Any) -> Any:
        return cross_entropy(linear(np.tanh(x), w), labels) + np.linalg.norm(w) ** 3

    once = jacobian(grad(lambda w: loss(w, x, labels=labels)), w).reshape(12, 12)
    # the rows are rounded each by itself
    assert not np.array_equal(once, once.T)
    found = hessian(loss)(w, x, labels=labels)
    assert found.shape == (4, 3, 4, 3)
    flat = found.reshape(12, 12)
    np.testing.assert_array_equal(flat, flat.T)
    np.testing.assert_allclose(np.tensordot(found, v, 2), hvp(loss, w, v, x, labels=labels), rtol=1e-12)


@EVERYWHERE
def test_several_arguments_and_trees(library: str) -> None:
    home = backend(library)
    w, b = home.asarray(np.asarray([1.0, 2.0])), home.asarray(np.asarray(3.0))

    def f(w: Any, constant: float, b: Any) -> Any:
        return constant * namespace(w).sum(w * w) * b

    (ww, wb), (bw, bb) = hessian(f, argnums=(0, 2))(w, 0.5, b)
    assert [tuple(one.shape) for one in (ww, wb, bw, bb)] == [(2, 2), (2,), (2,), ()]
    for found, expected in ((ww, 3 * np.eye(2)), (wb, [1.0, 2.0]), (bw, [1.0, 2.0]), (bb, 0.0)):
        np.testing.assert_array_equal(home.to_numpy(found), expected)
    np.testing.assert_array_equal(home.to_numpy(hessian(f, -1)(w, 0.5, b)), 0.0)
    tree = hessian(lambda p: f(p["w"], 0.5, p["b"]))({"w": w, "b": b})
    np.testing.assert_array_equal(home.to_numpy(tree["w"]["w"]), 3 * np.eye(2))
    np.testing.assert_array_equal(home.to_numpy(tree["b"]["w"]), [1.0, 2.0])
    matrix = home.asarray(np.asarray([[1.0, 2.0, 3.0]]))
    mixed = hessian(lambda m, w: namespace(m).sum(m) * namespace(w).sum(w), (0, 1))(matrix, w)
    assert [[tuple(one.shape) for one in row] for row in mixed] == [
        [(1, 3, 1, 3), (1, 3, 2)],
        [(2, 1, 3), (2, 2)],
    ]
    assert float(hessian(lambda x: x * x * x)(2.0)) == 12.0


def test_through_traces() -> None:
    x = np.asarray([0.5, 2.0])
    # the trace of the Hessian of Σx⁴ is 12·Σx²
    found = grad(lambda x: np.trace(hessian(lambda y: np.sum(y**4))(x)))(x)
    np.testing.assert_allclose(found, 24 * x, rtol=1e-14)
    jax = pytest.importorskip("jax")
    y = jax.numpy.asarray(x, jax.numpy.float32)
    f = lambda y: jax.numpy.sum(y**4)  # noqa: E731
    np.testing.assert_allclose(jax.jit(hessian(f))(y), np.diag(12 * x**2), rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(hessian(f))(y[None])[0], np.diag(12 * x**2), rtol=1e-5)
    np.testing.assert_allclose(hessian(f)(y), jax.hessian(f)(y), rtol=1e-6)


def test_where_one_of_a_pair_is_unknown_both_are() -> None:
    found = _symmetric(np.asarray([[1.0, np.nan], [2.0, np.inf]]), 1)
    np.testing.assert_array_equal(found, [[1.0, np.nan], [np.nan, np.inf]])
    # nothing overflows on the way to a mean
    large = _symmetric(np.asarray([[0.0, 1.7e308], [1.6e308, 0.0]]), 1)
    np.testing.assert_allclose(large[0, 1], 1.65e308, rtol=1e-15)


def test_errors_begin_with_its_name() -> None:
    with pytest.raises(DTypeError, match=r"^hessian: f is"):
        hessian(3.0)
    with pytest.raises(DTypeError, match=r"^hessian: argument 1 has dtype int"):
        hessian(lambda x, y: np.sum(x * y), (0, 1))(np.ones(2), np.arange(2))
    with pytest.raises(ShapeError, match=r"^hessian: argnums names argument 2"):
        hessian(np.sum, 2)(np.ones(2))
    with pytest.raises(ShapeError, match=r"^hessian: f returned an array of shape \(2,\)"):
        hessian(lambda x: x)(np.ones(2))
    with pytest.raises(CapabilityError, match=r"^hessian: got a float"):
        hessian(lambda x: float(np.sum(x)))(np.ones(2))
