"""How many components: a number, the share of the variance that they are to have, or the likeliest."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import host_number
from pillars.linalg._inputs import rank

__all__ = ["checked_number", "likeliest_number", "number_of_share"]


def checked_number(n_components: Any, shape: tuple[int, ...], solver: str) -> int | float | str:
    """A number of components, a share in (0, 1), or "mle", for rows of that shape."""
    if n_components is None:
        return min(shape)
    if isinstance(n_components, str):
        if n_components != "mle":
            raise ShapeError(
                f"pca: n_components is {shown(n_components)}, expected a number of components, a share of the variance "
                "such as 0.95, or 'mle'."
            )
        if shape[0] < shape[1] or shape[1] < 2:
            raise ShapeError(
                f"pca: n_components is 'mle' and x has {shape[0]} rows of {shape[1]} columns, expected at least 2 "
                "columns, and as many rows. Say a number, or a share of the variance such as 0.95."
            )
        wanted: float | str = n_components
    elif isinstance(share := host_number(n_components), float):
        if not 0.0 < share < 1.0:
            raise DTypeError(
                f"pca: n_components is {share}, expected an integer, or a share of the variance between 0 and 1."
            )
        wanted = share
    else:
        return rank("pca", "n_components", n_components, shape)
    if solver == "randomized":
        raise ShapeError(
            f"pca: n_components is {wanted!r} and solver 'randomized', which finds leading components "
            "alone: expected a number. Say one, or solver='full'."
        )
    return wanted


def number_of_share(variances: list[float], share: float, eps: float) -> int:
    """The least number of components that have more than this share of the variance, by more than rounding."""
    total = math.fsum(variances)
    _refuse_constant(total)
    least = share + len(variances) * eps
    enough = (k for k in range(1, len(variances)) if math.fsum(variances[:k]) / total > least)
    return next(enough, len(variances))


def likeliest_number(variances: list[float], n: int, eps: float) -> int:
    """The number 1 ... d − 1 of the greatest evidence, by Laplace's method: Minka (2000), eq. (76) and (77).

    Variances within rounding of each other are taken for equal: to turn their axes changes nothing, so that such a pair
    has no part in the evidence. Those within rounding of 0 are no components.
    """
    d = len(variances)
    _refuse_constant(variances[0])
    # In units of the largest one: the evidence does not depend on the unit.
    spectrum = [max(value / variances[0], 0.0) for value in variances]
    rounding = eps * d
    result = [k for k in range(1, d) if k == 1 or spectrum[k - 1] > rounding]
    return max(result, key=lambda k: _evidence(spectrum, k, n, rounding))


def _evidence(spectrum: list[float], k: int, n: int, rounding: float) -> float:
    """log p(D | k) without what does not depend on k."""
    d = len(spectrum)
    free = d * k - k * (k + 1) / 2
    left = max(math.fsum(spectrum[k:]) / (d - k), rounding)
    volume = math.fsum(
        math.lgamma((d - i) / 2) - (d - i) / 2 * math.log(math.pi) - math.log(2.0) for i in range(k)
    )
    likelihood = -n / 2 * (math.fsum(map(math.log, spectrum[:k])) + (d - k) * math.log(left))
    smoothed = spectrum[:k] + [left] * (d - k)
    curvature = math.fsum(
        math.log((1.0 / smoothed[j] - 1.0 / smoothed[i]) * (spectrum[i] - spectrum[j]) * n)
        for i in range(k)
        for j in range(i + 1, d)
        if spectrum[i] - spectrum[j] > rounding and smoothed[i] > smoothed[j]
    )
    return volume + likelihood + (free + k) / 2 * math.log(2 * math.pi) - curvature / 2 - k / 2 * math.log(n)


def _refuse_constant(size: float) -> None:
    if not size > 0.0:
        raise ShapeError(
            "pca: no column of x varies, expected rows that differ: no number of components has a share of no "
            "variance. Say a number."
        )
