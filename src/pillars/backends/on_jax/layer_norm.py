"""Normalisation on the CPU in the form that XLA fuses into one pass over the memory, and the body where that fails.

The specification scales what would overflow, and shifts before the mean; both add to what a pass computes. Unscaled, a
slice whose squares overflow comes out as its bias, or as NaN. That is looked for in one feature of each slice; where it
is found, a maximum of all of x says whether it is so (padding looks alike), and only then the body runs. It runs in a
loop of at most one turn: a conditional would copy the whole result. On a GPU the loop would wait for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._kernels import kernel
from pillars.backends._record import records

__all__ = ["layer_norm", "rms_norm"]

# The specification's for float32: what is between them needs no scaling.
_LARGE, _SMALL = 2.0**48, 2.0**-30


@kernel(traceable=True)
def layer_norm(x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any) -> Any:
    """Mean, variance, result."""

    def plain() -> Any:
        # about one of the slice's own numbers: no mean far from 0 is rounded, and a constant slice is zeros to the bit
        z = x - x[tuple(slice(1) if place in _axes(x, axis) else slice(None) for place in range(x.ndim))]
        z = z - jnp.mean(z, axis=axis, keepdims=True)
        return _times(z, x, weight, bias, axis, epsilon)

    body = records()["layers.layer_norm"].body
    return _guarded(plain, lambda: body(x, weight, bias, axis=axis, epsilon=epsilon), x, bias, axis, epsilon)


@kernel(traceable=True)
def rms_norm(x: Any, weight: Any, /, *, axis: Any, epsilon: Any) -> Any:
    """Mean square, result."""
    body = records()["layers.rms_norm"].body
    return _guarded(
        lambda: _times(x, x, weight, None, axis, epsilon),
        lambda: body(x, weight, axis=axis, epsilon=epsilon),
        x,
        None,
        axis,
        epsilon,
    )


def _times(z: Any, x: Any, weight: Any, bias: Any, axis: Any, epsilon: Any) -> Any:
    if not isinstance(epsilon, float):  # nobody has looked at it
        epsilon = jnp.where(epsilon >= 0, epsilon, jnp.nan)
    least = jnp.maximum(epsilon, float(jnp.finfo(x.dtype).smallest_normal))
    y = z * jax.lax.rsqrt(jnp.mean(z * z, axis=axis, keepdims=True) + least)
    shape = _beside(x, axis)
    y = y if weight is None else y * jnp.reshape(weight, shape)
    return y if bias is None else y + jnp.reshape(bias, shape)


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    return tuple(one % x.ndim for one in (axis if isinstance(axis, tuple) else (axis,)))


def _beside(x: Any, axis: Any) -> tuple[int, ...]:
    """The shape of a weight beside x."""
    return tuple(n if place in _axes(x, axis) else 1 for place, n in enumerate(x.shape))


def _guarded(
    plain: Callable[[], Any], body: Callable[[], Any], x: Any, bias: Any, axis: Any, epsilon: Any
) -> Any:
    first = tuple(0 if place in _axes(x, axis) else slice(None) for place in range(x.ndim))

    def fused() -> Any:
        # or the question below would be fused into it, and split it
        y = jax.lax.optimization_barrier(plain())
        seen, nothing = y[first], 0.0 if bias is None else jnp.reshape(bias, -1)[0]
        tiny = jnp.asarray(epsilon < _SMALL**2)
        odd = tiny | jnp.any((seen == nothing) | jnp.isnan(seen))

        def look() -> Any:
            size = jnp.max(jnp.abs(x), axis=axis, initial=0.0)
            # neither a number beyond it nor NaN is below it
            return ~(jnp.max(size, initial=0.0) <= _LARGE) | (tiny & jnp.any((size > 0) & (size < _SMALL)))

        lost = jax.lax.cond(odd, look, lambda: jnp.asarray(False))
        made, _ = jax.lax.while_loop(
            lambda state: state[1], lambda state: (body(), jnp.asarray(False)), (y, lost)
        )
        return made

    return jax.lax.platform_dependent(cpu=fused, default=body)
