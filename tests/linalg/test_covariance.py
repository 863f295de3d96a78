"""Mean and covariance: cut columns and rows, squares that float32 does not hold, infinite entries, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import explain
from pillars.linalg._covariance import mean_covariance
from pillars.reduce import chunk_moments, finish_moments, fold, moments, row_blocks


def bound(dtype: Any, n: int) -> float:
    """Sums of n products, relative to the largest variance."""
    return 8.0 * (4 + n**0.5) * float(np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "shape", [(9000, 1), (9000, 7), (4096, 127), (4097, 128), (9000, 131), (300, 400), (2, 3)]
)
def test_numpys_figures_whatever_the_blocks(shape: tuple[int, int], variant: Variant) -> None:
    """Shapes on both sides of what the kernels cut, with a rest of rows and a rest of columns."""
    n, d = shape
    random = np.random.default_rng(n + d)
    x = random.standard_normal(shape) @ np.diag(1.0 + np.arange(d) % 3) + 2.0 * random.standard_normal(d)
    given = variant.asarray(x, "float32")
    mean, covariance = (variant.to_numpy(part) for part in variant.compiled(mean_covariance)(given))
    x = x.astype(np.float32).astype(np.float64)
    truth = np.cov(x, rowvar=False).reshape(d, d)
    near = bound(np.float32, n)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=0, atol=near * np.abs(x).max())
    np.testing.assert_allclose(covariance, truth, rtol=0, atol=near * truth.max())


@pytest.mark.parametrize("size", [2.0**-100, 2.0**70])
@pytest.mark.parametrize("d", [4, 130])
def test_float32_whose_squares_float64_alone_holds(size: float, d: int) -> None:
    x = np.random.default_rng(0).standard_normal((20_000, d)).astype(np.float32)
    assert "on_numpy" in str(explain(mean_covariance, x))
    plain, scaled = mean_covariance(x), mean_covariance(x * np.float32(size))
    near = bound(np.float32, len(x))
    np.testing.assert_allclose(scaled.covariance / size**2, plain.covariance, rtol=0, atol=near)
    np.testing.assert_allclose(scaled.mean / size, plain.mean, rtol=0, atol=near)


def test_an_infinite_entry_is_its_columns_mean(variant: Variant) -> None:
    x = np.random.default_rng(0).standard_normal((9000, 5))
    x[0, 1], x[4321, 3] = np.inf, -np.inf  # one in the rough mean's sample, one out of it
    found = variant.compiled(mean_covariance)(variant.asarray(x, "float32"))
    mean, covariance = (variant.to_numpy(part) for part in found)
    assert mean[1] == np.inf
    assert mean[3] == -np.inf
    assert np.all(np.isfinite(np.delete(mean, [1, 3])))
    assert np.all(np.isnan(np.diagonal(covariance)[[1, 3]]))
    assert np.all(np.isfinite(covariance[np.ix_([0, 2, 4], [0, 2, 4])]))


def test_a_stack_under_vmap_is_each_alone() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal((3, 200, 130)), "float32")
    found = jax.jit(jax.vmap(mean_covariance))(x)
    for i in range(3):
        alone = mean_covariance(x[i])
        np.testing.assert_allclose(found.mean[i], alone.mean, atol=bound(np.float32, 200))
        np.testing.assert_allclose(found.covariance[i], alone.covariance, atol=bound(np.float32, 200))


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (50, 130)])
def test_the_forward_rule_is_jaxs_of_the_body(shape: tuple[int, int]) -> None:
    jax = pytest.importorskip("jax")
    random = np.random.default_rng(0)
    x, dx = (jax.numpy.asarray(random.standard_normal(shape), "float32") for _ in range(2))
    ours = jax.jvp(mean_covariance, (x,), (dx,))
    theirs = jax.jvp(mean_covariance.record.body, (x,), (dx,))
    for got, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(got, expected, atol=8 * bound(np.float32, shape[0]))


@pytest.mark.parametrize("n", [5, 300, 4095, 9000])
def test_no_variance_is_negative(n: int, variant: Variant) -> None:
    """Of constant columns it is 0 and of nearly constant ones no less, so that its root is a number."""
    random = np.random.default_rng(n)
    constants = np.concatenate([random.uniform(0.1, 1.0, 40), 10.0 ** random.uniform(-20, 20, 40)])
    near = np.where(random.uniform(size=(n, 80)) < 2 / n, 1.0 + 2.0**-23, 1.0) * constants
    for rows, constant in ((np.tile(constants, (n, 1)), True), (near, False)):
        for function in (mean_covariance, lambda x: finish_moments(chunk_moments(x))):
            given = variant.asarray(rows, "float32")
            variances = np.diagonal(variant.to_numpy(variant.compiled(function)(given)).covariance)
            assert np.all(variances >= 0)
            if constant:
                assert np.all(variances == 0)


def test_constant_float64_columns_of_any_number_vary_by_nothing() -> None:
    for n in (7, 300, 1000, 9000):
        rows = np.tile(np.random.default_rng(n).uniform(0.1, 1.0, 40), (n, 1))
        found = mean_covariance(rows)
        assert np.all(found.covariance == 0)
        assert np.all(found.mean == rows[0])
        merged = fold(moments(), row_blocks(rows, 64))
        assert np.all(merged.variance == 0)


@pytest.mark.parametrize("given", [True, False])
def test_the_scale_has_derivatives(given: bool) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal((30, 3)), "float32")
    scale = jax.numpy.asarray(0.5, "float32")
    arguments = (x, scale) if given else (x,)
    tangents = tuple(jax.numpy.ones_like(one) for one in arguments)
    ours = jax.jvp(mean_covariance, arguments, tangents)
    theirs = jax.jvp(mean_covariance.record.body, (*arguments, None)[:2], (*tangents, None)[:2])
    for got, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(got, expected, atol=8 * bound(np.float32, 30))
