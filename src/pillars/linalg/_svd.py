"""Singular vectors: all of a matrix's on one side, and the leading ones by random projection."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError
from pillars._typing import Array
from pillars.backends import (
    Call,
    Draw,
    asarray,
    backend,
    dtype_kind,
    dtype_name,
    namespace,
    operation,
    plain_int,
    procedure,
)
from pillars.linalg._eigh import inverse_gaps, signed
from pillars.random import as_key, normal

__all__ = ["SVD", "RightSingular", "leading_svd", "projected_svd", "randomized_svd", "right_singular"]

_OVERSAMPLES = 10


class SVD(NamedTuple):
    """x ≈ u @ diag(s) @ vh: u (n, k) and vh (k, d) of orthonormal columns and rows, s (k,) descending."""

    u: Any
    s: Any
    vh: Any


class RightSingular(NamedTuple):
    """Singular values (r,), descending, and right singular vectors (r, d) of a matrix, r = min(n, d)."""

    s: Any
    vh: Any


def _rows(draw: Draw) -> Call:
    n, d = draw.choice(((5, 3), (3, 5), (4, 4)))
    return Call.of(draw.normal(n, d) + 3.0 * draw.normal(n, 1) * draw.normal(1, d))


@operation(domain=_rows)
def right_singular(x: Array, /) -> RightSingular:
    """Singular values and right singular vectors, in each of which the largest entry is positive."""
    xp = namespace(x)
    _, s, vh = xp.linalg.svd(x, full_matrices=False)
    return RightSingular(s, signed(vh))


@right_singular.check
def _(x: Any, /) -> None:
    if len(x.shape) != 2 or 0 in x.shape:
        raise ShapeError(f"right_singular: x has shape {tuple(x.shape)}, expected (n, d), neither of them 0.")


@right_singular.check_values
def _(x: Any, /) -> None:
    _finite("right_singular", x)


@right_singular.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    """Through xᵀx, whose eigenvalues are s² and whose eigenvectors are these."""
    xp = namespace(x)
    v, gv, s = xp.matrix_transpose(y.vh), xp.matrix_transpose(g.vh), y.s
    one = xp.ones_like(s)
    inner = xp.matmul(y.vh, gv)
    gs = xp.where(s > 0, g.s / (2.0 * xp.where(s > 0, s, one)), xp.zeros_like(s))
    eye = xp.eye(s.shape[0], dtype=s.dtype, device=s.device)
    m = xp.matmul(v, xp.matmul(inverse_gaps(s * s) * inner + eye * gs, y.vh))
    if s.shape[0] < x.shape[1]:  # what turns a vector out of the rows' space
        out = (gv - xp.matmul(v, inner)) / xp.where(s > 0, s * s, one)
        m = m + xp.matmul(xp.where(s > 0, out, xp.zeros_like(out)), y.vh)
    return xp.matmul(x, m + xp.matrix_transpose(m))


def _finite(where: str, x: Any) -> None:
    xp = namespace(x)
    if not bool(xp.all(xp.isfinite(x))):
        raise ShapeError(f"{where}: x has entries that are NaN or infinite, expected finite numbers.")


# ------------------------------------------------------------------------------------------------- random projection
def _projection(draw: Draw) -> Call:
    n, d = draw.choice(((8, 5), (5, 8)))
    x = draw.normal(n, 2) @ draw.normal(2, d) + 0.01 * draw.normal(n, d)
    return Call.of(x, 0.1 * draw.normal(d), draw.normal(min(n, d), 4), k=2, iterations=2)


@operation(domain=_projection, unsupported={"grad": "differentiate pca with another solver, or eigh"})
def projected_svd(x: Array, shift: Array, omega: Array, /, *, k: int, iterations: int) -> SVD:
    """The leading k of the singular value decomposition of x − shift, from a random start on its shorter side."""
    xp = namespace(x)
    xt = xp.matrix_transpose(x)

    def down(q: Any) -> Any:  # (d, l) -> (n, l)
        return xp.matmul(x, q) - xp.matmul(shift[None, :], q)

    def across(z: Any) -> Any:  # (n, l) -> (d, l)
        return xp.matmul(xt, z) - shift[:, None] * xp.sum(z, axis=0)[None, :]

    tall = x.shape[0] >= x.shape[1]
    there, back = (down, across) if tall else (across, down)
    q, _ = xp.linalg.qr(omega)
    for _ in range(iterations):
        q, _ = xp.linalg.qr(back(there(q)))
    far, _ = xp.linalg.qr(there(q))
    near, r = xp.linalg.qr(back(far))
    left, s, right = xp.linalg.svd(r, full_matrices=False)
    long, short = xp.matmul(far, xp.matrix_transpose(right)[:, :k]), xp.matmul(near, left[:, :k])
    u, v = (long, short) if tall else (short, long)
    vh = xp.matrix_transpose(v)
    turned = signed(vh)
    same = xp.where(xp.sum(turned * vh, axis=-1) < 0, -xp.ones_like(s[:k]), xp.ones_like(s[:k]))
    return SVD(u * same, s[:k], turned)


@projected_svd.check
def _(x: Any, shift: Any, omega: Any, /, *, k: int, iterations: int) -> None:
    shapes = tuple(x.shape), tuple(shift.shape), tuple(omega.shape)
    if (
        len(x.shape) != 2
        or shift.shape != x.shape[1:]
        or len(omega.shape) != 2
        or omega.shape[0] != min(x.shape)
    ):
        raise ShapeError(
            f"projected_svd: got shapes {shapes}, expected x (n, d), shift (d,) and omega (min(n, d), l)."
        )
    if not 1 <= k <= omega.shape[1] <= omega.shape[0]:
        raise ShapeError(
            f"projected_svd: k is {k}, expected 1 <= k <= l <= min(n, d), where omega has l columns."
        )


@projected_svd.check_values
def _(x: Any, shift: Any, omega: Any, /, *, k: int, iterations: int) -> None:
    for each in (x, shift, omega):
        _finite("projected_svd", each)


def leading_svd(x: Any, shift: Any, k: int, rng: Any) -> SVD:
    """The leading k of x − shift, drawn from `rng`; as many power iterations as the share of k asks for."""
    short = min(x.shape)
    columns = min(short, k + _OVERSAMPLES)
    omega = normal(as_key(rng, like=x), (short, columns), dtype=dtype_name(x.dtype))
    return projected_svd(x, shift, omega, k=k, iterations=7 if 10 * k < short else 4)


@procedure()
def randomized_svd(x: Any, k: int, *, rng: Any = 0) -> SVD:
    """The k largest singular values and their vectors, by random projection.

    Parameters
    ----------
    x : (n, d), real.
    k : in 1 ... min(n, d).
    rng : int, key, NumPy Generator, or None for fresh entropy.

    Returns
    -------
    SVD(u (n, k), s (k,), vh (k, d)), s descending; in each row of vh the largest |entry| is positive.

    Raises
    ------
    ShapeError : x is not (n, d), or k is outside its range. DTypeError : no real numbers, or k no integer.

    Notes
    -----
    k + 10 columns and seven power iterations (four where k is over a tenth of the shorter side), each two products with
    x and one QR on the shorter side: O(n·d·k). s is good to some (σₖ₊₁₀/σₖ)³⁰, relatively: all digits where the
    spectrum falls, one or two in the last of k values where it is flat.

    References
    ----------
    Halko, Martinsson, Tropp (2011), Finding structure with randomness, algorithms 4.4 and 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.outer([3.0, 4.0], [0.6, 0.0, 0.8])
    >>> randomized_svd(x, 1).s
    array([5.])
    """
    x = matrix("randomized_svd", x)
    k = rank("randomized_svd", "k", k, x.shape)
    xp = namespace(x)
    return leading_svd(x, xp.zeros_like(x[0, ...]), k, rng)


def matrix(where: str, x: Any) -> Any:
    """Rows of real floating numbers, at least in single precision."""
    x = x if hasattr(x, "__array_namespace__") or hasattr(x, "shape") else asarray(x)
    home = backend(x)
    kind = dtype_kind(x.dtype)
    if kind not in ("float", "half", "integer", "bool"):
        raise DTypeError(f"{where}: x has dtype {dtype_name(x.dtype)}, expected real numbers.")
    if len(x.shape) != 2 or 0 in x.shape:
        raise ShapeError(
            f"{where}: x has shape {tuple(x.shape)}, expected (n, d), neither of them 0: rows of d numbers. "
            "Use x[:, None] for one column, or reshape."
        )
    if kind == "float":
        return x
    return home.xp.astype(x, home.xp.float32 if kind == "half" else home.default_float)


def rank(where: str, name: str, k: Any, shape: tuple[int, ...]) -> int:
    """A number of components, checked."""
    number = plain_int(k)
    if number is None:
        raise DTypeError(f"{where}: {name} is {k!r}, expected an integer.")
    if not 1 <= number <= min(shape):
        raise ShapeError(
            f"{where}: {name} is {number}, expected 1 to {min(shape)}, the lesser of {shape[0]} rows and {shape[1]} "
            "columns."
        )
    return number
