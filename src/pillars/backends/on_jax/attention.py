"""Attention in blocks of queries, each against all keys of its head: one level of loops inside another.

On the CPU every axis of the batch, the heads and the blocks of queries is a level that runs one item after another, so
that the scores of one block exist at a time. On an accelerator, and where all scores together are few, only the blocks
are a loop, and the levels above it are batched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pillars.backends._dtypes import limited
from pillars.backends._kernels import kernel

__all__ = ["attention", "attention_backward", "attention_forward"]

_ROWS = 256  # queries in a block: their scores against some thousand keys stay in reach of the caches
_LEAST = 64  # a divisor of the length below this makes blocks too small: better a last one that is not full
_PARTED = 512  # keys from which blocks leave out those that none of their queries sees
_FEW = 2**20  # scores that may all exist at once


def _something(q: Any, k: Any, v: Any, /, **options: Any) -> str | None:
    return None if k.size and v.size else "there are no keys, or no values"


def _something_back(g: Any, y: Any, log_sum: Any, q: Any, k: Any, v: Any, /, **options: Any) -> str | None:
    return _something(q, k, v)


@kernel(minimum_size=2**12, eligible=_something, traceable=True)
def attention(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Any:
    """The output alone."""
    return attention_forward(q, k, v, mask=mask, causal=causal, query_offset=query_offset, scale=scale)[0]


@kernel(minimum_size=2**12, eligible=_something, traceable=True)
def attention_forward(
    q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any
) -> Any:
    """The output, and the log-sum-exp of each query."""
    inputs = _blocks(q, k, v, mask, causal, query_offset)
    y, log_sum = _run(_forward, inputs, _scale(q, scale), ("q", "q"))
    return _unblocked(y, q), _unblocked(log_sum, q)[..., 0]


@kernel(minimum_size=2**12, eligible=_something_back, traceable=True)
def attention_backward(
    g: Any,
    y: Any,
    log_sum: Any,
    q: Any,
    k: Any,
    v: Any,
    /,
    *,
    mask: Any,
    causal: bool,
    query_offset: Any,
    scale: Any,
    mask_gradient: bool,
) -> Any:
    """Cotangents of q, k, v, the scale, and the mask where it was asked for."""
    inputs = _blocks(q, k, v, mask, causal, query_offset)
    inputs["g"], inputs["log_sum"] = _blocked(g, k), _blocked(log_sum[..., None], k)
    inputs["mean"] = _blocked(jnp.sum(g * y, axis=-1, keepdims=True), k)
    like = ("q", "k", "v", "scale", "mask")[: 5 if mask_gradient else 4]
    dq, dk, dv, dscale, *dmask = _run(
        partial(_backward, mask_gradient=mask_gradient), inputs, _scale(q, scale), like
    )
    if mask_gradient:
        full = (*inputs["mask"].shape[:-3], -1, inputs["mask"].shape[-1])
        dmask = [jnp.reshape(jnp.reshape(dmask[0], full)[..., : q.shape[-2], :], mask.shape)]
    return _unblocked(dq, q), jnp.reshape(dk, k.shape), jnp.reshape(dv, v.shape), dscale, *(dmask or [None])


# ------------------------------------------------------------------------------------------------------------ one block
def _scores(q: Any, k: Any, q_marks: Any, k_marks: Any, mask: Any, limits: Any) -> Any:
    """−inf where hidden, NaN where what is seen has no answer; queries are scaled."""
    s = q @ k.T + (q_marks + k_marks)
    seen = None
    if mask is not None and mask.dtype != bool:
        s, seen = s + mask, mask != -jnp.inf
    elif mask is not None:
        seen = mask
    if limits is not None:
        before = jnp.arange(k.shape[0])[None, :] <= limits
        seen = before if seen is None else seen & before
    return s if seen is None else jnp.where(seen, s, -jnp.inf)


def _forward(
    *, q: Any, k: Any, v: Any, q_marks: Any, k_marks: Any, scale: Any, mask: Any = None, limits: Any = None
) -> Any:
    s = _scores(q * scale, k, q_marks, k_marks, mask, limits)
    m = jnp.max(s, axis=-1, keepdims=True)
    m = jnp.where(m == -jnp.inf, 0, m)
    e = jnp.exp(s - m)
    total = jnp.sum(e, axis=-1, keepdims=True)
    nothing = total == 0
    total = jnp.where(nothing, 1, total)
    return (e @ v) / total, jnp.where(nothing, -jnp.inf, m + jnp.log(total))


def _backward(
    *,
    q: Any,
    k: Any,
    v: Any,
    q_marks: Any,
    k_marks: Any,
    scale: Any,
    g: Any,
    log_sum: Any,
    mean: Any,
    mask: Any = None,
    limits: Any = None,
    mask_gradient: bool,
) -> Any:
    s = _scores(q * scale, k, q_marks, k_marks, mask, limits)
    hidden = s == -jnp.inf
    p = jnp.where(hidden, 0, jnp.exp(s - log_sum))
    ds = jnp.where(hidden, 0, p * (g @ v.T - mean))
    dq = ds @ k
    result = dq * scale, ds.T @ (q * scale), p.T @ g, jnp.sum(q * dq)
    if not mask_gradient:
        return result
    repeated = tuple(axis for axis in (0, 1) if mask.shape[axis] == 1)
    return *result, jnp.sum(ds, axis=repeated, keepdims=True)


# ----------------------------------------------------------------------------------------------------- what goes around
def _finite(x: Any) -> Any:
    return jnp.where(jnp.isfinite(x), x, 0)


def _marks(x: Any) -> Any:
    """0 for a row of numbers, NaN for any other."""
    return jnp.sum(0 * x, axis=-1)


def _scale(q: Any, scale: Any) -> Any:
    return q.shape[-1] ** -0.5 if scale is None else scale


def _cut(length: int) -> tuple[int, int]:
    """How many blocks, and their rows: equal ones where the length allows, else a last one that is not full."""
    if length <= _ROWS:
        return 1, length
    for rows in range(_ROWS, _LEAST - 1, -1):
        if length % rows == 0:
            return length // rows, rows
    blocks = -(-length // _ROWS)
    return blocks, -(-length // blocks)


def _blocked(x: Any, k: Any) -> Any:
    """(..., h, lq, n) as (..., g, h/g, blocks, rows, n), zeros in the rows that the last block lacks."""
    blocks, rows = _cut(x.shape[-2])
    lead = (*x.shape[:-3], k.shape[-3], x.shape[-3] // k.shape[-3]) if x.ndim > 2 else (1, 1)
    if blocks * rows != x.shape[-2]:
        x = jnp.pad(x, ((0, 0),) * (x.ndim - 2) + ((0, blocks * rows - x.shape[-2]), (0, 0)))
    return jnp.reshape(x, (*lead, blocks, rows, x.shape[-1]))


def _unblocked(x: Any, q: Any) -> Any:
    return jnp.reshape(x, (*q.shape[:-2], -1, x.shape[-1]))[..., : q.shape[-2], :]


def _blocks(q: Any, k: Any, v: Any, mask: Any, causal: bool, query_offset: Any) -> dict[str, Any]:
    """A call's arguments with axes (batch..., g, h/g, blocks, rows or keys, features), length 1 where they repeat."""
    lq, lk = q.shape[-2], k.shape[-2]

    def heads(x: Any) -> Any:
        lead = x.shape[:-2] if x.ndim > 2 else (1,)
        return jnp.reshape(x, (*lead, 1, 1, *x.shape[-2:]))

    inputs = {"q": _blocked(q, k), "k": heads(k), "v": heads(v)}
    blocks, rows = _cut(lq)
    if mask is not None:
        inputs["mask"] = _blocked_mask(mask, q, k)
    if causal or blocks * rows != lq:
        row = jnp.arange(blocks * rows)
        # beyond the lengths an offset says no more
        offset = limited(jnp, query_offset, -lq, lk, row.dtype) if causal else None
        limits = jnp.full_like(row, lk) if offset is None else row + offset
        limits = jnp.where(row < lq, limits, -1)
        inputs["limits"] = jnp.reshape(limits, (1,) * (inputs["q"].ndim - 3) + (blocks, rows, 1))
    return inputs


def _blocked_mask(mask: Any, q: Any, k: Any) -> Any:
    shape = (1,) * (max(q.ndim, 3) - mask.ndim) + mask.shape
    *batch, h, lq, lk = shape
    blocks, rows = _cut(q.shape[-2]) if lq > 1 else (1, 1)
    groups = (k.shape[-3], h // k.shape[-3]) if h > 1 else (1, 1)
    mask = jnp.reshape(mask, (*batch, *groups, lq, lk))
    if blocks * rows != lq:
        mask = jnp.pad(mask, ((0, 0),) * (mask.ndim - 2) + ((0, blocks * rows - lq), (0, 0)))
    return jnp.reshape(mask, (*batch, *groups, blocks, rows, lk))


def _run(
    block: Callable[..., Any], inputs: dict[str, Any], scale: Any, like: tuple[str, ...]
) -> tuple[Any, ...]:
    """`block` of every block: one after another on the CPU, the heads together elsewhere.

    Each result is like an input: along an axis that this has, its parts are stacked; along one that this repeats
    itself along, they are summed, as cotangents of what is repeated are.
    """
    q, k = inputs["q"], inputs["k"]
    # axes of length 1 are taken out: XLA would copy every input of a loop for them
    levels = [axis for axis, length in enumerate(q.shape[:-2]) if length > 1 or axis == q.ndim - 3]
    spans = {name: tuple(x.shape[axis] > 1 for axis in levels) for name, x in inputs.items()}
    thin = {
        name: jnp.reshape(x, (*[n for n in x.shape[:-2] if n > 1], *x.shape[-2:]))
        for name, x in inputs.items()
    }
    thin["scale"], spans["scale"] = jnp.asarray(scale, q.dtype), (False,) * len(levels)

    def way(batched: bool) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        return lambda given: _levels(block, given, spans, like, batched=batched)

    if q.size // q.shape[-1] * k.shape[-2] <= _FEW:
        return way(True)(thin)
    result: tuple[Any, ...] = lax.platform_dependent(thin, cpu=way(False), default=way(True))
    return result


def _levels(
    block: Callable[..., Any],
    inputs: dict[str, Any],
    spans: dict[str, tuple[bool, ...]],
    like: tuple[str, ...],
    *,
    batched: bool,
) -> tuple[Any, ...]:
    """`block` over all levels, of which `spans` says for each input whether it has them."""
    depth = len(spans["q"])
    if depth == 0:
        # mapped over, a choice would be all four of its ways
        result: tuple[Any, ...] = block(**inputs) if batched else _up_to_the_last(block, inputs, like)
        return result
    if depth == 1:
        inputs = _ready(**inputs)
        spans = {"q_marks": spans["q"], "k_marks": spans["k"], **spans}
    moving = {name: x for name, x in inputs.items() if spans[name][0]}
    resting = {name: x for name, x in inputs.items() if not spans[name][0]}
    below = {name: span[1:] for name, span in spans.items()}
    stacks = [spans[name][0] for name in like]

    def inner(rows: dict[str, Any]) -> tuple[Any, ...]:
        return _levels(block, {**rows, **resting}, below, like, batched=batched)

    if not moving:
        return inner({})
    if batched and depth > 1:
        made = jax.vmap(inner)(moving)
        return tuple(y if stack else jnp.sum(y, axis=0) for y, stack in zip(made, stacks, strict=True))

    def step(sums: tuple[Any, ...], rows: dict[str, Any]) -> tuple[Any, Any]:
        result = inner(rows)
        pairs = zip(sums, result, stacks, strict=True)
        carried = tuple(None if stack else total + y for total, y, stack in pairs)
        return carried, tuple(y if stack else None for y, stack in zip(result, stacks, strict=True))

    dtype = inputs["q"].dtype
    zeros = tuple(
        None if stack else jnp.zeros(inputs[name].shape, dtype)
        for name, stack in zip(like, stacks, strict=True)
    )
    sums, stacked = lax.scan(step, zeros, moving)
    return tuple(y if total is None else total for total, y in zip(sums, stacked, strict=True))


def _up_to_the_last(
    block: Callable[..., Any], inputs: dict[str, Any], like: tuple[str, ...]
) -> tuple[Any, ...]:
    """`block` of the keys up to the last that one of its queries sees: of a quarter of them, two, three, or all."""
    length = inputs["k"].shape[0]
    if "limits" not in inputs or length < _PARTED:
        result: tuple[Any, ...] = block(**inputs)
        return result
    axes = {"k": 0, "v": 0, "k_marks": 1, "mask": 1}
    along = {name: axis for name, axis in axes.items() if name in inputs and inputs[name].shape[axis] > 1}
    parts = [-(-length * part // 4) for part in (1, 2, 3, 4)]

    def first(keys: int) -> tuple[Any, ...]:
        cut = {name: lax.slice_in_dim(inputs[name], 0, keys, axis=axis) for name, axis in along.items()}
        pads = {
            name: [(0, 0)] * axis + [(0, length - keys)] + [(0, 0)] * (1 - axis)
            for name, axis in along.items()
        }
        result = zip(like, block(**inputs | cut), strict=True)
        return tuple(jnp.pad(y, pads[name]) if name in pads else y for name, y in result)

    last = jnp.max(inputs["limits"])
    part = sum((last >= keys).astype(jnp.int32) for keys in parts[:-1])
    chosen: tuple[Any, ...] = lax.switch(part, [partial(first, keys) for keys in parts])
    return chosen


def _ready(*, q: Any, k: Any, v: Any, scale: Any, **others: Any) -> dict[str, Any]:
    """One head's inputs as blocks take them: numbers alone, marks for the rows that had others, and scaled queries."""
    ready = {
        **others,
        "q": _finite(q),
        "q_marks": _marks(q)[..., None],
        "k": _finite(k),
        "k_marks": (_marks(k) + _marks(v))[..., None, :],
        "v": _finite(v),
        "scale": scale,
    }
    if "g" in others:
        ready["g"] = _finite(others["g"])
        ready["log_sum"] = others["log_sum"] - _marks(others["g"])[..., None]
    return ready
