"""Lanczos: the extreme eigenvalues of dense solvers, honest residuals, trees, exhausted spaces, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.backends import backend
from pillars.linalg import lanczos
from running import compilations


def symmetric(n: int, seed: int = 0) -> Any:
    a = np.random.default_rng(seed).standard_normal((n, n))
    return (a + a.T) / 2


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_the_extremes_are_those_of_a_dense_solver(n: int, variant: Variant) -> None:
    a = symmetric(n)
    given = variant.asarray(a)
    found = lanczos(lambda v: given @ v, variant.asarray(np.zeros(n)), steps=min(n, 80))
    eps = float(np.finfo(variant.to_numpy(given).dtype).eps)
    true = np.linalg.eigvalsh(variant.to_numpy(given).astype(np.float64))
    scale = np.abs(true).max()
    for got, expected, residual in zip(
        found.eigenvalues[[0, -1]], true[[0, -1]], found.residuals[[0, -1]], strict=True
    ):
        assert abs(got - expected) <= residual + 4 * n * eps * scale
        assert abs(got - expected) <= 1e-5 * scale
    vectors = variant.to_numpy(found.basis).astype(np.float64)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=20 * n * eps)
    left = vectors @ a - found.eigenvalues[:, None] * vectors
    assert np.all(np.linalg.norm(left, axis=1) <= found.residuals + 20 * n * eps * scale)


@pytest.mark.parametrize("part", [-0.7, -0.55, 0.5, 0.8])
def test_a_power_of_two_times_the_matrix_is_one_times_the_eigenvalues(part: float, variant: Variant) -> None:
    """No square of a length is held at either end: 0 stood for the one, NaN for the other."""
    for dtype in variant.floats:
        k = round(part * np.finfo(dtype).maxexp)
        a = symmetric(30)
        plain, scaled = (
            lanczos(lambda v, m=m: m @ v, m[0, :], steps=12)
            for m in (variant.asarray(a, dtype), variant.asarray(np.ldexp(a.astype(dtype), k), dtype))
        )
        near = 30 * float(np.finfo(dtype).eps) * np.abs(plain.eigenvalues).max()
        np.testing.assert_allclose(np.ldexp(scaled.eigenvalues, -k), plain.eigenvalues, atol=near)
        np.testing.assert_allclose(np.ldexp(scaled.residuals, -k), plain.residuals, atol=near)


def test_matrices_of_no_rank_and_of_little() -> None:
    """The start's space is exhausted at once, or after two steps: no division by what is left."""
    nothing = lanczos(lambda v: 0.0 * v, np.zeros(4), steps=4)
    assert np.array_equal(nothing.eigenvalues, [0.0])
    assert np.array_equal(nothing.residuals, [0.0])
    np.testing.assert_allclose(nothing.basis @ nothing.basis.T, 1.0, atol=1e-15)
    values, vectors = np.linalg.eigh(symmetric(5) @ symmetric(5))
    low = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    for size in (1.0, 1e-200, 1e200):
        found = lanczos(lambda v, a=low * size: a @ v, np.zeros(5), steps=5)
        np.testing.assert_allclose(found.eigenvalues[-2:] / size, values[-2:], rtol=1e-13)


def test_it_stops_where_it_was_told() -> None:
    a = symmetric(300)
    calls: list[int] = []

    def product(v: Any) -> Any:
        calls.append(1)
        return a @ v

    found = lanczos(product, np.zeros(300), steps=300, tolerance=1e-6)
    assert len(calls) == len(found.eigenvalues) < 100
    assert found.residuals[-1] <= 1e-6 * np.abs(found.eigenvalues).max()
    assert abs(found.eigenvalues[-1] - np.linalg.eigvalsh(a)[-1]) <= found.residuals[-1]


def test_more_steps_compile_nothing_more() -> None:
    jnp = pytest.importorskip("jax.numpy")
    a = jnp.asarray(symmetric(100), dtype="float32")

    def found(steps: int) -> Any:
        return lanczos(lambda v: a @ v, jnp.zeros(100, dtype="float32"), steps=steps, tolerance=0.0)

    found(20)
    # the product with the rotation at the end, and nothing a step: 1 or 2 shapes for 25 steps more
    assert compilations(lambda: found(45)) <= 4


def test_trees_and_repeated_eigenvalues() -> None:
    like = {"a": np.zeros((2, 3)), "b": np.zeros(2)}
    found = lanczos(lambda v: {"a": 2 * v["a"], "b": -3 * v["b"]}, like, steps=10)
    np.testing.assert_allclose(found.eigenvalues, [-3, 2], atol=1e-14)
    assert found.basis.shape == (2, 8)
    assert np.all(found.residuals < 1e-13)


def test_the_same_draws_the_same() -> None:
    a = symmetric(30)
    one, two, other = (lanczos(lambda v: a @ v, np.zeros(30), steps=5, rng=rng) for rng in (1, 1, 2))
    np.testing.assert_array_equal(one.eigenvalues, two.eigenvalues)
    assert not np.array_equal(one.eigenvalues, other.eigenvalues)


def test_what_is_not_finite_is_nan() -> None:
    found = lanczos(lambda v: v * np.nan, np.zeros(3), steps=3)
    assert np.isnan(found.eigenvalues).all()
    assert np.isnan(found.residuals).all()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: lanczos(lambda v: v, np.zeros(0), steps=1), ShapeError, "no entries"),
        (lambda: lanczos(lambda v: v, {}, steps=1), ShapeError, "expected an array or a tree"),
        (lambda: lanczos(lambda v: v, np.zeros(3), steps=0), ShapeError, "steps is 0"),
        (lambda: lanczos(lambda v: v, np.zeros(3), steps=2.0), ShapeError, "steps is 2.0"),
        (
            lambda: lanczos(lambda v: v, np.zeros(3, int), steps=1),
            DTypeError,
            "expected one of float32, float64",
        ),
        (
            lambda: lanczos(lambda v: v, [np.zeros(3), np.zeros(3, "f4")], steps=1),
            DTypeError,
            "float32, float64",
        ),
        (
            lambda: lanczos(lambda v: v[:2], np.zeros(3), steps=2),
            ShapeError,
            r"ndarray of \(2,\), expected .* \(3,\)",
        ),
        (lambda: lanczos(lambda v: (v, v), np.zeros(3), steps=2), ShapeError, "tuple of"),
    ],
)
def test_refusals(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_inside_jit_it_is_refused() -> None:
    jax = pytest.importorskip("jax")
    home = backend("jax")
    with pytest.raises(CapabilityError, match="Call it outside"):
        jax.jit(lambda x: lanczos(lambda v: v, x, steps=2))(home.asarray(np.zeros(3)))
