"""Attention: true to torch and JAX, blind to what it must not see, and what it states at every edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pillars
from contracts._support import HOST
from contracts._variants import Variant
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.algorithms import attention, attention_weights
from pillars.backends import Draw
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")


def attend(variant: Variant, q: Any, k: Any, v: Any, *, mask: Any = None, **options: Any) -> Any:
    """On the variant, the mask moved there too."""
    if mask is None:
        return on(variant, lambda *given: attention(*given, **options), q, k, v)
    return on(variant, lambda q, k, v, m: attention(q, k, v, mask=m, **options), q, k, v, mask)


def weigh(variant: Variant, q: Any, k: Any, *, mask: Any = None, **options: Any) -> Any:
    if mask is None:
        return on(variant, lambda *given: attention_weights(*given, **options), q, k)
    return on(variant, lambda q, k, m: attention_weights(q, k, mask=m, **options), q, k, mask)


def slopes(variant: Variant, g: Any, q: Any, k: Any, v: Any, *, mask: Any = None, **options: Any) -> Any:
    """Cotangents of q, k, v and, where it is additive, the mask."""
    if mask is None:
        return pullback(variant, attention, g, q, k, v, **options)[:3]
    if np.asarray(mask).dtype == bool:
        given = variant.asarray(mask)
        return pullback(variant, attention, g, q, k, v, mask=given, **options)[:3]
    given = variant.asarray(mask, variant.default_float)
    return pullback(variant, attention, g, q, k, v, mask=given, **options)[:4]


def inputs(draw: Draw, lq: int = 5, lk: int = 7, d: int = 4, dv: int = 3, h: int = 2, g: int = 2) -> Any:
    return draw.normal(2, h, lq, d), draw.normal(2, g, lk, d), draw.normal(2, g, lk, dv)


def bound(variant: Variant, q: Any, k: Any, v: Any, mask: Any = 0.0, scale: float | None = None) -> float:
    """What rounding does to a row: each score by d products and sums, the weights by twice that, and their sum."""
    d, lk = q.shape[-1], k.shape[-2]
    scale = d**-0.5 if scale is None else abs(scale)
    largest = scale * d * np.abs(q).max(initial=0) * np.abs(k).max(initial=0)
    if np.asarray(mask).dtype != bool:
        kept = np.asarray(mask)[np.isfinite(mask)]
        largest += np.abs(kept).max(initial=0)
    return float(eps(variant) * np.abs(v).max(initial=0) * (2 * (d + 4) * largest + 16 + 2 * lk**0.5))


OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"scale": 0.3},
        {"mask": (5, 7), "kind": "boolean"},
        {"mask": (2, 1, 5, 7), "kind": "boolean"},
        {"mask": (5, 7), "kind": "additive"},
        {"mask": (2, 1, 7), "kind": "additive", "scale": -0.4},
    ],
    ids=lambda options: " ".join(map(str, options.items())) or "plain",
)


def drawn(draw: Draw, options: dict[str, Any]) -> dict[str, Any]:
    """The options with a mask of that shape in which every query sees something."""
    options = dict(options)
    kind = options.pop("kind", None)
    if kind is not None:
        mask = draw.normal(*options["mask"])
        options["mask"] = mask if kind == "additive" else (mask > -0.3) | (np.arange(7) == 2)
    return options


# ------------------------------------------------------------------------------------------------ what others compute
def in_torch(torch: Any, q: Any, k: Any, v: Any, options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Output and leaves in float64, gradients wanted."""
    given = [torch.from_numpy(np.ascontiguousarray(x)).double().requires_grad_(True) for x in (q, k, v)]
    mask = options.get("mask")
    if mask is not None:
        mask = torch.from_numpy(mask)
        if mask.dtype != torch.bool:
            mask = mask.requires_grad_(True)
            given.append(mask)
    y = torch.nn.functional.scaled_dot_product_attention(
        *given[:3],
        attn_mask=mask,
        is_causal=options.get("causal", False),
        scale=options.get("scale"),
        enable_gqa=True,
    )
    return y, given


@OPTIONS
@pytest.mark.parametrize("g", [2, 1])
def test_as_torch(variant: Variant, draw: Draw, options: dict[str, Any], g: int) -> None:
    torch = pytest.importorskip("torch")
    (q, k, v), options = inputs(draw, g=g), drawn(draw, options)
    true = in_torch(torch, q, k, v, options)[0].detach().numpy()
    got = attend(variant, q, k, v, **options)
    assert got.shape == (2, 2, 5, 3)
    assert np.abs(got - true).max() <= bound(variant, q, k, v, options.get("mask", 0.0), options.get("scale"))


@OPTIONS
def test_as_jax(draw: Draw, options: dict[str, Any]) -> None:
    jax = pytest.importorskip("jax")
    q, k, v = inputs(draw, h=4, dv=4)
    options = drawn(draw, {**options, "mask": (5, 7)} if "mask" in options else options)
    theirs = {"is_causal": options.get("causal", False), "scale": options.get("scale")}
    mask = options.get("mask")
    if mask is not None:
        theirs["mask" if mask.dtype == bool else "bias"] = jax.numpy.asarray(mask)[None, None]
    turned = [jax.numpy.asarray(x.swapaxes(1, 2), dtype="float32") for x in (q, k, v)]
    true = np.asarray(jax.nn.dot_product_attention(*turned, **theirs)).swapaxes(1, 2)
    got = attention(*(x.astype(np.float32) for x in (q, k, v)), **options)
    # both in float32, which is what jax.nn takes its softmax in under x64 too
    units = float(np.finfo(np.float32).eps) / eps(HOST)
    assert np.abs(got - true).max() <= 2 * units * bound(HOST, q, k, v, 0.0 if mask is None else mask)


@ONCE
@OPTIONS
def test_gradients_as_torch(variant: Variant, draw: Draw, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    (q, k, v), options = inputs(draw, h=2, g=1), drawn(draw, options)
    g = draw.normal(2, 2, 5, 3)
    y, given = in_torch(torch, q, k, v, options)
    true = [x.numpy() for x in torch.autograd.grad((y * torch.from_numpy(g)).sum(), given)]
    found = slopes(variant, g, q, k, v, **options)
    assert len(found) == len(true)
    for one, other in zip(found, true, strict=True):
        assert one.shape == other.shape
        # sums of at most 2·5·7 products, of numbers that are themselves right to some ten units
        assert np.abs(one - other).max() <= 200 * eps(variant) * max(np.abs(other).max(), 1.0)


# -------------------------------------------------------------------------------------------------------- what it means
def test_the_order_of_keys_is_nothing(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    order = np.random.default_rng(draw.seed).permutation(7)
    mask = draw.normal(5, 7)
    straight = attend(variant, q, k, v, mask=mask)
    turned = attend(variant, q, k[:, :, order], v[:, :, order], mask=mask[:, order])
    assert np.abs(straight - turned).max() <= 2 * bound(variant, q, k, v, mask)


def test_a_constant_on_all_scores_is_nothing(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    shift = draw.uniform(-30.0, 30.0, 2, 2, 5, 1)
    got = attend(variant, q, k, v, mask=shift)
    assert np.abs(got - attend(variant, q, k, v)).max() <= 2 * bound(variant, q, k, v, shift)
    # the same for keys that all move together
    along = draw.normal(2, 2, 1, 4)
    assert np.abs(attend(variant, q, k + along, v) - attend(variant, q, k, v)).max() <= 4 * bound(
        variant, q, np.abs(k) + np.abs(along), v
    )


def test_queries_split_at_an_offset(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw, lq=7)
    whole = attend(variant, q, k, v, causal=True)
    parts = [
        attend(variant, q[:, :, a:b], k, v, causal=True, query_offset=a) for a, b in ((0, 3), (3, 4), (4, 7))
    ]
    assert np.abs(np.concatenate(parts, axis=2) - whole).max() <= 2 * bound(variant, q, k, v)
    # a cache that grows: what lies ahead need not be there yet
    last = attend(variant, q[:, :, 4:5], k[:, :, :5], v[:, :, :5], causal=True, query_offset=4)
    assert np.abs(last - whole[:, :, 4:5]).max() <= 2 * bound(variant, q, k, v)


@pytest.mark.parametrize("offset", [-9, -5, -2, 0, 1, 3, 9, 2**31 - 1, -(2**31)])
def test_causal_is_a_mask(variant: Variant, draw: Draw, offset: int) -> None:
    q, k, v = inputs(draw)
    seen = np.arange(7)[None, :] <= np.arange(5)[:, None] + offset
    got = attend(variant, q, k, v, causal=True, query_offset=offset)
    assert np.abs(got - attend(variant, q, k, v, mask=seen)).max() <= 2 * bound(variant, q, k, v)
    both = attend(variant, q, k, v, causal=True, query_offset=offset, mask=np.arange(7) != 1)
    other = attend(variant, q, k, v, mask=seen & (np.arange(7) != 1))
    assert np.abs(both - other).max() <= 2 * bound(variant, q, k, v)


@pytest.mark.parametrize("length", [6, 70])  # below the size where JAX's kernel begins, and above
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_an_offset_may_be_of_any_integer_dtype(
    variant: Variant, draw: Draw, dtype: str, length: int, request: pytest.FixtureRequest
) -> None:
    """Also where the lengths are no numbers of it, or it is none of the dtype that places are counted in."""
    q, k, v = inputs(draw, length, length, d=16, dv=16)
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def both(q: Any, k: Any, v: Any, offset: Any) -> Any:
        shared = {"causal": True, "query_offset": offset}
        return attention(q, k, v, **shared), attention_weights(q, k, **shared)

    run = variant.compiled(both)  # one program for all offsets of a dtype
    placed = [variant.asarray(x, variant.default_float) for x in (q, k, v)]
    for offset in (least, max(least, -3), 2, most):
        near = max(-length, min(offset, length))
        seen = np.arange(length)[None, :] <= np.arange(length)[:, None] + near
        given = variant.asarray(np.asarray(offset, dtype))
        if int(np.asarray(variant.to_numpy(given))) != offset:
            continue  # JAX with 64 bits off holds no such number
        got, weights = variant.to_numpy(run(*placed, given))
        assert np.abs(got - attend(HOST, q, k, v, mask=seen)).max() <= 2 * bound(variant, q, k, v)
        assert np.array_equal(weights > 0, np.broadcast_to(seen, weights.shape))


def test_an_offset_beyond_the_library_s_integers_is_as_far_as_they_go(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw, 70, 70, d=16, dv=16)
    for offset, plain in ((2**40, {}), (2**31, {}), (-(2**40), {"mask": np.zeros(70, bool)})):
        got = attend(variant, q, k, v, causal=True, query_offset=offset)
        assert np.abs(got - attend(variant, q, k, v, **plain)).max() <= 2 * bound(variant, q, k, v)


def test_masked_keys_are_as_if_removed(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    kept = np.asarray([True, False, True, True, False, False, True])
    removed = attend(variant, q, k[:, :, kept], v[:, :, kept])
    for mask in (kept, np.where(kept, 0.0, -INF), np.where(kept, 0.25, -INF)):
        got = attend(variant, q, k, v, mask=mask)
        assert np.abs(got - removed).max() <= 2 * bound(variant, q, k, v)


def test_grouped_heads_share_their_keys(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw, h=6, g=3)
    mask = draw.normal(6, 5, 7) > -0.5
    got = attend(variant, q, k, v, mask=mask)
    each = attend(variant, q, np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1), mask=mask)
    assert np.abs(got - each).max() <= 2 * bound(variant, q, k, v)


def test_a_batch_is_its_heads(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    whole = attend(variant, q, k, v, causal=True, scale=0.7)
    for at in np.ndindex(2, 2):
        one = attend(variant, q[at], k[at], v[at], causal=True, scale=0.7)
        assert one.shape == (5, 3)
        assert np.abs(one - whole[at]).max() <= 2 * bound(variant, q, k, v, scale=0.7)


def test_the_scale_multiplies_the_queries(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    got = attend(variant, q, k, v, scale=0.8)
    assert np.abs(got - attend(variant, 1.6 * q, k, v)).max() <= 2 * bound(variant, q, k, v, scale=0.8)
    mean = np.broadcast_to(v.mean(axis=-2, keepdims=True), got.shape)
    assert np.abs(attend(variant, q, k, v, scale=0) - mean).max() <= bound(variant, q, k, v, scale=0.0)


def test_within_the_range_of_the_values_seen(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    got = attend(variant, 5 * q, k, v, causal=True)
    room = 16 * eps(variant) * np.abs(v).max()
    for i in range(5):
        seen = v[:, :, : i + 1]
        assert np.all(got[:, :, i] <= seen.max(axis=2) + room)
        assert np.all(got[:, :, i] >= seen.min(axis=2) - room)


@OPTIONS
def test_weights(variant: Variant, draw: Draw, options: dict[str, Any]) -> None:
    (q, k, v), options = inputs(draw, h=2, g=1), drawn(draw, options)
    p = weigh(variant, q, k, **options)
    assert p.shape == (2, 2, 5, 7)
    assert p.min() >= 0
    assert np.abs(p.astype(np.float64).sum(axis=-1) - 1).max() <= 4 * eps(variant) * 7**0.5
    mean = p.astype(np.float64) @ np.repeat(v, 2, axis=1)
    room = bound(variant, q, k, v, options.get("mask", 0.0), options.get("scale"))
    assert np.abs(mean - attend(variant, q, k, v, **options)).max() <= 2 * room
    if options.get("causal"):
        assert np.array_equal(p, np.tril(p))


# ------------------------------------------------------------------------------------------------------------ the edges
@pytest.mark.parametrize("size", [30.0, 500.0, 1e4])
def test_large_scores(variant: Variant, draw: Draw, size: float) -> None:
    """Up to ten thousand the largest score alone counts: no overflow, on either side."""
    q, k, v = inputs(draw, lq=6, lk=6, d=6)
    q, k = np.broadcast_to(np.eye(6), (2, 2, 6, 6)) * size, np.broadcast_to(np.eye(6), (2, 2, 6, 6))
    for sign in (1.0, -1.0):
        p = weigh(variant, sign * q, k, scale=1.0)
        true = np.exp(sign * size * np.eye(6) - max(sign * size, 0.0))
        true /= true.sum(axis=-1, keepdims=True)
        assert np.abs(p - true).max() <= eps(variant) * (size + 16)
        assert np.abs(attend(variant, sign * q, k, v, scale=1.0) - true @ v).max() <= (
            eps(variant) * (size + 16) * 6 * np.abs(v).max()
        )
    shifted = attend(variant, q, k, v, scale=1.0, mask=np.full((1, 1), -3 * size))
    assert (
        np.abs(shifted - attend(variant, q, k, v, scale=1.0)).max()
        <= eps(variant) * (8 * size + 16) * 6 * np.abs(v).max()
    )


def test_a_query_that_sees_nothing_gives_0(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    rows = np.asarray([True, False, True, False, True])[:, None]
    for mask in (rows, np.where(rows, 0.0, -INF)):
        got = attend(variant, q, k, v, mask=mask)
        plain = attend(variant, q, k, v)
        assert np.array_equal(got[:, :, ~rows[:, 0]], np.zeros((2, 2, 2, 3)))
        assert np.abs(got - plain)[:, :, rows[:, 0]].max() <= 2 * bound(variant, q, k, v)
        assert np.array_equal(weigh(variant, q, k, mask=mask)[:, :, 1], np.zeros((2, 2, 7)))
    assert np.array_equal(attend(variant, q, k, v, causal=True, query_offset=-5), np.zeros((2, 2, 5, 3)))


@ONCE
def test_a_query_that_sees_nothing_has_gradient_0(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    g = draw.normal(2, 2, 5, 3)
    rows = np.asarray([True, False, True, False, True])[:, None]
    for mask in (rows, np.where(rows, 0.0, -INF)):
        dq, dk, dv, *dmask = slopes(variant, g, q, k, v, mask=mask)
        assert np.array_equal(dq[:, :, 1::2], np.zeros((2, 2, 2, 4)))
        others = slopes(variant, g[:, :, ::2], q[:, :, ::2], k, v)
        for one, other in zip((dq[:, :, ::2], dk, dv), others, strict=True):
            assert np.abs(one - other).max() <= 200 * eps(variant) * np.abs(other).max()
        assert all(np.array_equal(one[1::2], np.zeros((2, 1))) for one in dmask)
    nothing = slopes(variant, g, q, k, v, mask=np.zeros((1, 1), dtype=bool))
    assert all(np.array_equal(one, np.zeros(x.shape)) for one, x in zip(nothing, (q, k, v), strict=True))


@pytest.mark.parametrize(("lq", "lk"), [(0, 7), (5, 0), (0, 0)])
def test_empty_lengths(variant: Variant, draw: Draw, lq: int, lk: int) -> None:
    q, k, v = inputs(draw, lq=lq, lk=lk, g=1)
    for options in (
        {},
        {"causal": True},
        {"mask": np.ones((lq, lk), dtype=bool)},
        {"mask": np.zeros((1, lk))},
    ):
        assert np.array_equal(attend(variant, q, k, v, **options), np.zeros((2, 2, lq, 3)))
        assert weigh(variant, q, k, **options).shape == (2, 2, lq, lk)


@ONCE
@pytest.mark.parametrize(("lq", "lk"), [(0, 7), (5, 0)])
def test_gradients_of_empty_lengths(variant: Variant, draw: Draw, lq: int, lk: int) -> None:
    q, k, v = inputs(draw, lq=lq, lk=lk, g=1)
    found = slopes(variant, np.ones((2, 2, lq, 3)), q, k, v, mask=np.zeros((lq, lk)))
    assert all(np.array_equal(one, np.zeros(x.shape)) for one, x in zip(found[:3], (q, k, v), strict=True))


def test_an_empty_batch_and_no_values(variant: Variant) -> None:
    assert attend(variant, np.ones((0, 2, 5, 4)), np.ones((0, 2, 7, 4)), np.ones((0, 2, 7, 3))).shape == (
        0,
        2,
        5,
        3,
    )
    assert attend(variant, np.ones((5, 4)), np.ones((7, 4)), np.ones((7, 0))).shape == (5, 0)


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
@pytest.mark.parametrize("which", [1, 2])
def test_what_is_hidden_never_counts(variant: Variant, draw: Draw, odd: float, which: int) -> None:
    arrays = list(inputs(draw))
    clean = attend(variant, *arrays, causal=True)
    arrays[which] = arrays[which].copy()
    arrays[which][:, :, 3, 0] = odd
    got = attend(variant, *arrays, causal=True)
    assert np.array_equal(got[:, :, :3], clean[:, :, :3])  # they see keys 0 to 2 alone
    assert np.all(np.isnan(got[:, :, 3:]))
    for mask in (np.arange(7) != 3, np.where(np.arange(7) == 3, -INF, 0.0)):
        assert np.all(np.isfinite(attend(variant, *arrays, mask=mask)))
    if which == 1:
        assert np.all(np.isnan(weigh(variant, *arrays[:2], causal=True)[:, :, 3:]))


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_a_query_that_is_no_number_has_no_answer(variant: Variant, draw: Draw, odd: float) -> None:
    q, k, v = inputs(draw)
    clean = attend(variant, q, k, v)
    q[:, :, 2, 1] = odd
    got = attend(variant, q, k, v)
    assert np.all(np.isnan(got[:, :, 2]))
    assert np.array_equal(np.delete(got, 2, axis=2), np.delete(clean, 2, axis=2))


@pytest.mark.parametrize("odd", [NAN, INF])
def test_a_mask_that_is_no_number(variant: Variant, draw: Draw, odd: float) -> None:
    q, k, v = inputs(draw)
    mask = np.zeros((5, 7))
    mask[2, 3] = odd
    got = attend(variant, q, k, v, mask=mask)
    assert np.all(np.isnan(got[:, :, 2]))
    assert np.all(np.isfinite(np.delete(got, 2, axis=2)))


@ONCE
@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_gradients_of_what_is_hidden(variant: Variant, draw: Draw, odd: float) -> None:
    """A key that holds no number gets 0, and spoils nothing, where no query sees it."""
    q, k, v = inputs(draw)
    g, kept = draw.normal(2, 2, 5, 3), np.arange(7) != 3
    for mask in (kept, np.where(kept, 0.0, -INF)):
        clean = slopes(variant, g, q, k, v, mask=mask)
        for arrays in ((q, np.where(kept[:, None], k, odd), v), (q, k, np.where(kept[:, None], v, odd))):
            for one, other in zip(slopes(variant, g, *arrays, mask=mask), clean, strict=True):
                assert np.array_equal(one, other)
        assert np.array_equal(clean[1][:, :, 3], np.zeros((2, 2, 4)))
        assert np.array_equal(clean[2][:, :, 3], np.zeros((2, 2, 3)))


@ONCE
def test_a_query_without_an_answer_reaches_what_it_sees(variant: Variant, draw: Draw) -> None:
    q, k, v = inputs(draw)
    q[:, :, 1, 0] = NAN
    dq, dk, dv = slopes(variant, draw.normal(2, 2, 5, 3), q, k, v, causal=True)
    assert np.all(np.isnan(dq[:, :, 1]))
    assert np.all(np.isfinite(np.delete(dq, 1, axis=2)))
    for one in (dk, dv):
        assert np.all(np.isnan(one[:, :, :2]))
        assert np.all(np.isfinite(one[:, :, 2:]))


# ------------------------------------------------------------------------------------------ dtypes, numbers, transforms
@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_half_precision_is_computed_wide(draw: Draw, name: str) -> None:
    xp = pytest.importorskip("jax.numpy") if name == "jax" else np
    q, k, v = (xp.asarray(x, dtype="float16") for x in inputs(draw, lk=300))
    got = attention(q, k, v, causal=True, query_offset=290)
    wide = attention(*(xp.asarray(x, dtype="float32") for x in (q, k, v)), causal=True, query_offset=290)
    assert got.dtype == np.float16
    assert np.array_equal(np.asarray(got), np.asarray(wide).astype(np.float16))


def test_a_wider_mask_decides_the_dtype(draw: Draw) -> None:
    q, k, v = (x.astype(np.float32) for x in inputs(draw))
    assert attention(q, k, v, mask=np.zeros((5, 7), dtype=np.float32)).dtype == np.float32
    assert attention(q, k, v, mask=np.zeros((5, 7))).dtype == np.float64
    assert attention(q, k, v, mask=[True] * 7).dtype == np.float32
    assert attention(q.tolist(), k.tolist(), v.tolist()).dtype == np.float64


@pytest.mark.parametrize("offset", [np.int8(2), np.asarray(2, dtype=np.uint16), 2, True + 1])
def test_offsets_of_any_integer(draw: Draw, offset: Any) -> None:
    q, k, v = inputs(draw)
    assert np.array_equal(
        attention(q, k, v, causal=True, query_offset=offset), attention(q, k, v, causal=True, query_offset=2)
    )


def test_a_traced_offset_and_scale_compile_once(draw: Draw) -> None:
    jax = pytest.importorskip("jax")
    q, k, v = (jax.numpy.asarray(x, dtype="float32") for x in inputs(draw))
    traces = []

    @jax.jit
    def decode(offset: Any, scale: Any) -> Any:
        traces.append(1)
        return attention(q, k, v, causal=True, query_offset=offset, scale=scale)

    for offset, scale in ((0, 0.5), (3, 0.25), (6, 1.0)):
        expected = attention.reference(q, k, v, causal=True, query_offset=offset, scale=scale)
        assert np.allclose(decode(offset, scale), expected, rtol=0, atol=1e-5)
    assert len(traces) == 1
    each = jax.vmap(lambda q, k, v, o: attention(q, k, v, causal=True, query_offset=o))
    got = each(q, k, v, jax.numpy.asarray([4, 1]))
    for item, offset in enumerate((4, 1)):
        expected = attention.reference(q[item], k[item], v[item], causal=True, query_offset=offset)
        assert np.allclose(got[item], expected, rtol=0, atol=1e-5)


def test_forward_mode_ends_at_the_rule_and_explain_says_so(draw: Draw) -> None:
    jax = pytest.importorskip("jax")
    q, k, v = (jax.numpy.asarray(x, dtype="float32") for x in inputs(draw))
    assert "custom_vjp: reverse mode only" in pillars.explain(attention, q, k, v).reason
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda q: attention(q, k, v), (q,), (q,))
    # the weights have forward mode, and so has attention's gradient
    jax.jvp(lambda q: attention_weights(q, k), (q,), (q,))

    def slope(f: Any) -> Any:
        return jax.grad(lambda q: (f(q, k, v, causal=True) ** 2).sum())

    mine, theirs = (jax.jvp(slope(f), (q,), (q,))[1] for f in (attention, attention.reference))
    assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("which", ["q", "k", "v", "scale"])
def test_second_derivatives_on_numpy(draw: Draw, which: str) -> None:
    given = dict(zip("qkv", inputs(draw, lq=3, lk=4), strict=True), scale=0.6)

    def first(f: Any, x: Any) -> Any:
        def loss(x: Any) -> Any:
            now = {**given, which: x}
            return (f(now["q"], now["k"], now["v"], scale=now["scale"], causal=True) ** 2).sum()

        return pillars.grad(loss)(x)

    def squared(f: Any) -> Any:
        return pillars.grad(lambda x: (first(f, x) ** 2).sum())(np.asarray(given[which]))

    mine, theirs = squared(attention), squared(attention.reference)
    assert np.abs(mine - theirs).max() <= 1e-11 * np.abs(theirs).max()


def test_a_mask_has_a_gradient_of_its_own_size(draw: Draw) -> None:
    q, k, v = inputs(draw, h=4)
    for shape in ((5, 7), (7,), (4, 1, 7), (2, 1, 1, 7), (2, 4, 5, 7), (5, 1), ()):
        mask = draw.normal(*shape)
        found = pillars.grad(lambda m: (attention(q, k, v, mask=m) ** 2).sum())(mask)
        assert found.shape == shape
        full = pillars.grad(lambda m: (attention(q, k, v, mask=m) ** 2).sum())(
            np.broadcast_to(mask, (2, 4, 5, 7))
        )
        ahead = tuple(range(4 - len(shape)))
        along = tuple(4 - len(shape) + axis for axis, n in enumerate(shape) if n == 1)
        summed = full.sum(axis=(*ahead, *along), keepdims=True).reshape(shape)
        assert np.abs(found - summed).max() <= 1e-13 * np.abs(full).sum()


# ---------------------------------------------------------------------------------------------------------- bad input
def z(*shape: int) -> Any:
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((z(4), z(4, 4), z(4, 4)), {}, r"q has shape \(4,\), expected \(\.\.\., h, lq, d\).*q\[None, :\]"),
        (
            (z(2, 5, 8), z(2, 7, 6), z(2, 7, 8)),
            {},
            r"q has 8 features on axis -1 and k has 6, expected as many.*Project",
        ),
        (
            (z(5, 0), z(7, 0), z(7, 3)),
            {},
            r"q has 0 features on axis -1 and k has 0, expected as many, above 0",
        ),
        (
            (z(2, 5, 8), z(2, 7, 8), z(2, 9, 8)),
            {},
            r"k has shape \(2, 7, 8\) and v has \(2, 9, 8\), expected the same.*7 keys on axis -2 need a value each",
        ),
        ((z(4, 5, 8), z(2, 7, 8), z(4, 7, 8)), {}, r"k has shape \(2, 7, 8\) and v has \(4, 7, 8\)"),
        (
            (z(8, 5, 4), z(3, 7, 4), z(3, 7, 4)),
            {},
            r"q has 8 heads on axis -3 and k has 3, expected a number that divides 8",
        ),
        ((z(2, 5, 4), z(4, 7, 4), z(4, 7, 4)), {}, r"q has 2 heads on axis -3 and k has 4"),
        ((z(0, 5, 4), z(0, 7, 4), z(0, 7, 4)), {}, r"q has 0 heads on axis -3 and k has 0"),
        (
            (z(2, 5, 4), z(7, 4), z(7, 4)),
            {},
            r"q has shape \(2, 5, 4\) and k has shape \(7, 4\), expected as many axes",
        ),
        (
            (z(2, 5, 4), z(2, 7, 4), z(7, 4)),
            {},
            r"q has shape \(2, 5, 4\) and v has shape \(7, 4\), expected as",
        ),
        (
            (z(3, 2, 5, 4), z(1, 2, 7, 4), z(1, 2, 7, 4)),
            {},
            r"q has batch axes \(3,\) and k has \(1,\), expected the same",
        ),
        (
            (z(3, 2, 5, 4), z(3, 2, 7, 4), z(3, 2, 7, 4)),
            {"mask": np.ones((3, 7), dtype=bool)},
            r"mask has shape \(3, 7\), expected one that broadcasts to \(3, 2, 5, 7\).*mask\[:, None, None, :\]",
        ),
        (
            (z(3, 2, 5, 4), z(3, 2, 7, 4), z(3, 2, 7, 4)),
            {"mask": np.ones((3, 5, 7))},
            r"mask has shape \(3, 5, 7\), expected.*mask\[:, None, :, :\]",
        ),
        (
            (z(2, 5, 4), z(2, 7, 4), z(2, 7, 4)),
            {"mask": np.ones((1, 2, 5, 7))},
            r"mask has shape \(1, 2, 5, 7\), expected one that broadcasts to \(2, 5, 7\)",
        ),
        ((z(5, 4), z(7, 4), z(7, 4)), {"mask": np.ones((7, 5))}, r"mask has shape \(7, 5\), expected"),
        ((z(5, 4), z(7, 4), z(7, 4)), {"scale": INF}, r"scale is inf, expected a finite number"),
        ((z(5, 4), z(7, 4), z(7, 4)), {"scale": NAN}, r"scale is nan, expected a finite number"),
    ],
    ids=lambda x: x if isinstance(x, str) else None,
)
def test_what_does_not_fit(variant: Variant, arrays: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=f"(?s)^attention: {message}"):
        attend(variant, *arrays, **options)
    if "v has" in message:  # of which the weights know nothing
        return
    with pytest.raises(ShapeError, match=f"(?s)^attention_weights: {message}"):
        weigh(variant, *arrays[:2], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.ones((5, 7), dtype=np.int64)}, r"mask has dtype int64, expected booleans .*mask != 0"),
        ({"query_offset": 1.5}, r"query_offset has shape \(\) and dtype float64, expected one integer"),
        ({"query_offset": True}, r"query_offset has shape \(\) and dtype bool"),
        ({"query_offset": np.asarray([1, 2])}, r"query_offset has shape \(2,\).*Use vmap"),
        ({"causal": 1}, r"causal"),
        ({"causal": None}, r"causal is None"),
        ({"scale": "1"}, r"scale is '1'"),
    ],
    ids=str,
)
def test_options_of_another_kind(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DTypeError, match=f"(?s)^attention: {message}"):
        attention(z(5, 4), z(7, 4), z(7, 4), **options)


def test_it_is_at_the_front_door() -> None:
    assert pillars.attention is attention
    with pytest.raises(CapabilityError):
        pillars.backends.require(attention.record, "numpy", "jit", "Call it.")
