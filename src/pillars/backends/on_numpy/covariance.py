"""Mean and covariance on NumPy: one pass, shifted by a rough mean, products in the data's own precision by blocks.

A block of a few thousand rows is shifted into a buffer that stays in the cache; its products (which BLAS computes as a
symmetric rank-k update) are added up in float64. The pieces that go to the threads depend on the shape alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._registry import load
from pillars.backends._threads import pool_map, single_threaded_blas

__all__ = ["mean_covariance"]

_ELEMENTS = 2**19  # of a block: two megabytes in float32
_PIECES = 8
_FAR = 0.1  # how much of a variance the shift may be off by, squared, before the pass is made again


def _sums(x: Any, shift: Any) -> tuple[Any, Any]:
    """Σ z and Σ z zᵀ of z = x − shift, in float64."""
    n, d = x.shape
    rows = max(64, min(2048, _ELEMENTS // d))
    pieces = min(_PIECES, -(-n // (4 * rows)))
    bounds = [n * piece // pieces for piece in range(pieces + 1)]

    def run(piece: int) -> tuple[Any, Any]:
        first, last = bounds[piece], bounds[piece + 1]
        buffer, products = np.empty((min(rows, last - first), d), x.dtype), np.empty((d, d), x.dtype)
        total, squares = np.zeros(d), np.zeros((d, d))
        with np.errstate(all="ignore"):
            for start in range(first, last, rows):
                part = x[start : min(start + rows, last)]
                z = np.subtract(part, shift, out=buffer[: len(part)])
                total += np.add.reduce(z, axis=0)
                squares += np.matmul(z.T, z, out=products)
        return total, squares

    with single_threaded_blas():
        found = pool_map(run, range(pieces))
    total, squares = found[0]
    for more, others in found[1:]:
        total += more
        squares += others
    return total, squares


@kernel(minimum_size=2**15)
def mean_covariance(x: Any, /) -> Any:
    """One pass, or two where the rough mean was far off."""
    n = x.shape[0]
    with np.errstate(all="ignore"):
        shift = x[:: max(1, n // 256)].mean(axis=0, dtype=np.float64).astype(x.dtype)
        for _ in range(2):
            total, squares = _sums(x, shift)
            off = total / n
            squares -= np.outer(off, total)
            if not np.any(off * off * n > _FAR * np.diagonal(squares)):
                break
            shift = (shift + off).astype(x.dtype)
        result = load("pillars.linalg._covariance:MeanCovariance")
        return result(shift.astype(np.float64) + off, squares / (n - 1))
