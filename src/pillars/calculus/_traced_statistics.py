"""The functions of the traced namespace for samples: averages, covariances, and NumPy's that leave NaN out."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._rules import RULES
from pillars.calculus._traced import TracedArray, strip
from pillars.calculus._traced_functions import axes_of, axis_of, function

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
        x = space.atleast_2d(space.operand(x, "cov"))
        return x if rowvar or x.shape[0] == 1 else space.matrix_transpose(x)

    x = rows(m) if y is None else space.concat([rows(m), rows(y)], axis=0)
    x = x if dtype is None else space.astype(x, dtype)
    freedom = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    x = x - space.mean(x, axis=1, keepdims=True)
    found = space.matmul(x, space.matrix_transpose(x)) / (freedom if freedom > 0 else float("nan"))
    return space.squeeze(found)


@function()
def corrcoef(space: Any, x: Any, /, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlations of variables in rows, or columns."""
    c = space.cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    s = space.sqrt(space.linalg.diagonal(c))
    return space.clip(c / s[:, None] / s[None, :], -1, 1)


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


def _present(space: Any, absent: Any, axis: Any, dtype: Any) -> Any:
    base = space.base
    return base.sum(base.astype(~absent, dtype), axis=axis, keepdims=True)


def _nan_mean(space: Any, x: Any, axis: Any) -> tuple[Any, Any, Any]:
    filled, absent = _filled(space, x, 0.0)
    number = _present(space, absent, axis, x.dtype)
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
    return _shaped(space, _nan_mean(space, x, axis)[0], axis, keepdims)


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
    mean, absent, number = _nan_mean(space, x, axis)
    deviation = space.where(absent, 0.0, x - mean)
    freedom = number - (ddof if correction is None else correction)
    freedom = space.base.where(freedom > 0, freedom, space.base.full_like(freedom, float("nan")))
    return _shaped(
        space, space.sum(deviation * deviation, axis=axis, keepdims=True) / freedom, axis, keepdims
    )


@function()
def nanstd(space: Any, x: Any, /, *args: Any, **options: Any) -> Any:
    """The standard deviation of what is not NaN."""
    return space.sqrt(space.nanvar(x, *args, **options))


# ------------------------------------------------------------------------------------------------- along a coordinate
@function()
def trapezoid(space: Any, y: Any, /, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of what lies between the samples on straight lines."""
    y = space.moveaxis(space.operand(y, "trapezoid"), axis, -1)
    if x is not None:
        x = space.operand(x, "trapezoid")
        dx = space.diff(space.moveaxis(x, axis, -1) if len(x.shape) > 1 else x)
    return space.sum(dx * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)


@function()
def interp(
    space: Any, x: Any, xp: Any, fp: Any, /, left: Any = None, right: Any = None, period: None = None
) -> Any:
    """Straight lines through the points (xp, fp); constant outside, where nothing else is said."""
    x, xp, fp = (space.operand(one, "interp") for one in (x, xp, fp))
    x = x if hasattr(x, "shape") else space.asarray(x)
    plain = strip(x)
    base, n = space.base, len(xp)
    at = base.clip(
        base.searchsorted(strip(xp), base.reshape(plain, (-1,)), side="right") - 1, 0, max(n - 2, 0)
    )
    at = base.reshape(at, tuple(x.shape))
    if n == 1:
        y = space.broadcast_to(fp[0, ...], tuple(x.shape))
    else:
        x0, x1, y0, y1 = xp[at], xp[at + 1], fp[at], fp[at + 1]
        y = y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
    low, high = fp[0, ...] if left is None else left, fp[n - 1, ...] if right is None else right
    return space.where(plain < strip(xp)[0], low, space.where(plain > strip(xp)[n - 1], high, y))


@function()
def gradient(space: Any, f: Any, /, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Second-order differences inside, one-sided ones at the ends, as NumPy has them."""
    axes = axes_of(axis, f.ndim)
    steps = spacing * len(axes) if len(spacing) == 1 else spacing or (1.0,) * len(axes)
    if len(steps) != len(axes):
        raise ShapeError(
            f"gradient: got {len(steps)} spacings for {len(axes)} axes, expected one, or one each."
        )
    found = [_slope(space, f, each, step, edge_order) for each, step in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(space: Any, f: Any, axis: int, step: Any, edge_order: int) -> Any:
    f = space.moveaxis(f, axis, -1)
    step = strip(step) if type(step) is TracedArray and not step.shape else step
    if not getattr(step, "shape", ()) and not isinstance(step, (list, tuple)):
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * step)
        h1 = h2 = k1 = k2 = step
    else:
        h = space.diff(space.operand(step, "gradient"))
        a, b = h[:-1], h[1:]
        inner = (
            f[..., :-2] * (-b / (a * (a + b)))
            + f[..., 1:-1] * ((b - a) / (a * b))
            + f[..., 2:] * (a / (b * (a + b)))
        )
        h1, h2, k1, k2 = (
            h[0, ...],
            h[1 if len(h) > 1 else 0, ...],
            h[-1, ...],
            h[-2 if len(h) > 1 else -1, ...],
        )
    if edge_order == 1:
        first, last = (f[..., 1:2] - f[..., :1]) / h1, (f[..., -1:] - f[..., -2:-1]) / k1
    else:
        first = (
            f[..., :1] * (-(2.0 * h1 + h2) / (h1 * (h1 + h2)))
            + f[..., 1:2] * ((h1 + h2) / (h1 * h2))
            - f[..., 2:3] * (h1 / (h2 * (h1 + h2)))
        )
        last = (
            f[..., -3:-2] * (k1 / (k2 * (k1 + k2)))
            - f[..., -2:-1] * ((k1 + k2) / (k1 * k2))
            + f[..., -1:] * ((2.0 * k1 + k2) / (k1 * (k1 + k2)))
        )
    return space.moveaxis(space.concat([first, inner, last], axis=-1), -1, axis)


@function()
def convolve(space: Any, a: Any, v: Any, /, mode: str = "full") -> Any:
    """Sums of products with a vector that slides over another, backwards."""
    a, v = space.atleast_1d(space.operand(a, "convolve")), space.atleast_1d(space.operand(v, "convolve"))
    a, v = (a, v) if a.shape[0] >= v.shape[0] else (v, a)
    n, m = a.shape[0], v.shape[0]
    full = space.apply_rule(RULES["convolve"], (a, v), {})
    if mode == "full":
        return full
    if mode == "valid":
        return full[m - 1 : n]
    start = (m - 1) // 2
    return full[start : start + n]


@function()
def correlate(space: Any, a: Any, v: Any, /, mode: str = "valid") -> Any:
    """Sums of products with a vector that slides over another."""
    a, v = space.operand(a, "correlate"), space.operand(v, "correlate")
    if a.shape[0] >= v.shape[0]:
        return space.convolve(a, space.flip(v), mode)
    return space.flip(space.convolve(v, space.flip(a), mode))
