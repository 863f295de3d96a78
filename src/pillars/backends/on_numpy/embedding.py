"""Rows of a table taken, and added, by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends.on_numpy._blocks import by_blocks
from pillars.backends.on_numpy._sums import tree_sum

__all__ = ["embedding", "scatter_rows"]

_TURNS = 8  # equal numbers that are added one by one, all rows at a time; what is left goes number by number


@kernel()
def embedding(table: Any, indices: Any, /, *, padding_index: int | None) -> Any:
    """Whole rows copied: the numbers have been looked at; padding is the gradient's alone."""
    places, (_, d) = indices.reshape(-1), table.shape
    y = np.empty((places.size, d), table.dtype)

    def work(rows: slice, scratch: Any) -> None:
        np.take(table, places[rows], axis=0, out=y[rows], mode="clip")  # the default mode would buffer `out`

    by_blocks(places.size, d, work)
    return y.reshape(*indices.shape, d)


@kernel()
def scatter_rows(g: Any, places: Any, /, *, rows: int) -> Any:
    """Sorted by their places: all first ones at once, all second ones, and so on. Nothing is added in another order."""
    z = np.zeros((rows, g.shape[1]), g.dtype)
    known = np.flatnonzero((places >= 0) & (places < rows))
    order = known[np.argsort(places[known], kind="stable")]
    numbers = places[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(order.size, 1), bool), numbers[1:] != numbers[:-1]]))
    counts = np.diff(starts, append=order.size)
    for turn in range(min(_TURNS, int(counts.max(initial=0)))):
        at = starts[counts > turn] + turn
        z[numbers[at]] += g[order[at]]
    for start, count in zip(starts[counts > _TURNS], counts[counts > _TURNS], strict=True):
        z[numbers[start]] += tree_sum(g[order[start + _TURNS : start + count]], 0)
    return z
