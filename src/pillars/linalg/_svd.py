"""Singular vectors: all of a matrix's on one side, and the leading ones by random projection."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, backend, dtype_name, namespace, operation, procedure
from pillars.linalg._centred import Centred
from pillars.linalg._eigh import signed
from pillars.linalg._inputs import finite_rows, matrix, rank
from pillars.linalg._repeated import inverse_gaps, places, rounding, shared, used_along
from pillars.random import as_key, normal

__all__ = ["SVD", "RightSingular", "leading_svd", "projected_svd", "randomized_svd", "right_singular"]

_OVERSAMPLES = 10
_BLOCKS = 5
_POWERS = 7
# rows of one QR where only R is wanted
_ROWS = 4096


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


def _svd(x: Any) -> tuple[Any, Any, Any]:
    """The library's own; NaN where an entry is not finite, which LAPACK may raise at, or never return from."""
    xp = namespace(x)
    fine = xp.all(xp.isfinite(x))
    parts = xp.linalg.svd(xp.where(fine, x, xp.zeros_like(x)), full_matrices=False)
    u, s, vh = (xp.where(fine, part, xp.full_like(part, xp.nan)) for part in parts)
    return u, s, vh


@operation(domain=_rows, jax_derivative="jvp")
def right_singular(x: Array, /) -> RightSingular:
    """Singular values and right singular vectors, in each of which the largest entry is positive."""
    _, s, vh = _svd(x)
    return RightSingular(s, signed(vh))


@right_singular.check
def _(x: Any, /) -> None:
    if len(x.shape) != 2 or 0 in x.shape:
        raise ShapeError(f"right_singular: x has shape {tuple(x.shape)}, expected (n, d), neither of them 0.")


@right_singular.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any, reached: Any = None) -> Any:
    return _pulled(g, y, x, True if reached is None else used_along(reached.vh, -1))


@right_singular.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return _pushed(tangents.x, y, x, True)


def _pulled(g: Any, y: Any, x: Any, used: Any) -> Any:
    """Through xᵀx, whose eigenvalues are s² and whose eigenvectors are these; `used`: of which something is made."""
    xp = namespace(x)
    v, gv, s = xp.matrix_transpose(y.vh), xp.matrix_transpose(g.vh), y.s
    inner = xp.matmul(y.vh, gv)
    along = _over(shared(s, g.s, size=max(x.shape)), 2.0 * s)
    m = xp.matmul(v, xp.matmul(_gaps(s, used, x) * inner, y.vh) + along[:, None] * y.vh)
    if s.shape[0] < x.shape[1]:  # what turns a vector out of the rows' space
        m = m + xp.matmul((gv - xp.matmul(v, inner)) * _reciprocals(s, used, x), y.vh)
    return xp.matmul(x, m + xp.matrix_transpose(m))


def _pushed(dx: Any, y: Any, x: Any, used: Any) -> RightSingular:
    xp = namespace(x)
    v, s = xp.matrix_transpose(y.vh), y.s
    there, moved = xp.matmul(x, v), xp.matmul(dx, v)
    half = xp.matmul(xp.matrix_transpose(there), moved)
    turned = half + xp.matrix_transpose(half)
    dv = xp.matmul(v, _gaps(s, used, x) * turned)
    if s.shape[0] < x.shape[1]:
        out = xp.matmul(xp.matrix_transpose(dx), there)
        dv = dv + (out - xp.matmul(v, xp.matmul(y.vh, out))) * _reciprocals(s, used, x)
    along = shared(s, _over(xp.linalg.diagonal(turned), 2.0 * s), size=max(x.shape))
    return RightSingular(along, xp.matrix_transpose(dv))


def _gaps(s: Any, used: Any, x: Any) -> Any:
    """1/(sⱼ² − sᵢ²) at [i, j]."""
    xp = namespace(s)
    sums = s[None, :] + s[:, None]
    return inverse_gaps(s, used, size=max(x.shape)) / xp.where(sums == 0, xp.ones_like(sums), sums)


def _reciprocals(s: Any, used: Any, x: Any) -> Any:
    """1/s²; of a value that is 0 within rounding, whose vectors any of the null space may be, NaN if they are used."""
    xp = namespace(s)
    none = s <= rounding(s.dtype, max(x.shape), xp) * xp.max(s)
    result = xp.where(none, xp.zeros_like(s), 1.0 / xp.where(none, xp.ones_like(s), s * s))
    unknown = none if used is True else none & used if used is not False else none & ~none
    return xp.where(unknown, xp.full_like(result, xp.nan), result)


def _over(a: Any, b: Any) -> Any:
    """a/b, and 0 where b is."""
    xp = namespace(b)
    none = b == 0
    result = a / xp.where(none, xp.ones_like(b), b)
    return xp.where(none, xp.zeros_like(result), result)


def _leading_rows(draw: Draw) -> Call:
    [x] = _rows(draw).args
    return Call.of(x, k=draw.size(1, min(x.shape)))


@operation(domain=_leading_rows, jax_derivative="jvp")
def leading_right(x: Array, /, *, k: int) -> RightSingular:
    """All singular values and the first k right singular vectors: the gradient asks for no more to be apart."""
    result = right_singular(x)
    return RightSingular(result.s, result.vh[:k, :])


@leading_right.check
def _(x: Any, /, *, k: int) -> None:
    if len(x.shape) != 2 or not 1 <= k <= min(x.shape):
        raise ShapeError(
            f"leading_right: x has shape {tuple(x.shape)} and k is {k}, expected (n, d) and 1 to min(n, d)."
        )


@leading_right.forward
def _(x: Any, /, *, k: int) -> Any:
    result = right_singular(x)
    return RightSingular(result.s, result.vh[:k, :]), result


@leading_right.vjp
def _(g: Any, y: Any, x: Any, /, *, k: int, needs: Any, residuals: Any, reached: Any = None) -> Any:
    xp, r = namespace(x), min(x.shape)
    used = True if reached is None else used_along(reached.vh, -1)
    if used is True:
        used = places(residuals.s) <= k
    elif used is not False:
        used = xp.concat([used, *([xp.zeros_like(used[:1])] * (r - k))])
    gvh = g.vh if k == r else xp.concat([g.vh, xp.zeros_like(residuals.vh[k:, :])])
    return _pulled(RightSingular(g.s, gvh), residuals, x, used)


@leading_right.jvp
def _(tangents: Any, y: Any, x: Any, /, *, k: int) -> Any:
    whole = right_singular(x)
    result = _pushed(tangents.x, whole, x, places(whole.s) <= k)
    return RightSingular(result.s, result.vh[:k, :])


# ------------------------------------------------------------------------------------------------- random projection
def _projection(draw: Draw) -> Call:
    n, d = draw.choice(((9, 6), (6, 9)))
    x = draw.normal(n, 2) @ draw.normal(2, d) + 0.01 * draw.normal(n, d)
    powers, blocks = draw.choice(((0, 2), (2, 1), (1, 2)))
    shift, rest = 0.1 * draw.normal(d), 0.01 * draw.normal(d)
    return Call.of(x, shift, rest, draw.normal(6, 3), k=2, powers=powers, blocks=blocks)


@operation(domain=_projection, unsupported={"grad": "differentiate pca with another solver, or eigh"})
def projected_svd(
    x: Array, shift: Array, rest: Array, omega: Array, /, *, k: int, powers: int, blocks: int
) -> SVD:
    """The leading k of the singular value decomposition of z = (x − shift) − rest, in a subspace of its shorter side.

    That of q, zᵀz q, (zᵀz)² q ... (`blocks` of them; z zᵀ where z is wide), where q = (zᵀz)^powers omega. z is scaled
    by a power of two, so that its products neither overflow nor vanish.
    """
    return project(Centred.of(x, shift, rest), omega, k=k, powers=powers, blocks=blocks)


def project(z: Centred, omega: Any, *, k: int, powers: int, blocks: int) -> SVD:
    """The body, for rows of any dtype on a host."""
    xp = namespace(omega)
    tall = z.shape[0] >= z.shape[1]
    there, back = (z.down, z.across) if tall else (z.across, z.down)
    q, _ = xp.linalg.qr(omega)
    for _ in range(powers):
        q, _ = xp.linalg.qr(back(there(q)))
    basis, image = q, there(q)
    last = image
    for _ in range(blocks - 1):
        # reflections of all columns: what is orthogonal to the basis stays so where a block brings nothing that is new
        q = xp.linalg.qr(xp.concat([basis, back(last)], axis=1))[0][:, basis.shape[1] :]
        last = there(q)
        basis, image = xp.concat([basis, q], axis=1), xp.concat([image, last], axis=1)
    if blocks > 1:
        turn = _leading(image, omega.shape[1])
        basis, image = xp.matmul(basis, turn), xp.matmul(image, turn)
    far, r = xp.linalg.qr(image)
    left, s, right = _svd(r)
    long, short = xp.matmul(far, left[:, :k]), xp.matmul(basis, xp.matrix_transpose(right)[:, :k])
    u, v = (long, short) if tall else (short, long)
    vh = xp.matrix_transpose(v)
    turned = signed(vh)
    same = xp.where(xp.sum(turned * vh, axis=-1) < 0, -xp.ones_like(s[:k]), xp.ones_like(s[:k]))
    return SVD(u * same, s[:k] / z.scale, turned)


def _leading(image: Any, number: int) -> Any:
    """The leading right singular vectors (c, number) of a tall matrix (n, c)."""
    xp = namespace(image)
    if backend(image).host and dtype_name(image.dtype) == "float32":
        wide = xp.astype(image, xp.float64)  # which holds the squares: a tenth of the time
        gram = xp.matmul(xp.matrix_transpose(wide), wide)
        _, vectors = xp.linalg.eigh(xp.where(xp.all(xp.isfinite(gram)), gram, xp.zeros_like(gram)))
        return xp.astype(xp.flip(vectors, axis=1)[:, :number], image.dtype)
    _, _, vh = _svd(_triangle(image))
    return xp.matrix_transpose(vh[:number, :])


def _triangle(image: Any) -> Any:
    """R of QR; on a host R of the rows' blocks' R, so that no Q of all rows is made to be thrown away."""
    xp, rows = namespace(image), max(_ROWS, image.shape[1])
    if backend(image).host and image.shape[0] > 2 * rows:
        parts = [image[i : i + rows, :] for i in range(0, image.shape[0], rows)]
        image = xp.concat([xp.linalg.qr(part)[1] for part in parts])
    return xp.linalg.qr(image)[1]


@projected_svd.check
def _(x: Any, shift: Any, rest: Any, omega: Any, /, *, k: int, powers: int, blocks: int) -> None:
    shapes = tuple(x.shape), tuple(shift.shape), tuple(rest.shape), tuple(omega.shape)
    if (
        len(x.shape) != 2
        or shift.shape != x.shape[1:]
        or rest.shape != shift.shape
        or len(omega.shape) != 2
        or omega.shape[0] != min(x.shape)
    ):
        raise ShapeError(
            f"projected_svd: got shapes {shapes}, expected x (n, d), shift and rest (d,) and omega (min(n, d), l)."
        )
    columns = omega.shape[1]
    if not 1 <= k <= columns or powers < 0 or not 1 <= blocks <= omega.shape[0] // max(columns, 1):
        raise ShapeError(
            f"projected_svd: got k {k}, powers {powers} and blocks {blocks}, expected 1 <= k <= {columns} columns of "
            f"omega, powers of 0 or more, and blocks whose columns together are at most {omega.shape[0]}."
        )


def leading_svd(x: Any, shift: Any, rest: Any, k: int, rng: Any) -> SVD:
    """The leading k of (x − shift) − rest, drawn from `rng`; on a host for rows of any dtype, in that of the shift."""
    short = min(x.shape)
    columns = min(short, k + _OVERSAMPLES)
    blocks = min(_BLOCKS, short // columns)
    powers = 0 if columns == short else _POWERS * (_BLOCKS - blocks) // (_BLOCKS - 1)
    key = as_key(rng, like=shift)
    omega = normal(key, (short, columns), dtype=dtype_name(shift.dtype))
    if x.dtype == shift.dtype:
        return projected_svd(x, shift, rest, omega, k=k, powers=powers, blocks=blocks)
    with backend(x).quiet():
        return project(Centred.of(x, shift, rest), omega, k=k, powers=powers, blocks=blocks)


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
    SVD(u (n, k), s (k,), vh (k, d)), s descending; in each row of vh the largest |entry| is positive (of several
    that are as large within 1 part in 2,900 the first). In x's library,
    device and dtype; half precision is computed in float32 and rounded once.

    Raises
    ------
    ShapeError : x is not (n, d), or k is outside its range; on a host, rows that are not finite: they are named (a
        device gives NaN). DTypeError : no real numbers, k no integer, or no such `rng`.

    Notes
    -----
    A block Krylov method: k + 10 random columns q and (xᵀx)ⁱ q, i = 1 ... 4, with two products with x each, and QR on
    the shorter side; O(n·d·k). Where fewer of these blocks fit the shorter side, q is a power of xᵀx times the draw;
    where k + 10 columns fill it, all of the space. s is good to some (σₖ₊₁₀/σₖ)¹⁶ or better, relatively: all digits
    where the spectrum falls; 1e-4 to 1e-3 in the last of k values where σᵢ falls like i^(-1/4) or slower; and 2e-2 too
    low in pure noise, whose values lie close together and whose vectors mean nothing.

    References
    ----------
    Musco, Musco (2015), Randomized block Krylov methods for stronger and faster approximate singular value
    decomposition, algorithm 2. Halko, Martinsson, Tropp (2011), Finding structure with randomness, 4.5.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.outer([3.0, 4.0], [0.6, 0.0, 0.8])
    >>> randomized_svd(x, 1).s
    array([5.])
    """
    rows = matrix("randomized_svd", x)
    k = rank("randomized_svd", "k", k, rows.x.shape)
    xp = namespace(rows.x)
    none = xp.zeros_like(rows.x[0, ...], dtype=rows.dtype)
    svd = leading_svd(rows.x, none, none, k, rng)
    svd = SVD(*(rows.narrowed(part) for part in svd))
    finite_rows("randomized_svd", rows, svd.s)
    return svd
