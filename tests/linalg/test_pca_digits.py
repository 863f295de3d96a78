"""Principal components keep their digits: far from 0, of constant columns, in every unit, with one sign; in blocks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars.linalg import pca

SOLVERS = ("covariance", "full", "randomized")


def rows(seed: int, n: int = 60, d: int = 12) -> Any:
    """Columns of standard deviation 1, 2, ..., turned."""
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.standard_normal((d, d)))[0]
    return random.standard_normal((n, d)) * (1.0 + np.arange(d)) @ turn


def bound(dtype: Any, n: int = 60, d: int = 12) -> float:
    return 40.0 * n**0.5 * d * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [7, 1000])
def test_constant_rows_have_no_ratio(solver: str, n: int, variant: Variant) -> None:
    """Nothing is left of a column whose mean is rounded: infinities came back, and shares of 3.6."""
    for values in ((0.1, 1e5 + 0.3, 7.0), (1e8 + 0.1, 1 / 3, -0.7)):
        given = variant.asarray(np.tile(values, (n, 1)))
        found = variant.to_numpy(variant.compiled(lambda x: pca(x, 2, solver=solver, whiten=True))(given))
        assert np.all(found.explained_variance == 0)
        assert np.all(np.isnan(found.explained_variance_ratio))
        assert np.all(found.scale == 0)
        assert np.array_equal(found.mean, variant.to_numpy(given)[0])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("dtype", "mean"), [("float32", 1e5), ("float32", 3e5), ("float64", 1e8), ("float64", 1e12)]
)
def test_a_far_mean_costs_what_the_numbers_have_lost(
    solver: str, dtype: str, mean: float, variant: Variant
) -> None:
    """Against the same numbers in float64, their mean taken away exactly."""
    if dtype not in variant.floats:
        pytest.skip("not applicable: no float64 here")
    x = (rows(1, 400) * 10.0 + mean).astype(dtype)
    exact = x.astype(np.longdouble) - x.astype(np.longdouble).mean(axis=0)
    true = np.linalg.svd(exact.astype(np.float64), compute_uv=False)[:4] ** 2 / 399
    found = variant.compiled(lambda x: pca(x, 4, solver=solver))(variant.asarray(x, dtype))
    got = variant.to_numpy(found.explained_variance)
    np.testing.assert_allclose(got, true, rtol=4 * bound(dtype, 400))
    scores = variant.to_numpy(found.transform(variant.asarray(x, dtype)))
    np.testing.assert_allclose(
        np.var(scores.astype(np.float64), axis=0, ddof=1), true, rtol=4 * bound(dtype, 400)
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mean", [1e4, 1e5])
def test_two_rows_far_away_in_float32(solver: str, mean: float, variant: Variant) -> None:
    """The direction between two points: beyond 10,000 the axes came back from a library that subtracts products."""
    x = variant.asarray(np.asarray([[mean + 1.0, mean], [mean, mean + 1.0]]), "float32")
    found = variant.to_numpy(variant.compiled(lambda x: pca(x, 1, solver=solver))(x))
    np.testing.assert_allclose(found.components, [[0.5**0.5, -(0.5**0.5)]], atol=8 * 2.0**-23)
    np.testing.assert_allclose(found.explained_variance, [1.0], rtol=8 * 2.0**-23)
    np.testing.assert_allclose(found.explained_variance_ratio, [1.0], rtol=8 * 2.0**-23)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("part", [-0.4, 0.4, 0.9, -0.9])
def test_a_power_of_two_times_the_rows(solver: str, part: float, variant: Variant) -> None:
    """Components and shares stay to the last bit; the rest has its power, as far as the dtype holds it."""
    for dtype in variant.floats:
        info = np.finfo(dtype)
        k = round(part * info.maxexp)
        x = rows(2).astype(dtype)
        whole = abs(2 * k) < info.maxexp - 30
        if variant.library == "numpy" and not whole:
            continue  # refused, as the docstring says: there the variances cannot be held

        def fit(x: Any) -> Any:
            return pca(x, 3, solver=solver, whiten=True)

        plain, scaled = (
            variant.to_numpy(variant.compiled(fit)(variant.asarray(given, dtype)))
            for given in (x, np.ldexp(x, k))
        )
        near = {"rtol": bound(dtype), "atol": bound(dtype)}
        np.testing.assert_allclose(np.ldexp(scaled.mean, -k), plain.mean, **near)
        np.testing.assert_allclose(scaled.components, plain.components, **near)
        np.testing.assert_allclose(scaled.explained_variance_ratio, plain.explained_variance_ratio, **near)
        np.testing.assert_allclose(np.ldexp(scaled.singular_values, -k), plain.singular_values, **near)
        np.testing.assert_allclose(np.ldexp(scaled.scale, k), plain.scale, **near)
        if whole:
            np.testing.assert_allclose(
                np.ldexp(scaled.explained_variance, -2 * k), plain.explained_variance, **near
            )
            np.testing.assert_allclose(np.ldexp(scaled.noise_variance, -2 * k), plain.noise_variance, **near)


@pytest.mark.parametrize("seed", range(2))
def test_loadings_that_are_as_large_have_one_sign(seed: int, variant: Variant) -> None:
    """Columns that may be exchanged: the loadings are equal but for rounding, and the first one counts."""
    random = np.random.default_rng(seed)
    half = random.standard_normal((30, 4)) * (1.0, 2.0, 3.0, 5.0)
    x = np.concatenate([half, -half[:, [1, 0, 3, 2]]]) + 10.0
    found = [
        variant.to_numpy(
            variant.compiled(lambda x, solver=solver: pca(x, 3, solver=solver))(variant.asarray(x, dtype))
        ).components
        for solver in SOLVERS
        for dtype in variant.floats
    ]
    reference = pca(x, 3, solver="full").components
    for components in found:
        np.testing.assert_allclose(components, reference, atol=40 * bound(components.dtype))
    size = np.abs(reference)
    first = np.argmax(size >= size.max(axis=1, keepdims=True) * (1 - 1e-6), axis=1)
    assert np.all(reference[np.arange(3), first] > 0)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "int32", ">f4"])
def test_a_memory_map_is_converted_block_by_block(dtype: str, tmp_path: Path) -> None:
    """The peak beside the file is blocks, sums of (d, d), what has n rows of 12 columns; not the rows in float64."""
    n, d = 40_000, 300
    random = np.random.default_rng(0)
    mapped = np.memmap(tmp_path / "rows", dtype, "w+", shape=(n, d))
    mapped[:] = random.integers(0, 200, (n, d)) + 20 * random.integers(0, 2, (n, 1))
    mapped.flush()
    given = np.memmap(tmp_path / "rows", dtype, "r", shape=(n, d))
    plain = np.asarray(given).astype(np.float64)
    block, square, long = 8 * 2**19, 8 * d * d, 8 * n * 12
    # eight pieces' sums, and their products, on two threads; five blocks of vectors, their products and what turns them
    most = {"covariance": 4 * block + 24 * square, "randomized": 4 * block + 15 * long}
    for solver, bytes_ in most.items():
        assert bytes_ < plain.nbytes
        # what a first call keeps
        pca(given[:5000], 2, solver=solver)
        found, peak = _with_peak(lambda solver=solver: pca(given, 2, solver=solver))
        assert peak < bytes_, peak / 2**20
        true = pca(plain, 2, solver=solver)
        near = 2.0**-9 if dtype == "float16" else bound(found.mean.dtype, n, d)
        # one direction stands out
        np.testing.assert_allclose(found.explained_variance[0], true.explained_variance[0], rtol=near)
        np.testing.assert_allclose(found.mean, true.mean, rtol=near)
    scores, peak = _with_peak(lambda: found.transform(given))
    assert scores.shape == (n, 2)
    if dtype in ("uint8", "float16", "int32"):
        assert peak < 4 * block + 3 * scores.nbytes


def _with_peak(f: Any) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        return f(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_pca_takes_its_transform_takes() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    torch = pytest.importorskip("torch")
    x = rows(3, 30, 4)
    plain = pca(x, 2)
    for given in (
        pandas.DataFrame(x, columns=list("abcd")),
        polars.DataFrame(x, schema=list("abcd")),
        torch.from_numpy(x),
        x.tolist(),
    ):
        found = pca(given, 2)
        scores = found.transform(given)
        np.testing.assert_allclose(scores, plain.transform(x), atol=bound(float))
        np.testing.assert_allclose(found.log_likelihood(given), plain.log_likelihood(x), rtol=bound(float))
    back = plain.inverse_transform(pandas.DataFrame(plain.transform(x)))
    np.testing.assert_allclose(back, plain.inverse_transform(plain.transform(x)))
    jnp = pytest.importorskip("jax").numpy
    on_jax = pca(jnp.asarray(x), 2)
    scores = on_jax.transform(pandas.DataFrame(x))
    assert isinstance(scores, type(jnp.ones(1)))
    np.testing.assert_allclose(scores, plain.transform(x), atol=bound(scores.dtype) * 100)
