"""Numbers that are at hand: Python's, NumPy's, and what a 0-d host array holds. Nothing here waits for a device."""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real
from typing import Any

from pillars.backends._dtypes import dtype_kind
from pillars.backends._registry import backend_named

__all__ = ["host_number", "plain_bool", "plain_float", "plain_int"]


def plain_int(value: Any) -> int | None:
    """The integer that a length, a count or a seed is; None for what is none: booleans, floats, tracers."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:  # what JAX's tracers, which have __index__, raise too
        return None


def plain_bool(value: Any) -> bool | None:
    """The truth that Python's, a scalar or a 0-d array of any library says; None for everything else."""
    if isinstance(value, bool):
        return value
    if dtype_kind(getattr(value, "dtype", None)) != "bool" or getattr(value, "shape", None) != ():
        return None
    return bool(value)


def plain_float(value: Any) -> float:
    """``float(value)``; what is beyond the floats is infinite, so that a check of the range refuses it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def host_number(value: Any) -> int | float | None:
    """The real number of Python or NumPy, or in a 0-d NumPy array, as Python's; None for everything else.

    Python's numbers compare and subtract exactly, where NumPy's wrap around.
    """
    if type(value) is float or type(value) is int:
        return value  # the usual case, at once
    host = backend_named("numpy")
    if host.is_scalar(value) or host.owns(type(value)):
        kind = dtype_kind(value.dtype)
        real = kind in ("float", "half", "integer") or value.dtype.kind == "f"
        if value.shape != () or not real:
            return None
        return int(value) if kind == "integer" else float(value)
    if isinstance(value, Real) and not isinstance(value, (bool, Integral)):
        return plain_float(value)  # a fraction
    return None if hasattr(value, "dtype") else plain_int(value)
