"""Eigenvalues and eigenvectors of symmetric matrices, with signs that are the same everywhere."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, namespace, operation

__all__ = ["Eigh", "eigh", "inverse_gaps", "signed"]

# √eps of float32, in every dtype: float32 and float64, and all solvers, give the same sign.
_TIED = 2.0**-11.5


class Eigh(NamedTuple):
    """A symmetric matrix's eigenvalues and eigenvectors.

    Attributes
    ----------
    eigenvalues : (..., d), ascending.
    eigenvectors : (..., d, d). Column i belongs to eigenvalue i.
    """

    eigenvalues: Any
    eigenvectors: Any


def signed(rows: Any) -> Any:
    """Rows (..., k, d) each with the sign that makes its largest |entry| positive.

    Of several that are as large within `_TIED` the first one counts, so that neither rounding nor the dtype decides.
    """
    xp = namespace(rows)
    size = xp.abs(rows)
    close = size >= xp.max(size, axis=-1, keepdims=True) * (1.0 - _TIED)
    first = xp.argmax(xp.astype(close, xp.int8), axis=-1, keepdims=True)
    return xp.where(xp.take_along_axis(rows, first, axis=-1) < 0, -rows, rows)


def inverse_gaps(values: Any) -> Any:
    """1/(λⱼ − λᵢ) at [i, j]; 0 where the two are equal within rounding, d·eps of the largest |λ|."""
    xp = namespace(values)
    gaps = values[..., None, :] - values[..., :, None]
    least = float(xp.finfo(values.dtype).eps) * values.shape[-1] * xp.max(xp.abs(values), axis=-1)
    equal = xp.abs(gaps) <= least[..., None, None]
    return xp.where(equal, xp.zeros_like(gaps), 1.0 / xp.where(equal, xp.ones_like(gaps), gaps))


def _symmetric(draw: Draw) -> Call:
    """Eigenvalues well apart, so that each eigenvector is one."""
    d = draw.size(2, 5)
    noise = draw.normal(d, d)
    xp = namespace(noise)
    basis = xp.linalg.qr(noise)[0]
    values = xp.cumsum(draw.uniform(0.5, 2.0, d)) - draw.number(0.0, 4.0)
    return Call.of((basis * values) @ basis.T)


@operation(domain=_symmetric, jax_derivative="jvp")
def eigh(a: Array, /) -> Eigh:
    """Eigenvalues, ascending, and orthonormal eigenvectors of a symmetric matrix.

    Parameters
    ----------
    a : (..., d, d), symmetric; of another matrix the symmetric part (a + aᵀ)/2 is what counts.

    Returns
    -------
    Eigh(eigenvalues (..., d), eigenvectors (..., d, d)): a @ eigenvectors = eigenvectors * eigenvalues. In each column
    the largest |entry| is positive; of several that are as large within 1 part in 2,900, √eps of float32, the first, in
    every dtype.

    Raises
    ------
    ShapeError : no square matrices; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    About 10·d³ operations. Errors: an eigenvalue is off by some eps·max |λ|, an eigenvector by that over the distance
    to its nearest neighbour; equal eigenvalues define a subspace, and any basis of it may come back. Gradient:
    ā = V (diag(λ̄) + F∘(Vᵀ V̄)) Vᵀ, made symmetric, with F_ij = 1/(λⱼ − λᵢ), and 0 where two are equal within
    d·eps·max |λ|: right for all that depends on the subspace alone.

    References
    ----------
    Giles (2008), An extended collection of matrix derivative results, 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> eigh(np.asarray([[2.0, 0.0], [0.0, 1.0]]))
    Eigh(eigenvalues=array([1., 2.]), eigenvectors=array([[0., 1.],
           [1., 0.]]))
    """
    xp = namespace(a)
    a = 0.5 * a + 0.5 * xp.matrix_transpose(a)
    fine = xp.all(xp.isfinite(a), axis=(-2, -1), keepdims=True)  # LAPACK may raise, or never return
    nan = xp.full_like(a, xp.nan)
    values, vectors = xp.linalg.eigh(xp.where(fine, a, xp.zeros_like(a)))
    rows = xp.where(fine, signed(xp.matrix_transpose(vectors)), nan)
    return Eigh(xp.where(fine[..., 0], values, nan[..., 0]), xp.matrix_transpose(rows))


@eigh.check
def _(a: Any, /) -> None:
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] < 1:
        raise ShapeError(
            f"eigh: a has shape {tuple(a.shape)}, expected (..., d, d) with d of at least 1. "
            "For a rectangular matrix take the Gram matrix, or linalg.randomized_svd."
        )


@eigh.check_values
def _(a: Any, /) -> None:
    xp = namespace(a)
    if not bool(xp.all(xp.isfinite(a))):
        raise ShapeError(
            "eigh: a has entries that are NaN or infinite, expected finite numbers. Look where they come from."
        )


@eigh.flops
def _(a: Any, /) -> Flops:
    """Golub and Van Loan's count of the symmetric QR algorithm with vectors; then three products."""
    cubes = prod(a.shape[:-2]) * a.shape[-1] ** 3
    return Flops(9 * cubes, 15 * cubes)


@eigh.vjp
def _(g: Any, y: Any, a: Any, /, *, needs: Any) -> Any:
    xp = namespace(y.eigenvalues)
    v, gv = y.eigenvectors, g.eigenvectors
    vt = xp.matrix_transpose(v)
    eye = xp.eye(v.shape[-1], dtype=v.dtype, device=v.device)
    inner = inverse_gaps(y.eigenvalues) * xp.matmul(vt, gv) + eye * g.eigenvalues[..., None, :]
    found = xp.matmul(v, xp.matmul(inner, vt))
    return 0.5 * (found + xp.matrix_transpose(found))


@eigh.jvp
def _(tangents: Any, y: Any, a: Any, /) -> Any:
    xp = namespace(y.eigenvalues)
    v, t = y.eigenvectors, 0.5 * (tangents.a + xp.matrix_transpose(tangents.a))
    turned = xp.matmul(xp.matrix_transpose(v), xp.matmul(t, v))
    return Eigh(xp.linalg.diagonal(turned), xp.matmul(v, inverse_gaps(y.eigenvalues) * turned))
