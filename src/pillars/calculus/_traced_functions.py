"""The functions of the traced namespace: elementwise ones and reductions.

Signatures take what NumPy's and the standard's take. A function here either applies a rule, or is written with others
that do; then it needs no rule of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus import _rules_directions  # noqa: F401 - it fills the table
from pillars.calculus._norms import wide
from pillars.calculus._rules import RULES
from pillars.calculus._tape import CALLER
from pillars.calculus._traced import TracedArray, apply, apply_one, apply_two, strip

__all__ = ["FUNCTIONS", "LINALG", "axes_of", "axis_of", "counted", "function", "reduce_by"]

# (space, *args, **options) -> result; at least one argument is traced
FUNCTIONS: dict[str, Callable[..., Any]] = {}
LINALG: dict[str, Callable[..., Any]] = {}


def function(*names: str, linalg: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function of the namespace under these names."""

    def enter(body: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or (body.__name__.rstrip("_"),):
            (LINALG if linalg else FUNCTIONS)[name] = body
        return body

    return enter


def axis_of(axis: Any, ndim: int) -> int:
    """One axis as a non-negative number."""
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        raise ShapeError(
            f"{CALLER.get()}: got axis {number} of an array with {ndim} axes, expected one in [-{ndim}, {ndim})."
        )
    return number % ndim


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes as a tuple of non-negative numbers; None: all."""
    if axis is None:
        return tuple(range(ndim))
    return (
        tuple(axis_of(one, ndim) for one in axis)
        if isinstance(axis, (tuple, list))
        else (axis_of(axis, ndim),)
    )


# ------------------------------------------------------------------------------------------------------- elementwise
def _elementwise_one(name: str) -> Callable[..., Any]:
    rule = RULES[name]

    def elementwise(space: Any, x: Any, /) -> Any:
        return apply_one(rule, x)

    return elementwise


def _elementwise_two(name: str) -> Callable[..., Any]:
    rule = RULES[name]

    def elementwise(space: Any, x1: Any, x2: Any, /) -> Any:
        y = apply_two(rule, x1, x2)
        return space.stranger(x1, x2, name) if y is NotImplemented else y

    return elementwise


# primitives with options, which other functions and rules apply
_INTERNAL = ("where", "along", "pow_log")
for _name, _rule in RULES.items():
    if _rule.elementwise and _name not in _INTERNAL:
        FUNCTIONS[_name] = (_elementwise_one if len(_rule.pulls) == 1 else _elementwise_two)(_name)


@function("copy", "asarray_chkfinite", "ascontiguousarray")
def _same(space: Any, x: Any, /) -> Any:
    return x


@function()
def where(space: Any, condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Elements of `x` where the condition holds, else of `y`; of a condition alone, where it holds."""
    if x is None and y is None:
        return space.constant(space.base.where(strip(condition)))
    plain = space.frozen(condition, x, y)
    if type(x) is not TracedArray and type(y) is not TracedArray:
        return space.constant(space.base.where(plain, x, y))
    return apply(RULES["where"], (space.operand(x, "where"), space.operand(y, "where")), {"condition": plain})


@function()
def clip(
    space: Any,
    x: Any,
    /,
    min: Any = None,  # noqa: A002 - the standard's name
    max: Any = None,  # noqa: A002 - likewise
    out: None = None,
    *,
    a_min: Any = None,
    a_max: Any = None,
) -> Any:
    """`x` between the bounds; at a bound the gradient is shared evenly."""
    space.no_out(out)
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    x = x if low is None else space.maximum(x, low)
    return x if high is None else space.minimum(x, high)


@function()
def astype(
    space: Any,
    x: Any,
    /,
    dtype: Any,
    *,
    copy: bool = True,
    device: Any = None,
    casting: Any = None,
    order: Any = None,
    subok: bool = True,
) -> Any:
    """Another dtype; what is no float is a constant."""
    dtype = getattr(space.base.empty((0,), dtype=dtype), "dtype", dtype)
    if dtype == x.dtype:
        return x
    if not space.floating(dtype):
        return space.constant(space.base.astype(strip(x), dtype))
    return apply_one(RULES["astype"], x, {"dtype": dtype})


# -------------------------------------------------------------------------------------------------------- reductions
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


# ------------------------------------------------------------------------------------------------------- one value
@function()
def full(space: Any, shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """One value everywhere, which may be traced."""
    if not hasattr(fill_value, "_trace"):
        return space.constant(space.base.full(shape, fill_value, dtype=dtype, device=device))
    return space.broadcast_to(fill_value if dtype is None else space.astype(fill_value, dtype), shape)


@function()
def full_like(
    space: Any, x: Any, /, fill_value: Any, dtype: Any = None, *, shape: Any = None, device: Any = None
) -> Any:
    """One value, which may be traced, everywhere in the shape and dtype of `x`."""
    shape = tuple(x.shape) if shape is None else shape
    return full(space, shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device)
