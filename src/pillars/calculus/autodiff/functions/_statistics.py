"""The functions of the traced namespace for samples: averages, covariances, and NumPy's that leave NaN out."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._norms import wide
from pillars.calculus.autodiff._rule import RULES, is_complex
from pillars.calculus.autodiff._traced_array import strip
from pillars.calculus.autodiff.functions._reductions import counted, reduce_by
from pillars.calculus.autodiff.functions._table import axes_of, axis_of, function

__all__: list[str] = []


@function()
def average(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """The mean, weighted perhaps; the weights may be traced too."""
    x = space.operand(x, "average")
    if weights is None:
        y = space.mean(x, axis=axis, keepdims=keepdims)
        axes = axes_of(axis, x.ndim)
        total = 1
        for i in axes:
            total *= x.shape[i]
        return (y, space.constant(space.base.full(tuple(y.shape), float(total)))) if returned else y
    w = space.operand(weights, "average")
    w = w if hasattr(w, "shape") else space.asarray(w)
    if w.shape != x.shape:
        if axis is None or len(w.shape) != 1:
            raise ShapeError(
                f"average: got x of shape {tuple(x.shape)}, weights of shape {tuple(w.shape)} and axis {axis}, "
                "expected weights like x, or a vector along one axis."
            )
        place = axis_of(axis[0] if isinstance(axis, tuple) else axis, len(x.shape))
        w = space.reshape(w, tuple(-1 if i == place else 1 for i in range(len(x.shape))))
        w = space.broadcast_to(w, tuple(x.shape))
    total = space.sum(w, axis=axis, keepdims=keepdims)
    y = space.sum(x * w, axis=axis, keepdims=keepdims) / total
    return (y, total) if returned else y


@function()
def cov(
    space: Any,
    m: Any,
    /,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    *,
    dtype: Any = None,
) -> Any:
    """The covariance matrix of variables in rows, or columns."""

    def rows(x: Any) -> Any:
        x = space.asarray(x)
        vector, x = x.ndim < 2, space.atleast_2d(x)
        return x if rowvar or vector else space.matrix_transpose(x)

    x = rows(m) if y is None else space.concat([rows(m), rows(y)], axis=0)
    x = x if dtype is None else space.astype(x, dtype)
    freedom = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    x = x - space.mean(x, axis=1, keepdims=True)
    turned = space.conj(space.matrix_transpose(x))
    return space.squeeze(space.matmul(x, turned) / (freedom if freedom > 0 else float("nan")))


@function()
def corrcoef(space: Any, x: Any, /, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlations of variables in rows, or columns."""
    c = space.cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    s = space.sqrt(space.real(space.linalg.diagonal(c)))
    c = c / s[:, None] / s[None, :]
    if is_complex(c):
        return _cut(space, space.real(c)) + 1j * _cut(space, space.imag(c))
    return _cut(space, c)


def _cut(space: Any, x: Any) -> Any:
    """Within [-1, 1], which a rounding may leave; NaN stays, and its gradient with it."""
    return space.where(space.base.abs(strip(x)) > 1, space.sign(x), x)


# ------------------------------------------------------------------------------------------------------- without NaN
def _filled(space: Any, x: Any, value: float) -> tuple[Any, Any]:
    absent = space.base.isnan(strip(x))
    return space.where(absent, value, x), absent


def _without_nan(name: str, value: float) -> Any:
    def reduce(space: Any, x: Any, /, *args: Any, **options: Any) -> Any:
        return getattr(space, name)(_filled(space, x, value)[0], *args, **options)

    reduce.__doc__ = f"``{name}`` of what is not NaN."
    return reduce


for _name, _value in (("sum", 0.0), ("prod", 1.0), ("cumsum", 0.0), ("cumprod", 1.0)):
    function(f"nan{_name}")(_without_nan(_name, _value))


def _nan_extreme(name: str, value: float) -> Any:
    def reduce(space: Any, x: Any, /, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
        space.no_out(out)
        filled, absent = _filled(space, x, value)
        y = getattr(space, name)(filled, axis=axis, keepdims=keepdims)
        none = space.base.all(absent, axis=axis, keepdims=keepdims)
        return space.where(none, float("nan"), y) if bool(space.base.any(none)) else y

    reduce.__doc__ = f"``{name}`` of what is not NaN; NaN where nothing else is."
    return reduce


function("nanmax")(_nan_extreme("max", -float("inf")))
function("nanmin")(_nan_extreme("min", float("inf")))


def _nan_mean(space: Any, x: Any, axis: Any) -> tuple[Any, Any, Any]:
    filled, absent = _filled(space, x, 0.0)
    number = counted(space, ~absent, axis, True, space.real(x).dtype)
    return space.sum(filled, axis=axis, keepdims=True) / number, absent, number


def _shaped(space: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    return y if keepdims else space.squeeze(y, axis=axes_of(axis, y.ndim))


@function()
def nanmean(
    space: Any, x: Any, /, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False
) -> Any:
    """The mean of what is not NaN."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    return space.astype(_shaped(space, _nan_mean(space, wide(space, x), axis)[0], axis, keepdims), x.dtype)


@function()
def nanvar(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The variance of what is not NaN."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    deviation, freedom = _nan_deviation(space, x, axis, ddof if correction is None else correction)
    square = space.real(deviation * space.conj(deviation))
    y = space.sum(square, axis=axis, keepdims=True) / freedom
    return space.astype(_shaped(space, y, axis, keepdims), space.real(x).dtype)


def _nan_deviation(space: Any, x: Any, axis: Any, correction: float) -> tuple[Any, Any]:
    """What is not NaN less its mean, 0 elsewhere; and how many such numbers there are, less the correction."""
    x = wide(space, x)
    mean, absent, number = _nan_mean(space, x, axis)
    freedom = number - correction
    freedom = space.base.where(freedom > 0, freedom, space.base.full_like(freedom, float("nan")))
    return space.where(absent, 0.0, x - mean), freedom


@function()
def nanstd(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The standard deviation of what is not NaN; of equal numbers its gradient is 0."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    deviation, freedom = _nan_deviation(space, x, axis, ddof if correction is None else correction)
    size = reduce_by(RULES["vector_norm"], deviation, axis, True)
    return space.astype(_shaped(space, size / space.base.sqrt(freedom), axis, keepdims), space.real(x).dtype)


# -------------------------------------------------------------------------------------------------------- histograms
@function()
def histogram_bin_edges(
    space: Any,
    x: Any,
    /,
    bins: Any = 10,
    range: Any = None,  # noqa: A002 - NumPy's name
    weights: Any = None,
) -> Any:
    """The edges of a histogram's bins: evenly spaced over the range, which is the numbers' own if none is given."""
    if isinstance(bins, str):
        raise space.no_rule(f"histogram_bin_edges with bins={bins!r}")
    if getattr(bins, "shape", ()) or isinstance(bins, (list, tuple)):
        return space.asarray(bins)
    x = space.asarray(x)
    low, high = (space.min(x), space.max(x)) if range is None else range
    if bool(strip(low) == strip(high)):  # as NumPy widens it
        low, high = low - 0.5, high + 0.5
    return space.linspace(low, high, bins + 1)


@function()
def histogram(
    space: Any,
    x: Any,
    /,
    bins: Any = 10,
    range: Any = None,  # noqa: A002 - NumPy's name
    density: bool | None = None,
    weights: Any = None,
) -> Any:
    """Sums of weights in bins, and their edges. A number that crosses an edge is a jump, whose gradient is 0."""
    base = space.base
    edges = space.histogram_bin_edges(x, bins, range)
    inside, n = base.reshape(strip(space.asarray(x)), (-1,)), edges.shape[0] - 1
    plain = strip(edges)
    places = base.where(inside == plain[-1], n - 1, base.searchsorted(plain, inside, side="right") - 1)
    kept = base.nonzero((places >= 0) & (places < n))[0]
    if weights is None:
        counts = base.bincount(places[kept], minlength=n)
    else:
        w = space.reshape(space.asarray(weights), (-1,))
        if w.shape != inside.shape:
            raise ShapeError(
                f"histogram: got {w.shape[0]} weights for {inside.shape[0]} numbers, expected one each."
            )
        pick = {"index": places[kept], "shape": (n,), "how": "take", "axis": 0}
        counts = space.apply_rule(RULES["scatter"], (space.take(w, kept, axis=0),), pick)
    if density:
        counts = counts / space.diff(edges) / space.sum(counts)
    return counts, edges
