"""Arrays made of values that may be traced: filled, spaced, diagonal, powers of a vector."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._rule import RULES, is_complex
from pillars.calculus.autodiff._traced_array import TracedArray, strip
from pillars.calculus.autodiff.functions._table import function

__all__: list[str] = []


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


def _spaced(space: Any, start: Any, stop: Any, num: int, endpoint: bool, axis: int) -> tuple[Any, Any]:
    """Start and stop, and shares of the way from one to the other along a new axis."""
    start, stop = (x if hasattr(x, "shape") else space.asarray(x) for x in (start, stop))
    like = start if type(start) is TracedArray else stop
    steps = max(num - 1 if endpoint else num, 1)
    way = stop - start
    # counted in float64: a half has no more than 2048 whole numbers in a row
    share = space.base.astype(space.base.arange(num, dtype=space.base.float64) / steps, like.dtype)
    share = space.base.reshape(share, (-1,) + (1,) * way.ndim)
    y = start + share * way
    # the end itself, not a rounding beside it
    y = space.where(share == 1.0, stop, y) if endpoint and num > 1 else y
    return y if axis == 0 else space.moveaxis(y, 0, axis), way / steps


@function()
def linspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Evenly spaced numbers between two that may be traced."""
    y, step = _spaced(space, start, stop, num, endpoint, axis)
    y = y if dtype is None else space.astype(y, dtype)
    return (y, step) if retstep else y


@function()
def logspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Powers of evenly spaced exponents."""
    y = base ** _spaced(space, start, stop, num, endpoint, axis)[0]
    return y if dtype is None else space.astype(y, dtype)


@function()
def geomspace(
    space: Any,
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Numbers of equal ratios between two of one sign."""
    start, stop = space.asarray(start), space.asarray(stop)
    if is_complex(start) or is_complex(stop):
        raise space.no_rule("geomspace of complex numbers")
    sign = space.base.sign(strip(start))
    if bool(space.base.any(sign * strip(stop) <= 0)):
        raise ShapeError(
            f"geomspace: got start {strip(start)} and stop {strip(stop)}, expected two numbers of one sign, neither 0."
        )
    ends = space.log(sign * start), space.log(sign * stop)
    y = space.moveaxis(sign * space.exp(_spaced(space, *ends, num, endpoint, 0)[0]), 0, axis)
    return y if dtype is None else space.astype(y, dtype)
