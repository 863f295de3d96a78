"""The functions of the traced namespace that move numbers: shapes, joining, picking."""

from __future__ import annotations

import math
import operator
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._rules import RULES
from pillars.calculus._traced import TracedArray, apply, apply_one, strip
from pillars.calculus._traced_functions import LINALG, axes_of, axis_of, function

__all__: list[str] = []


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


def _triangle(name: str) -> Any:
    def triangle(space: Any, x: Any, /, k: int = 0) -> Any:
        return apply_one(RULES[name], x, {"k": k})

    return triangle


function("tril")(_triangle("tril"))
function("triu")(_triangle("triu"))


# ----------------------------------------------------------------------------------------------------------- joining
@function("concat", "concatenate")
def concat(space: Any, arrays: Any, /, axis: int | None = 0, out: None = None, *, dtype: Any = None) -> Any:
    """Joined along an axis; flattened and joined where it is None."""
    space.no_out(out)
    parts = [space.operand(x, "concat") for x in arrays]
    if axis is None:
        parts, axis = [space.reshape(x, (-1,)) for x in parts], 0
    axis = axis_of(axis, len(parts[0].shape))
    cuts = [0]
    for x in parts:
        cuts.append(cuts[-1] + x.shape[axis])
    y = apply(RULES["concat"], tuple(parts), {"axis": axis, "cuts": tuple(cuts)})
    return y if dtype is None else space.astype(y, dtype)


@function()
def stack(space: Any, arrays: Any, /, axis: int = 0, out: None = None, *, dtype: Any = None) -> Any:
    """Joined along a new axis."""
    space.no_out(out)
    parts = tuple(space.operand(x, "stack") for x in arrays)
    shape = getattr(parts[0], "shape", ())
    if not all(hasattr(x, "shape") for x in parts):
        like = next(x for x in parts if type(x) is TracedArray)
        parts = tuple(x if hasattr(x, "shape") else space.base.asarray(x, dtype=like.dtype) for x in parts)
    y = apply(RULES["stack"], parts, {"axis": axis_of(axis, len(shape) + 1)})
    return y if dtype is None else space.astype(y, dtype)


@function()
def hstack(space: Any, arrays: Any, /, *, dtype: Any = None) -> Any:
    """Joined along the second axis, vectors along their only one."""
    parts = [space.atleast_1d(x) for x in arrays]
    return space.concat(parts, axis=0 if parts[0].ndim == 1 else 1, dtype=dtype)


@function()
def vstack(space: Any, arrays: Any, /, *, dtype: Any = None) -> Any:
    """Joined along the first axis, vectors as rows."""
    return space.concat([space.atleast_2d(x) for x in arrays], axis=0, dtype=dtype)


@function()
def column_stack(space: Any, arrays: Any, /) -> Any:
    """Vectors as columns, matrices side by side."""
    parts = [space.atleast_1d(space.asarray(x)) for x in arrays]
    return space.concat([x if x.ndim > 1 else space.reshape(x, (-1, 1)) for x in parts], axis=1)


@function()
def unstack(space: Any, x: Any, /, *, axis: int = 0) -> Any:
    """The slices along an axis."""
    return tuple(space.moveaxis(x, axis, 0))


# ----------------------------------------------------------------------------------------------------------- picking
def _pick(space: Any, x: Any, how: str, index: Any, axis: int) -> Any:
    return apply_one(RULES["gather"], x, {"index": index, "shape": x.shape, "how": how, "axis": axis})


@function()
def getitem(space: Any, x: Any, index: Any) -> Any:
    """``x[index]``: integers, slices, ellipsis, newaxis, integer arrays, boolean masks."""
    if isinstance(index, tuple):
        return _pick(space, x, "index", tuple([_index_part(space, part, x) for part in index]), 0)
    return _pick(space, x, "index", _index_part(space, index, x), 0)


def _index_part(space: Any, part: Any, x: Any) -> Any:
    if part is None or part is ... or isinstance(part, (int, slice)):
        return part
    plain = space.frozen(part, x)
    return operator.index(plain) if plain.shape == () and space.counts(plain.dtype) else plain


@function()
def take(
    space: Any, x: Any, indices: Any, /, axis: int | None = None, out: None = None, mode: str = "raise"
) -> Any:
    """Slices by number along an axis, some more than once perhaps."""
    space.no_out(out)
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    places = space.frozen(indices, x)
    if mode == "wrap":
        places = places % x.shape[axis]
    elif mode == "clip":
        places = space.base.clip(places, 0, x.shape[axis] - 1)
    return _pick(space, x, "take", places, axis)


@function()
def take_along_axis(space: Any, x: Any, indices: Any, /, axis: int | None = -1) -> Any:
    """Elements by number along an axis, matched in the others."""
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    return _pick(space, x, "take_along_axis", space.frozen(indices, x), axis_of(axis, x.ndim))


def _diagonal(space: Any, x: Any, offset: int, axis1: int, axis2: int) -> Any:
    first, second = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    x = space.permute_dims(x, (*(i for i in range(x.ndim) if i not in (first, second)), first, second))
    rows, columns = x.shape[-2:]
    start, length = max(0, -offset), max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    flat = space.reshape(x, (*x.shape[:-2], rows * columns))
    begin = start * columns + max(0, offset)
    stop = begin + length * (columns + 1)
    return flat[(..., slice(begin, min(stop, rows * columns) if length else begin, columns + 1))]


@function()
def diagonal(space: Any, x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the first two axes, as NumPy has it."""
    return _diagonal(space, x, offset, axis1, axis2)


@function()
def trace(
    space: Any,
    x: Any,
    /,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
    out: None = None,
) -> Any:
    """The sum of the diagonal of the first two axes, as NumPy has it."""
    space.no_out(out)
    return space.sum(_diagonal(space, x, offset, axis1, axis2), axis=-1, dtype=dtype)


@function("diagonal", linalg=True)
def _diagonal_last(space: Any, x: Any, /, *, offset: int = 0) -> Any:
    return _diagonal(space, x, offset, -2, -1)


@function("trace", linalg=True)
def _trace_last(space: Any, x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return space.sum(_diagonal(space, x, offset, -2, -1), axis=-1, dtype=dtype)


LINALG["matrix_transpose"] = matrix_transpose
