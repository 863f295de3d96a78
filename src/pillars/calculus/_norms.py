"""Norms over a whole tree of arrays, and clipping by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pillars.backends import dtype_kind

__all__ = ["clip_factor", "norm_of_leaves", "scale_and_root", "wide"]


def wide(xp: Any, x: Any) -> Any:
    """Half precision as float32: squares and moments of halves leave their range."""
    return xp.astype(x, xp.float32) if dtype_kind(x.dtype) == "half" else x


def norm_of_leaves(xp: Any, leaves: Sequence[Any], dtype: Any) -> Any:
    """The 2-norm of all entries of all leaves, 0-d of `dtype`, without overflow or underflow of the squares."""
    scale, root = scale_and_root(xp, leaves, dtype)
    return scale * root


def scale_and_root(xp: Any, leaves: Sequence[Any], dtype: Any) -> tuple[Any, Any]:
    """The norm as a product, neither part of which overflows; where the norm is 0 the root is.

    The scale is the largest magnitude, or so large that its reciprocal, by which compilers multiply in the place of
    dividing, is not flushed to 0. With an entry that is not finite the scale is 1 and the root is not finite.
    """
    filled = [xp.astype(wide(xp, x), dtype, copy=False) for x in leaves if 0 not in x.shape]
    if not filled:
        none = xp.asarray(0.0, dtype=dtype)
        return xp.ones_like(none), none
    largest = xp.max(xp.abs(filled[0]))
    for x in filled[1:]:
        largest = xp.maximum(largest, xp.max(xp.abs(x)))
    most = 1.0 / float(xp.finfo(dtype).smallest_normal)
    scale = xp.where(xp.isfinite(largest) & (largest > 0), largest, xp.ones_like(largest))
    scale = xp.minimum(scale, xp.full_like(scale, most))
    total = xp.zeros_like(scale)
    for x in filled:
        scaled = x / scale
        total = total + xp.sum(scaled * scaled)
    # the root's slope at 0 is infinite: what differentiates through a descent must not meet it
    root = xp.sqrt(xp.where(total > 0, total, xp.ones_like(total)))
    return scale, xp.where(total > 0, root, total)


def clip_factor(xp: Any, norm: Any, limit: Any) -> Any:
    """What to multiply by for a norm of at most `limit`: exactly 1 where it is no larger already."""
    over = norm > limit  # a limit may be infinite
    return xp.where(over, limit / xp.where(over, norm, xp.ones_like(norm)), xp.ones_like(norm))
