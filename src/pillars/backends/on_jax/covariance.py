"""Mean and covariance on JAX: a loop over blocks of rows, shifted by a rough mean, so that no centred copy is made."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._kernels import kernel
from pillars.backends._registry import load

__all__ = ["mean_covariance"]

_ROWS = 4096


def _many_rows(x: Any, /) -> str | None:
    return None if x.shape[0] >= 2 * _ROWS else f"{x.shape[0]} rows are fewer than two blocks of {_ROWS}"


@kernel(eligible=_many_rows, traceable=True)
def mean_covariance(x: Any, /) -> Any:
    """One pass; the rest of the rows, less than a block, comes last."""
    n, d = x.shape
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    shift = jnp.mean(x[:: n // 256], axis=0)

    def add(state: tuple[Any, Any], part: Any) -> tuple[Any, Any]:
        z = part - shift
        return state[0] + jnp.sum(z, axis=0), state[1] + z.T @ z

    def step(i: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        return add(state, jax.lax.dynamic_slice_in_dim(x, i * _ROWS, _ROWS))

    zero = jnp.zeros_like(shift), jnp.zeros((d, d), x.dtype)
    state = jax.lax.fori_loop(0, n // _ROWS, step, zero)
    total, squares = add(state, x[n // _ROWS * _ROWS :])
    off = total / n
    result = load("pillars.linalg._covariance:MeanCovariance")
    return result(shift + off, (squares - jnp.outer(off, total)) / (n - 1))
