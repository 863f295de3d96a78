"""Rows added to a table by XLA's scatter."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from pillars.backends._kernels import kernel

__all__ = ["scatter_rows"]


@kernel(traceable=True)
def scatter_rows(g: Any, places: Any, /, *, rows: int) -> Any:
    """A scatter that adds; a place outside the table is dropped, a negative one too."""
    at = places.astype(jnp.arange(0).dtype)
    return jnp.zeros((rows, g.shape[1]), g.dtype).at[jnp.where(at >= 0, at, rows)].add(g, mode="drop")
