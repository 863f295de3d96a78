"""Derivative rules of complex numbers on the way from real parameters to a real result, and of the Fourier transforms.

A cotangent g of a complex z stands for the change Re(g·dz). So the rule of every function that has a complex derivative
is the real one, written as it is; only what takes z apart (real, imag, conj, abs, angle) has one of its own. A real
operand takes the real part of what comes back.
"""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import namespace
from pillars.calculus._rules import rule
from pillars.calculus._traced import strip
from pillars.linalg._repeated import inverse_gaps, rounding, shared, used_along

__all__: list[str] = []


rule("real", lambda xp, g, y, a: g, forward=lambda xp, a: xp.real(a))
rule("imag", lambda xp, g, y, a: g * -1j, forward=lambda xp, a: xp.imag(a))
rule("conj", lambda xp, g, y, a: xp.conj(g), forward=lambda xp, a: xp.conj(a))
rule(
    "angle",
    lambda xp, g, y, a: g * (-1j / a),
    keeps="a",
    forward=lambda xp, a: xp.atan2(xp.imag(a), xp.real(a)),
)


# ------------------------------------------------------------------------------------------------------------- Fourier
def _forward_transform(xp: Any, a: Any, *, name: str, n: int, axis: int, norm: str, length: int) -> Any:
    return getattr(xp.fft, name)(a, n=n, axis=axis, norm=norm)


def _pull_transform(
    xp: Any, g: Any, y: Any, a: Any, *, name: str, n: int, axis: int, norm: str, length: int
) -> Any:
    """The transform's matrix is symmetric; what was cut away is 0, and what was padded is left out."""
    found = getattr(xp.fft, name)(g, n=n, axis=axis, norm=norm)
    before = (slice(None),) * axis
    if n >= length:
        return found[(*before, slice(None, length), ...)]
    missing = tuple(length - n if i == axis else m for i, m in enumerate(found.shape))
    return xp.concat([found, xp.zeros(missing, dtype=found.dtype, device=found.device)], axis=axis)


rule("transform", _pull_transform, forward=_forward_transform)


# --------------------------------------------------------------------------------------------- eigenvalues in general
def _t(xp: Any, a: Any) -> Any:
    return xp.matrix_transpose(a)


def _pull_eig(xp: Any, g: Any, y: Any, a: Any, *, reached: Any) -> Any:
    """Of vectors of length 1: as they change, and their length does not. Equal eigenvalues: as in eigh.

    Where eigenvectors coincide too, so that there is no basis of them, the gradient is NaN.
    """
    (values, vectors), (g_values, g_vectors) = y, g
    eye = xp.eye(values.shape[-1], dtype=vectors.dtype, device=vectors.device)
    inner = None if g_values is None else eye * shared(values, g_values)[..., None, :]
    if g_vectors is not None:
        along = xp.real(xp.sum(vectors * g_vectors, axis=-2, keepdims=True))
        mixed = xp.matmul(_t(xp, vectors), g_vectors - xp.conj(vectors) * along)
        turned = inverse_gaps(values, used_along(reached[1], -2)) * mixed
        inner = turned if inner is None else inner + turned
    turned = _t(xp, vectors)
    plain = strip(vectors)
    least = namespace(plain).linalg.svd(plain, full_matrices=False)[1][..., -1]
    coincide = (least <= rounding(least.dtype, values.shape[-1], xp))[..., None, None]
    basis = xp.where(coincide, eye, turned)
    found = xp.linalg.solve(basis, xp.matmul(inner, turned))
    return found * xp.where(coincide, xp.full_like(found, math.nan), xp.ones_like(found))


rule("eig", _pull_eig, keeps="yr", forward=lambda xp, a: xp.linalg.eig(a), results=2)
