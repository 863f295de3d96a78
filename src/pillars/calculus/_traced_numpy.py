"""The functions of the traced namespace that NumPy has beside the standard's elementwise ones, written with those."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._rules import is_complex
from pillars.calculus._traced import TracedArray, strip
from pillars.calculus._traced_functions import function

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
    found = space.base.nan_to_num(strip(x), nan=nan, posinf=posinf, neginf=neginf)
    return space.where(space.base.isfinite(strip(x)), x, found)


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


def _each(body: Any) -> Any:
    """A function of one array as one of several, which gives a tuple."""

    def one_or_more(space: Any, *arrays: Any) -> Any:
        if len(arrays) == 1:
            return body(space, space.asarray(arrays[0]))
        return tuple(body(space, space.asarray(x)) for x in arrays)

    one_or_more.__name__, one_or_more.__doc__ = body.__name__, body.__doc__
    return one_or_more


@function()
@_each
def atleast_1d(space: Any, x: Any, /) -> Any:
    """At least one axis."""
    return x if x.ndim else space.reshape(x, (1,))


@function()
@_each
def atleast_2d(space: Any, x: Any, /) -> Any:
    """At least two axes."""
    return x if x.ndim > 1 else space.reshape(x, (1, -1))


@function()
@_each
def atleast_3d(space: Any, x: Any, /) -> Any:
    """At least three axes, as NumPy adds them."""
    shape = x.shape
    if len(shape) >= 3:
        return x
    return space.reshape(x, {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)])


@function()
def vdot(space: Any, a: Any, b: Any, /) -> Any:
    """The sum of all products, of flattened arrays."""
    a, b = space.operand(a, "vdot"), space.operand(b, "vdot")
    a = space.conj(a) if is_complex(a) else a
    return space.matmul(space.reshape(a, (-1,)), space.reshape(b, (-1,)))


@function()
def matvec(space: Any, x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors, batches broadcast."""
    return space.matmul(x1, space.expand_dims(x2, axis=-1))[..., 0]


@function()
def vecmat(space: Any, x1: Any, x2: Any, /) -> Any:
    """Vectors times matrices, batches broadcast."""
    x1 = space.operand(x1, "vecmat")
    x1 = space.conj(x1) if is_complex(x1) else x1
    return space.matmul(space.expand_dims(x1, axis=-2), x2)[..., 0, :]


@function()
def ediff1d(space: Any, x: Any, /, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, with more at the ends perhaps."""
    flat = space.reshape(x, (-1,))
    parts = [to_begin, flat[1:] - flat[:-1], to_end]
    parts = [space.reshape(space.asarray(one), (-1,)) for one in parts if one is not None]
    return space.concat(parts) if len(parts) > 1 else parts[0]


def _spaced(space: Any, start: Any, stop: Any, num: int, endpoint: bool, axis: int) -> tuple[Any, Any]:
    """Start and stop, and shares of the way from one to the other along a new axis."""
    start, stop = (x if hasattr(x, "shape") else space.asarray(x) for x in (start, stop))
    like = start if type(start) is TracedArray else stop
    steps = max(num - 1 if endpoint else num, 1)
    way = stop - start
    # counted in float64: a half has no more than 2048 whole numbers in a row
    share = space.base.astype(space.base.arange(num, dtype=space.base.float64) / steps, like.dtype)
    share = space.base.reshape(share, (-1,) + (1,) * way.ndim)
    y = start + share * way
    y = (
        space.where(share == 1.0, stop, y) if endpoint and num > 1 else y
    )  # the end itself, not a rounding beside it
    return y if axis == 0 else space.moveaxis(y, 0, axis), way / steps


@function()
def linspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Evenly spaced numbers between two that may be traced."""
    y, step = _spaced(space, start, stop, num, endpoint, axis)
    y = y if dtype is None else space.astype(y, dtype)
    return (y, step) if retstep else y


@function()
def logspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Powers of evenly spaced exponents."""
    y = base ** _spaced(space, start, stop, num, endpoint, axis)[0]
    return y if dtype is None else space.astype(y, dtype)


@function()
def geomspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Numbers of equal ratios between two of one sign."""
    start, stop = space.asarray(start), space.asarray(stop)
    if is_complex(start) or is_complex(stop):
        raise space.no_rule("geomspace of complex numbers")
    sign = space.base.sign(strip(start))
    if bool(space.base.any(sign * strip(stop) <= 0)):
        raise ShapeError(
            f"geomspace: got start {strip(start)} and stop {strip(stop)}, expected two numbers of one sign, neither 0."
        )
    ends = space.log(sign * start), space.log(sign * stop)
    y = space.moveaxis(sign * space.exp(_spaced(space, *ends, num, endpoint, 0)[0]), 0, axis)
    return y if dtype is None else space.astype(y, dtype)
