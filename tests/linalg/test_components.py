"""What components say of rows: noise variance, covariance, log-likelihood, beside scikit-learn's; singular ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from contracts._variants import Variant
from pillars import ShapeError
from pillars.calculus import grad
from pillars.linalg import pca
from pillars.linalg._likelihood import log_likelihood, model_covariance

SOLVERS = ("covariance", "full", "randomized")


def rows(n: int, d: int) -> Any:
    random = np.random.default_rng(n + d)
    return random.standard_normal((n, d)) * (1.0 + np.arange(d)) + 10.0 * random.standard_normal(d)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("n", "d", "k"), [(60, 6, 2), (60, 6, 6), (8, 20, 3)])
@pytest.mark.parametrize("whiten", [False, True])
def test_scikit_learns_figures(solver: str, n: int, d: int, k: int, whiten: bool, variant: Variant) -> None:
    if whiten and variant.jit:
        pytest.skip("not applicable: the same program as without")
    x = rows(n, d)
    # whitened or not, the model is one: with ``whiten`` theirs would count the variances twice
    theirs = PCA(k, svd_solver="full").fit(x)
    given = variant.asarray(x)
    found = variant.compiled(lambda x: pca(x, k, solver=solver, whiten=whiten))(given)
    eps = float(np.finfo(str(given.dtype).rpartition(".")[2]).eps)
    near = 100 * n**0.5 * d * eps * theirs.explained_variance_[0]
    np.testing.assert_allclose(variant.to_numpy(found.noise_variance), theirs.noise_variance_, atol=near)
    np.testing.assert_allclose(variant.to_numpy(found.covariance()), theirs.get_covariance(), atol=near)
    likelihood = variant.to_numpy(found.log_likelihood(given))
    # a variance is off by `near`, and a quadratic form by that over its least variance, some d units long
    least = theirs.noise_variance_ if k < min(n, d) else theirs.explained_variance_[-1]
    np.testing.assert_allclose(likelihood, theirs.score_samples(x), atol=4 * d * near / least)


def test_the_density_is_that_of_the_covariance() -> None:
    x = rows(40, 5)
    for k in range(1, 6):
        found = pca(x, k)
        normal = stats.multivariate_normal(found.mean, found.covariance())
        np.testing.assert_allclose(found.log_likelihood(x), normal.logpdf(x), rtol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_density_where_the_covariance_is_singular(solver: str, variant: Variant) -> None:
    """Fewer rows than columns and all components; columns that repeat; constant rows: NaN, and no division by 0."""
    wide = rows(5, 9)
    repeated = np.concatenate([rows(40, 3), rows(40, 3)], axis=1)
    for x, k in ((wide, 5), (repeated, 3), (repeated, 6), (np.ones((6, 3)), 2)):
        found = pca(variant.asarray(x), k, solver=solver)
        assert np.all(np.isnan(variant.to_numpy(found.log_likelihood(variant.asarray(x)))))
        assert np.all(np.isfinite(variant.to_numpy(found.covariance())))


def test_stacks_of_fits() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.stack([rows(30, 4), 2.0 * rows(30, 4)]))
    found = jax.jit(jax.vmap(lambda x: pca(x, 2)))(x)
    assert found.noise_variance.shape == (2,)
    assert found.covariance().shape == (2, 4, 4)
    assert found.log_likelihood(x).shape == (2, 30)
    alone = pca(x[1], 2)
    np.testing.assert_allclose(found.log_likelihood(x)[1], alone.log_likelihood(x[1]), rtol=1e-4)


def test_its_gradient_is_minus_the_precision_times_the_deviation() -> None:
    found = pca(rows(40, 4), 2)
    x = rows(3, 4)
    slope = grad(lambda x: found.log_likelihood(x).sum())(x)
    np.testing.assert_allclose(slope, -np.linalg.solve(found.covariance(), (x - found.mean).T).T, rtol=1e-9)


def test_a_row_with_nan_is_nan_alone(variant: Variant) -> None:
    x = rows(20, 3)
    found = pca(variant.asarray(x), 2)
    broken = x.copy()
    broken[1, 0] = np.nan
    both = variant.compiled(lambda y: (found.transform(y), found.log_likelihood(y)))
    results = (map(variant.to_numpy, both(variant.asarray(y))) for y in (broken, x))
    for got, whole in zip(*results, strict=True):
        assert np.isnan(got[1]).all()
        np.testing.assert_array_equal(np.delete(got, 1, 0), np.delete(whole, 1, 0))


def test_columns_of_frames_count_by_position() -> None:
    x = rows(20, 3)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    found = pca(frame, 2)
    np.testing.assert_array_equal(found.transform(frame), found.transform(x))
    turned = frame[["c", "b", "a"]]
    np.testing.assert_array_equal(found.transform(turned), found.transform(turned.to_numpy()))
    for method in (
        ".transform",
        ".inverse_transform",
        ".covariance",
        ".log_likelihood",
        "components.shape[0]",
    ):
        assert method in pca.__doc__


def test_what_is_refused() -> None:
    components = np.eye(3)[:2]
    with pytest.raises(ShapeError, match=r"variances \(3,\) and noise \(\) are no fit"):
        model_covariance(components, np.ones(3), np.asarray(1.0))
    with pytest.raises(ShapeError, match=r"x has 4 columns, expected the 3 that pca was fitted on"):
        log_likelihood(np.ones((5, 4)), np.zeros(3), components, np.ones(2), np.asarray(1.0))
    with pytest.raises(ShapeError, match=r"Use x\[None, :\]"):
        pca(rows(9, 3)).log_likelihood(np.ones(3))
