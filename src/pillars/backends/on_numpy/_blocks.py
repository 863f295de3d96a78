"""Rows in blocks that stay in a core's own cache, pieces of many blocks spread over the thread pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends._threads import num_threads, pool_map

__all__ = ["by_blocks", "row_dots"]

BLOCK = 2**18  # elements: one or two megabytes, in reach of a core's own cache
_THREADED = 2**20  # elements below which handing work to a thread costs more than it saves
_PIECES = 4  # for each thread, so that a slow one holds up little


def by_blocks(
    rows: int,
    length: int,
    work: Callable[[slice, Any], None],
    *,
    scratch: Any = None,
    block: int | None = None,
) -> None:
    """``work(rows of a block, scratch of that shape)`` for every block, pieces of them on the threads.

    Parameters
    ----------
    rows, length : of the whole.
    work : whatever it does to a row must not depend on how the rows are cut.
    scratch : dtype of an array of the block's shape, whose content is nobody's; None: none.
    block : elements a block has, or one row where that is longer; None: `BLOCK`.
    """
    step = max(1, (block or BLOCK) // max(length, 1))
    pieces = 1 if rows * length < _THREADED else min(_PIECES * num_threads(), -(-rows // step))
    bounds = [rows * piece // pieces for piece in range(pieces + 1)]

    def run(piece: int) -> None:
        first, last = bounds[piece], bounds[piece + 1]
        buffer = None if scratch is None else np.empty((min(step, last - first), length), scratch)
        for start in range(first, last, step):
            stop = min(start + step, last)
            work(slice(start, stop), None if buffer is None else buffer[: stop - start])

    pool_map(run, range(pieces))


_DOT = 2**13  # numbers above which OpenBLAS takes threads of its own for a dot product


def row_dots(x: Any, y: Any) -> Any:
    """Σ x·y of the rows of a block, as a column; `y` is another block, or a single row.

    NumPy's own sum along rows takes three times as long: with ones for `y` this is one, as accurate (1e-7 at 32,000
    float32 numbers), since the processor adds in many lanes.
    """
    length = x.shape[-1]
    if length <= _DOT:
        return np.vecdot(x, y)[:, None]
    whole = length - length % _DOT
    parts = np.vecdot(_cut(x, whole), _cut(y, whole))
    return (np.add.reduce(parts, axis=-1) + np.vecdot(x[..., whole:], y[..., whole:]))[:, None]


def _cut(x: Any, whole: int) -> Any:
    return x[..., :whole].reshape(*x.shape[:-1], -1, _DOT)
