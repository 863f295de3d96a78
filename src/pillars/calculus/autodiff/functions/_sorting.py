"""Functions that order numbers: sorting, medians, quantiles.

The order is that of the plain values; what is picked has the gradient. Where two are equal, the first counts.
"""

from __future__ import annotations

from typing import Any

from pillars._errors import CapabilityError, ShapeError
from pillars.calculus.autodiff._traced_array import TracedArray, strip
from pillars.calculus.autodiff.functions._table import axes_of, function

__all__: list[str] = []


@function()
def sort(
    space: Any,
    x: Any,
    /,
    axis: int | None = -1,
    kind: Any = None,
    order: None = None,
    *,
    stable: Any = None,
    descending: bool = False,
) -> Any:
    """Ascending along an axis; of the flattened array where it is None."""
    if axis is None:
        x, axis = space.reshape(x, (-1,)), -1
    places = space.base.argsort(strip(x), axis=axis, stable=True)
    if descending:
        places = space.base.flip(places, axis=axis)
    return space.take_along_axis(x, places, axis=axis)


@function()
def partition(space: Any, x: Any, kth: Any, /, axis: int | None = -1, kind: str = "introselect") -> Any:
    """The smallest before the `kth`, the largest after it."""
    if axis is None:
        x, axis = space.reshape(x, (-1,)), -1
    # `kind` has one value, which not every library names
    places = space.base.argpartition(strip(x), kth, axis=axis)
    return space.take_along_axis(x, places, axis=axis)


def _along_last(space: Any, x: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """`x` with these axes as one, at the end; and the shape of a reduction that keeps them."""
    axes = axes_of(axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    moved = space.permute_dims(x, rest + axes)
    return space.reshape(moved, (*(x.shape[i] for i in rest), -1)), kept


def _ordered(space: Any, x: Any, axis: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Sorted along a last axis, where NaN is, and the shape that keeps the axes."""
    flat, kept = _along_last(space, x, axis)
    if flat.shape[-1] == 0:
        raise ShapeError(
            f"quantile: got shape {x.shape} and axis {axis}, expected at least one number along the axis."
        )
    return space.sort(flat), space.base.any(space.base.isnan(strip(flat)), axis=-1), kept


def _poisoned(space: Any, y: Any, bad: Any) -> Any:
    """NaN, and with it the gradient, where a number was NaN: it has no place in an order."""
    if not bool(space.base.any(bad)):
        return y
    return y * space.base.where(bad, space.base.asarray(float("nan"), dtype=y.dtype), 1.0)


@function()
def median(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """The number in the middle, or the mean of the two there."""
    space.no_out(out)
    ordered, bad, kept = _ordered(space, x, axis)
    n = ordered.shape[-1]
    y = ordered[..., n // 2]
    if n % 2 == 0:
        y = 0.5 * (ordered[..., n // 2 - 1] + y)
    y = _poisoned(space, y, bad)
    return space.reshape(y, kept) if keepdims else y


@function()
def quantile(
    space: Any,
    x: Any,
    q: Any,
    /,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """Quantiles by linear interpolation; those asked for come first among the axes."""
    space.no_out(out)
    if method != "linear":
        raise space.no_rule(f"quantile by the method {method!r} (but 'linear')")
    if type(q) is TracedArray:
        raise CapabilityError(
            "quantile: got traced probabilities, expected plain numbers: between two samples only the linear method "
            "has a slope in them, and it jumps at each. Compute them outside the differentiated function."
        )
    base = space.base
    ordered, bad, kept = _ordered(space, x, axis)
    asked = base.asarray(q, dtype=base.float64)
    if not bool(base.all((asked >= 0) & (asked <= 1))):
        raise ShapeError(
            f"quantile: got q={asked}, expected numbers in [0, 1], which for percentile are in [0, 100]."
        )
    at = base.reshape(asked, (-1,)) * (ordered.shape[-1] - 1)
    low = base.floor(at)
    share = base.astype(at - low, x.dtype)
    below = base.astype(low, base.int64)
    a = space.take(ordered, below, axis=-1)
    b = space.take(ordered, base.minimum(below + 1, base.asarray(ordered.shape[-1] - 1)), axis=-1)
    y = space.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1.0 - share))  # as NumPy rounds it
    y = _poisoned(space, y, bad[..., None])
    y = space.moveaxis(y, -1, 0)
    rest = kept if keepdims else tuple(y.shape[1:])
    return space.reshape(y, (*asked.shape, *rest))


@function()
def percentile(space: Any, x: Any, q: Any, /, *args: Any, **options: Any) -> Any:
    """Quantiles, of percents."""
    share = q if type(q) is TracedArray else space.base.asarray(q, dtype=space.base.float64) / 100.0
    return space.quantile(x, share, *args, **options)
