"""Derivative rules of reductions and running sums. Axes arrive as tuples of non-negative numbers."""

from __future__ import annotations

import math
from typing import Any

from pillars.calculus._rules import is_complex, rule

__all__ = ["spread"]


def spread(xp: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduced array over the reduced axes again, as a view where the library can."""
    if not keepdims and axes:
        g = xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return xp.broadcast_to(g, shape)


def _kept(xp: Any, y: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """A reduced array with its reduced axes of length 1: broadcasting does the rest."""
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(shape)))


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
    return spread(xp, g / max(_number(shape, axes), 1), shape, axes, keepdims)


def _pull_extreme(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    attained = xp.astype(x == _kept(xp, y, shape, axes), g.dtype)
    return attained * (_kept(xp, g, shape, axes) / xp.sum(attained, axis=axes, keepdims=True))


def _forward_var(
    xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], correction: float
) -> Any:
    return xp.var(x, axis=axes, correction=correction, keepdims=keepdims)


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
    freedom = _number(shape, axes) - correction
    scale = _kept(xp, g, shape, axes) * (2.0 / freedom if freedom > 0 else math.nan)
    deviation = x - xp.mean(x, axis=axes, keepdims=True)
    return scale * (xp.conj(deviation) if is_complex(x) else deviation)


def _forward_norm(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Any:
    # vector_norm takes several axes, where norm takes two
    return xp.linalg.vector_norm(x, axis=axes, keepdims=keepdims)


def _pull_norm(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    y = _kept(xp, y, shape, axes)
    x = xp.conj(x) if is_complex(x) else x
    return _kept(xp, g, shape, axes) * (x / xp.where(y == 0, xp.ones_like(y), y))


def _forward_cumulative(xp: Any, x: Any, *, axis: int) -> Any:
    return xp.cumulative_sum(x, axis=axis)


def _pull_cumulative(xp: Any, g: Any, y: Any, x: Any, *, axis: int) -> Any:
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


rule("sum", _pull_sum, forward=_reduction("sum"))
rule("mean", _pull_mean, forward=_reduction("mean"))
rule("max", _pull_extreme, keeps="ya", forward=_reduction("max"))
rule("min", _pull_extreme, keeps="ya", forward=_reduction("min"))
rule("var", _pull_var, keeps="a", forward=_forward_var)
rule("vector_norm", _pull_norm, keeps="ya", forward=_forward_norm)
rule("cumulative_sum", _pull_cumulative, forward=_forward_cumulative)
