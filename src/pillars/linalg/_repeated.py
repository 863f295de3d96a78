"""Eigenvalues, or singular values, that rounding cannot tell apart, and what derivatives make of them.

Of a repeated eigenvalue LAPACK returns some basis of its subspace. How a function turns when a change of the matrix
splits the subspace, no basis tells: sums of projections do not turn, V f(Λ) Vᵀ does, and both have the same cotangents.
"""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import namespace

__all__ = ["inverse_gaps", "places", "rounding", "shared", "used_along"]


def rounding(dtype: Any, size: int, xp: Any) -> float:
    """How far apart LAPACK returns equal values of a matrix of that size, over the largest: a bound seen, and d·eps."""
    eps = float(xp.finfo(dtype).eps)
    return eps * (size + 10.0 * math.sqrt(size))


def _eye(gaps: Any) -> Any:
    xp = namespace(gaps)
    ones = xp.ones_like(gaps)
    return xp.tril(ones) + xp.triu(ones) == 2


def places(values: Any) -> Any:
    """1, 2, ... along the last axis, where the values are: what is traced on a device has none to ask for."""
    xp = namespace(values)
    return xp.sum(xp.tril(xp.ones_like(values)[..., None, :] + xp.zeros_like(values)[..., :, None]), axis=-1)


def inverse_gaps(values: Any, used: Any = True, *, size: int | None = None) -> Any:
    """1/(λⱼ − λᵢ) at [i, j], and 0 at i = j.

    Where the two are equal within rounding: NaN if one of their vectors is used (`used`: of all vectors, or an array
    with an entry each), else 0. `size`: the matrix's larger side; None: as many as there are values.
    """
    xp = namespace(values)
    gaps = values[..., None, :] - values[..., :, None]
    least = rounding(values.dtype, size or values.shape[-1], xp) * xp.max(xp.abs(values), axis=-1)
    equal = xp.abs(gaps) <= least[..., None, None]
    inverse = xp.where(equal, xp.zeros_like(gaps), 1.0 / xp.where(equal, xp.ones_like(gaps), gaps))
    if used is False:
        return inverse
    unknown = equal & ~_eye(gaps)
    if used is not True:
        unknown = unknown & (used[..., None, :] | used[..., :, None])
    return xp.where(unknown, xp.full_like(inverse, xp.nan), inverse)


def shared(values: Any, g: Any, *, size: int | None = None) -> Any:
    """Cotangents, or tangents, of eigenvalues, those of ties shared evenly, as in max.

    A tie is one within rounding of the two themselves: small eigenvalues beside large ones remain what they are.
    """
    xp = namespace(values)
    top, side = values[..., None, :], values[..., :, None]
    near = rounding(values.dtype, size or values.shape[-1], xp)
    own = xp.abs(top) + xp.abs(side)
    ties = (xp.abs(top - side) <= (0.5 * near) * own) | _eye(own)
    spread = g[..., None, :] + xp.zeros_like(own)
    total = xp.sum(xp.where(ties, spread, xp.zeros_like(spread)), axis=-1)
    return total / xp.sum(xp.where(ties, xp.ones_like(own), xp.zeros_like(own)), axis=-1)


def used_along(reached: Any, axis: int) -> Any:
    """Which vectors of a stack are used: True, False, or an array; their entries lie along that axis."""
    if reached is True or reached is False:
        return reached
    return namespace(reached).any(reached != 0, axis=axis)
