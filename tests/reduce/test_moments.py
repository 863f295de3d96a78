"""Mean and covariance as a mergeable state: certified values, split invariance, the identity, and what is no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from contracts._variants import Variant
from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends import namespace
from pillars.reduce import (
    Moments,
    chunk_moments,
    finish_moments,
    fold,
    merge_moments,
    moments,
    row_blocks,
    threaded,
)

# NIST StRD, univariate summary statistics: certified to 15 digits, and exact for the numbers as written
NUMACC = {
    "numacc1": ([10000001.0, 10000003.0, 10000002.0], 10000002.0, 1.0),
    "numacc2": ([1.2] + [1.1, 1.3] * 500, 1.2, 0.1),
    "numacc3": ([1000000.2] + [1000000.1, 1000000.3] * 500, 1000000.2, 0.1),
    "numacc4": ([10000000.2] + [10000000.1, 10000000.3] * 500, 10000000.2, 0.1),
}


@pytest.mark.parametrize("name", NUMACC)
@pytest.mark.parametrize("rows", [1, 10, 10_000])
def test_nist(name: str, rows: int) -> None:
    data, mean, deviation = NUMACC[name]
    x = np.array(data)[:, None]
    result = fold(moments(), row_blocks(x, rows))
    assert float(result.n) == len(data)
    assert float(result.mean[0]) == pytest.approx(mean, rel=4e-16)
    # the decimals are not binary numbers: each is off by half a unit of its last place, mean/deviation of it relatively
    loss = 8 * np.finfo(float).eps * (1 if name == "numacc1" else mean / deviation)
    assert math.sqrt(result.variance[0]) == pytest.approx(deviation, rel=loss)


def test_data_far_from_zero() -> None:
    """A mean of 10⁹ deviations leaves E[x²] − E[x]² no digit."""
    generator = np.random.default_rng(1)
    whole = generator.integers(-1000, 1000, (50_000, 3))  # whose sum, 5·10¹⁶, is no longer exact
    x = 1e12 + whole  # exact in float64
    exact = np.cov(whole.T)
    # where states are merged, the means between them are known to half a unit: eps·mean/deviation of a deviation
    for rows, tolerance in ((50_000, 1e-12), (640, 4e-7)):
        got = fold(moments(), row_blocks(x, rows)).covariance
        np.testing.assert_allclose(got, exact, rtol=tolerance, atol=tolerance * exact[0, 0])
    naive = np.mean(x**2, axis=0) - np.mean(x, axis=0) ** 2
    assert not np.allclose(naive, np.diag(exact), rtol=0.5)  # the test's data would show it


def test_single_precision_rows_accumulate_in_double_on_numpy() -> None:
    generator = np.random.default_rng(2)
    x = (1000 + generator.normal(size=(20_000, 4))).astype(np.float32)
    result = fold(moments(), row_blocks(x, 1024))
    assert result.covariance.dtype == np.float64
    np.testing.assert_allclose(result.covariance, np.cov(x.astype(np.float64).T), rtol=1e-11)


# ------------------------------------------------------------------------------------------------------------ algebra
FINITE = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda v: round(v, 6))
ROWS = hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=FINITE)


def assert_close(a: Moments, b: Moments) -> None:
    assert float(a.n) == float(b.n)
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=1e-11)
    # numbers up to 10³ squared, times 40 rows, times eps
    np.testing.assert_allclose(a.m2, b.m2, rtol=1e-12, atol=1e-7)


@given(ROWS, ROWS, ROWS)
@settings(max_examples=80, deadline=None)
def test_merging_is_associative_and_commutative(x: Any, y: Any, z: Any) -> None:
    a, b, c = (chunk_moments(rows) for rows in (x, y, z))
    assert_close(merge_moments(merge_moments(a, b), c), merge_moments(a, merge_moments(b, c)))
    assert_close(merge_moments(a, b), merge_moments(b, a))


@given(ROWS, st.integers(1, 13))
@settings(max_examples=80, deadline=None)
def test_cutting_changes_nothing_but_rounding(x: Any, rows: int) -> None:
    states = [chunk_moments(block) for block in row_blocks(x, rows)]
    merged = states[0]
    for state in states[1:]:
        merged = merge_moments(merged, state)
    assert_close(merged, chunk_moments(x))


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_a_state_without_rows_is_the_identity_to_the_bit(x: Any) -> None:
    state, empty = chunk_moments(x), chunk_moments(np.zeros((0, 2)))
    for merged in (merge_moments(state, empty), merge_moments(empty, state)):
        for got, expected in zip(merged, state, strict=True):
            np.testing.assert_array_equal(got, expected)


@given(ROWS.filter(lambda x: len(x) > 1), st.floats(-100, 100), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_shifting_and_scaling(x: Any, shift: float, scale: float) -> None:
    before, after = (finish_moments(chunk_moments(rows)) for rows in (x, shift + scale * x))
    np.testing.assert_allclose(after.mean, shift + scale * before.mean, atol=1e-9)
    np.testing.assert_allclose(after.covariance, scale**2 * before.covariance, rtol=1e-9, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ backends
@pytest.mark.parametrize("rows", [3, 100])
def test_the_same_on_every_backend(rows: int, variant: Variant) -> None:
    x = np.random.default_rng(3).normal(5.0, 1.0, (40, 3))
    for dtype in variant.floats:
        given_ = variant.asarray(x, dtype)
        result = fold(moments(ddof=0), row_blocks(given_, rows))
        assert all(namespace(part) is variant.xp for part in result)
        tolerance = 200 * np.finfo(dtype).eps
        rounded = x.astype(dtype).astype(np.float64)
        np.testing.assert_allclose(variant.to_numpy(result.mean), rounded.mean(axis=0), rtol=tolerance)
        np.testing.assert_allclose(
            variant.to_numpy(result.covariance), np.cov(rounded.T, ddof=0), rtol=tolerance, atol=tolerance
        )
        np.testing.assert_array_equal(
            variant.to_numpy(result.variance), np.diagonal(variant.to_numpy(result.covariance))
        )


def test_under_jit_and_vmap() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 20, 3)), dtype="float32")
    together = jax.jit(jax.vmap(lambda rows: fold(moments(), row_blocks(rows, 6))))(x)
    for i in range(4):
        np.testing.assert_allclose(together.covariance[i], np.cov(x[i].T), rtol=2e-5, atol=2e-6)


def test_half_precision_is_counted_in_single() -> None:
    jax = pytest.importorskip("jax")
    state = chunk_moments(jax.numpy.ones((5000, 2), dtype="bfloat16"))
    assert state.m2.dtype == "float32"
    assert float(state.n) == 5000  # bfloat16 counts to 256


def test_integers_and_booleans_are_numbers(variant: Variant) -> None:
    x = np.array([[1, 0], [3, 1], [8, 1]])
    expected = np.cov(x.T)
    got = finish_moments(chunk_moments(variant.asarray(x)))
    np.testing.assert_allclose(variant.to_numpy(got.covariance), expected, rtol=1e-5)


# --------------------------------------------------------------------------------------------------------------- edges
def test_a_column_that_is_not_finite_spoils_itself_alone() -> None:
    x = np.array([[1.0, 1.0, 1.0], [2.0, math.inf, math.nan], [6.0, 1.0, 1.0], [7.0, 2.0, 2.0]])
    for rows in (1, 2, 4):
        result = fold(moments(), row_blocks(x, rows))
        assert result.mean[0] == 4.0
        assert result.mean[1] == math.inf
        assert math.isnan(result.mean[2])
        assert result.variance[0] == pytest.approx(26 / 3)
        assert np.all(np.isnan(result.variance[1:]))


def test_too_few_rows_give_nan() -> None:
    one = finish_moments(chunk_moments(np.array([[3.0, 4.0]])))
    assert one.mean.tolist() == [3.0, 4.0]
    assert np.all(np.isnan(one.covariance))
    assert np.all(finish_moments(chunk_moments(np.array([[3.0, 4.0]])), ddof=0).covariance == 0)
    none = finish_moments(chunk_moments(np.zeros((0, 2))))
    assert float(none.n) == 0
    assert np.all(np.isnan(none.mean))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"chunk_moments: x has shape \(3,\).*x\[:, None\]"):
        chunk_moments(np.zeros(3))
    with pytest.raises(ShapeError, match="2 and 3 columns"):
        merge_moments(chunk_moments(np.zeros((1, 2))), chunk_moments(np.zeros((1, 3))))


def test_rows_are_only_read() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    before = x.copy()
    x.flags.writeable = False
    fold(moments(), row_blocks(x, 7), runner=threaded)
    np.testing.assert_array_equal(x, before)


def test_states_of_two_libraries_are_not_merged() -> None:
    jax = pytest.importorskip("jax")
    here, there = chunk_moments(np.array([[16777217.0]])), chunk_moments(jax.numpy.zeros((0, 1)))
    for a, b in ((here, there), (there, here)):
        with pytest.raises(BackendError, match=r"merge_moments: got a on .* and b on .*expected one library"):
            merge_moments(a, b)
    inside = jax.jit(lambda b: merge_moments(here, b))(chunk_moments(jax.numpy.ones((2, 1))))
    assert float(inside.n) == 3.0


@pytest.mark.parametrize("state", [None, (1.0, np.zeros(1), np.zeros((1, 1))), np.zeros(3)])
def test_what_is_no_state_is_refused(state: Any) -> None:
    good = chunk_moments(np.ones((2, 1)))
    kind = type(state).__name__
    with pytest.raises(DTypeError, match=f"merge_moments: a is a {kind}, expected a Moments"):
        merge_moments(state, good)
    with pytest.raises(DTypeError, match=f"merge_moments: b is a {kind}"):
        merge_moments(good, state)
    with pytest.raises(DTypeError, match=f"finish_moments: state is a {kind}"):
        finish_moments(state)


@pytest.mark.parametrize("ddof", ["a", None, 1j, True, np.ones(1)])
def test_a_ddof_that_is_no_number_is_refused_before_data_is_read(ddof: Any) -> None:
    with pytest.raises(DTypeError, match=r"^moments: ddof is .*, expected a number"):
        moments(ddof=ddof)
    with pytest.raises(DTypeError, match=r"^finish_moments: ddof is"):
        finish_moments(chunk_moments(np.ones((2, 1))), ddof=ddof)


def test_every_number_is_a_ddof(variant: Variant) -> None:
    state = chunk_moments(variant.asarray(np.array([[1.0], [3.0]])))
    one = variant.asarray(np.array(1.0))
    for ddof in (1, 1.0, np.float32(1), np.int64(1), one):
        got = variant.compiled(lambda s, d=ddof: finish_moments(s, ddof=d).variance)(state)
        assert float(variant.to_numpy(got)[0]) == 2.0
    if variant.jit:
        traced = variant.compiled(lambda s, d: finish_moments(s, ddof=d).variance)(state, one)
        assert float(variant.to_numpy(traced)[0]) == 2.0
