"""Reductions: their derivative rules, and what is composed of them. Axes arrive in rules as tuples of numbers ≥ 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pillars.calculus._norms import wide
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._directions import beside, kept, of_wide
from pillars.calculus.autodiff.functions._table import FUNCTIONS, axes_of, function

__all__ = ["counted", "reduce_by", "spread"]


def spread(xp: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduced array over the reduced axes again, as a view where the library can."""
    if not keepdims and axes:
        g = xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return xp.broadcast_to(g, shape)


def _number(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axes)


def _forward_reduction(name: str) -> Any:
    def forward(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Any:
        return getattr(xp, name)(x, axis=axes, keepdims=keepdims)

    return forward


def _pull_sum(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    return spread(xp, g, shape, axes, keepdims)


def _pull_mean(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    # divided while it is small
    share = xp.astype(wide(xp, g) / max(_number(shape, axes), 1), g.dtype)
    return spread(xp, share, shape, axes, keepdims)


def _pull_extreme(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    attained, base = strip(x == kept(xp, y, shape, axes)), getattr(xp, "base", xp)
    # counted in integers: a half ends at 65504
    ties = base.sum(base.astype(attained, base.int64), axis=axes, keepdims=True)
    g = kept(xp, g, shape, axes)
    share = wide(xp, g) / beside(xp, base.astype(ties, wide(base, strip(g)).dtype))
    return beside(xp, base.astype(attained, g.dtype)) * xp.astype(share, g.dtype)


def _forward_var(
    xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], correction: float
) -> Any:
    # of halves in single precision: NumPy sums them in their own
    return of_wide(xp, xp.var, x, axis=axes, correction=correction, keepdims=keepdims)


def _pull_var(
    xp: Any,
    g: Any,
    y: Any,
    x: Any,
    *,
    axes: tuple[int, ...],
    keepdims: bool,
    shape: tuple[int, ...],
    correction: float,
) -> Any:
    freedom, g, x = _number(shape, axes) - correction, wide(xp, g), wide(xp, x)
    scale = kept(xp, g, shape, axes) * (2.0 / freedom if freedom > 0 else math.nan)
    deviation = x - xp.mean(x, axis=axes, keepdims=True)
    return scale * (xp.conj(deviation) if is_complex(x) else deviation)


rule("sum", _pull_sum, forward=_forward_reduction("sum"))
rule("mean", _pull_mean, forward=_forward_reduction("mean"))
rule("max", _pull_extreme, keeps="ya", forward=_forward_reduction("max"))
rule("min", _pull_extreme, keeps="ya", forward=_forward_reduction("min"))
rule("var", _pull_var, keeps="a", forward=_forward_var)


def _reduction(name: str) -> Callable[..., Any]:
    rule = RULES[name]

    def reduce(
        space: Any,
        x: Any,
        /,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        space.no_out(out)
        if dtype is not None:
            x = space.astype(x, dtype)
        if where is not None:
            x, mask = _masked(space, x, where, 0.0)
            if name == "mean":
                total = space.sum(wide(space, x), axis=axis, keepdims=keepdims)
                return space.astype(total / counted(space, mask, axis, keepdims, total.dtype), x.dtype)
        y = reduce_by(rule, x, axis, keepdims)
        return y if initial is None else y + initial

    return reduce


def counted(space: Any, mask: Any, axis: Any, keepdims: bool, dtype: Any) -> Any:
    """How many the mask lets through: counted in integers, then of a dtype to divide by."""
    base = space.base
    return base.astype(base.sum(base.astype(mask, base.int64), axis=axis, keepdims=keepdims), dtype)


def _masked(space: Any, x: Any, where: Any, neutral: float) -> tuple[Any, Any]:
    """`x` with what does not count replaced, and the mask."""
    mask = space.base.broadcast_to(space.frozen(where, x), x.shape)
    return space.where(mask, x, neutral), mask


def reduce_by(rule: Any, x: Any, axis: Any, keepdims: bool, **more: Any) -> Any:
    """A reduction's rule, with its axes spelled out."""
    shape = x.shape
    return apply_one(
        rule, x, {"axes": axes_of(axis, len(shape)), "keepdims": bool(keepdims), "shape": shape, **more}
    )


FUNCTIONS["sum"], FUNCTIONS["mean"] = _reduction("sum"), _reduction("mean")


def _extreme(name: str, other: str, least: float) -> Callable[..., Any]:
    rule = RULES[name]

    def reduce(
        space: Any,
        x: Any,
        /,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """The largest, or smallest, element; ties share the gradient evenly."""
        space.no_out(out)
        if where is not None:
            x, _ = _masked(space, x, where, least)
        y = reduce_by(rule, x, axis, keepdims)
        return y if initial is None else getattr(space, other)(y, initial)

    return reduce


function("max", "amax")(_extreme("max", "maximum", -float("inf")))
function("min", "amin")(_extreme("min", "minimum", float("inf")))


@function()
def var(
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
    """The variance, with NumPy's ddof or the standard's correction."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    return reduce_by(RULES["var"], x, axis, keepdims, correction=ddof if correction is None else correction)


@function()
def std(
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
    """The standard deviation. Of equal numbers its gradient is 0, as a norm's at 0; of one number it is 0 for good."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    free = ddof if correction is None else correction
    y = reduce_by(RULES["std"], x, axis, keepdims, correction=free)
    if y.size == x.size and free < 1:
        return space.reshape(space.real(x - x), y.shape)
    return y


@function()
def prod(
    space: Any,
    x: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The product, by halves: right at zeros, and in every order of derivative."""
    space.no_out(out)
    x = x if dtype is None else space.astype(x, dtype)
    x = x if where is None else _masked(space, x, where, 1.0)[0]
    if initial is not None:
        return space.prod(x, axis=axis, keepdims=keepdims) * initial
    shape, axes = x.shape, axes_of(axis, x.ndim)
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    x = space.reshape(space.permute_dims(x, axes + rest), (-1, *(shape[i] for i in rest)))
    if x.shape[0] == 0:
        return space.constant(space.base.prod(strip(x), axis=0))
    while (n := x.shape[0]) > 1:
        half = n // 2
        product = x[:half, ...] * x[half : 2 * half, ...]
        x = product if n % 2 == 0 else space.concat([product, x[2 * half :, ...]], axis=0)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return space.reshape(x, kept if keepdims else tuple(shape[i] for i in rest))


@function()
def ptp(space: Any, x: Any, /, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest less the smallest."""
    space.no_out(out)
    return space.max(x, axis=axis, keepdims=keepdims) - space.min(x, axis=axis, keepdims=keepdims)


@function()
def log_sum_exp(
    space: Any, x: Any, /, axis: Any = 0, dtype: None = None, out: None = None, keepdims: bool = False
) -> Any:
    """``logaddexp.reduce``."""
    space.no_out(out)
    top = space.base.max(strip(x), axis=axis, keepdims=True)
    top = space.base.where(space.base.isfinite(top), top, 0.0)
    y = space.log(space.sum(space.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else space.squeeze(y, axis=axes_of(axis, x.ndim))
