"""Derivative rules of complex numbers on the way from real parameters to a real result, and of the Fourier transforms.

A cotangent g of a complex z stands for the change Re(g·dz). So the rule of every function that has a complex derivative
is the real one, written as it is; only what takes z apart (real, imag, conj, abs, angle) has one of its own. A real
operand takes the real part of what comes back.
"""

from __future__ import annotations

from typing import Any

from pillars.calculus._rules import rule

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


def _pull_eig(xp: Any, g: Any, y: Any, a: Any) -> Any:
    """Of vectors of length 1: as they change, and their length does not. Equal eigenvalues: as in eigh."""
    (values, vectors), (g_values, g_vectors) = y, g
    eye = xp.eye(values.shape[-1], dtype=vectors.dtype, device=vectors.device)
    inner = None if g_values is None else eye * g_values[..., None, :]
    if g_vectors is not None:
        along = xp.real(xp.sum(vectors * g_vectors, axis=-2, keepdims=True))
        mixed = xp.matmul(_t(xp, vectors), g_vectors - xp.conj(vectors) * along)
        gaps = values[..., None, :] - values[..., :, None]
        equal = gaps == 0
        inverse = xp.where(equal, xp.zeros_like(gaps), 1.0 / xp.where(equal, xp.ones_like(gaps), gaps))
        inner = inverse * mixed if inner is None else inner + inverse * mixed
    turned = _t(xp, vectors)
    return xp.linalg.solve(turned, xp.matmul(inner, turned))


rule("eig", _pull_eig, keeps="y", forward=lambda xp, a: xp.linalg.eig(a), results=2)
