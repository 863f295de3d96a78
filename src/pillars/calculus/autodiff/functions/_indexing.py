"""Indexing and its adjoint, scattering; and what picks elements."""

from __future__ import annotations

import math
import operator
from typing import Any

from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._table import axis_of, function

__all__ = ["is_basic"]

rule("tril", lambda xp, g, y, a, *, k: xp.tril(g, k=k), forward=lambda xp, a, *, k: xp.tril(a, k=k))
rule("triu", lambda xp, g, y, a, *, k: xp.triu(g, k=k), forward=lambda xp, a, *, k: xp.triu(a, k=k))


# ---------------------------------------------------------------------------------------------------------- indexing
def is_basic(index: Any) -> bool:
    """Whether no element is picked twice for certain: integers, slices, ellipsis, newaxis, boolean masks."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is ...
        or isinstance(part, (int, slice))
        or "bool" in str(getattr(part, "dtype", ""))
        for part in parts
    )


def _gather(xp: Any, x: Any, *, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """Pick elements: by an index, or by ``take`` or ``take_along_axis`` with that array of indices."""
    if how == "index":
        return x[index]
    return getattr(xp, how)(x, index, axis=axis)


def _places(xp: Any, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """The same pick as an index for item assignment."""
    if how == "index":
        return index
    if how == "take":
        return (slice(None),) * axis + (index,)
    ndim = len(shape)
    return tuple(
        index if i == axis else xp.reshape(xp.arange(n), tuple(n if j == i else 1 for j in range(ndim)))
        for i, n in enumerate(shape)
    )


def _scatter(xp: Any, g: Any, *, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """Zeros of `shape` with `g` added where :func:`_gather` picks: its adjoint."""
    z = xp.zeros(shape, dtype=g.dtype, device=g.device)
    if how == "index" and is_basic(index):
        if isinstance(index, tuple) and None in [part for part in index if not hasattr(part, "shape")]:
            # the standard reads new axes in an index, and does not write to them
            index = tuple(part for part in index if part is not None)
            g = xp.reshape(g, z[index].shape)
        z[index] = g
        return z
    add_at = getattr(xp.add, "at", None)
    if add_at is not None:
        add_at(z, _places(xp, index, shape, how, axis), g)
        return z
    # the standard has no scatter: compare every element's number with every picked one's
    size = math.prod(shape)
    numbers = xp.reshape(xp.arange(size, device=g.device), shape)
    picked = xp.reshape(_gather(xp, numbers, index=index, shape=shape, how=how, axis=axis), (1, -1))
    hit = xp.reshape(xp.arange(size, device=g.device), (-1, 1)) == picked
    result = xp.sum(
        xp.where(hit, xp.reshape(g, (1, -1)), xp.zeros((), dtype=g.dtype, device=g.device)), axis=1
    )
    return xp.reshape(result, shape)


def _linear(xp: Any, name: str, x: Any, pick: dict[str, Any]) -> Any:
    """One of the pair on plain values, or recorded where an outer gradient is being taken."""
    trace = getattr(xp, "apply_rule", None)
    return RULES[name].forward(xp, x, **pick) if trace is None else trace(RULES[name], (x,), pick)  # type: ignore[misc]


rule("gather", lambda xp, g, y, a, **pick: _linear(xp, "scatter", g, pick), forward=_gather)
rule("scatter", lambda xp, g, y, a, **pick: _linear(xp, "gather", g, pick), forward=_scatter)


# ------------------------------------------------------------------------------------------------------------ shapes
def _triangle(name: str) -> Any:
    def triangle(space: Any, x: Any, /, k: int = 0) -> Any:
        return apply_one(RULES[name], x, {"k": k})

    return triangle


function("tril")(_triangle("tril"))
function("triu")(_triangle("triu"))


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


# ----------------------------------------------------------------------------------------------------------- joining
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
