"""Attention's log-sum-exp: parts of the keys merged by it are the whole, value and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import pillars
from contracts._variants import Variant
from pillars.algorithms import AttentionLogsumexp, attention, attention_logsumexp
from pillars.backends import forced_kernels, namespace, reference_bodies


def inputs(variant: Variant, dtype: str, lq: int = 5, lk: int = 8, heads: int = 2) -> tuple[Any, ...]:
    rng = np.random.default_rng(14)
    shapes = (2, heads, lq, 4), (2, 1, lk, 4), (2, 1, lk, 3)
    return tuple(variant.asarray(rng.standard_normal(shape), dtype) for shape in shapes)


def merged(parts: Any) -> AttentionLogsumexp:
    one, two = parts
    xp = namespace(one.output)
    total = xp.logaddexp(one.logsumexp, two.logsumexp)
    y = (
        xp.exp(one.logsumexp - total)[..., None] * one.output
        + xp.exp(two.logsumexp - total)[..., None] * two.output
    )
    return AttentionLogsumexp(y, total)


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("masking", ["none", "boolean", "additive", "causal"])
def test_two_parts_of_the_keys_make_the_whole(masking: str, kernels: bool, variant: Variant) -> None:
    rng = np.random.default_rng(3)
    for dtype in variant.floats:
        q, k, v = inputs(variant, dtype)
        mask = None
        if masking == "boolean":
            seen = rng.uniform(size=(5, 8)) > 0.5
            seen[:, [0, 7]] = True
            mask = variant.asarray(seen, "bool")
        if masking == "additive":
            mask = variant.asarray(rng.standard_normal((5, 8)), dtype)

        def part(q: Any, k: Any, v: Any, keys: slice, mask: Any = mask) -> AttentionLogsumexp:
            cut = None if mask is None else mask[:, keys]
            first = keys.start or 0
            # a query of 4 ... 8 sees keys of both parts
            options = {"causal": True, "query_offset": 4 - first} if masking == "causal" else {}
            return attention_logsumexp(q, k[:, :, keys, :], v[:, :, keys, :], mask=cut, **options)

        with forced_kernels() if kernels else reference_bodies():
            whole = variant.compiled(lambda q, k, v: part(q, k, v, slice(None)))(q, k, v)
            both = variant.compiled(
                lambda q, k, v: merged([part(q, k, v, slice(0, 3)), part(q, k, v, slice(3, 8))])
            )
            found = both(q, k, v)
        near = 50 * np.finfo(dtype).eps
        for got, expected in zip(found, whole, strict=True):
            np.testing.assert_allclose(
                variant.to_numpy(got), variant.to_numpy(expected), rtol=near, atol=near
            )
        alone = attention(q, k, v, mask=mask, causal=masking == "causal", query_offset=4)
        np.testing.assert_allclose(
            variant.to_numpy(whole.output), variant.to_numpy(alone), rtol=near, atol=near
        )


def test_gradients_of_merged_parts_are_those_of_the_whole(variant: Variant) -> None:
    q, k, v = inputs(variant, variant.default_float)

    def loss(result: AttentionLogsumexp) -> Any:
        xp = namespace(result.output)
        return xp.sum(xp.sin(result.output)) + xp.sum(xp.cos(result.logsumexp))

    def whole(q: Any, k: Any, v: Any) -> Any:
        return loss(attention_logsumexp(q, k, v, scale=0.7))

    def parts(q: Any, k: Any, v: Any) -> Any:
        cuts = (slice(0, 3), slice(3, 8))
        return loss(
            merged([attention_logsumexp(q, k[:, :, cut, :], v[:, :, cut, :], scale=0.7) for cut in cuts])
        )

    expected = variant.compiled(pillars.grad(whole, argnums=(0, 1, 2)))(q, k, v)
    found = variant.compiled(pillars.grad(parts, argnums=(0, 1, 2)))(q, k, v)
    near = 200 * np.finfo(variant.default_float).eps
    for got, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(variant.to_numpy(got), variant.to_numpy(right), rtol=near, atol=near)


def test_the_slope_of_the_logsumexp_is_the_weights() -> None:
    rng = np.random.default_rng(2)
    q, k, v = rng.standard_normal((3, 4)), rng.standard_normal((6, 4)), rng.standard_normal((6, 2))
    mask = rng.standard_normal((3, 6))

    def total(mask: Any, v: Any) -> Any:
        return attention_logsumexp(q, k, v, mask=mask).logsumexp.sum()

    dmask, dv = pillars.grad(total, argnums=(0, 1))(mask, v)
    np.testing.assert_allclose(dmask, special.softmax(q @ k.T / 2 + mask, axis=-1), rtol=1e-13)
    np.testing.assert_array_equal(dv, np.zeros_like(v))
    hessian = pillars.calculus.jacobian(pillars.grad(lambda m: total(m, v)), mask)
    p = special.softmax(q @ k.T / 2 + mask, axis=-1)
    expected = np.einsum("ij,ik,il->ijlk", p, -p, np.eye(3))
    for i in range(3):
        expected[i, :, i, :] += np.diag(p[i])
    np.testing.assert_allclose(hessian, expected, atol=1e-13)


@pytest.mark.parametrize("kernels", [False, True])
def test_a_query_that_sees_nothing_has_minus_infinity_and_no_slope(kernels: bool, variant: Variant) -> None:
    dtype = variant.default_float
    q, k, v = inputs(variant, dtype)
    seen = np.ones((5, 8), bool)
    seen[2] = False
    hidden = np.where(seen, 0.0, -np.inf)
    for mask in (variant.asarray(seen, "bool"), variant.asarray(hidden, dtype)):
        with forced_kernels() if kernels else reference_bodies():
            found = variant.compiled(lambda q, k, v, m=mask: attention_logsumexp(q, k, v, mask=m))(q, k, v)
        y, total = (variant.to_numpy(x) for x in found)
        assert np.all(total[:, :, 2] == -np.inf)
        assert np.all(np.isfinite(np.delete(total, 2, axis=2)))
        assert np.all(y[:, :, 2] == 0)

        def weight(q: Any, k: Any, mask: Any = mask) -> Any:
            found = attention_logsumexp(q, k, v, mask=mask).logsumexp
            xp = namespace(found)
            return xp.sum(xp.exp(found))

        dq, dk = (variant.to_numpy(g) for g in pillars.grad(weight, argnums=(0, 1))(q, k))
        assert np.all(dq[:, :, 2] == 0)
        assert np.all(np.isfinite(dq))
        assert np.all(np.isfinite(dk))
        assert np.any(dq != 0)
    none = attention_logsumexp(q, k[:, :, :0, :], v[:, :, :0, :])
    assert np.all(variant.to_numpy(none.logsumexp) == -np.inf)
    assert np.all(variant.to_numpy(none.output) == 0)


def test_a_query_without_an_answer_has_none_in_both(variant: Variant) -> None:
    dtype = variant.default_float
    q, k, v = (variant.to_numpy(x).copy() for x in inputs(variant, dtype))
    q[0, 0, 1, 0] = np.nan
    y, total = (
        variant.to_numpy(x) for x in attention_logsumexp(*(variant.asarray(x, dtype) for x in (q, k, v)))
    )
    assert np.isnan(total[0, 0, 1])
    assert np.isnan(y[0, 0, 1]).all()
    assert np.isnan(total).sum() == 1


def test_large_scores_and_long_sequences(variant: Variant) -> None:
    """Tiles of the kernels, and scores whose exponentials overflow."""
    rng = np.random.default_rng(5)
    q, k, v = (rng.standard_normal((1, n, d)) for n, d in ((70, 8), (600, 8), (600, 4)))
    for size in (1.0, 60.0):
        args = [variant.asarray(x, variant.default_float) for x in (size * q, size * k, v)]
        found = variant.compiled(attention_logsumexp)(*args)
        exact = special.logsumexp((size * q) @ np.swapaxes(size * k, 1, 2) / np.sqrt(8), axis=-1)
        eps = np.finfo(variant.default_float).eps
        # a score is a sum of 8 products, each rounded
        near = 16 * eps * size**2 * float(np.max(np.sum(np.abs(q), -1)) * np.max(np.abs(k)))
        np.testing.assert_allclose(variant.to_numpy(found.logsumexp), exact, atol=near)
