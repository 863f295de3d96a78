"""Sizes, |z|, hypot, deviations: their slope is a direction, which 0 does not have.

At 0 the slope is 0 by convention. A second derivative there asks how the direction changes: where the answer hangs on
it, it is NaN and no convention's number. (Squares and higher powers of a size are differentiated without it:
:mod:`pillars.calculus.autodiff.functions._squares`.)

Directions are taken of scaled numbers where a square, or the size itself, would overflow or vanish.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from pillars.backends import backend_of_type, dtype_kind
from pillars.calculus._norms import wide
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import strip

__all__ = ["along", "beside", "internal", "kept", "of_wide", "scale_of", "values_of"]


def internal(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """The forward function of a primitive that no namespace has: on values of an outer trace it is recorded there."""

    def forward(xp: Any, *operands: Any, **options: Any) -> Any:
        record = getattr(xp, "apply_rule", None)
        return plain(xp, *operands, **options) if record is None else record(RULES[name], operands, options)

    return forward


def beside(xp: Any, x: Any) -> Any:
    """A plain array in the form that works beside values of `xp`."""
    return xp.constant(x) if hasattr(xp, "apply_rule") else x


def of_wide(xp: Any, f: Callable[..., Any], x: Any, **options: Any) -> Any:
    """A reduction of halves in single precision, rounded once."""
    y = f(wide(xp, x), **options)
    return y if dtype_kind(x.dtype) != "half" else xp.astype(xp.asarray(y), x.dtype)


def kept(xp: Any, y: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """A reduced array with its reduced axes of length 1: broadcasting does the rest."""
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(shape)))


# --------------------------------------------------------------------------------------------- products with directions
def _pull_cotangent(xp: Any, w: Any, y: Any, g: Any, u: Any, *, known: Any) -> Any:
    return w * xp.where(known, u, math.nan)


def _pull_direction(xp: Any, w: Any, y: Any, g: Any, u: Any, *, known: Any) -> Any:
    return w * xp.where(known | strip(g == 0), g, math.nan)


rule(
    "along",
    _pull_cotangent,
    _pull_direction,
    keeps="ab",
    forward=internal("along", lambda xp, g, u, *, known: g * u),
    elementwise=True,
)


def along(xp: Any, g: Any, u: Any, known: Any) -> Any:
    """g·u for a slope u that is 0 by convention where it is not known; what hangs on it there is NaN."""
    return RULES["along"].forward(xp, g, u, known=strip(known))  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------- magnitudes
def values_of(xp: Any, plain: Any) -> tuple[Any, bool]:
    """The namespace of plain values, and whether to branch on them costs nothing."""
    owner = backend_of_type(type(plain))
    return getattr(xp, "base", xp), owner is None or owner.host


def _near_the_ends(xp: Any, size: Any) -> Any:
    """What to multiply by for a size with all its digits that has not overflowed: powers of two; None where none is."""
    base, host = values_of(xp, size)
    info = base.finfo(size.dtype)
    small, large = size < 4.0 * float(info.smallest_normal), size > float(info.max) / 4.0
    if host and not bool(base.any(small | large)):
        return None
    one = base.ones_like(size)
    return base.where(small, one * (4.0 / float(info.eps)), base.where(large, one * 0.125, one))


def _ratio(xp: Any, g: Any, top: Any, size: Callable[[Any], Any], plain: Any) -> Any:
    """g·top/size, with `size(scale)` the size of scaled numbers, and `plain` its value for those as they are."""
    scale = _near_the_ends(xp, plain)
    if scale is None:
        return g * (top / size(1.0))
    known, scale = plain != 0, beside(xp, scale)
    length = size(scale)
    return along(xp, g, top * scale / xp.where(known, length, xp.ones_like(length)), known)


def _pull_abs(xp: Any, g: Any, y: Any, a: Any) -> Any:
    if not is_complex(a):
        return along(xp, g, xp.sign(a), a != 0)
    return _ratio(xp, g, xp.conj(a), lambda scale: xp.abs(a * scale), strip(xp.abs(a)))


rule("abs", _pull_abs, keeps="a", elementwise=True, infix=operator.abs)


def _pull_leg(xp: Any, g: Any, y: Any, a: Any, b: Any) -> Any:
    return _ratio(xp, g, a, lambda scale: xp.hypot(a * scale, b * scale), strip(y))


rule(
    "hypot",
    _pull_leg,
    lambda xp, g, y, a, b: _pull_leg(xp, g, y, b, a),
    keeps="yab",
    elementwise=True,
)
rule(
    "copysign",
    lambda xp, g, y, a, b: along(xp, g, xp.sign(a) * xp.sign(y), a != 0),
    lambda xp, g, y, a, b: xp.zeros_like(y),
    keeps="ya",
    elementwise=True,
)


# --------------------------------------------------------------------------------------------------------------- norms
def scale_of(base: Any, sizes: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Where a slice is not 0 all over, and what to divide it by so that its largest entry is 1."""
    largest = (base.sum if 0 in sizes.shape else base.max)(sizes, axis=axes, keepdims=True)
    known = largest != 0
    return known, base.where(known & base.isfinite(largest), largest, base.ones_like(largest))


# ---------------------------------------------------------------------------------------------------------- deviations
def _forward_std(
    xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], correction: float
) -> Any:
    return of_wide(xp, xp.std, x, axis=axes, correction=correction, keepdims=keepdims)


def _pull_std(
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
    """Of a norm of deviations: 0 where they are all 0."""
    freedom = math.prod(shape[i] for i in axes) - correction
    g, y, x = kept(xp, wide(xp, g), shape, axes), kept(xp, wide(xp, y), shape, axes), wide(xp, x)
    known = strip(y != 0)
    deviation = x - xp.mean(x, axis=axes, keepdims=True)
    deviation = xp.conj(deviation) if is_complex(x) else deviation
    size = xp.where(known, y, xp.ones_like(y)) * (freedom if freedom > 0 else math.nan)
    return along(xp, g, deviation / size, known)


rule("std", _pull_std, keeps="ya", forward=_forward_std)
