"""Functions of symmetric matrices: repeated eigenvalues in every order, edges, stacks, divided differences."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from contracts._variants import Variant
from pillars import ShapeError
from pillars.backends import namespace
from pillars.calculus import check_gradient, grad, jacobian
from pillars.linalg import expm, inv_sqrtm, logm, matrix_function, sqrtm
from pillars.linalg._divided import FUNCTIONS, POSITIVE, _divided

EPS = float(np.finfo(np.float64).eps)
NAMED = {"sqrt": sqrtm, "inv_sqrt": inv_sqrtm, "exp": expm, "log": logm}
RANDOM = np.random.default_rng(8)
BASIS = np.linalg.qr(RANDOM.standard_normal((4, 4)))[0]
REPEATED = (BASIS * (1.0, 1.0, 1.0, 2.5)) @ BASIS.T
WEIGHTS = RANDOM.standard_normal((4, 4))
SLOPES = {"sqrt": 0.5, "inv_sqrt": -0.5, "log": 1.0, "exp": np.e, "sin": np.cos(1.0), "cos": -np.sin(1.0)}


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_gradient_at_the_identity_is_the_slope(f: str, variant: Variant) -> None:
    """d f(a) = f′(1) da there."""
    a, w = variant.asarray(np.eye(3)), variant.asarray(WEIGHTS[:3, :3])
    found = variant.compiled(grad(lambda a: namespace(a).sum(matrix_function(a, f=f) * w)))(a)
    expected = SLOPES[f] * 0.5 * (WEIGHTS + WEIGHTS.T)[:3, :3]
    near = 64 * float(np.finfo(variant.to_numpy(found).dtype).eps)
    np.testing.assert_allclose(variant.to_numpy(found), expected, atol=near * 3)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_every_order_is_right_where_eigenvalues_are_repeated(f: str) -> None:
    def total(a: Any) -> Any:
        return np.sum(matrix_function(a, f=f) * WEIGHTS)

    for order in range(3):
        checked = check_gradient(total, REPEATED)
        assert checked.ok, f"order {order + 1}:\n{checked}"
        direction = np.random.default_rng(order).standard_normal((4, 4))
        total = lambda a, f=total, v=direction: np.sum(grad(f)(a) * v)  # noqa: E731 - the next order of the last


def test_on_jax_forward_derivatives_are_right_in_every_order_and_reverse_ones_in_the_first() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        eye = jax.numpy.eye(2)

        def entry(a: Any) -> Any:
            return sqrtm(a)[0, 1]

        expected = jacobian(grad(lambda a: sqrtm(a)[0, 1]), np.eye(2))
        np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(entry))(eye), expected, atol=16 * EPS)
        np.testing.assert_allclose(
            jax.vmap(jax.grad(entry))(eye[None] * 4.0)[0], [[0, 0.125], [0.125, 0]], atol=8 * EPS
        )
        again = np.asarray(jax.jit(jax.jacrev(jax.grad(entry)))(eye))
        assert np.all(np.isnan(again) | (np.abs(again - expected) < 16 * EPS))
        apart = jax.numpy.diag(jax.numpy.asarray([1.0, 2.0]))
        twice = jacobian(grad(lambda a: sqrtm(a)[0, 1]), np.diag([1.0, 2.0]))
        np.testing.assert_allclose(jax.jacrev(jax.grad(entry))(apart), twice, atol=16 * EPS)


@pytest.mark.parametrize("f", sorted(NAMED))
def test_those_with_a_name_are_the_same(f: str, variant: Variant) -> None:
    stack = np.stack([REPEATED, np.eye(4), REPEATED @ REPEATED])
    found = variant.to_numpy(variant.compiled(NAMED[f])(variant.asarray(stack)))
    eps = float(np.finfo(found.dtype).eps)
    for one, a in zip(found, stack, strict=True):
        alone = matrix_function(a, f=f)
        np.testing.assert_allclose(one, alone, atol=64 * eps * float(np.abs(alone).max() + 1.0))


def test_the_edges() -> None:
    low = np.outer([1.0, 2.0], [1.0, 2.0])
    np.testing.assert_allclose(sqrtm(low) @ sqrtm(low), low, atol=32 * EPS)
    np.testing.assert_array_equal(sqrtm(np.zeros((2, 2))), np.zeros((2, 2)))
    # an infinite slope, and none
    assert np.all(np.isnan(grad(lambda a: sqrtm(a)[0, 1])(low)))
    for f in (inv_sqrtm, logm):
        assert np.all(np.isnan(f(np.diag([1.0, 0.0]))))
    for f in (sqrtm, inv_sqrtm, logm):
        assert np.all(np.isnan(f(np.diag([1.0, -1.0]))))
        assert np.all(np.isnan(grad(lambda a, f=f: np.sum(f(a)))(np.diag([1.0, -1.0]))))
    # the symmetric part counts
    np.testing.assert_allclose(
        expm(np.asarray([[0.0, 2.0], [0.0, 0.0]])), expm(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    )


def test_the_root_scales_to_the_ends_of_the_range() -> None:
    a = REPEATED @ REPEATED
    for power in (-1000, -400, 400, 1000):
        np.testing.assert_allclose(np.ldexp(sqrtm(np.ldexp(a, power)), -power // 2), sqrtm(a), rtol=64 * EPS)
        np.testing.assert_allclose(
            np.ldexp(inv_sqrtm(np.ldexp(a, power)), power // 2), inv_sqrtm(a), atol=64 * EPS
        )


@pytest.mark.parametrize(("f", "power"), [("sqrt", 0.5), ("inv_sqrt", -0.5), ("log", 0.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_scale_to_the_ends_of_the_range(f: str, power: float, dtype: str) -> None:
    """f(sA) is a power of s times f(A), so that its k-th derivatives are s^(power − k) times those at A."""
    fine = np.finfo(dtype)
    a, v, w = (x.astype(dtype) for x in (REPEATED, WEIGHTS, BASIS))

    def slope(a: Any) -> Any:
        return grad(lambda a: np.sum(matrix_function(a, f=f) * w))(a)

    def second(a: Any) -> Any:
        return grad(lambda a: np.sum(slope(a) * v))(a)

    for order, derivative in ((1, slope), (2, second)):
        least = (fine.maxexp - 8) / (order - power)
        for sign in (1, -1):
            # even, so that a root of s is a power of two
            exponent = sign * 2 * int(min(least, fine.maxexp - 8) / 2)
            found = derivative(a * np.asarray(2.0**exponent, dtype))
            expected = derivative(a).astype(float) * 2.0 ** (exponent * (power - order))
            near = 512 * float(fine.eps) * np.abs(expected).max()
            assert np.abs(found.astype(float) - expected).max() <= near, (order, exponent, found, expected)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_divided_differences_keep_their_digits(f: str, order: int) -> None:
    """Against their definition in 100 digits, at nodes from 1e-10 apart, relatively, to a factor of ten."""
    exact = {"inv_sqrt": lambda x: 1 / mpmath.sqrt(x)}.get(f) or getattr(mpmath, f)
    random = np.random.default_rng(order)
    with mpmath.workdps(100):
        for _ in range(20):
            apart = 10.0 ** random.uniform(-10, 1) * np.sort(random.uniform(0.0, 1.0, order + 1))
            x = (
                10.0 ** random.uniform(-8, 8) * (1.0 + apart)
                if f in POSITIVE
                else random.uniform(-5, 5) + apart
            )
            nodes = [mpmath.mpf(float(value)) for value in x]
            table = [exact(node) for node in nodes]
            for width in range(1, order + 1):
                table = [
                    (table[i + 1] - table[i]) / (nodes[i + width] - nodes[i])
                    for i in range(order + 1 - width)
                ]
            found = float(_divided(x, f, order)[tuple(range(order + 1))])
            size = float(table[0]) if f in POSITIVE or f == "exp" else max(abs(float(table[0])), 0.01)
            assert abs(found - float(table[0])) <= 8.0**order * EPS * abs(size)


def test_what_is_refused() -> None:
    with pytest.raises(ShapeError, match="f is 'tan', expected one of 'sqrt', 'inv_sqrt'"):
        matrix_function(np.eye(2), f="tan")
    for f in NAMED.values():
        with pytest.raises(ShapeError, match="expected \\(\\.\\.\\., d, d\\)"):
            f(np.ones((2, 3)))
        with pytest.raises(ShapeError, match="NaN or infinite"):
            f(np.full((2, 2), np.nan))
