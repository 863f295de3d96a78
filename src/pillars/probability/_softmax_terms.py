"""What the softmax family shares: its checks, its shifted logits, their logarithm of a sum, and exact differences."""

from __future__ import annotations

from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars.backends import Draw, dtype_kind, dtype_name, namespace, summed

__all__ = [
    "axes_of",
    "balanced",
    "check_axes",
    "check_temperature",
    "check_where",
    "counted",
    "draw_logits",
    "draw_where",
    "finite_logits",
    "from_top",
    "log_total",
    "only",
    "tempered",
]

# the smallest normal number: of float64, and of what computes in float32
_LEAST = {True: 2.0**-1022, False: 2.0**-126}


def draw_logits(draw: Draw) -> Any:
    """Logits of one to three axes."""
    return draw.normal(*draw.shape(draw.choice((1, 2, 3))), scale=3.0)


def draw_where(draw: Draw, shape: tuple[int, ...], *, one: bool = False) -> Any:
    """Which entries count, as booleans or as integers; `one`: all but one, of slices of two or more."""
    counts = draw.uniform(0.0, 1.0, *shape) < (2.0 if one else 0.7)
    if one and shape and min(shape) > 1:
        counts[(0,) * len(shape)] = False
    return counts if draw.choice((True, False)) else counts.astype("int64")


def axes_of(x: Any, axis: Any) -> tuple[int, ...]:
    """The axes that an option names, None being all of them."""
    return tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))


def check_axes(name: str, x: Any, axis: Any) -> None:
    """Refuse axes that the array does not have, the same one twice, and one without classes."""
    if type(axis) is int and -x.ndim <= axis < x.ndim and x.shape[axis]:
        return
    axes = axes_of(x, axis)
    if x.ndim == 0:
        raise ShapeError(
            f"{name}: axis is {axis}, expected an array of at least one axis: x has shape (). "
            "A single number is its own answer."
        )
    for one in axes:
        _check_axis(name, x, one)
    if len({one % x.ndim for one in axes}) != len(axes):
        raise ShapeError(f"{name}: axis is {axis}, expected each axis once.")


def _check_axis(name: str, x: Any, axis: Any) -> None:
    # a tuple's type is looked at on the way here, what is in it is not
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise DTypeError(f"{name}: axis names {axis!r}, expected integers such as (0, 1).")
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"{name}: axis is {axis}, expected one in [-{x.ndim}, {x.ndim}): x has shape {tuple(x.shape)}."
        )
    if x.shape[axis] == 0:
        raise ShapeError(
            f"{name}: x has shape {tuple(x.shape)}, expected at least one class on axis {axis}. "
            "An empty slice has no distribution: drop it."
        )


def check_where(name: str, where: Any, shape: tuple[int, ...], what: str = "x") -> None:
    """Refuse a mask of numbers, and one that does not broadcast to `shape`."""
    if where is None:
        return
    if dtype_kind(where.dtype) not in ("bool", "integer"):
        raise DTypeError(
            f"{name}: where has dtype {dtype_name(where.dtype)}, expected booleans (True: it counts) or integers "
            "(other than 0: it counts). Write where != 0 for one of floating zeros and ones."
        )
    given = tuple(where.shape)
    tail = shape[len(shape) - len(given) :]
    if len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given, tail, strict=True)):
        raise ShapeError(
            f"{name}: where has shape {given}, expected one that broadcasts to that of {what}, {shape}. "
            "Put its axes where those are, and length 1 where it is the same for all."
        )


def check_temperature(name: str, temperature: Any, x: Any) -> None:
    """Refuse a temperature that is not a normal number above 0, or whose inverse is none.

    One on a device or traced is not looked at.
    """
    if not isinstance(temperature, float) or temperature == 1.0:
        return
    least = _LEAST[dtype_name(x.dtype) == "float64"]
    if least <= temperature <= 1 / least:
        return
    remedy = "Check where it came from."
    if temperature > 1:
        remedy = "As it grows the answer goes to the uniform one: use that."
    elif temperature < least:
        remedy = "As it goes to 0 the answer goes to the argmax: use that."
    raise ShapeError(
        f"{name}: temperature is {temperature}, expected a finite number above 0, neither below {least:.3g} nor above "
        f"{1 / least:.3g}, where {dtype_name(x.dtype)} loses its digits. {remedy}"
    )


def counted(where: Any) -> Any:
    """The mask as booleans; None where there is none."""
    return where if where is None or dtype_kind(where.dtype) == "bool" else where != 0


def only(x: Any, where: Any, fill: float) -> Any:
    """`x` with `fill` in the place of what does not count."""
    return x if where is None else namespace(x).where(counted(where), x, fill)


def tempered(x: Any, axis: Any, temperature: Any, where: Any = None) -> Any:
    """(x − max x)/T of what counts: never positive, and 0 somewhere, so that no exponential of it overflows; else 0."""
    xp = namespace(x)
    # nobody has looked at a traced one: what is no temperature has no answer
    if not isinstance(temperature, (int, float)):
        temperature = xp.where(temperature > 0, temperature, xp.nan)
    z = x - xp.max(only(x, where, -xp.inf), axis=axis, keepdims=True)
    return only(z, where, 0.0) / temperature


def finite_logits(z: Any) -> Any:
    """z with 0 for −inf: a class that cannot be is so at every temperature."""
    xp = namespace(z)
    return xp.where(z == -xp.inf, xp.zeros_like(z), z)


def log_total(z: Any, axis: Any) -> tuple[Any, Any]:
    """exp z and log Σ exp z of what is never positive and 0 somewhere, with all digits where the sum is nearly 1.

    Ones are counted apart from the rest, of which log1p sees the smallest. They are what rounding down leaves of exp z:
    a comparison would keep XLA from computing the whole in one pass.
    """
    xp = namespace(z)
    e = xp.exp(z)
    ones = xp.floor(e)
    rest = summed(e - ones, axis, keepdims=True)
    return e, xp.log1p(rest + (summed(ones, axis, keepdims=True) - 1.0))


def _certain(p: Any) -> Any:
    """1 for an entry that has at least three quarters of the probability, of which there is one at most; else 0."""
    return namespace(p).floor(p + 0.25)


def balanced(d: Any, p: Any, axis: Any) -> Any:
    """Numbers that sum to 0 along the axis, where a nearly certain entry's own terms cancel: there less the others."""
    certain = _certain(p)
    others = d - certain * d
    return others - certain * summed(others, axis, keepdims=True)


def from_top(d: Any, p: Any, axis: Any) -> Any:
    """`d` less what it is at a nearly certain entry, exactly 0 there: a constant that no softmax sees."""
    certain = _certain(p)
    moved = d - summed(certain * d, axis, keepdims=True)
    return moved - certain * moved
