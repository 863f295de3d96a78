"""Derivative rules of factorisations and inverses of real matrices; leading axes are batches.

Equal eigenvalues, or singular values, have no derivatives of their vectors: where such a vector is used the gradient is
NaN, for what splitting the pair would change cannot be told from it; so it is at a singular value of 0 of a matrix that
is not square. What is made of the values alone has its gradient, ties sharing it evenly. cholesky and eigh read one
triangle, and that triangle has the gradient.

References
----------
Giles (2008), An extended collection of matrix derivative results. Townsend (2016), Differentiating the singular value
decomposition.
"""

from __future__ import annotations

import math
from typing import Any

from pillars.calculus._rules import rule
from pillars.linalg._repeated import inverse_gaps, rounding, shared, used_along

__all__: list[str] = []


def _t(xp: Any, a: Any) -> Any:
    return xp.matrix_transpose(a)


def _symmetric(xp: Any, a: Any) -> Any:
    return 0.5 * (a + _t(xp, a))


def _eye(xp: Any, like: Any, size: int) -> Any:
    return xp.eye(size, dtype=like.dtype, device=like.device)


def _minus(xp: Any, total: Any, part: Any) -> Any:
    return -part if total is None else total - part


def _plus(total: Any, part: Any) -> Any:
    return part if total is None else total + part


# -------------------------------------------------------------------------------------------------- inverses, solving
def _pull_inv(xp: Any, g: Any, y: Any, a: Any) -> Any:
    yt = _t(xp, y)
    return -xp.matmul(yt, xp.matmul(g, yt))


rule("inv", _pull_inv, keeps="y", forward=lambda xp, a: xp.linalg.inv(a))
rule(
    "solve",
    lambda xp, g, y, a, b: -xp.matmul(xp.linalg.solve(_t(xp, a), g), _t(xp, y)),
    lambda xp, g, y, a, b: xp.linalg.solve(_t(xp, a), g),
    keeps="ya",
    forward=lambda xp, a, b: xp.linalg.solve(a, b),
)


# ------------------------------------------------------------------------------------------------------ factorisations
def _one_triangle(xp: Any, total: Any, *, upper: bool = False) -> Any:
    """The cotangent of the triangle that was read, of that of the symmetric matrix which it stands for."""
    eye = _eye(xp, total, total.shape[-1]) == 1
    both = xp.where(eye, total, total + _t(xp, total))
    return xp.triu(both) if upper else xp.tril(both)


def _pull_cholesky(xp: Any, g: Any, y: Any, a: Any) -> Any:
    inner = xp.tril(xp.matmul(_t(xp, y), g))
    inner = inner - 0.5 * (inner * _eye(xp, y, y.shape[-1]))
    # L⁻ᵀ inner L⁻¹, by two solves
    left = xp.linalg.solve(_t(xp, y), inner)
    return _one_triangle(xp, _symmetric(xp, _t(xp, xp.linalg.solve(_t(xp, y), _t(xp, left)))))


rule("cholesky", _pull_cholesky, keeps="y", forward=lambda xp, a: xp.linalg.cholesky(a))


def _forward_eigh(xp: Any, a: Any, *, options: Any) -> Any:
    return xp.linalg.eigh(a, **dict(options))


def _pull_eigh(xp: Any, g: Any, y: Any, a: Any, *, options: Any, reached: Any) -> Any:
    (values, vectors), (g_values, g_vectors) = y, g
    turned = _t(xp, vectors)
    inner = None
    if g_values is not None:
        inner = _eye(xp, vectors, vectors.shape[-1]) * shared(values, g_values)[..., None, :]
    if g_vectors is not None:
        gaps = inverse_gaps(values, used_along(reached[1], -2))
        inner = _plus(inner, gaps * xp.matmul(turned, g_vectors))
    total = xp.matmul(vectors, xp.matmul(inner, turned))
    return _one_triangle(xp, _symmetric(xp, total), upper=dict(options).get("UPLO", "L") in ("U", "u"))


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
        inner = _eye(xp, u, s.shape[-1]) * gs[..., None, :]
    if gu is not None:
        turned = xp.matmul(_t(xp, u), gu)
        gaps = inverse_gaps(s, left, size=size) / sums
        inner = _plus(inner, gaps * (turned - _t(xp, turned)) * s[..., None, :])
        if u.shape[-2] > u.shape[-1]:
            slopes = _of_used(xp, inverse, left)
            outside = xp.matmul((gu - xp.matmul(u, turned)) * slopes[..., None, :], vh)
    if gvh is not None:
        turned = xp.matmul(vh, _t(xp, gvh))
        gaps = inverse_gaps(s, right, size=size) / sums
        inner = _plus(inner, s[..., :, None] * gaps * (turned - _t(xp, turned)))
        if vh.shape[-1] > vh.shape[-2]:
            rest = gvh - xp.matmul(_t(xp, turned), vh)
            outside = _plus(outside, xp.matmul(u * _of_used(xp, inverse, right)[..., None, :], rest))
    return _plus(outside, xp.matmul(u, xp.matmul(inner, vh)))


def _of_used(xp: Any, x: Any, used: Any) -> Any:
    return x if used is True or used is False else xp.where(used, x, xp.zeros_like(x))


rule("svd", _pull_svd, keeps="yr", forward=lambda xp, a: xp.linalg.svd(a, full_matrices=False), results=3)
