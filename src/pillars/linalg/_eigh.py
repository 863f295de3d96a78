"""Eigenvalues and eigenvectors of symmetric matrices, with signs that are the same everywhere."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from pillars._errors import ShapeError, shown
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, namespace, operation
from pillars.linalg._repeated import inverse_gaps, places, shared, used_along

__all__ = ["Eigh", "eigh", "leading_eigh", "signed"]

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


def _symmetric(draw: Draw) -> Call:
    """Eigenvalues well apart, so that each eigenvector is one."""
    d = draw.size(2, 5)
    noise = draw.normal(d, d)
    xp = namespace(noise)
    basis = xp.linalg.qr(noise)[0]
    values = xp.cumsum(draw.uniform(0.5, 2.0, d)) - draw.number(0.0, 4.0)
    return Call.of((basis * values) @ basis.T)


@operation(domain=_symmetric, jax_derivative="jvp")
def eigh(a: Array, /, *, repeated: str = "nan") -> Eigh:
    """Eigenvalues, ascending, and orthonormal eigenvectors of a symmetric matrix.

    Parameters
    ----------
    a : (..., d, d), symmetric; of another matrix the symmetric part (a + aᵀ)/2 is what counts, in the gradient too.
    repeated : what the gradient is where eigenvalues are equal and their vectors are used. "nan": NaN. "subspace": that
        of a function of the subspace alone, such as the projection on it; of another function it is wrong.

    Returns
    -------
    Eigh(eigenvalues (..., d), eigenvectors (..., d, d)): a @ eigenvectors = eigenvectors * eigenvalues. In each column
    the largest |entry| is positive; of several that are as large within 1 part in 2,900, √eps of float32, the first, in
    every dtype.

    Raises
    ------
    ShapeError : no square matrices; no such `repeated`; on a host, entries that are not finite. On a device these give
        NaN.

    Notes
    -----
    About 10·d³ operations. Errors: an eigenvalue is off by some eps·max |λ|, an eigenvector by that over the distance
    to its nearest neighbour; equal eigenvalues define a subspace, and any basis of it may come back. Gradient:
    ā = V (diag(λ̄) + F∘(Vᵀ V̄)) Vᵀ, made symmetric, with F_ij = 1/(λⱼ − λᵢ).

    Equal means within (d + 10·√d)·eps·max |λ|, which is how far apart rounding may put them. What is made of such
    eigenvalues alone keeps its gradient (λ̄ of ties is shared evenly, as in max), and so does what is made of other
    vectors: under :func:`pillars.grad` on NumPy and CuPy those that are indexed count, on JAX all. For V f(Λ) Vᵀ take
    :func:`matrix_function`, whose gradient is right there.

    References
    ----------
    Giles (2008), An extended collection of matrix derivative results, 3.1. Magnus (1985), On differentiating
    eigenvalues and eigenvectors.

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
def _(a: Any, /, *, repeated: str) -> None:
    if repeated not in ("nan", "subspace"):
        raise ShapeError(f"eigh: repeated is {shown(repeated)}, expected 'nan' or 'subspace'.")
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] < 1:
        raise ShapeError(
            f"eigh: a has shape {tuple(a.shape)}, expected (..., d, d) with d of at least 1. "
            "For a rectangular matrix take the Gram matrix, or linalg.randomized_svd."
        )


@eigh.check_values
def _(a: Any, /, *, repeated: str) -> None:
    xp = namespace(a)
    if not bool(xp.all(xp.isfinite(a))):
        raise ShapeError(
            "eigh: a has entries that are NaN or infinite, expected finite numbers. Look where they come from."
        )


@eigh.flops
def _(a: Any, /, *, repeated: str = "nan") -> Flops:
    """Golub and Van Loan's count of the symmetric QR algorithm with vectors; then three products."""
    cubes = prod(a.shape[:-2]) * a.shape[-1] ** 3
    return Flops(9 * cubes, 15 * cubes)


@eigh.vjp
def _(g: Any, y: Any, a: Any, /, *, repeated: str, needs: Any, reached: Any = None) -> Any:
    used: Any = repeated == "nan"
    if used and reached is not None:
        used = used_along(reached.eigenvectors, -2)
    return _pulled(g, y, y, used)


@eigh.jvp
def _(tangents: Any, y: Any, a: Any, /, *, repeated: str) -> Any:
    return _pushed(tangents.a, y, y, used=repeated == "nan")


def _pulled(g: Any, y: Any, whole: Any, used: Any) -> Any:
    """The cotangent of the matrix, of those of all its eigenvalues and of all its vectors, or of the last ones."""
    xp = namespace(whole.eigenvalues)
    values, v = whole.eigenvalues, whole.eigenvectors
    d, k = v.shape[-1], y.eigenvectors.shape[-1]
    gv, gl = g.eigenvectors, g.eigenvalues
    if k < d:
        gv = xp.concat([xp.zeros_like(v[..., : d - k]), gv], axis=-1)
    vt = xp.matrix_transpose(v)
    along = xp.zeros_like(v) + shared(values, gl)[..., None, :]
    inner = inverse_gaps(values, used) * xp.matmul(vt, gv) + xp.tril(xp.triu(along))
    result = xp.matmul(v, xp.matmul(inner, vt))
    return 0.5 * (result + xp.matrix_transpose(result))


def _pushed(da: Any, y: Any, whole: Any, *, used: Any) -> Any:
    """The tangents of all eigenvalues and of all vectors, or of the last ones."""
    xp = namespace(whole.eigenvalues)
    v, t = whole.eigenvectors, 0.5 * (da + xp.matrix_transpose(da))
    d, k = v.shape[-1], y.eigenvectors.shape[-1]
    turned = xp.matmul(xp.matrix_transpose(v), xp.matmul(t, v))
    moved = shared(whole.eigenvalues, xp.linalg.diagonal(turned))
    gaps = inverse_gaps(whole.eigenvalues, used)
    return Eigh(moved, xp.matmul(v, (gaps * turned)[..., d - k :]))


def _leading(draw: Draw) -> Call:
    [a] = _symmetric(draw).args
    return Call.of(a, k=draw.size(1, a.shape[-1]))


@operation(domain=_leading, jax_derivative="jvp")
def leading_eigh(a: Array, /, *, k: int) -> Eigh:
    """All eigenvalues, ascending, and the vectors of the k largest: the gradient asks for no others to be apart."""
    result = eigh(a)
    return Eigh(result.eigenvalues, result.eigenvectors[..., a.shape[-1] - k :])


@leading_eigh.check
def _(a: Any, /, *, k: int) -> None:
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2] or not 1 <= k <= a.shape[-1]:
        raise ShapeError(
            f"leading_eigh: a has shape {tuple(a.shape)} and k is {k}, expected (..., d, d) and 1 to d."
        )


@leading_eigh.forward
def _(a: Any, /, *, k: int) -> Any:
    result = eigh(a)
    return Eigh(result.eigenvalues, result.eigenvectors[..., a.shape[-1] - k :]), result


@leading_eigh.vjp
def _(g: Any, y: Any, a: Any, /, *, k: int, needs: Any, residuals: Any, reached: Any = None) -> Any:
    xp = namespace(y.eigenvalues)
    d = a.shape[-1]
    kept = True if reached is None else used_along(reached.eigenvectors, -2)
    last = places(residuals.eigenvalues) > d - k
    if kept is True:
        used = last
    elif kept is False:
        used = False
    else:
        used = xp.concat([xp.zeros_like(kept[..., :1])] * (d - k) + [kept], axis=-1)
    return _pulled(g, y, residuals, used)


@leading_eigh.jvp
def _(tangents: Any, y: Any, a: Any, /, *, k: int) -> Any:
    whole = eigh(a)
    d = a.shape[-1]
    return _pushed(tangents.a, y, whole, used=places(whole.eigenvalues) > d - k)
