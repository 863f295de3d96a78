"""Factorisations of matrices: Cholesky, eigenvalues, singular values; leading axes are batches.

Equal eigenvalues, or singular values, have no derivatives of their vectors: where such a vector is used the gradient is
NaN, for what splitting the pair would change cannot be told from it; so it is at a singular value of 0 of a matrix that
is not square. What is made of the values alone has its gradient, ties sharing it evenly. cholesky and eigh read one
triangle, and that triangle has the gradient.

Matrices are real. Signatures take what NumPy's and the standard's take, and results have the standard's names.

References
----------
Giles (2008), An extended collection of matrix derivative results. Townsend (2016), Differentiating the singular value
decomposition.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends import namespace
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._several_results import apply_several
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._matrix_helpers import (
    eye_beside,
    plus,
    several_results,
    symmetric_part,
    transposed,
)
from pillars.calculus.autodiff.functions._table import LINALG, function
from pillars.linalg import inverse_gaps, rounding, shared, used_along

__all__ = ["EigResult", "EighResult", "SVDResult", "singular_values"]


# --------------------------------------------------------------------------------------------- eigenvalues in general
def _pull_eig(xp: Any, g: Any, y: Any, a: Any, *, reached: Any) -> Any:
    """Of vectors of length 1: as they change, and their length does not. Equal eigenvalues: as in eigh.

    Where eigenvectors coincide too, so that there is no basis of them, the gradient is NaN.
    """
    (values, vectors), (g_values, g_vectors) = y, g
    eye = xp.eye(values.shape[-1], dtype=vectors.dtype, device=vectors.device)
    inner = None if g_values is None else eye * shared(values, g_values)[..., None, :]
    if g_vectors is not None:
        along = xp.real(xp.sum(vectors * g_vectors, axis=-2, keepdims=True))
        mixed = xp.matmul(transposed(xp, vectors), g_vectors - xp.conj(vectors) * along)
        turned = inverse_gaps(values, used_along(reached[1], -2)) * mixed
        inner = turned if inner is None else inner + turned
    turned = transposed(xp, vectors)
    plain = strip(vectors)
    least = namespace(plain).linalg.svd(plain, full_matrices=False)[1][..., -1]
    coincide = (least <= rounding(least.dtype, values.shape[-1], xp))[..., None, None]
    basis = xp.where(coincide, eye, turned)
    result = xp.linalg.solve(basis, xp.matmul(inner, turned))
    return result * xp.where(coincide, xp.full_like(result, math.nan), xp.ones_like(result))


rule("eig", _pull_eig, keeps="yr", forward=lambda xp, a: xp.linalg.eig(a), results=2)


# ------------------------------------------------------------------------------------------------------ factorisations
def _one_triangle(xp: Any, total: Any, *, upper: bool = False) -> Any:
    """The cotangent of the triangle that was read, of that of the symmetric matrix which it stands for."""
    eye = eye_beside(xp, total, total.shape[-1]) == 1
    both = xp.where(eye, total, total + transposed(xp, total))
    return xp.triu(both) if upper else xp.tril(both)


def _pull_cholesky(xp: Any, g: Any, y: Any, a: Any) -> Any:
    inner = xp.tril(xp.matmul(transposed(xp, y), g))
    inner = inner - 0.5 * (inner * eye_beside(xp, y, y.shape[-1]))
    # L⁻ᵀ inner L⁻¹, by two solves
    left = xp.linalg.solve(transposed(xp, y), inner)
    return _one_triangle(
        xp, symmetric_part(xp, transposed(xp, xp.linalg.solve(transposed(xp, y), transposed(xp, left))))
    )


rule("cholesky", _pull_cholesky, keeps="y", forward=lambda xp, a: xp.linalg.cholesky(a))


def _forward_eigh(xp: Any, a: Any, *, options: Any) -> Any:
    return xp.linalg.eigh(a, **dict(options))


def _pull_eigh(xp: Any, g: Any, y: Any, a: Any, *, options: Any, reached: Any) -> Any:
    (values, vectors), (g_values, g_vectors) = y, g
    turned = transposed(xp, vectors)
    inner = None
    if g_values is not None:
        inner = eye_beside(xp, vectors, vectors.shape[-1]) * shared(values, g_values)[..., None, :]
    if g_vectors is not None:
        gaps = inverse_gaps(values, used_along(reached[1], -2))
        inner = plus(inner, gaps * xp.matmul(turned, g_vectors))
    total = xp.matmul(vectors, xp.matmul(inner, turned))
    return _one_triangle(xp, symmetric_part(xp, total), upper=dict(options).get("UPLO", "L") in ("U", "u"))


rule("eigh", _pull_eigh, keeps="yr", forward=_forward_eigh, results=2)


def _pull_svd(xp: Any, g: Any, y: Any, a: Any, *, reached: Any) -> Any:
    """Townsend (2016), Differentiating the singular value decomposition."""
    (gu, gs, gvh), (u, s, vh) = g, y
    size = max(u.shape[-2], vh.shape[-1])
    sums = s[..., None, :] + s[..., :, None]
    sums = xp.where(sums == 0, xp.ones_like(sums), sums)
    none = s <= rounding(s.dtype, size, xp) * xp.max(s, axis=-1, keepdims=True)
    inverse = xp.where(none, xp.full_like(s, math.nan), 1.0 / xp.where(none, xp.ones_like(s), s))
    left, right = used_along(reached[0], -2), used_along(reached[2], -1)
    inner = outside = None
    if gs is not None:
        gs = shared(s, gs, size=size)
        # a singular value of 0 alone is an absolute value at 0
        gs = gs * xp.sign(s) if gu is None and gvh is None else gs
        inner = eye_beside(xp, u, s.shape[-1]) * gs[..., None, :]
    if gu is not None:
        turned = xp.matmul(transposed(xp, u), gu)
        gaps = inverse_gaps(s, left, size=size) / sums
        inner = plus(inner, gaps * (turned - transposed(xp, turned)) * s[..., None, :])
        if u.shape[-2] > u.shape[-1]:
            slopes = _of_used(xp, inverse, left)
            outside = xp.matmul((gu - xp.matmul(u, turned)) * slopes[..., None, :], vh)
    if gvh is not None:
        turned = xp.matmul(vh, transposed(xp, gvh))
        gaps = inverse_gaps(s, right, size=size) / sums
        inner = plus(inner, s[..., :, None] * gaps * (turned - transposed(xp, turned)))
        if vh.shape[-1] > vh.shape[-2]:
            rest = gvh - xp.matmul(transposed(xp, turned), vh)
            outside = plus(outside, xp.matmul(u * _of_used(xp, inverse, right)[..., None, :], rest))
    return plus(outside, xp.matmul(u, xp.matmul(inner, vh)))


def _of_used(xp: Any, x: Any, used: Any) -> Any:
    return x if used is True or used is False else xp.where(used, x, xp.zeros_like(x))


rule("svd", _pull_svd, keeps="yr", forward=lambda xp, a: xp.linalg.svd(a, full_matrices=False), results=3)


# ------------------------------------------------------------------------------------------------------ complex numbers
class EigResult(NamedTuple):
    """Eigenvalues and eigenvectors, as the standard names them."""

    eigenvalues: Any
    eigenvectors: Any


@function(linalg=True)
def eig(space: Any, x: Any, /) -> Any:
    """Eigenvalues and eigenvectors of any square matrix; a result must not depend on the vectors' phase."""
    return EigResult(*apply_several(RULES["eig"], x))


@function(linalg=True)
def eigvals(space: Any, x: Any, /) -> Any:
    """Eigenvalues of any square matrix."""
    return apply_several(RULES["eig"], x)[0]


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors, as the standard names them."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """Singular vectors and values, as the standard names them."""

    U: Any
    S: Any
    Vh: Any


# ------------------------------------------------------------------------------------------------------ factorisations
@function(linalg=True)
def cholesky(space: Any, x: Any, /, *, upper: bool = False) -> Any:
    """The triangular root of a symmetric positive definite matrix, of which one triangle is read."""
    if is_complex(x):
        raise space.no_rule("cholesky of complex matrices")
    # NumPy's reads the upper triangle then, the other libraries' the lower one still
    turned = upper and space.root.name == "numpy"
    result = apply_one(RULES["cholesky"], space.matrix_transpose(x) if turned else x)
    return space.matrix_transpose(result) if upper else result


def _eigh(space: Any, x: Any, triangle: str) -> Any:
    # the standard's eigh takes no UPLO
    options = (("UPLO", triangle),) if triangle != "L" else ()
    return EighResult(*several_results(space, "eigh", x, {"options": options}))


@function(linalg=True)
def eigh(space: Any, x: Any, /, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    return _eigh(space, x, UPLO)


@function(linalg=True)
def eigvalsh(space: Any, x: Any, /, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues of a symmetric matrix."""
    return _eigh(space, x, UPLO).eigenvalues


@function(linalg=True)
def svd(
    space: Any, x: Any, /, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """The reduced decomposition, which of a square matrix is the full one."""
    if not compute_uv:
        return singular_values(space, x)
    if hermitian:
        raise space.no_rule("svd with hermitian=True")
    if full_matrices and x.shape[-1] != x.shape[-2]:
        raise CapabilityError(
            f"svd: got a traced array of shape {x.shape} and full_matrices=True, expected full_matrices=False: the "
            "vectors that complete a basis have no derivative."
        )
    return SVDResult(*several_results(space, "svd", x))


def singular_values(space: Any, x: Any, /) -> Any:
    """Singular values alone."""
    return several_results(space, "svd", x)[1]


LINALG["svdvals"] = singular_values
