"""Normalisation along contiguous last axes: sums by dot products, in blocks of rows that stay in the cache.

What the specification does for all rows, for the sake of a few, is done here for those alone: a shift before the mean,
where that is far from 0 beside the deviations, so that its rounding would show; scaling, where a square overflows.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends.on_numpy._blocks import by_blocks, row_dots

__all__ = ["layer_norm", "rms_norm"]

_FAR = 4.0  # mean² in variances: to this one pass of rounding is within what is stated without the mean


def _last_axes(x: Any, axis: Any) -> str | None:
    if axis not in (-1, x.ndim - 1):  # it is not checked yet where x is to be converted
        named = axis if isinstance(axis, tuple) else ()
        axes = {one + x.ndim * (one < 0) for one in named if isinstance(one, int)}
        if not axes or axes != set(range(x.ndim - len(axes), x.ndim)):
            return f"axis {axis} is not the last one"
    return None if x.flags.c_contiguous else "x is not contiguous"


def _served_rms(x: Any, weight: Any, /, *, axis: Any, epsilon: Any) -> str | None:
    return _last_axes(x, axis)


def _served_layer(x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any) -> str | None:
    return _last_axes(x, axis)


@kernel(eligible=_served_rms)
def rms_norm(x: Any, weight: Any, /, *, axis: Any, epsilon: Any) -> Any:
    """Three passes over a block that is in the cache."""
    length = _length(x, axis)
    y = np.empty_like(x)
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    least, tiny, largest = _limits(x.dtype, epsilon)

    def work(rows: slice, scratch: Any) -> None:
        z, out = given[rows], made[rows]
        square = row_dots(z, z)
        square /= length
        lost = ~(square <= largest)  # true for NaN too
        square += least
        if least < tiny:
            lost |= square < tiny
        np.sqrt(square, out=square)
        np.divide(z, square, out=out)
        if lost.any():
            again = lost[:, 0]
            out[again] = records()["layers.rms_norm"].body(z[again], None, axis=-1, epsilon=epsilon)
        if weight is not None:
            np.multiply(out, weight.reshape(-1), out=out)

    by_blocks(given.shape[0], length, work)
    return y


@kernel(eligible=_served_layer)
def layer_norm(x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any) -> Any:
    """Six passes over a block that is in the cache."""
    length = _length(x, axis)
    y = np.empty_like(x)
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    least, tiny, largest = _limits(x.dtype, epsilon)
    ones = np.ones(length, x.dtype)

    def work(rows: slice, scratch: Any) -> None:
        z, out = given[rows], made[rows]
        mean = row_dots(z, ones)
        mean /= length
        np.subtract(z, mean, out=out)
        variance = row_dots(out, out)
        variance /= length
        lost = ~((mean * mean <= _FAR * variance) & (variance <= largest))  # true for NaN too
        variance += least
        if least < tiny:
            lost |= variance < tiny
        np.sqrt(variance, out=variance)
        np.divide(out, variance, out=out)
        if lost.any():  # row by row, so that a row's bits depend on that row alone
            again = lost[:, 0]
            out[again] = records()["layers.layer_norm"].body(z[again], None, None, axis=-1, epsilon=epsilon)
        if weight is not None:
            np.multiply(out, weight.reshape(-1), out=out)
        if bias is not None:
            np.add(out, bias.reshape(-1), out=out)

    by_blocks(given.shape[0], length, work)
    return y


def _length(x: Any, axis: Any) -> int:
    return prod(x.shape[x.ndim - (len(axis) if isinstance(axis, tuple) else 1) :])


def _limits(dtype: Any, epsilon: float) -> tuple[float, float, float]:
    """What is added to a mean of squares, the least one with all its digits, the largest that has not overflowed."""
    info = np.finfo(dtype)
    return (
        max(epsilon, float(info.smallest_normal)),
        2.0**-60 if info.bits == 32 else 2.0**-512,
        float(info.max),
    )
