"""When log Σ exp x may be taken without subtracting the maximum first."""

from __future__ import annotations

import math

__all__ = ["largest_logged"]


def largest_logged(length: int) -> float:
    """The largest sum with which x − log Σ exp x may be taken as it is: it rounds as the larger of the two does.

    What is promised is a sum of probabilities within 4 eps·√k of 1; above e¹⁶ more would be lost than the
    specification's own subtraction of the maximum rounds off.
    """
    return math.exp(min(16.0, 4.0 * math.sqrt(length)))
