"""What depends on a matrix's rank: the pseudo-inverse and QR; leading axes are batches.

References
----------
Golub, Pereyra (1973), The differentiation of pseudo-inverses. Walter, Lehmann (2018), On evaluating higher-order
derivatives of the QR decomposition. Noferini (2017), A formula for the Fréchet derivative of a generalized matrix
function.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import apply_one
from pillars.calculus.autodiff.functions._matrix_helpers import several_results, transposed
from pillars.calculus.autodiff.functions._table import function
from pillars.linalg import rounding, used_along

__all__ = ["QRResult"]


# ------------------------------------------------------------------------------------------------------- pseudo-inverse
def _forward_pinv(xp: Any, a: Any, *, options: Any) -> Any:
    return xp.linalg.pinv(a, **dict(options))


def _pull_pinv(xp: Any, g: Any, y: Any, a: Any, *, options: Any) -> Any:
    """Golub and Pereyra's derivative, for changes that keep the rank; another where a cut-off made the rank."""
    given = dict(options)
    cut = given.get("rcond", given.get("rtol"))
    if cut is not None:
        parts = xp.linalg.svd(a, full_matrices=False)
        s = parts[1]
        most = xp.max(s, axis=-1, keepdims=True)
        kept = s > (cut if isinstance(cut, float | int) else xp.asarray(cut)[..., None]) * most
        if bool(xp.any(~kept & (s > rounding(s.dtype, max(a.shape[-2:]), xp) * most))):
            return _pull_cut(xp, g, parts, kept)
    yt, gt = transposed(xp, y), transposed(xp, g)
    result = -xp.matmul(yt, xp.matmul(g, yt))
    left = xp.matmul(gt, xp.matmul(y, yt))
    right = xp.matmul(yt, xp.matmul(y, gt))
    return result + (left - xp.matmul(a, xp.matmul(y, left))) + (right - xp.matmul(xp.matmul(right, y), a))


def _pull_cut(xp: Any, g: Any, parts: Any, kept: Any) -> Any:
    """Of U h(S) Vᵀ, transposed, with h(s) = 1/s of what is kept and 0 of the rest, which turns the kept subspaces too.

    Noferini's formula: (hᵢ − hⱼ)/(sᵢ − sⱼ) for the symmetric part of Uᵀ g Vᵀ, (hᵢ + hⱼ)/(sᵢ + sⱼ) for the other.
    """
    u, s, vh = parts
    zero, one = xp.zeros_like(s), xp.ones_like(s)
    h = xp.where(kept, 1.0 / xp.where(kept, s, one), zero)
    # of the pairs one of which is kept; infinite where both are equal, and the cut goes through a subspace
    signs = xp.where(kept, one, zero)
    mixed = signs[..., :, None] != signs[..., None, :]
    difference = s[..., :, None] - s[..., None, :]
    total = s[..., :, None] + s[..., None, :]
    apart = (h[..., :, None] - h[..., None, :]) / xp.where(mixed, difference, xp.ones_like(total))
    along = (h[..., :, None] + h[..., None, :]) / xp.where(mixed, total, xp.ones_like(total))
    pairs = h[..., :, None] * h[..., None, :]
    h_turned = transposed(xp, g)
    inner = xp.matmul(transposed(xp, u), xp.matmul(h_turned, transposed(xp, vh)))
    symmetric, other = 0.5 * (inner + transposed(xp, inner)), 0.5 * (inner - transposed(xp, inner))
    middle = xp.where(mixed, apart, -pairs) * symmetric + xp.where(mixed, along, pairs) * other
    result = xp.matmul(u, xp.matmul(middle, vh))
    if u.shape[-2] > u.shape[-1]:
        left = xp.matmul(h_turned, transposed(xp, vh)) * (h * h)[..., None, :]
        result = result + xp.matmul(left - xp.matmul(u, xp.matmul(transposed(xp, u), left)), vh)
    if vh.shape[-1] > vh.shape[-2]:
        right = (h * h)[..., :, None] * xp.matmul(transposed(xp, u), h_turned)
        result = result + xp.matmul(u, right - xp.matmul(xp.matmul(right, transposed(xp, vh)), vh))
    return result


rule("pinv", _pull_pinv, keeps="ya", forward=_forward_pinv)


# ------------------------------------------------------------------------------------------------------------------ QR
def _pull_qr(xp: Any, g: Any, y: Any, a: Any, *, reached: Any) -> Any:
    (gq, gr), (q, r) = g, y
    gr = None if gr is None else xp.triu(gr)
    size = max(q.shape[-2:])
    lengths = xp.sqrt(xp.sum(r * r, axis=-2))
    near = rounding(r.dtype, size, xp)
    dependent = ~(xp.abs(xp.linalg.diagonal(r)) > near * lengths)
    if bool(xp.any(dependent)):
        return _pull_dependent(xp, gq, gr, q, r, dependent, reached)
    inner = None if gr is None else xp.matmul(r, transposed(xp, gr))
    if gq is not None:
        turned = xp.matmul(transposed(xp, gq), q)
        inner = -turned if inner is None else inner - turned
    total = xp.matmul(q, _copied(xp, inner))
    total = total if gq is None else gq + total
    return transposed(xp, xp.linalg.solve(r, transposed(xp, total)))


def _copied(xp: Any, inner: Any) -> Any:
    """The symmetric matrix of this lower triangle."""
    return xp.tril(inner) + transposed(xp, xp.tril(inner, k=-1))


def _pull_dependent(xp: Any, gq: Any, gr: Any, q: Any, r: Any, dependent: Any, reached: Any) -> Any:
    """Where a column depends on those before: from there on Q and R are arbitrary, those before are not.

    What is made of the arbitrary part is unknown, NaN, but for R in a sum of squares, or where its cotangent vanishes.
    """
    ones = xp.ones_like(r[..., 0, :])
    from_there = (
        xp.matmul(xp.tril(xp.ones_like(r)), xp.where(dependent, ones, 0.0 * ones)[..., None])[..., 0] > 0
    )
    keep = xp.where(from_there, xp.zeros_like(ones), ones)
    rows, columns = keep[..., :, None], keep[..., None, :]
    near = rounding(r.dtype, max(q.shape[-2:]), xp)
    eye = xp.eye(r.shape[-1], dtype=r.dtype, device=r.device)
    gr = xp.zeros_like(r) if gr is None else gr
    rest, g_rest = r * (1.0 - rows), gr * (1.0 - rows)
    size = xp.sum(rest * rest, axis=(-2, -1), keepdims=True)
    nothing = size <= (near * near) * xp.sum(r * r, axis=(-2, -1), keepdims=True)
    factor = xp.sum(rest * g_rest, axis=(-2, -1), keepdims=True) / xp.where(nothing, xp.ones_like(size), size)
    factor = xp.where(nothing, xp.zeros_like(factor), factor)
    least = near * xp.max(xp.abs(gr), axis=(-2, -1), keepdims=True)
    unknown = xp.any(xp.abs(g_rest - factor * rest) > least, axis=(-2, -1), keepdims=True)
    if gq is not None:
        used = used_along(reached[0], -2)
        odd = from_there if used is True else from_there & used
        unknown = unknown | xp.any(odd, axis=-1)[..., None, None]
        gq = gq * columns
    else:
        gq = xp.zeros_like(q)
    first, rest = q * columns, xp.matmul(q, factor * rest)
    beside, g_beside = r * rows * (1.0 - columns), gr * rows * (1.0 - columns)
    gq = (
        gq
        + xp.matmul(xp.matmul(q, r * (1.0 - columns)), transposed(xp, g_beside))
        - xp.matmul(rest, transposed(xp, beside))
    )
    inner = xp.matmul(r * rows * columns, transposed(xp, gr * rows * columns)) - xp.matmul(
        transposed(xp, gq), first
    )
    total = gq + xp.matmul(first, _copied(xp, inner))
    solved = xp.linalg.solve(r * rows * columns + eye * (1.0 - columns), transposed(xp, total))
    result = transposed(xp, solved) * columns + xp.matmul(first, g_beside) + rest
    # a factor, so that the derivative of this is NaN too
    return result * xp.where(unknown, xp.full_like(result, math.nan), xp.ones_like(result))


rule("qr", _pull_qr, keeps="yr", forward=lambda xp, a: xp.linalg.qr(a, mode="reduced"), results=2)


class QRResult(NamedTuple):
    """An orthogonal and a triangular factor, as the standard names them."""

    Q: Any
    R: Any


# -------------------------------------------------------------------------------------------------- inverses, solving
@function(linalg=True)
def pinv(space: Any, x: Any, /, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The pseudo-inverse; its gradient is that of changes that keep the number of values above the cut-off."""
    if is_complex(x):
        raise space.no_rule("pinv of complex matrices")
    if hermitian:
        lower = space.tril(x, k=-1)
        x = space.tril(x) + space.matrix_transpose(lower)
    given = {"rcond": rcond, "rtol": rtol, "hermitian": hermitian or None}
    if space.root.name != "numpy":
        # the standard's name; of what is symmetric by now the general one is the same
        given = {"rtol": rcond if rtol is None else rtol}
    options = tuple((key, value) for key, value in given.items() if value is not None)
    return apply_one(RULES["pinv"], x, {"options": options})


# ------------------------------------------------------------------------------------------------------ factorisations
@function(linalg=True)
def qr(space: Any, x: Any, /, mode: str = "reduced") -> Any:
    """The reduced factors; a wide matrix's last columns are Qᵀ of themselves."""
    if mode not in ("reduced", "r"):
        raise CapabilityError(
            f"qr: got mode {mode!r} of a traced array, expected 'reduced' or 'r': the columns that complete a basis "
            "have no derivative."
        )
    m, n = x.shape[-2:]
    if m >= n:
        q, r = several_results(space, "qr", x)
    else:
        q, square = several_results(space, "qr", x[..., :m])
        r = space.concat([square, space.matmul(space.matrix_transpose(q), x[..., m:])], axis=-1)
    return r if mode == "r" else QRResult(q, r)
