"""What a number among the options must be, with its function and its name in the refusal."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError, shown
from pillars.backends import backend as backend_of, dtype_kind, dtype_name, plain_float, plain_int

__all__ = ["MOST", "count", "rate", "within"]

MOST = 2**31 - 1  # the largest count: those that run along with a descent are 32 bits wide


def within(
    where: str,
    what: str,
    value: Any,
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    to: bool = False,
) -> float:
    """A number from `low` on (`above`: from above it) and below `high` (`to`: up to it), as a float."""
    if isinstance(value, bool) or not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
        raise DTypeError(f"{where}: {what} is {shown(value)}, expected a number.")
    try:
        number = plain_float(value)
    except TypeError:
        raise _traced(where, what) from None
    if not (low < number < high or (number == low and not above) or (number == high and to)):
        start = f"above {low:g}" if above else f"at least {low:g}"
        end = "" if high == math.inf else f" and {'at most' if to else 'below'} {high:g}"
        finite = "finite and " if high == math.inf and not to else ""
        raise ShapeError(f"{where}: {what} is {number:g}, expected it {finite}{start}{end}.")
    return number


def count(where: str, what: str, value: Any, least: int) -> int:
    """An integer from `least` on."""
    number = plain_int(value)
    if number is None and _is_traced(value):
        raise _traced(where, what)
    if number is None or getattr(value, "shape", ()) != ():
        raise DTypeError(f"{where}: {what} is {shown(value)}, expected an integer.")
    if not least <= number <= MOST:
        bound = f"at least {least}" if number < least else f"at most {MOST}"
        raise ShapeError(f"{where}: {what} is {shown(number)}, expected {bound}.")
    return number


def _is_traced(value: Any) -> bool:
    if not hasattr(value, "dtype"):
        return False
    try:
        backend = backend_of(value)
    except BackendError:  # a NumPy scalar
        return False
    return backend.is_tracer(type(value)) or not backend.owns(type(value))


def _traced(where: str, what: str) -> DTypeError:
    return DTypeError(
        f"{where}: {what} is traced, expected a plain value: it is decided on before anything runs. Pass it as a "
        "Python number, outside the traced arguments."
    )


def rate(where: str, value: Any, what: str = "learning_rate", *, finite: bool = True) -> Any:
    """A number above 0 as a float; what is traced stays, as it cannot be looked at."""
    if hasattr(value, "shape"):
        if value.shape != ():
            raise ShapeError(
                f"{where}: {what} has shape {tuple(value.shape)}, expected one number. "
                "Loop over several, or use vmap; one rate a leaf is not meant."
            )
        if dtype_kind(value.dtype) not in ("float", "half", "integer"):
            raise DTypeError(f"{where}: {what} has dtype {dtype_name(value.dtype)}, expected a real number.")
        try:
            backend = backend_of(value)
        except BackendError:
            pass  # a NumPy scalar
        else:
            if backend.is_tracer(type(value)) or not backend.owns(type(value)):
                return value
        value = float(value)
    return within(where, what, value, 0.0, above=True, to=not finite)
