"""Sums whose rounding grows with the logarithm of the count, along any axis and in any layout.

NumPy adds in pairs along the axis that is contiguous in memory alone. Along the others it adds row after row: a sum of
a million float32 numbers is then off in its third digit. Here such an axis is cut into short runs, a view, whose sums
are summed likewise: the bytes are read once, as before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["tree_sum"]

_RUN = 32  # numbers added one after another
_SMALL = 4 * _RUN  # an axis that is no longer is left to NumPy

_sum: Any = np.add.reduce


def tree_sum(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """Σ of `x` along one axis, several, or all; of float arrays, in their dtype."""
    if x.size > _SMALL and x.ndim > 1:
        for one in _added_in_rows(x, axis):
            x = _by_runs(x, one)
    return _sum(x, axis, None, None, keepdims)


def _added_in_rows(x: Any, axis: Any) -> list[int]:
    """The long ones among the axes which NumPy would add along one number after another."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    long = [one % x.ndim for one in axes if x.shape[one] > _SMALL]
    if not long:
        return long
    strides = [abs(step) if n > 1 else 0 for step, n in zip(x.strides, x.shape, strict=True)]
    inner = min((step for step, n in zip(strides, x.shape, strict=True) if n > 1), default=0)
    # of two such axes one is broadcast, and which of them NumPy takes is its own affair
    alone = strides.count(inner) == 1 and inner > 0
    return [one for one in long if not (alone and strides[one] == inner)]


def _by_runs(x: Any, axis: int) -> Any:
    """`x` summed along an axis, of which a short one is left: the sums of runs, and of those again."""
    while (n := x.shape[axis]) > _SMALL:
        count = n // _RUN
        before = (slice(None),) * axis
        head = x[(*before, slice(count * _RUN))]
        parts = _sum(head.reshape(*x.shape[:axis], count, _RUN, *x.shape[axis + 1 :]), axis + 1)
        if n > count * _RUN:
            parts[(*before, -1)] += _sum(x[(*before, slice(count * _RUN, None))], axis)
        x = parts
    return x
