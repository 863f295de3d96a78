"""The functions of the traced namespace's linalg: inverses, determinants, factorisations, and what is made of them.

Matrices are real. Signatures take what NumPy's and the standard's take, and results have the standard's names.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any, NamedTuple

from pillars._errors import CapabilityError, ShapeError
from pillars.calculus import _rules_determinant, _rules_matrix, _rules_rank  # noqa: F401 - they fill the table
from pillars.calculus._rules import RULES, is_complex
from pillars.calculus._traced import apply, apply_one, strip
from pillars.calculus._traced_functions import LINALG, function
from pillars.calculus._traced_several import apply_several

__all__ = ["EighResult", "QRResult", "SVDResult", "SlogdetResult", "singular_values"]


class SlogdetResult(NamedTuple):
    """A determinant's sign and the logarithm of its size, as the standard names them."""

    sign: Any
    logabsdet: Any


class QRResult(NamedTuple):
    """An orthogonal and a triangular factor, as the standard names them."""

    Q: Any
    R: Any


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors, as the standard names them."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """Singular vectors and values, as the standard names them."""

    U: Any
    S: Any
    Vh: Any


def _several(space: Any, name: str, x: Any, options: Any = None) -> Any:
    """A primitive of several results, of real matrices."""
    if is_complex(x):
        raise space.no_rule(f"{name} of complex matrices")
    return apply_several(RULES[name], x, options or {})


def _one(name: str) -> Any:
    rule = RULES[name]

    def apply_it(space: Any, x: Any, /) -> Any:
        return apply_one(rule, x)

    apply_it.__name__ = name
    return apply_it


# -------------------------------------------------------------------------------------------------- inverses, solving
for _name in ("inv", "det"):
    LINALG[_name] = _one(_name)


@function(linalg=True)
def solve(space: Any, a: Any, b: Any, /) -> Any:
    """The solution of a y = b; `b` is a vector where it has one axis, else columns."""
    a, b = space.operand(a, "solve"), space.operand(b, "solve")
    vector = len(b.shape) == 1
    b = space.reshape(b, (-1, 1)) if vector else b
    if a.shape[:-2] != b.shape[:-2]:  # not every library broadcasts batches here
        pairs = itertools.zip_longest(a.shape[-3::-1], b.shape[-3::-1], fillvalue=1)
        lead = [n if m == 1 else m for m, n in pairs][::-1]
        a = space.broadcast_to(a, (*lead, *a.shape[-2:]))
        b = space.broadcast_to(b, (*lead, *b.shape[-2:]))
    y = apply(RULES["solve"], (a, b), {})
    return y[..., 0] if vector else y


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


@function(linalg=True)
def matrix_power(space: Any, x: Any, n: int, /) -> Any:
    """A matrix times itself, by squaring; of the inverse where `n` is negative."""
    left = operator.index(n)
    if left < 0:
        x, left = LINALG["inv"](space, x), -left
    found = None
    while left:
        if left % 2:
            found = x if found is None else space.matmul(found, x)
        left //= 2
        x = space.matmul(x, x) if left else x
    if found is not None:
        return found
    eye = space.base.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return space.constant(space.base.broadcast_to(eye, x.shape))


@function(linalg=True)
def multi_dot(space: Any, arrays: Any, /, *, out: None = None) -> Any:
    """A chain of matrix products, in the order that multiplies the fewest numbers."""
    space.no_out(out)
    parts = [space.operand(x, "multi_dot") for x in arrays]
    lead, trail = len(parts[0].shape) == 1, len(parts[-1].shape) == 1
    parts[0] = space.reshape(parts[0], (1, -1)) if lead else parts[0]
    parts[-1] = space.reshape(parts[-1], (-1, 1)) if trail else parts[-1]
    best: dict[tuple[int, int], tuple[int, Any]] = {(i, i): (0, None) for i in range(len(parts))}
    rows = [x.shape[0] for x in parts] + [parts[-1].shape[1]]
    for length in range(1, len(parts)):
        for i in range(len(parts) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + rows[i] * rows[k + 1] * rows[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        k = best[i, j][1]
        return parts[i] if k is None else space.matmul(product(i, k), product(k + 1, j))

    found = product(0, len(parts) - 1)
    found = found[0, ...] if lead else found
    return found[..., 0] if trail else found


# ------------------------------------------------------------------------------------------------------- determinants
@function(linalg=True)
def slogdet(space: Any, x: Any, /) -> Any:
    """The determinant's sign, a constant, and the logarithm of its size."""
    sign, size = _several(space, "slogdet", x)
    return SlogdetResult(space.constant(strip(sign)), size)


# ------------------------------------------------------------------------------------------------------ factorisations
@function(linalg=True)
def cholesky(space: Any, x: Any, /, *, upper: bool = False) -> Any:
    """The triangular root of a symmetric positive definite matrix, of which one triangle is read."""
    if is_complex(x):
        raise space.no_rule("cholesky of complex matrices")
    # NumPy's reads the upper triangle then, the other libraries' the lower one still
    turned = upper and space.root.name == "numpy"
    found = apply_one(RULES["cholesky"], space.matrix_transpose(x) if turned else x)
    return space.matrix_transpose(found) if upper else found


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
        q, r = _several(space, "qr", x)
    else:
        q, square = _several(space, "qr", x[..., :m])
        r = space.concat([square, space.matmul(space.matrix_transpose(q), x[..., m:])], axis=-1)
    return r if mode == "r" else QRResult(q, r)


def _eigh(space: Any, x: Any, triangle: str) -> Any:
    # the standard's eigh takes no UPLO
    options = (("UPLO", triangle),) if triangle != "L" else ()
    return EighResult(*_several(space, "eigh", x, {"options": options}))


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
    return SVDResult(*_several(space, "svd", x))


def singular_values(space: Any, x: Any, /) -> Any:
    """Singular values alone."""
    return _several(space, "svd", x)[1]


LINALG["svdvals"] = singular_values


@function(linalg=True)
def cond(space: Any, x: Any, /, p: Any = None) -> Any:
    """The condition number: of singular values, or of a norm and the inverse's."""
    if p in (None, 2, -2):
        s = singular_values(space, x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"cond: got shape {x.shape} and p {p!r}, expected square matrices.")
    matrix_norm = LINALG["matrix_norm"]
    return matrix_norm(space, x, ord=p) * matrix_norm(space, LINALG["inv"](space, x), ord=p)
