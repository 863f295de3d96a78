"""Derivatives of high order along a line: pillars' own, one gradient inside another, and a fitted polynomial's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from pillars.calculus import grad

__all__ = ["DEEPEST", "agree", "fitted", "nested"]

DEEPEST = 4
_NODES = 18
# the first one at which the series has ended before its last terms; a kink or a pole nearby asks for a smaller one
_RADII = (0.05, 0.01, 0.002)
_ENDED = 1e-11


def nested(f: Callable[[Any], Any], order: int) -> Callable[[Any], Any]:
    """The derivative of that order of a function of one number."""
    for _ in range(order):
        f = grad(f)
    return f


def fitted(slope: Callable[[float], float]) -> tuple[list[float], list[float]]:
    """Derivatives of orders 1 to 4 at 0 by the first one's values beside it, and how far each is known.

    The values' rounding errors, and what the series leaves out, are of the size of its last coefficients; a derivative
    of the fit amplifies them by those of the Chebyshev polynomials.
    """
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    for radius in _RADII:
        series = chebyshev.chebfit(nodes, [slope(radius * x) for x in nodes], _NODES - 1)
        largest = float(np.abs(series).max())
        error = float(np.abs(series[-4:]).max()) + 4.0 * float(np.finfo(np.float64).eps) * largest
        if error <= _ENDED * largest:
            break
    found, doubts = [], []
    for order in range(DEEPEST):
        amplified = [abs(chebyshev.chebval(0.0, chebyshev.chebder(unit, order))) for unit in np.eye(_NODES)]
        found.append(float(chebyshev.chebval(0.0, chebyshev.chebder(series, order))) / radius**order)
        doubts.append(error * sum(amplified) / radius**order)
    return found, doubts


def agree(got: Any, order: int, known: tuple[list[float], list[float]], what: str) -> None:
    """Assert that a derivative of that order is the fitted one, but for the fit's doubt and its own rounding."""
    values, doubts = known
    expected, doubt = values[order - 1], doubts[order - 1]
    # each order multiplies what rounding leaves by the condition of the one before
    rounding = 1e-9 * max(abs(one) for one in values[:order])
    off = abs(float(got) - expected)
    assert off <= 4.0 * doubt + rounding, (
        f"{what}: derivative {order} is {float(got):.12g}, expected {expected:.12g} within {4.0 * doubt + rounding:.3g}"
    )
