"""Sums and products that run along an axis, differences, and samples along a coordinate: integrals, slopes, lines."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._table import axes_of, axis_of, function

__all__: list[str] = []


def _forward_cumulative(xp: Any, x: Any, *, axis: int) -> Any:
    return xp.cumulative_sum(x, axis=axis)


def _pull_cumulative(xp: Any, g: Any, y: Any, x: Any, *, axis: int) -> Any:
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


rule("cumulative_sum", _pull_cumulative, forward=_forward_cumulative)


@function("cumsum", "cumulative_sum")
def cumsum(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    *,
    include_initial: bool = False,
) -> Any:
    """Running sums; of the flattened array without an axis."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    y = apply_one(RULES["cumulative_sum"], x, {"axis": axis})
    if not include_initial:
        return y
    first = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return space.concat([space.zeros(first, dtype=x.dtype, device=x.device), y], axis=axis)


@function()
def ediff1d(space: Any, x: Any, /, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, with more at the ends perhaps."""
    flat = space.reshape(x, (-1,))
    parts = [to_begin, flat[1:] - flat[:-1], to_end]
    parts = [space.reshape(space.asarray(one), (-1,)) for one in parts if one is not None]
    return space.concat(parts) if len(parts) > 1 else parts[0]


@function()
def trapezoid(space: Any, y: Any, /, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of what lies between the samples on straight lines."""
    y = space.moveaxis(space.operand(y, "trapezoid"), axis, -1)
    if x is not None:
        x = space.operand(x, "trapezoid")
        dx = space.diff(space.moveaxis(x, axis, -1) if len(x.shape) > 1 else x)
    return space.sum(dx * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)


@function()
def diff(space: Any, x: Any, /, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours, `n` times, with more numbers at the ends perhaps."""
    x = space.asarray(x)
    axis = axis_of(axis, x.ndim)
    before = (slice(None),) * axis
    if n and (prepend is not None or append is not None):
        single = tuple(1 if i == axis else m for i, m in enumerate(x.shape))
        ends = [one if one is None else space.asarray(one) for one in (prepend, append)]
        ends = [one if one is None or one.shape else space.broadcast_to(one, single) for one in ends]
        x = space.concat([one for one in (ends[0], x, ends[1]) if one is not None], axis=axis)
    for _ in range(n):
        x = x[(*before, slice(1, None), ...)] - x[(*before, slice(None, -1), ...)]
    return x


@function()
def interp(
    space: Any, x: Any, xp: Any, fp: Any, /, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Straight lines through the points (xp, fp); constant outside, or around again after a period."""
    x, xp, fp = (space.asarray(one) for one in (x, xp, fp))
    if len(xp.shape) != 1 or tuple(xp.shape) != tuple(fp.shape) or not xp.shape[0]:
        raise ShapeError(
            f"interp: got xp of shape {tuple(xp.shape)} and fp of shape {tuple(fp.shape)}, expected two vectors of "
            "one length, at least 1."
        )
    if period is not None:
        x, xp, fp = _around(space, x, xp, fp, period)
        left = right = None
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


def _around(space: Any, x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """The points within one period, in order, and a neighbour from the next at either end."""
    if bool(strip(period) == 0):
        raise ShapeError("interp: got period=0, expected another number.")
    period = abs(period)
    x, xp = space.remainder(x, period), space.remainder(xp, period)
    order = space.base.argsort(strip(xp))
    xp, fp = xp[order], fp[order]
    return x, space.concat([xp[-1:] - period, xp, xp[:1] + period]), space.concat([fp[-1:], fp, fp[:1]])


@function()
def gradient(space: Any, f: Any, /, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Second-order differences inside, one-sided ones at the ends, as NumPy has them."""
    f = space.asarray(f)
    axes = axes_of(axis, f.ndim)
    steps = tuple(space.operand(one, "gradient") for one in spacing) or (1.0,)
    steps = steps * len(axes) if len(steps) == 1 and not getattr(steps[0], "shape", ()) else steps
    if len(steps) != len(axes):
        raise ShapeError(
            f"gradient: got {len(steps)} spacings for {len(axes)} axes, expected one number, or one spacing each."
        )
    for each, step in zip(axes, steps, strict=True):
        n = f.shape[each]
        if n <= edge_order or edge_order not in (1, 2) or tuple(getattr(step, "shape", ())) not in ((), (n,)):
            raise ShapeError(
                f"gradient: got {n} numbers along axis {each}, a spacing of shape "
                f"{tuple(getattr(step, 'shape', ()))} and edge_order={edge_order}, expected more numbers than "
                "edge_order, which is 1 or 2, and a spacing that is one number or as many coordinates."
            )
    result = [_slope(space, f, each, step, edge_order) for each, step in zip(axes, steps, strict=True)]
    return result[0] if len(result) == 1 else tuple(result)


def _slope(space: Any, f: Any, axis: int, step: Any, edge_order: int) -> Any:
    f = space.moveaxis(f, axis, -1)
    if not getattr(step, "shape", ()):
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * step)
        h1 = h2 = k1 = k2 = step
    else:
        h = space.diff(step)
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


@function("cumprod", "cumulative_prod")
def cumprod(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    *,
    include_initial: bool = False,
) -> Any:
    """Running products, by doubling: right at zeros, and in every order of derivative."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    if axis is None:
        x, axis = space.reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    before = (slice(None),) * axis
    n, step = x.shape[axis], 1
    while step < n:
        product = x[(*before, slice(step, None), ...)] * x[(*before, slice(None, n - step), ...)]
        x = space.concat([x[(*before, slice(None, step), ...)], product], axis=axis)
        step *= 2
    if not include_initial:
        return x
    first = tuple(1 if i == axis else length for i, length in enumerate(x.shape))
    return space.concat([space.ones(first, dtype=x.dtype, device=x.device), x], axis=axis)


def _so_far(base: Any, larger: Any, x: Any, axis: int) -> Any:
    """The largest up to each place, by doubling: not every library has ufuncs that accumulate."""
    before, step = (slice(None),) * axis, 1
    while step < x.shape[axis]:
        met = larger(x[(*before, slice(step, None), ...)], x[(*before, slice(None, -step), ...)])
        x = base.concatenate([x[(*before, slice(None, step), ...)], met], axis=axis)
        step *= 2
    return x


def _running(name: str) -> Any:
    def accumulate(space: Any, x: Any, /, axis: int = 0, dtype: None = None, out: None = None) -> Any:
        """The largest or smallest so far: the first one that has been reached, and NaN from the first one on."""
        space.no_out(out)
        axis = axis_of(axis, x.ndim)
        base, plain, before = space.base, strip(x), (slice(None),) * axis
        reached = _so_far(base, getattr(base, name), plain, axis)
        now, last = reached[(*before, slice(1, None), ...)], reached[(*before, slice(None, -1), ...)]
        rises = (now != last) & ~base.isnan(last)
        numbers = base.reshape(
            base.arange(x.shape[axis]), tuple(-1 if i == axis else 1 for i in range(x.ndim))
        )
        places = base.where(rises, numbers[(*before, slice(1, None), ...)], 0)
        start = base.zeros(reached[(*before, slice(None, 1), ...)].shape, dtype=places.dtype)
        places = _so_far(base, base.maximum, base.concatenate([start, places], axis=axis), axis)
        return space.take_along_axis(x, places, axis=axis)

    return accumulate


# ufuncs' accumulate, which the standard has no name for
function("running_max")(_running("maximum"))
function("running_min")(_running("minimum"))
