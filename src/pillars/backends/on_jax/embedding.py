"""Rows of a table, and rows added to one by XLA's scatter."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._kernels import kernel

__all__ = ["embedding", "scatter_rows"]


def _padded(table: Any, indices: Any, /, *, padding_index: int | None) -> str | None:
    return "there is no padding, whose gradient is to stop" if padding_index is None else None


@kernel(eligible=_padded, traceable=True)
def embedding(table: Any, indices: Any, /, *, padding_index: int | None) -> Any:
    """A gather, behind whose padding JAX's own derivative finds nothing to add to."""
    known = (indices >= 0) & (indices < table.shape[0])
    rows = jnp.take(table, jnp.where(known, indices, 0), axis=0)
    rows = jnp.where((indices == padding_index)[..., None], jax.lax.stop_gradient(rows), rows)
    return jnp.where(known[..., None], rows, jnp.nan)


@kernel(traceable=True)
def scatter_rows(g: Any, places: Any, /, *, rows: int) -> Any:
    """A scatter that adds; a place outside the table is dropped, a negative one too."""
    at = places.astype(jnp.arange(0).dtype)
    return jnp.zeros((rows, g.shape[1]), g.dtype).at[jnp.where(at >= 0, at, rows)].add(g, mode="drop")
