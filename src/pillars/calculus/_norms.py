"""Norms over a whole tree of arrays, and clipping by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pillars.backends import dtype_kind

__all__ = ["clip_factor", "norm_of_leaves", "wide"]


def wide(xp: Any, x: Any) -> Any:
    """Half precision as float32: squares and moments of halves leave their range."""
    return xp.astype(x, xp.float32) if dtype_kind(x.dtype) == "half" else x


def norm_of_leaves(xp: Any, leaves: Sequence[Any], dtype: Any) -> Any:
    """The 2-norm of all entries of all leaves, 0-d of `dtype`, without overflow or underflow of the squares."""
    filled = [xp.astype(wide(xp, x), dtype, copy=False) for x in leaves if 0 not in x.shape]
    if not filled:
        return xp.asarray(0.0, dtype=dtype)
    largest = xp.max(xp.abs(filled[0]))
    for x in filled[1:]:
        largest = xp.maximum(largest, xp.max(xp.abs(x)))
    scale = xp.where(xp.isfinite(largest) & (largest > 0), largest, xp.ones_like(largest))
    total = xp.zeros_like(scale)
    for x in filled:
        scaled = x / scale
        total = total + xp.sum(scaled * scaled)
    return scale * xp.sqrt(total)


def clip_factor(xp: Any, norm: Any, limit: Any) -> Any:
    """What to multiply by for a norm of at most `limit`: exactly 1 where it is no larger already."""
    over = norm > limit  # a limit may be infinite
    return xp.where(over, limit / xp.where(over, norm, xp.ones_like(norm)), xp.ones_like(norm))
