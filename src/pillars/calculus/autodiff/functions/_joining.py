"""Joining arrays, and splitting them."""

from __future__ import annotations

import itertools
import operator
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import TracedArray, apply
from pillars.calculus.autodiff.functions._table import axis_of, function

__all__: list[str] = []


# ----------------------------------------------------------------------------------------------------------- joining
def _pull_concat(
    xp: Any, g: Any, y: Any, operands: Any, position: int, *, axis: int, cuts: tuple[int, ...]
) -> Any:
    return g[(slice(None),) * axis + (slice(cuts[position], cuts[position + 1]), ...)]


def _forward_concat(xp: Any, *parts: Any, axis: int, cuts: tuple[int, ...]) -> Any:
    return xp.concat(parts, axis=axis)


def _pull_stack(xp: Any, g: Any, y: Any, operands: Any, position: int, *, axis: int) -> Any:
    return g[(slice(None),) * axis + (position, ...)]


rule("concat", _pull_concat, forward=_forward_concat, variadic=True)
rule("stack", _pull_stack, forward=lambda xp, *parts, axis: xp.stack(parts, axis=axis), variadic=True)


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
