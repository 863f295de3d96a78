"""Derivative rules of factorisations and inverses of real matrices; leading axes are batches.

Equal eigenvalues, or singular values, have no derivatives of their vectors: 0 stands for the reciprocal of their
difference, so that what depends on the subspace alone is right, and of a matrix function made of them (V log(Λ) Vᵀ) the
part is missing that splitting the pair would change. A singular value of 0 counts likewise. The gradient of a function
of symmetric matrices (cholesky, eigh) is symmetric.

References
----------
Giles (2008), An extended collection of matrix derivative results. Townsend (2016), Differentiating the singular value
decomposition. Walter, Lehmann (2018), On evaluating higher-order derivatives of the QR decomposition. Golub, Pereyra
(1973), The differentiation of pseudo-inverses.
"""

from __future__ import annotations

from typing import Any

from pillars.calculus._rules import rule
from pillars.linalg._eigh import inverse_gaps

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


def _forward_pinv(xp: Any, a: Any, *, options: Any) -> Any:
    return xp.linalg.pinv(a, **dict(options))


def _pull_pinv(xp: Any, g: Any, y: Any, a: Any, *, options: Any) -> Any:
    """Golub and Pereyra's derivative, for changes that keep the rank."""
    yt, gt = _t(xp, y), _t(xp, g)
    found = -xp.matmul(yt, xp.matmul(g, yt))
    left = xp.matmul(gt, xp.matmul(y, yt))
    right = xp.matmul(yt, xp.matmul(y, gt))
    return found + (left - xp.matmul(a, xp.matmul(y, left))) + (right - xp.matmul(xp.matmul(right, y), a))


rule("pinv", _pull_pinv, keeps="ya", forward=_forward_pinv)


# ------------------------------------------------------------------------------------------------------ factorisations
def _pull_cholesky(xp: Any, g: Any, y: Any, a: Any) -> Any:
    inner = xp.tril(xp.matmul(_t(xp, y), g))
    inner = inner - 0.5 * (inner * _eye(xp, y, y.shape[-1]))
    # L⁻ᵀ inner L⁻¹, by two solves
    left = xp.linalg.solve(_t(xp, y), inner)
    return _symmetric(xp, _t(xp, xp.linalg.solve(_t(xp, y), _t(xp, left))))


rule("cholesky", _pull_cholesky, keeps="y", forward=lambda xp, a: xp.linalg.cholesky(a))


def _pull_qr(xp: Any, g: Any, y: Any, a: Any) -> Any:
    (gq, gr), (q, r) = g, y
    inner = None if gr is None else xp.matmul(r, _t(xp, gr))
    inner = inner if gq is None else _minus(xp, inner, xp.matmul(_t(xp, gq), q))
    copied = xp.tril(inner) + _t(xp, xp.tril(inner, k=-1))
    total = _plus(gq, xp.matmul(q, copied))
    return _t(xp, xp.linalg.solve(r, _t(xp, total)))


rule("qr", _pull_qr, keeps="y", forward=lambda xp, a: xp.linalg.qr(a, mode="reduced"), results=2)


def _forward_eigh(xp: Any, a: Any, *, options: Any) -> Any:
    return xp.linalg.eigh(a, **dict(options))


def _pull_eigh(xp: Any, g: Any, y: Any, a: Any, *, options: Any) -> Any:
    (values, vectors), (g_values, g_vectors) = y, g
    turned = _t(xp, vectors)
    inner = None if g_values is None else _eye(xp, vectors, vectors.shape[-1]) * g_values[..., None, :]
    if g_vectors is not None:
        inner = _plus(inner, inverse_gaps(values) * xp.matmul(turned, g_vectors))
    return _symmetric(xp, xp.matmul(vectors, xp.matmul(inner, turned)))


rule("eigh", _pull_eigh, keeps="y", forward=_forward_eigh, results=2)


def _pull_svd(xp: Any, g: Any, y: Any, a: Any) -> Any:
    """Townsend (2016), Differentiating the singular value decomposition."""
    (gu, gs, gvh), (u, s, vh) = g, y
    inner = None if gs is None else _eye(xp, u, s.shape[-1]) * gs[..., None, :]
    safe = xp.where(s == 0, xp.ones_like(s), s)
    inverse = xp.where(s == 0, xp.zeros_like(s), 1.0 / safe)
    sums = s[..., None, :] + s[..., :, None]
    gaps = inverse_gaps(s) / xp.where(sums == 0, xp.ones_like(sums), sums)
    outside = None
    if gu is not None:
        turned = xp.matmul(_t(xp, u), gu)
        inner = _plus(inner, gaps * (turned - _t(xp, turned)) * s[..., None, :])
        if u.shape[-2] > u.shape[-1]:
            outside = xp.matmul((gu - xp.matmul(u, turned)) * inverse[..., None, :], vh)
    if gvh is not None:
        turned = xp.matmul(vh, _t(xp, gvh))
        inner = _plus(inner, s[..., :, None] * gaps * (turned - _t(xp, turned)))
        if vh.shape[-1] > vh.shape[-2]:
            rest = gvh - xp.matmul(_t(xp, turned), vh)
            outside = _plus(outside, xp.matmul(u * inverse[..., None, :], rest))
    return _plus(outside, xp.matmul(u, xp.matmul(inner, vh)))


rule("svd", _pull_svd, keeps="y", forward=lambda xp, a: xp.linalg.svd(a, full_matrices=False), results=3)
