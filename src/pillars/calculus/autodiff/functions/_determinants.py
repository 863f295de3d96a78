"""Determinants. One is a polynomial: all its derivatives are made of minors, and of no inverse.

With A = U Σ Vᴴ the k-th derivative of det A in the directions Hᵢ is that of det Σ in the directions Kᵢ = Uᴴ Hᵢ V, times
det U · det Vᴴ. Of a diagonal matrix it is a sum over the rows i₁ … iₖ that the directions take,

    Σ Πⱼ σⱼ · Σ_π sign(π) Πᵣ Kᵣ[iᵣ, i_π(r)],  with j over all other rows and π over the permutations of 1 … k,

right at any rank. Leading axes are batches.

References
----------
Jacobi (1841), De formatione et proprietatibus determinantium. Bhatia, Jain (2009), Higher order derivatives and
perturbation bounds for determinants, theorem 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import strip
from pillars.calculus.autodiff.functions._directions import beside, internal
from pillars.calculus.autodiff.functions._matrix_helpers import several_results
from pillars.calculus.autodiff.functions._table import function

__all__ = ["SlogdetResult"]


def _pull_det(xp: Any, g: Any, y: Any, a: Any) -> Any:
    return g[..., None, None] * _minors(xp, a)


def _minors(xp: Any, *operands: Any) -> Any:
    return RULES["cofactors"].forward(xp, *operands)  # type: ignore[misc]


def _pull_cofactors(xp: Any, g: Any, y: Any, operands: tuple[Any, ...], position: int) -> Any:
    """One direction more; in the place of a direction, of which it is a linear function, that one instead."""
    if position == 0:
        return _minors(xp, *operands, g)
    return _minors(xp, *operands[:position], g, *operands[position + 1 :])


def _cofactors(xp: Any, a: Any, *directions: Any) -> Any:
    """The gradient of det A, or of its derivative in some directions."""
    try:
        u, s, vh = xp.linalg.svd(a, full_matrices=False)
    except Exception as error:
        # NaN where LAPACK gave up, as the libraries that raise nothing have it
        if type(error).__name__ != "LinAlgError":
            raise
        return xp.full_like(a, math.nan)
    sign = xp.linalg.det(u) * xp.linalg.det(vh)
    if is_complex(a):
        u, vh = xp.conj(u), xp.conj(vh)
    else:
        sign = xp.round(sign)
    turned, v = xp.matrix_transpose(u), xp.matrix_transpose(vh)
    inner = _diagonal(xp, s, [xp.matmul(turned, xp.matmul(h, v)) for h in directions])
    return sign[..., None, None] * xp.matmul(u, xp.matmul(xp.astype(inner, a.dtype), vh))


def _diagonal(xp: Any, s: Any, directions: list[Any]) -> Any:
    """The same of a diagonal matrix."""
    n, order = s.shape[-1], len(directions) + 1
    others, last = _others(xp, s, order), order - 1
    eye = xp.eye(n, dtype=s.dtype, device=s.device)
    total = xp.zeros((*s.shape, n), dtype=s.dtype, device=s.device)
    for permutation, sign in _permutations(order):
        term = others
        for row, (column, k) in enumerate(zip(permutation, directions, strict=False)):
            term = term * _spread(xp, k, row, column, order)
        column = permutation[last]
        first = s.ndim - 1
        summed_axes = tuple(first + i for i in range(order) if i not in (last, column))
        term = xp.sum(term, axis=summed_axes) if summed_axes else term
        # axes are now the column's row and the last one's, or that alone
        total = total + sign * (eye * term[..., None, :] if column == last else xp.matrix_transpose(term))
    return total


def _others(xp: Any, s: Any, order: int) -> Any:
    """For every `order` rows the product of all other numbers, 0 where two of them are the same."""
    n = s.shape[-1]
    numbers = xp.arange(n, device=s.device)
    rows = [xp.reshape(numbers, tuple(n if i == j else 1 for i in range(order))) for j in range(order)]
    y = xp.ones((*s.shape[:-1], *(n,) * order), dtype=s.dtype, device=s.device)
    lead = s.shape[:-1]
    for a, b in itertools.combinations(rows, 2):
        y = y * xp.astype(a != b, s.dtype)
    for j in range(n):
        taken = rows[0] == j
        for row in rows[1:]:
            taken = taken | (row == j)
        factor = xp.reshape(s[..., j], (*lead, *(1,) * order))
        y = y * xp.where(taken, xp.ones_like(factor), factor)
    return y


def _spread(xp: Any, k: Any, row: int, column: int, order: int) -> Any:
    """K[iᵣ, i_c] along the axes r and c of `order`."""
    n, lead = k.shape[-1], k.shape[:-2]
    if row == column:
        return xp.reshape(xp.linalg.diagonal(k), (*lead, *(n if i == row else 1 for i in range(order))))
    k = k if row < column else xp.matrix_transpose(k)
    return xp.reshape(k, (*lead, *(n if i in (row, column) else 1 for i in range(order))))


def _permutations(order: int) -> Iterator[tuple[tuple[int, ...], float]]:
    for permutation in itertools.permutations(range(order)):
        turns = sum(a > b for a, b in itertools.combinations(permutation, 2))
        yield permutation, -1.0 if turns % 2 else 1.0


rule("det", _pull_det, keeps="a", forward=lambda xp, a: xp.linalg.det(a))
rule("cofactors", _pull_cofactors, keeps="a", forward=internal("cofactors", _cofactors), variadic=True)


# ---------------------------------------------------------------------------------------------------------- logarithms
def _inverse(xp: Any, a: Any) -> Any:
    """A⁻¹ for a gradient: NaN of a singular matrix, which has none, and of the matrices beside it their own."""
    try:
        return xp.linalg.inv(a)
    except Exception as error:
        if type(error).__name__ != "LinAlgError":
            raise
        base = getattr(xp, "base", xp)
        sign = base.linalg.slogdet(strip(a))[0]
        return xp.linalg.inv(
            a * beside(xp, base.where(sign == 0, math.nan, base.ones_like(sign))[..., None, None])
        )


rule(
    "slogdet",
    lambda xp, g, y, a: (
        None if g[1] is None else g[1][..., None, None] * xp.matrix_transpose(_inverse(xp, a))
    ),
    keeps="a",
    forward=lambda xp, a: xp.linalg.slogdet(a),
    results=2,
)


class SlogdetResult(NamedTuple):
    """A determinant's sign and the logarithm of its size, as the standard names them."""

    sign: Any
    logabsdet: Any


# ------------------------------------------------------------------------------------------------------- determinants
@function(linalg=True)
def slogdet(space: Any, x: Any, /) -> Any:
    """The determinant's sign, a constant, and the logarithm of its size."""
    sign, size = several_results(space, "slogdet", x)
    return SlogdetResult(space.constant(strip(sign)), size)
