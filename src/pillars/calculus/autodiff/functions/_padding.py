"""Padding, and a function along an axis."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff.functions._table import axis_of, function

__all__: list[str] = []


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


# ------------------------------------------------------------------------------------------------ matrices of vectors
@function()
def apply_along_axis(space: Any, func1d: Any, axis: int, arr: Any, /, *args: Any, **options: Any) -> Any:
    """A function of each vector along an axis."""
    moved = space.moveaxis(arr, axis, -1)
    lead = tuple(moved.shape[:-1])
    rows = space.reshape(moved, (-1, moved.shape[-1]))
    result = [space.asarray(func1d(row, *args, **options)) for row in rows]
    y = space.reshape(space.stack(result), (*lead, *result[0].shape))
    if result[0].ndim == 0:
        return y
    place = axis_of(axis, arr.ndim)
    inner = tuple(range(len(lead), y.ndim))
    return space.moveaxis(y, inner, tuple(range(place, place + len(inner))))
