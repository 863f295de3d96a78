"""The functions of the traced namespace that split, join and pad, and those that build a matrix of vectors."""

from __future__ import annotations

import itertools
import operator
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._rules import RULES
from pillars.calculus._traced import strip
from pillars.calculus._traced_functions import axis_of, function

__all__: list[str] = []


# ---------------------------------------------------------------------------------------------------------- splitting
def _cuts(n: int, sections: Any) -> list[int]:
    if hasattr(sections, "__len__"):
        return [0, *(operator.index(one) for one in sections), n]
    number = operator.index(sections)
    size, longer = divmod(n, number)
    return [min(i, longer) + i * size for i in range(number + 1)]


@function()
def array_split(space: Any, x: Any, sections: Any, /, axis: int = 0) -> Any:
    """Pieces along an axis, as many as said or cut at these places."""
    axis = axis_of(axis, x.ndim)
    cuts, before = _cuts(x.shape[axis], sections), (slice(None),) * axis
    return [x[(*before, slice(a, b), ...)] for a, b in itertools.pairwise(cuts)]


@function()
def split(space: Any, x: Any, sections: Any, /, axis: int = 0) -> Any:
    """Pieces along an axis: equal ones, or cut at these places."""
    if not hasattr(sections, "__len__") and x.shape[axis_of(axis, x.ndim)] % sections:
        raise ShapeError(
            f"split: got {x.shape[axis]} along axis {axis}, expected a multiple of {sections}. Use array_split."
        )
    return space.array_split(x, sections, axis=axis)


@function()
def hsplit(space: Any, x: Any, sections: Any, /) -> Any:
    """Pieces along the second axis, of a vector along its only one."""
    return space.split(x, sections, axis=1 if x.ndim > 1 else 0)


@function()
def vsplit(space: Any, x: Any, sections: Any, /) -> Any:
    """Pieces along the first axis."""
    return space.split(x, sections, axis=0)


@function()
def dsplit(space: Any, x: Any, sections: Any, /) -> Any:
    """Pieces along the third axis."""
    return space.split(x, sections, axis=2)


# ----------------------------------------------------------------------------------------------------------- joining
@function()
def dstack(space: Any, arrays: Any, /) -> Any:
    """Joined along the third axis."""
    return space.concat([space.atleast_3d(space.operand(x, "dstack")) for x in arrays], axis=2)


@function()
def append(space: Any, x: Any, values: Any, /, axis: int | None = None) -> Any:
    """Joined along an axis; flattened and joined without one."""
    return space.concat([space.asarray(x), space.asarray(values)], axis=axis)


@function()
def block(space: Any, arrays: Any, /) -> Any:
    """Nested lists of blocks as one array."""

    def depth(x: Any) -> int:
        return 1 + max(depth(one) for one in x) if isinstance(x, list) else 0

    def least(x: Any) -> Any:
        x = space.asarray(x)
        return space.reshape(x, (1,) * (axes - x.ndim) + tuple(x.shape)) if x.ndim < axes else x

    def join(x: Any, level: int) -> Any:
        return (
            space.concat([join(one, level - 1) for one in x], axis=-level)
            if isinstance(x, list)
            else least(x)
        )

    def dimensions(x: Any) -> int:
        return max(dimensions(one) for one in x) if isinstance(x, list) else len(getattr(x, "shape", ()))

    levels = depth(arrays)
    axes = max(levels, dimensions(arrays))
    return join(arrays, levels)


@function()
def delete(space: Any, x: Any, places: Any, /, axis: int | None = None) -> Any:
    """Without these places along an axis."""
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    kept = space.base.delete(space.base.arange(x.shape[axis_of(axis, x.ndim)]), places)
    return space.take(x, kept, axis=axis)


@function()
def compress(space: Any, condition: Any, x: Any, /, axis: int | None = None, out: None = None) -> Any:
    """The slices along an axis where the condition holds."""
    space.no_out(out)
    return space.take(x, space.base.nonzero(strip(condition))[0], axis=axis)


@function()
def extract(space: Any, condition: Any, x: Any, /) -> Any:
    """The elements where the condition holds, flattened."""
    return space.compress(space.base.reshape(strip(condition), (-1,)), space.reshape(x, (-1,)), axis=0)


@function()
def resize(space: Any, x: Any, shape: Any, /) -> Any:
    """As many numbers as fit the shape, from the beginning again where there are too few."""
    places = space.base.resize(space.base.arange(x.size), shape)
    return space.take(space.reshape(x, (-1,)), places, axis=0)


@function()
def select(space: Any, conditions: Any, choices: Any, /, default: Any = 0) -> Any:
    """Elements of the first choice whose condition holds."""
    y = space.operand(default, "select")
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        y = space.where(condition, choice, y)
    return y


@function()
def choose(space: Any, places: Any, choices: Any, /, out: None = None) -> Any:
    """Elements of the choice that is numbered."""
    space.no_out(out)
    numbers = space.base.asarray(strip(places))
    y = space.operand(choices[0], "choose")
    for i in range(1, len(choices)):
        y = space.where(numbers == i, choices[i], y)
    return y if hasattr(y, "shape") else space.asarray(y)


# ----------------------------------------------------------------------------------------------------------- padding
def _ends(given: Any, ndim: int) -> list[list[Any]]:
    """What goes before and after each axis: one value, a pair for all axes, or a pair each, as NumPy broadcasts it."""
    if getattr(given, "shape", ()) and not hasattr(given, "_trace"):
        given = given.tolist()
    rows = list(given) if isinstance(given, (list, tuple)) else [given]
    if not any(isinstance(row, (list, tuple)) for row in rows):
        rows = [rows]
    pairs = [list(row) if isinstance(row, (list, tuple)) else [row] for row in rows]
    pairs = [pair * 2 if len(pair) == 1 else pair for pair in pairs]
    pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(
            f"pad: got {given!r:.60} for an array with {ndim} axes, expected one number, a pair (before, after), or a "
            "pair for each axis."
        )
    return pairs


@function()
def pad(space: Any, x: Any, pad_width: Any, /, mode: str = "constant", **options: Any) -> Any:
    """With more at the ends of the axes: constants, or numbers of the array."""
    base = space.base
    if isinstance(pad_width, dict) or callable(mode):
        raise space.no_rule("pad with a dict, or with a function")
    widths = _ends(pad_width, x.ndim)
    if mode == "constant":
        fill = options.pop("constant_values", 0.0)
        values = _ends(fill, x.ndim)
        for axis, ends in enumerate(widths):
            blocks = []
            for length, value in zip(ends, values[axis], strict=True):
                shape = tuple(length if i == axis else n for i, n in enumerate(x.shape))
                blocks.append(space.full(shape, value, dtype=x.dtype, device=x.device))
            if any(ends):
                x = space.concat([blocks[0], x, blocks[1]], axis=axis)
        return x
    if options.get("reflect_type") == "odd":
        raise space.no_rule("pad with reflect_type='odd'")
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise space.no_rule(f"pad by the mode {mode!r}")
    for axis, ends in enumerate(widths):
        if any(ends):
            places = base.pad(base.arange(x.shape[axis]), [tuple(ends)], mode=mode, **options)
            x = space.take(x, places, axis=axis)
    return x


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


# ------------------------------------------------------------------------------------------------ matrices of vectors
@function()
def diag(space: Any, x: Any, /, k: int = 0) -> Any:
    """The diagonal of a matrix; a matrix with this diagonal."""
    if x.ndim > 1:
        return space.diagonal(x, k)
    n = x.shape[0] + abs(k)
    base = space.base
    places = base.arange(x.shape[0]) * (n + 1) + (k if k >= 0 else -k * n)
    pick = {"index": places, "shape": (n * n,), "how": "take", "axis": 0}
    return space.reshape(space.apply_rule(RULES["scatter"], (x,), pick), (n, n))


@function()
def diagflat(space: Any, x: Any, /, k: int = 0) -> Any:
    """A matrix with these numbers on a diagonal."""
    return space.diag(space.reshape(x, (-1,)), k)


@function()
def meshgrid(space: Any, *arrays: Any, indexing: str = "xy", copy: bool = True, sparse: bool = False) -> Any:
    """Coordinates on a grid."""
    parts = [space.reshape(space.operand(x, "meshgrid"), (-1,)) for x in arrays]
    order = list(range(len(parts)))
    if indexing == "xy" and len(parts) > 1:
        order[0], order[1] = 1, 0
    shape = [0] * len(parts)
    for place, x in zip(order, parts, strict=True):
        shape[place] = x.shape[0]
    spread = [
        space.reshape(x, tuple(-1 if i == place else 1 for i in range(len(parts))))
        for place, x in zip(order, parts, strict=True)
    ]
    return tuple(spread if sparse else (space.broadcast_to(x, tuple(shape)) for x in spread))


@function()
def vander(space: Any, x: Any, /, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803 - NumPy's
    """Powers of a vector, in columns."""
    n = x.shape[0] if N is None else N
    powers = range(n) if increasing else range(n - 1, -1, -1)
    return space.stack([x**p for p in powers], axis=-1)


@function()
def kron(space: Any, a: Any, b: Any, /) -> Any:
    """Every number of `a` times all of `b`."""
    a, b = (x if hasattr(x, "shape") else space.asarray(x) for x in (a, b))
    ndim = max(a.ndim, b.ndim)
    first = (1,) * (ndim - a.ndim) + tuple(a.shape)
    second = (1,) * (ndim - b.ndim) + tuple(b.shape)
    left = space.reshape(a, tuple(n for m in first for n in (m, 1)))
    right = space.reshape(b, tuple(n for m in second for n in (1, m)))
    return space.reshape(left * right, tuple(m * n for m, n in zip(first, second, strict=True)))


@function()
def cross(
    space: Any,
    a: Any,
    b: Any,
    /,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Any:
    """The vector product of three numbers each."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a = space.moveaxis(space.operand(a, "cross"), axisa, -1)
    b = space.moveaxis(space.operand(b, "cross"), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(
            f"cross: got lengths {a.shape[-1]} and {b.shape[-1]}, expected vectors of 3 numbers."
        )
    y = space.roll(a, -1, -1) * space.roll(b, -2, -1) - space.roll(a, -2, -1) * space.roll(b, -1, -1)
    return space.moveaxis(y, -1, axisc)


@function("cross", linalg=True)
def _cross_last(space: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return cross(space, x1, x2, axis=axis)


@function()
def apply_along_axis(space: Any, func1d: Any, axis: int, arr: Any, /, *args: Any, **options: Any) -> Any:
    """A function of each vector along an axis."""
    moved = space.moveaxis(arr, axis, -1)
    lead = tuple(moved.shape[:-1])
    rows = space.reshape(moved, (-1, moved.shape[-1]))
    found = [space.asarray(func1d(row, *args, **options)) for row in rows]
    y = space.reshape(space.stack(found), (*lead, *found[0].shape))
    if found[0].ndim == 0:
        return y
    place = axis_of(axis, arr.ndim)
    inner = tuple(range(len(lead), y.ndim))
    return space.moveaxis(y, inner, tuple(range(place, place + len(inner))))
