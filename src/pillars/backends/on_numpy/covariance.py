"""Mean and covariance on NumPy: one pass, shifted by a rough mean, products in the data's own precision by blocks.

A block of a few thousand rows is shifted into a buffer that stays in the cache; its products (which BLAS computes as a
symmetric rank-k update) are added up in float64. The pieces that go to the threads depend on the shape alone. With many
columns the block is taken as two halves: BLAS's general product of one by the other is faster than its symmetric one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends._registry import load
from pillars.backends._threads import pool_map, single_threaded_blas

__all__ = ["mean_covariance"]

_ELEMENTS = 2**19  # of a block: two megabytes in float32
_PIECES = 8
_SAMPLE = 256
_HALVED = 128  # columns from which on two halves are faster than the whole
_FAR = 0.1  # how much of a variance the shift may be off by, squared, before the pass is made again
# Products of float32 numbers this small have lost digits, and of larger ones may have overflown, though in a float64
# sum they would have not.
_LEAST = 2.0**-80


def _cut(n: int, d: int) -> tuple[int, list[int]]:
    """Rows of a block, and where the pieces begin and end: blocks of one size, but for the last."""
    rows = max(64, min(2048, _ELEMENTS // d))
    pieces = min(_PIECES, -(-n // (4 * rows)))
    blocks = -(-n // (pieces * rows))
    rows = -(-n // (pieces * blocks))
    return rows, [min(n, piece * blocks * rows) for piece in range(pieces + 1)]


def _sums(x: Any, shift: Any) -> tuple[Any, Any]:
    """Σ z and Σ z zᵀ in float64 of z = x − shift, in the dtype of the shift."""
    n, d = x.shape
    rows, bounds = _cut(n, d)
    half = d // 2 if d >= _HALVED else d
    parts = [(slice(0, half), slice(0, half))]
    if half < d:
        parts += [(slice(0, half), slice(half, d)), (slice(half, d), slice(half, d))]

    def run(piece: int) -> tuple[Any, Any]:
        first, last = bounds[piece], bounds[piece + 1]
        buffer, ones = np.empty((rows, d), shift.dtype), np.ones(rows, shift.dtype)
        products = [np.empty((a.stop - a.start, b.stop - b.start), shift.dtype) for a, b in parts]
        total, squares = np.zeros(d), np.zeros((d, d))
        with np.errstate(all="ignore"):
            for start in range(first, last, rows):
                part = x[start : min(start + rows, last)]
                z = np.subtract(part, shift, out=buffer[: len(part)])
                total += np.matmul(ones[: len(part)], z)
                for (a, b), product in zip(parts, products, strict=True):
                    squares[a, b] += np.matmul(z[:, a].T, z[:, b], out=product)
        return total, squares

    with single_threaded_blas():
        result = pool_map(run, range(len(bounds) - 1))
    total, squares = result[0]
    for more, others in result[1:]:
        total += more
        squares += others
    squares[half:, :half] = squares[:half, half:].T
    return total, squares


def _rough_mean(x: Any) -> Any:
    """Of every so many rows; corrected for its rounding: of a constant column it is the constant, to the bit."""
    sample = x[:: max(1, x.shape[0] // _SAMPLE)].astype(np.float64)
    mean = sample.mean(axis=0)
    rest = (sample - mean).mean(axis=0)
    return np.where(np.isfinite(rest), mean + rest, mean).astype(_computed(x.dtype))


def _computed(dtype: Any) -> Any:
    """What rows are computed in: half precision in float32, integers in float64."""
    if dtype.kind == "f":
        return np.promote_types(dtype, np.float32)
    return np.float64


def _unscaled(x: Any, scale: Any, /) -> str | None:
    return None if scale is None else "it is scaled, for the sake of numbers whose squares cannot be held"


@kernel(minimum_size=2**15, eligible=_unscaled)
def mean_covariance(x: Any, scale: Any, /) -> Any:
    """One pass, or two where the rough mean was far off; the body's, where float32 does not hold the squares."""
    n = x.shape[0]
    with np.errstate(all="ignore"):
        shift = _rough_mean(x)
        for _ in range(2):
            total, squares = _sums(x, shift)
            off = total / n
            squares -= np.outer(off, total)
            # Rounding may leave less than nothing of a variance that is nearly nothing.
            np.fill_diagonal(squares, np.maximum(np.diagonal(squares), 0.0))
            if not np.any(off * off * n > _FAR * np.diagonal(squares)):
                break
            shift = (shift + off).astype(shift.dtype)
        if x.dtype == np.float32 and np.all(np.isfinite(total)):
            largest = np.max(np.diagonal(squares)) / n
            if not _LEAST < largest < np.inf:
                return records()["linalg.mean_covariance"].body(x, None)
        mean = shift.astype(np.float64) + off
        result = load("pillars.linalg._covariance:MeanCovariance")
        return result(np.where(np.isfinite(shift), mean, shift), squares / (n - 1))
