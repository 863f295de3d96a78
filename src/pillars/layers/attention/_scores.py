"""What every form of attention shares: scores, which of them a query sees, their softmax, and what flows back."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars.backends import dtype_kind, dtype_name, limited, namespace, unbroadcast

__all__ = ["check", "exponentials", "finite", "gradients", "scores", "spoiled", "stacked"]


def check(name: str, q: Any, k: Any, v: Any, mask: Any, query_offset: Any, scale: Any) -> None:
    """Refuse what does not fit together, naming the argument; `v` is None for the weights alone."""
    shape, lead = tuple(q.shape), tuple(q.shape[:-2])
    if q.ndim < 2:
        raise ShapeError(
            f"{name}: q has shape {shape}, expected (..., h, lq, d), or (lq, d) for a single head. "
            "A single query of d features is q[None, :]."
        )
    for what, x in (("k", k), ("v", v)):
        if x is not None:
            _check_lead(name, what, tuple(x.shape), shape)
    if k.shape[-1] != shape[-1] or shape[-1] == 0:
        raise ShapeError(
            f"{name}: q has {shape[-1]} features on axis -1 and k has {k.shape[-1]}, expected as many, above 0. "
            f"q has shape {shape}, k {tuple(k.shape)}. Project them to one width."
        )
    if v is not None and (v.shape[-2] != k.shape[-2] or v.shape[:-2] != k.shape[:-2]):
        raise ShapeError(
            f"{name}: k has shape {tuple(k.shape)} and v has {tuple(v.shape)}, expected the same but for the last "
            f"axis: {k.shape[-2]} keys on axis -2 need a value each. Pass the v that belongs to this k."
        )
    if mask is not None:
        _check_mask(name, mask, (*lead, shape[-2], k.shape[-2]))
    if tuple(query_offset.shape) != () or dtype_kind(query_offset.dtype) != "integer":
        raise DTypeError(
            f"{name}: query_offset has shape {tuple(query_offset.shape)} and dtype {dtype_name(query_offset.dtype)}, "
            "expected one integer. Use vmap where each item of a batch has its own."
        )
    if isinstance(scale, float) and not isfinite(scale):
        raise ShapeError(
            f"{name}: scale is {scale}, expected a finite number. None is the usual 1/sqrt(d), 1 is none."
        )


def _check_lead(name: str, what: str, shape: tuple[int, ...], q: tuple[int, ...]) -> None:
    """The axes before the last two of k or v against those of q: the same batch, and heads that divide."""
    if len(shape) != len(q):
        raise ShapeError(
            f"{name}: q has shape {q} and {what} has shape {shape}, expected as many axes of each: (..., heads, "
            "length, features). Add the missing axes with None, or broadcast them."
        )
    if shape[:-3] != q[:-3]:
        raise ShapeError(
            f"{name}: q has batch axes {q[:-3]} and {what} has {shape[:-3]}, expected the same. q has shape {q}, "
            f"{what} {shape}. Broadcast one of them, or map over the axis with vmap."
        )
    if len(q) > 2 and (shape[-3] == 0 or q[-3] % shape[-3] or q[-3] == 0):
        raise ShapeError(
            f"{name}: q has {q[-3]} heads on axis -3 and {what} has {shape[-3]}, expected a number that divides "
            f"{q[-3]}: each head of {what} serves as many of q. Heads stand on axis -3, before the length."
        )


def _check_mask(name: str, mask: Any, full: tuple[int, ...]) -> None:
    shape = tuple(mask.shape)
    if dtype_kind(mask.dtype) not in ("bool", "float", "half"):
        raise DTypeError(
            f"{name}: mask has dtype {dtype_name(mask.dtype)}, expected booleans (True: attend) or floating numbers "
            "(added to the scores). Write mask != 0 for one of zeros and ones."
        )
    tail = full[len(full) - len(shape) :]
    if len(shape) > len(full) or any(n not in (1, m) for n, m in zip(shape, tail, strict=True)):
        remedy = "Put its axes where those of the scores are, and length 1 where it is the same for all."
        if len(full) == 4 and shape in ((full[0], full[3]), (full[0], full[2], full[3])):
            place = "mask[:, None, None, :]" if len(shape) == 2 else "mask[:, None, :, :]"
            remedy = f"One mask an item of the batch, for all heads, is {place}."
        raise ShapeError(
            f"{name}: mask has shape {shape}, expected one that broadcasts to {full}: (..., h, lq, lk). {remedy}"
        )


def finite(x: Any) -> Any:
    """`x` with 0 for what is no number: what nobody sees must not come back as 0·NaN."""
    xp = namespace(x)
    return xp.where(xp.isfinite(x), x, xp.zeros_like(x))


def spoiled(x: Any) -> Any:
    """0 for every row of numbers, NaN for one with a NaN or an infinity."""
    return namespace(x).sum(0 * x, axis=-1)


def stacked(x: Any, k: Any) -> Any:
    """(..., h, lq, n) as (..., g, h/g·lq, n): all queries of one head of `k`, below one another."""
    heads = x.shape[-3] // k.shape[-3] if x.ndim > 2 else 1
    return namespace(x).reshape(x, (*k.shape[:-2], heads * x.shape[-2], x.shape[-1]))


def _scale(q: Any, scale: Any) -> Any:
    return q.shape[-1] ** -0.5 if scale is None else scale


def scores(q: Any, k: Any, v: Any, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Any:
    """scale·q·kᵀ + mask, (..., h, lq, lk): −inf for a key that is hidden, NaN for one seen that has no answer."""
    xp = namespace(q)
    if mask is not None and dtype_kind(mask.dtype) != "bool":
        # a wider mask's digits would be added to scores without them
        wide = xp.result_type(q.dtype, mask.dtype)
        q, k = (x if x.dtype == wide else xp.astype(x, wide) for x in (q, k))
    rows, keys = stacked(q, k), spoiled(k)
    keys = keys if v is None else keys + spoiled(v)
    s = xp.matmul(finite(rows) * _scale(q, scale), xp.matrix_transpose(finite(k)))
    s = s + spoiled(rows)[..., None] + keys[..., None, :]
    s = xp.reshape(s, (*q.shape[:-1], k.shape[-2]))
    sees = _seen(s, query_offset) if causal else None
    if mask is not None:
        added = dtype_kind(mask.dtype) != "bool"
        s = s + mask if added else s
        kept = mask != -xp.inf if added else mask
        sees = kept if sees is None else kept & sees
    return s if sees is None else xp.where(sees, s, -xp.inf)


def _seen(s: Any, query_offset: Any) -> Any:
    """(lq, lk): whether the key stands at the query's place, which is `query_offset` further, or before it."""
    xp, device = namespace(s), getattr(s, "device", None)
    queries, keys = (xp.arange(length, device=device) for length in s.shape[-2:])
    # beyond the lengths an offset says no more
    offset = limited(xp, query_offset, -s.shape[-2], s.shape[-1], keys.dtype)
    return keys[None, :] - queries[:, None] <= offset


def exponentials(s: Any) -> tuple[Any, Any, Any]:
    """exp(s − m), its sums, and log Σ exp s, (..., lq, 1); 0, 1 and −inf for a query that sees nothing."""
    xp = namespace(s)
    # of no keys there is no largest; their sum is 0
    m = xp.max(s, axis=-1, keepdims=True) if s.shape[-1] else xp.sum(s, axis=-1, keepdims=True)
    m = xp.where(m == -xp.inf, xp.zeros_like(m), m)
    e = xp.exp(s - m)
    total = xp.sum(e, axis=-1, keepdims=True)
    nothing = total == 0
    total = xp.where(nothing, xp.ones_like(total), total)
    return e, total, xp.where(nothing, xp.full_like(m, -xp.inf), m + xp.log(total))


def gradients(ds: Any, q: Any, k: Any, scale: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """What the scores' cotangent is for q, k, the scale, and an additive mask (None where there is none)."""
    xp = namespace(ds)
    factor, rows = _scale(q, scale), finite(stacked(q, k))
    slope = stacked(ds, k)
    dq = xp.matmul(slope, finite(k))
    dk = xp.matmul(xp.matrix_transpose(slope), rows * factor)
    dscale = xp.sum(rows * dq)
    dmask = None if mask is None else unbroadcast(ds, tuple(mask.shape))
    return xp.reshape(dq * factor, q.shape), dk, dscale, dmask
