"""Moments of a block of rows on NumPy: float64 slices in one kept buffer, cast inside the subtraction.

A fresh array of two megabytes costs the page faults of its memory, as much as the products of 4096 rows of 64; with
the buffer a block takes a third of the portable body's time.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel

__all__ = ["block_moments"]

_ELEMENTS = 2**17  # of the buffer, one a thread: a megabyte
_kept = threading.local()


def _buffer(rows: int, d: int) -> Any:
    """An array (rows, d) of float64 whose content is nobody's: this thread's, until its next call."""
    if rows * d > _ELEMENTS:
        return np.empty((rows, d))
    if not hasattr(_kept, "buffer"):
        _kept.buffer = np.empty(_ELEMENTS)
    return _kept.buffer[: rows * d].reshape(rows, d)


@kernel()
def block_moments(x: Any, /) -> tuple[Any, Any, Any]:
    """Sums, then products of what is left without the mean, slice by slice."""
    n, d = x.shape
    with np.errstate(all="ignore"):
        mean = np.sum(x, axis=0, dtype=np.float64) / max(n, 1)
        rest, m2 = np.zeros(d), np.zeros((d, d))
        rows = max(1, min(n, _ELEMENTS // max(d, 1)))
        buffer, products = _buffer(rows, d), np.empty((d, d))
        for begin in range(0, n, rows):
            part = x[begin : begin + rows]
            z = buffer[: len(part)]
            np.subtract(part, mean, out=z)
            rest += np.sum(z, axis=0)
            np.matmul(z.T, z, out=products)
            m2 += products
        rest /= max(n, 1)
        m2 -= n * np.outer(rest, rest)
        return np.asarray(float(n)), np.where(np.isfinite(rest), mean + rest, mean), m2
