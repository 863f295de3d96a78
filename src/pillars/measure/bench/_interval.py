"""The interval that an accuracy is reported with."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from pillars._errors import ShapeError

__all__ = ["Proportion", "wilson_interval"]


class Proportion(NamedTuple):
    """A share of successes, with its confidence interval."""

    estimate: float
    low: float
    high: float
    successes: int
    n: int


def wilson_interval(successes: int, n: int, *, confidence_level: float = 0.95) -> Proportion:
    r"""A proportion with its Wilson score interval.

    (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n), the values of p that a score test at this level would not reject.

    Parameters
    ----------
    successes, n : whole numbers, 0 <= successes <= n, n >= 1.

    Returns
    -------
    Proportion(estimate, low, high, successes, n): fractions in [0, 1]. Not degenerate at 0 or n successes, where the
    interval p̂ ± z·s.e. has no width.

    Raises
    ------
    ShapeError : counts or level out of range.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.

    Examples
    --------
    >>> [round(v, 4) for v in wilson_interval(81, 263)[:3]]
    [0.308, 0.2553, 0.3662]
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise ShapeError(
            f"wilson_interval: got {successes} successes of {n}, expected 0 <= successes <= n with n >= 1."
        )
    if not 0 < confidence_level < 1:
        raise ShapeError(
            f"wilson_interval: got confidence_level {confidence_level}, expected a value between 0 and 1."
        )
    z = NormalDist().inv_cdf(0.5 + confidence_level / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # rounding would leave 1e-17 where the exact bound is 0 or 1
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Proportion(p, low, high, successes, n)
