"""Leading singular values: against LAPACK, with each backend's own products, and the same draw everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.linalg import randomized_svd
from pillars.linalg._svd import right_singular


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30)])
@pytest.mark.parametrize("seed", range(3))
def test_a_falling_spectrum_is_found_to_the_last_digits(
    shape: tuple[int, int], seed: int, variant: Variant
) -> None:
    random = np.random.default_rng(seed)
    u, _, vh = np.linalg.svd(random.standard_normal(shape), full_matrices=False)
    s = 2.0 ** -np.arange(min(shape))
    x = variant.asarray(u * s @ vh)
    found = randomized_svd(x, 5)
    near = 20 * max(shape) * float(np.finfo(str(x.dtype).rpartition(".")[2]).eps)
    ours = [variant.to_numpy(part) for part in found]
    np.testing.assert_allclose(ours[1], s[:5], atol=near, err_msg=f"seed {seed}")
    np.testing.assert_allclose(ours[0] * ours[1] @ ours[2], u[:, :5] * s[:5] @ vh[:5], atol=near)
    np.testing.assert_allclose(ours[0].T @ ours[0], np.eye(5), atol=near)
    assert np.all(np.take_along_axis(ours[2], np.abs(ours[2]).argmax(1)[:, None], 1) > 0)


def test_the_seed_decides() -> None:
    x = np.random.default_rng(0).standard_normal((40, 30))
    assert np.array_equal(randomized_svd(x, 3, rng=7).s, randomized_svd(x, 3, rng=7).s)
    assert not np.array_equal(randomized_svd(x, 3, rng=7).s, randomized_svd(x, 3, rng=8).s)


def test_what_is_refused() -> None:
    with pytest.raises(ShapeError, match="k is 0, expected 1 to 3"):
        randomized_svd(np.ones((4, 3)), 0)
    with pytest.raises(DTypeError, match="k is 'a'"):
        randomized_svd(np.ones((4, 3)), "a")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="NaN or infinite"):
        randomized_svd(np.full((4, 3), np.nan), 1)


def _flat(shape: tuple[int, int], seed: int) -> Any:
    """A spectrum that hardly falls, where a power iteration of the same products has one digit."""
    random = np.random.default_rng(seed)
    u, _, vh = np.linalg.svd(random.standard_normal(shape), full_matrices=False)
    return u / (1.0 + 0.1 * np.arange(min(shape))) ** 0.5 @ vh


@pytest.mark.parametrize("shape", [(300, 120), (120, 300)])
@pytest.mark.parametrize("seed", range(2))
def test_a_flat_spectrum_is_found_to_some_digits(shape: tuple[int, int], seed: int, variant: Variant) -> None:
    x = _flat(shape, seed)
    s = np.linalg.svd(x, compute_uv=False)
    u, ours, vh = (
        variant.to_numpy(part)
        for part in variant.compiled(lambda x: randomized_svd(x, 6))(variant.asarray(x))
    )
    np.testing.assert_allclose(ours, s[:6], rtol=1e-3, err_msg=f"seed {seed}")
    assert np.all(ours <= s[:6] * (1 + 64 * float(np.finfo(ours.dtype).eps)))  # of a subspace: never above
    caught = np.sum((x @ vh.T) ** 2) / np.sum(s[:6] ** 2)
    assert 1 - 1e-3 < caught <= 1 + 64 * float(np.finfo(ours.dtype).eps)
    np.testing.assert_allclose(u.T @ u, np.eye(6), atol=300 * float(np.finfo(ours.dtype).eps))


@pytest.mark.parametrize("k", [3, 25])
def test_no_rank_beyond_the_rows_own(k: int, variant: Variant) -> None:
    """Blocks that bring nothing new, and all of the space where k + 10 columns fill it."""
    random = np.random.default_rng(0)
    x = random.standard_normal((80, 2)) @ random.standard_normal((2, 30))
    found = randomized_svd(variant.asarray(x), k)
    u, s, vh = (variant.to_numpy(part) for part in found)
    near = 80 * float(np.finfo(s.dtype).eps)
    scale = np.linalg.norm(x, 2)
    np.testing.assert_allclose(s, np.linalg.svd(x, compute_uv=False)[:k], atol=near * scale)
    np.testing.assert_allclose(u * s @ vh, x, atol=near * scale)
    np.testing.assert_allclose(vh @ vh.T, np.eye(k), atol=near)


@pytest.mark.parametrize("part", [-0.9, -0.6, 0.5, 0.9])
@pytest.mark.parametrize("k", [3, 25])
def test_a_power_of_two_times_the_rows_is_one_times_the_singular_values(
    part: float, k: int, variant: Variant
) -> None:
    """To the last bit: of float32 rows times 1e-22 the largest came back four times too small."""
    x = np.random.default_rng(0).standard_normal((40, 30))
    for dtype in variant.floats:
        power = round(part * np.finfo(dtype).maxexp)
        rows = x.astype(dtype)
        plain, scaled = (
            variant.to_numpy(variant.compiled(lambda x: randomized_svd(x, k))(variant.asarray(given, dtype)))
            for given in (rows, np.ldexp(rows, power))
        )
        near = 100 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(plain.s[:3], np.linalg.svd(x, compute_uv=False)[:3], rtol=0.02)
        np.testing.assert_allclose(np.ldexp(scaled.s, -power), plain.s, rtol=near)
        np.testing.assert_allclose(scaled.u, plain.u, atol=100 * near)
        np.testing.assert_allclose(scaled.vh, plain.vh, atol=100 * near)


def test_integers_and_half_precision_are_read_block_by_block() -> None:
    x = np.random.default_rng(0).integers(0, 255, (3000, 40))
    for dtype in (np.uint8, np.int16, ">f8", bool):
        given = x.astype(dtype)
        found, true = randomized_svd(given, 3), randomized_svd(given.astype(np.float64), 3)
        assert found.s.dtype == np.float64
        np.testing.assert_allclose(found.s, true.s, rtol=1e-13)


def test_entries_that_are_not_finite() -> None:
    x = np.random.default_rng(0).standard_normal((40, 30))
    x[[3, 17], 5] = np.inf
    with pytest.raises(
        ShapeError, match=r"randomized_svd: x has NaN or infinite entries in 2 of 40 rows \(3, 17, "
    ):
        randomized_svd(x, 2)
    jax = pytest.importorskip("jax")
    stack = jax.numpy.asarray(np.stack([x, np.nan_to_num(x, posinf=0.0)]))
    for found in (jax.vmap(lambda x: randomized_svd(x, 2))(stack), jax.jit(jax.vmap(right_singular))(stack)):
        for part in found:
            assert np.all(np.isnan(part[0]))
            assert np.all(np.isfinite(part[1]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_that_came_in_comes_out(dtype: Any) -> None:
    """Columns of falling scale: the second block brings nothing that float32 tells from rounding."""
    x = (np.random.default_rng(0).standard_normal((40, 30)) * 2.0 ** -np.arange(30)).astype(dtype)
    found = randomized_svd(x, 3)
    assert all(part.dtype == dtype for part in found)
    near = float(np.finfo(dtype).eps) + 40 * float(np.finfo(np.float32).eps)
    s = np.linalg.svd(x.astype(float), compute_uv=False)
    np.testing.assert_allclose(found.s, s[:3], rtol=0, atol=near * s[0])


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_the_forward_rule_is_jaxs_of_the_body(shape: tuple[int, int]) -> None:
    """Gaps of the squares here are 1, a fifth of the largest."""
    jax = pytest.importorskip("jax")
    random = np.random.default_rng(1)
    u, _, vh = np.linalg.svd(random.standard_normal(shape), full_matrices=False)
    x = jax.numpy.asarray(u * np.sqrt(1.0 + np.arange(min(shape)))[::-1] @ vh, "float32")
    dx = jax.numpy.asarray(random.standard_normal(shape), "float32")
    ours = jax.jvp(right_singular, (x,), (dx,))
    theirs = jax.jvp(right_singular.record.body, (x,), (dx,))
    near = 5 * 16 * max(shape) * float(np.finfo(np.float32).eps)
    for got, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(got, expected, atol=near * float(np.abs(expected).max()))
