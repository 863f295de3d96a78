"""Mean and covariance on JAX: a loop over blocks of rows, shifted by a rough mean, so that no centred copy is made.

The columns are taken in quarters, each times itself and what comes after it: of the products that are each other's
transpose one is computed, five eighths of the work, and the factors are still large.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._kernels import kernel
from pillars.backends._registry import load

__all__ = ["mean_covariance"]

_ROWS = 4096
_SAMPLE = 256
_CUT = 128  # columns from which on quarters are faster than the whole


@kernel(traceable=True)
def mean_covariance(x: Any, scale: Any, /) -> Any:
    """One pass; the rest of the rows, less than a block, comes last."""
    n, d = x.shape
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    wide = jnp.promote_types(x.dtype, jnp.result_type(float))

    def scaled(part: Any) -> Any:
        return part if scale is None else part * scale.astype(x.dtype)

    sample = scaled(x[:: max(1, n // _SAMPLE)])
    shift = jnp.mean(sample, axis=0)
    # Corrected for its rounding, it is the constant of a constant column, to the bit.
    shift = _corrected(shift, jnp.mean(sample - shift, axis=0))
    rows = min(n, _ROWS)
    firsts = range(0, d, -(-d // 4) if d >= _CUT else d)

    def add(state: Any, part: Any) -> Any:
        z = scaled(part) - shift
        more = jnp.sum(z, axis=0), *(z[:, first : first + firsts.step].T @ z[:, first:] for first in firsts)
        return tuple(total + one for total, one in zip(state, more, strict=True))

    def step(i: Any, state: Any) -> Any:
        return add(state, jax.lax.dynamic_slice_in_dim(x, i * rows, rows))

    shapes = (d,), *((min(firsts.step, d - first), d - first) for first in firsts)
    state = jax.lax.fori_loop(0, n // rows, step, tuple(jnp.zeros(shape, wide) for shape in shapes))
    total, *parts = add(state, x[n // rows * rows :]) if n % rows else state
    off = total / n
    upper = jnp.concatenate([jnp.pad(part, ((0, 0), (d - part.shape[1], 0))) for part in parts])
    squares = jnp.triu(upper) + jnp.triu(upper, 1).T
    result = load("pillars.linalg._covariance:MeanCovariance")
    mean = _corrected(shift, off).astype(x.dtype)
    covariance = (squares - jnp.outer(off, total)) / (n - 1)
    # Rounding may leave less than nothing of a variance that is nearly nothing.
    covariance = jnp.where(jnp.eye(d, dtype=bool), jnp.maximum(covariance, 0.0), covariance)
    return result(mean if scale is None else mean / scale.astype(x.dtype), covariance.astype(x.dtype))


def _corrected(mean: Any, rest: Any) -> Any:
    """An infinite mean stays so: what is left of it is NaN."""
    return jnp.where(jnp.isfinite(mean), mean + rest, mean)
