"""The tables of the traced namespace's functions, and what their axes are.

Signatures take what NumPy's and the standard's take. A function here either applies a rule, or is written with others
that do; then it needs no rule of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._tape import CALLER

__all__ = ["FOURIER", "FUNCTIONS", "LINALG", "axes_of", "axis_of", "function"]

# (space, *args, **options) -> result; at least one argument is traced
FUNCTIONS: dict[str, Callable[..., Any]] = {}
LINALG: dict[str, Callable[..., Any]] = {}


FOURIER: dict[str, Callable[..., Any]] = {}


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
