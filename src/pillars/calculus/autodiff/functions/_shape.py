"""Shapes: what moves numbers and leaves them all in place."""

from __future__ import annotations

import math
import operator
from typing import Any

from pillars._errors import ShapeError
from pillars.backends import summed
from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._table import LINALG, axes_of, axis_of, function

__all__: list[str] = []

rule(
    "reshape",
    lambda xp, g, y, a, *, shape, old: xp.reshape(g, old),
    forward=lambda xp, a, *, shape, old: xp.reshape(a, shape),
)
rule(
    "permute_dims",
    lambda xp, g, y, a, *, axes: xp.permute_dims(g, _inverse(axes)),
    forward=lambda xp, a, *, axes: xp.permute_dims(a, axes),
)
rule(
    "flip",
    lambda xp, g, y, a, *, axis: xp.flip(g, axis=axis),
    forward=lambda xp, a, *, axis: xp.flip(a, axis=axis),
)
rule(
    "roll",
    lambda xp, g, y, a, *, shift, axis: xp.roll(
        g, tuple(-n for n in shift) if isinstance(shift, tuple) else -shift, axis=axis
    ),
    forward=lambda xp, a, *, shift, axis: xp.roll(a, shift, axis=axis),
)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    result = [0] * len(axes)
    for position, axis in enumerate(axes):
        result[axis] = position
    return tuple(result)


def _pull_broadcast(xp: Any, g: Any, y: Any, a: Any, *, shape: tuple[int, ...], old: tuple[int, ...]) -> Any:
    extra = len(shape) - len(old)
    axes = tuple(i for i, n in enumerate(shape) if i < extra or (old[i - extra] == 1 and n != 1))
    return xp.reshape(summed(g, axes), old)


rule(
    "broadcast_to",
    _pull_broadcast,
    forward=lambda xp, a, *, shape, old: xp.broadcast_to(a, shape),
)


# ------------------------------------------------------------------------------------------------------------ shapes
def _shaped(x: Any, shape: tuple[int, ...]) -> Any:
    old = x.shape
    return x if shape == old else apply_one(RULES["reshape"], x, {"shape": shape, "old": old})


@function()
def reshape(
    space: Any,
    x: Any,
    /,
    shape: Any = None,
    order: str = "C",
    *,
    newshape: Any = None,
    copy: bool | None = None,
) -> Any:
    """The same numbers in another shape, in C order."""
    if order != "C":
        raise space.no_rule(f"reshape with order {order!r}")
    shape = newshape if shape is None else shape
    wanted = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    if -1 in wanted:
        known = math.prod(n for n in wanted if n != -1)
        missing = x.size // known if known else 0
        wanted = tuple(missing if n == -1 else n for n in wanted)
    return _shaped(x, wanted)


@function()
def ravel(space: Any, x: Any, /, order: str = "C") -> Any:
    """One axis."""
    return space.reshape(x, (-1,), order=order)


@function("permute_dims", "transpose")
def transpose(space: Any, x: Any, /, axes: Any = None) -> Any:
    """Axes in another order; reversed without one."""
    ndim = x.ndim
    order = tuple(range(ndim))[::-1] if axes is None else axes_of(tuple(axes), ndim)
    return x if order == tuple(range(ndim)) else apply_one(RULES["permute_dims"], x, {"axes": order})


@function()
def matrix_transpose(space: Any, x: Any, /) -> Any:
    """The last two axes swapped."""
    return space.swapaxes(x, -1, -2)


@function()
def swapaxes(space: Any, x: Any, /, axis1: int, axis2: int) -> Any:
    """Two axes swapped."""
    order = list(range(x.ndim))
    first, second = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order[first], order[second] = second, first
    return space.permute_dims(x, tuple(order))


@function()
def moveaxis(space: Any, x: Any, source: Any, destination: Any, /) -> Any:
    """Axes at other places."""
    start, end = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    order = [i for i in range(x.ndim) if i not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return space.permute_dims(x, tuple(order))


@function()
def squeeze(space: Any, x: Any, /, axis: Any = None) -> Any:
    """Without axes of length 1."""
    shape = x.shape
    axes = tuple(i for i, n in enumerate(shape) if n == 1) if axis is None else axes_of(axis, len(shape))
    if any(shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: got shape {shape} and axis {axis}, expected axes of length 1.")
    return _shaped(x, tuple(n for i, n in enumerate(shape) if i not in axes))


@function()
def expand_dims(space: Any, x: Any, /, axis: Any = 0) -> Any:
    """New axes of length 1."""
    new = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = axes_of(new, x.ndim + len(new))
    lengths = iter(x.shape)
    return _shaped(x, tuple(1 if i in axes else next(lengths) for i in range(x.ndim + len(new))))


@function()
def broadcast_to(space: Any, x: Any, /, shape: Any) -> Any:
    """Repeated along new axes and axes of length 1."""
    wanted = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return x if wanted == x.shape else apply_one(RULES["broadcast_to"], x, {"shape": wanted, "old": x.shape})


@function()
def broadcast_arrays(space: Any, *arrays: Any) -> Any:
    """All in one shape."""
    plain = space.base.broadcast_arrays(*(strip(x) for x in arrays))
    return tuple(space.broadcast_to(x, tuple(p.shape)) for x, p in zip(arrays, plain, strict=True))


@function()
def flip(space: Any, x: Any, /, axis: Any = None) -> Any:
    """Reversed along axes."""
    return apply_one(RULES["flip"], x, {"axis": axes_of(axis, x.ndim)})


@function()
def roll(space: Any, x: Any, /, shift: Any, axis: Any = None) -> Any:
    """Shifted along axes, around the end; the flattened array without one."""
    if axis is None:
        return space.reshape(space.roll(space.reshape(x, (-1,)), shift, 0), x.shape)
    return apply_one(RULES["roll"], x, {"shift": _whole(shift), "axis": _whole(axis)})


def _whole(numbers: Any) -> Any:
    """An integer, or several as a tuple: what a rule may keep."""
    if getattr(numbers, "shape", None) or isinstance(numbers, (list, tuple)):
        return tuple(operator.index(one) for one in numbers)
    return operator.index(numbers)


@function()
def tile(space: Any, x: Any, repetitions: Any, /) -> Any:
    """The array beside itself."""
    times = tuple(repetitions) if isinstance(repetitions, (tuple, list)) else (repetitions,)
    ndim = max(len(times), x.ndim)
    shape = (1,) * (ndim - x.ndim) + x.shape
    times = (1,) * (ndim - len(times)) + times
    paired = tuple(n for pair in zip((1,) * ndim, shape, strict=True) for n in pair)
    spread = tuple(n for pair in zip(times, shape, strict=True) for n in pair)
    whole = tuple(t * n for t, n in zip(times, shape, strict=True))
    return space.reshape(space.broadcast_to(space.reshape(x, paired), spread), whole)


@function()
def repeat(space: Any, x: Any, repeats: Any, /, axis: int | None = None) -> Any:
    """Each element several times."""
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    numbers = space.base.arange(x.shape[axis], device=x.device)
    return space.take(x, space.base.repeat(numbers, strip(repeats)), axis=axis)


# ----------------------------------------------------------------------------------------------------------- picking
LINALG["matrix_transpose"] = matrix_transpose


# ------------------------------------------------------------------------------------------------------------ turning
@function()
def fliplr(space: Any, x: Any, /) -> Any:
    """Columns reversed."""
    return space.flip(x, axis=1)


@function()
def flipud(space: Any, x: Any, /) -> Any:
    """Rows reversed."""
    return space.flip(x, axis=0)


@function()
def rot90(space: Any, x: Any, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turned by quarters."""
    for _ in range(k % 4):
        x = space.flip(space.swapaxes(x, *axes), axis=axes[0])
    return x


@function()
def rollaxis(space: Any, x: Any, /, axis: int, start: int = 0) -> Any:
    """An axis at another place."""
    axis = axis_of(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    order = [i for i in range(x.ndim) if i != axis]
    order.insert(start - (axis < start), axis)
    return space.permute_dims(x, tuple(order))


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
