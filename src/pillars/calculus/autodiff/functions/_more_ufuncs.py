"""The functions of the traced namespace that NumPy has beside the standard's elementwise ones, written with those."""

from __future__ import annotations

import math
from typing import Any

from pillars.calculus.autodiff._traced_array import TracedArray, strip
from pillars.calculus.autodiff.functions._table import function

__all__: list[str] = []


def _is_nan(space: Any, x: Any) -> Any:
    x = strip(x)
    return space.base.isnan(x) if hasattr(x, "dtype") else math.isnan(x)


@function()
def fmax(space: Any, x1: Any, x2: Any, /) -> Any:
    """The larger; of a NaN and a number the number."""
    x1, x2 = space.operand(x1, "fmax"), space.operand(x2, "fmax")
    y = space.where(_is_nan(space, x1), x2, space.maximum(x1, x2))
    return space.where(_is_nan(space, x2), x1, y)


@function()
def fmin(space: Any, x1: Any, x2: Any, /) -> Any:
    """The smaller; of a NaN and a number the number."""
    x1, x2 = space.operand(x1, "fmin"), space.operand(x2, "fmin")
    y = space.where(_is_nan(space, x1), x2, space.minimum(x1, x2))
    return space.where(_is_nan(space, x2), x1, y)


@function()
def fmod(space: Any, x1: Any, x2: Any, /) -> Any:
    """What is left of `x1` after whole steps of `x2`, with the sign of `x1`."""
    return x1 - space.base.trunc(strip(x1) / strip(x2)) * x2


@function()
def divmod(space: Any, x1: Any, x2: Any, /) -> Any:  # noqa: A001 - NumPy's name
    """The whole quotient, a constant, and the remainder."""
    return space.floor_divide(x1, x2), space.remainder(x1, x2)


@function()
def modf(space: Any, x: Any, /) -> Any:
    """The part behind the point, and the part before it, a constant."""
    whole = space.base.trunc(strip(x))
    return x - whole, space.constant(whole)


@function()
def ldexp(space: Any, x: Any, exponent: Any, /) -> Any:
    """`x` times a power of two."""
    if type(exponent) is TracedArray:
        raise space.no_rule("ldexp by an exponent")
    return x * space.base.ldexp(space.base.ones((), dtype=x.dtype), exponent)


@function()
def logaddexp2(space: Any, x1: Any, x2: Any, /) -> Any:
    """The logarithm to base 2 of 2ˣ¹ + 2ˣ²."""
    two = math.log(2.0)
    x1, x2 = space.operand(x1, "logaddexp2"), space.operand(x2, "logaddexp2")
    return space.logaddexp(two * x1, two * x2) / two


@function()
def sinc(space: Any, x: Any, /) -> Any:
    """sin(πx)/(πx): near 0 its series, as the quotient has no slope there."""
    z = math.pi * x
    small = space.base.abs(strip(z)) < 0.1
    q = z * z
    series = 1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0 * (1.0 - q / 110.0))))
    safe = space.where(small, 1.0, z)
    return space.where(small, series, space.sin(safe) / safe)


@function()
def heaviside(space: Any, x1: Any, x2: Any, /) -> Any:
    """The step: 0, 1, and at 0 the second argument, which has the gradient there."""
    plain = space.base.heaviside(strip(x1), 0.0)
    return space.where(strip(x1) == 0, x2, plain)


@function()
def nan_to_num(
    space: Any, x: Any, /, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Finite numbers for those that are not; these have gradient 0."""
    result = space.base.nan_to_num(strip(x), nan=nan, posinf=posinf, neginf=neginf)
    return space.where(space.base.isfinite(strip(x)), x, result)


@function()
def unwrap(
    space: Any, p: Any, /, discont: Any = None, axis: int = -1, *, period: float = 2.0 * math.pi
) -> Any:
    """Angles without jumps of a period, by constants that are added."""
    plain = strip(p)
    return p + (space.base.unwrap(plain, discont=discont, axis=axis, period=period) - plain)


@function()
def polyval(space: Any, p: Any, x: Any, /) -> Any:
    """A polynomial with the highest power first, by Horner's rule."""
    x = space.operand(x, "polyval")
    y = 0.0 * x
    for i in range(len(p)):
        y = y * x + p[i]
    return y
