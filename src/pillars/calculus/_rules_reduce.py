"""Derivative rules of reductions and running sums. Axes arrive as tuples of non-negative numbers."""

from __future__ import annotations

import math
from typing import Any

from pillars.calculus._norms import wide
from pillars.calculus._rules import is_complex, rule
from pillars.calculus._rules_directions import beside, kept, of_wide
from pillars.calculus._traced import strip

__all__ = ["spread"]


def spread(xp: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduced array over the reduced axes again, as a view where the library can."""
    if not keepdims and axes:
        g = xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return xp.broadcast_to(g, shape)


def _number(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axes)


def _reduction(name: str) -> Any:
    def forward(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Any:
        return getattr(xp, name)(x, axis=axes, keepdims=keepdims)

    return forward


def _pull_sum(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    return spread(xp, g, shape, axes, keepdims)


def _pull_mean(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    # divided while it is small
    share = xp.astype(wide(xp, g) / max(_number(shape, axes), 1), g.dtype)
    return spread(xp, share, shape, axes, keepdims)


def _pull_extreme(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    attained, base = strip(x == kept(xp, y, shape, axes)), getattr(xp, "base", xp)
    # counted in integers: a half ends at 65504
    ties = base.sum(base.astype(attained, base.int64), axis=axes, keepdims=True)
    g = kept(xp, g, shape, axes)
    share = wide(xp, g) / beside(xp, base.astype(ties, wide(base, strip(g)).dtype))
    return beside(xp, base.astype(attained, g.dtype)) * xp.astype(share, g.dtype)


def _forward_var(
    xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], correction: float
) -> Any:
    # of halves in single precision: NumPy sums them in their own
    return of_wide(xp, xp.var, x, axis=axes, correction=correction, keepdims=keepdims)


def _pull_var(
    xp: Any,
    g: Any,
    y: Any,
    x: Any,
    *,
    axes: tuple[int, ...],
    keepdims: bool,
    shape: tuple[int, ...],
    correction: float,
) -> Any:
    freedom, g, x = _number(shape, axes) - correction, wide(xp, g), wide(xp, x)
    scale = kept(xp, g, shape, axes) * (2.0 / freedom if freedom > 0 else math.nan)
    deviation = x - xp.mean(x, axis=axes, keepdims=True)
    return scale * (xp.conj(deviation) if is_complex(x) else deviation)


def _forward_cumulative(xp: Any, x: Any, *, axis: int) -> Any:
    return xp.cumulative_sum(x, axis=axis)


def _pull_cumulative(xp: Any, g: Any, y: Any, x: Any, *, axis: int) -> Any:
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


rule("sum", _pull_sum, forward=_reduction("sum"))
rule("mean", _pull_mean, forward=_reduction("mean"))
rule("max", _pull_extreme, keeps="ya", forward=_reduction("max"))
rule("min", _pull_extreme, keeps="ya", forward=_reduction("min"))
rule("var", _pull_var, keeps="a", forward=_forward_var)
rule("cumulative_sum", _pull_cumulative, forward=_forward_cumulative)
