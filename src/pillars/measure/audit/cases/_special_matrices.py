"""Matrices at which factorisations have no unique answer, or read one half alone, and the derivatives there."""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import backend
from pillars.linalg import eigh, expm, inv_sqrtm, logm, sqrtm
from pillars.measure.audit.cases._special import Special

__all__ = ["MATRICES"]

np = backend("numpy").xp
NO = math.nan


def _hessian(shape: tuple[int, ...], entries: dict[tuple[int, int, int, int], float]) -> Any:
    """Nested lists with these entries, and their mirror images."""
    h = np.zeros((*shape, *shape))
    for (i, j, k, m), value in entries.items():
        h[i, j, k, m] = h[k, m, i, j] = value
    return h.tolist()


def _twice(*shape: int) -> Any:
    return (2.0 * np.eye(math.prod(shape))).reshape(*shape, *shape).tolist()


def _none(*shape: int) -> Any:
    return np.full(shape, NO).tolist()


def _spread(curvature: float) -> Any:
    """Of (a₀₁ + a₁₀)(a₀₀ + a₁₁), times the curvature."""
    return _hessian((2, 2), {(i, i, j, 1 - j): curvature for i in (0, 1) for j in (0, 1)})


def _rebuilt(xp: Any, parts: Any) -> Any:
    values, vectors = parts
    return xp.matmul(vectors * xp.sqrt(values), xp.matrix_transpose(vectors))


def _product(xp: Any, x: Any) -> Any:
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    return xp.matmul(u * s, vh)


EYE, OFF = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.25], [0.25, 0.0]]
ONES = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
TWOS = [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]
E = math.e

# of a triangle: what of a 2 × 2 matrix is read
LOWER_ROOT = _hessian(
    (2, 2), {(0, 0, 0, 0): -0.25, (0, 0, 1, 0): -0.5, (1, 1, 1, 1): -0.25, (1, 0, 1, 0): -1.0}
)
UPPER_ROOT = _hessian(
    (2, 2), {(0, 0, 0, 0): -0.25, (0, 0, 0, 1): -0.5, (1, 1, 1, 1): -0.25, (0, 1, 0, 1): -1.0}
)
UPPER_SQUARES = _hessian((2, 2), {(0, 0, 0, 0): 2.0, (1, 1, 1, 1): 2.0, (0, 1, 0, 1): 4.0})
LOWER_EXP = _hessian((2, 2), {(0, 0, 0, 0): E, (1, 1, 1, 1): E, (1, 0, 1, 0): 2 * E})
NO_LOWER = [[NO, 0.0], [NO, NO]]
SIMPLE = _hessian((3, 3), {(0, 0, 2, 0): 0.25, (1, 0, 2, 1): 0.25, (2, 2, 2, 0): -0.25})
NO_SQUARE, NO_TALL = _none(2, 2, 2, 2), _none(3, 2, 3, 2)
NO_READ = [[NO_LOWER, [[0.0, 0.0], [0.0, 0.0]]], [NO_LOWER, NO_LOWER]]
EMPTY, TALL = [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0]] * 3
HALF, LESS = [[0.0, 0.5], [0.5, 0.0]], [[0.0, -0.25], [-0.25, 0.0]]


def _upper(xp: Any, x: Any) -> Any:
    """Of the upper triangle on NumPy; the others read the lower one still, and turn the root."""
    return xp.sum(xp.linalg.cholesky(x, upper=True))


def _upper_squares(xp: Any, x: Any) -> Any:
    return xp.sum(xp.linalg.eigvalsh(x, UPLO="U") ** 2)


def _simple(xp: Any, x: Any) -> Any:
    vectors = xp.linalg.eigh(x)[1]
    return vectors[0, -1] * vectors[2, -1]


MATRICES: tuple[Special, ...] = tuple(
    Special(*point)
    for point in (
        # functions of a repeated eigenvalue's vectors: from them alone it cannot be told what splits them
        ("eigh", lambda xp, x: _rebuilt(xp, xp.linalg.eigh(x))[0, 1], EYE, NO_LOWER, NO_READ, False, True),
        ("eigh", lambda xp, x: _rebuilt(xp, eigh(x))[0, 1], EYE, _none(2, 2), NO_SQUARE, False, True),
        ("svd", lambda xp, x: xp.sum(_product(xp, x)), ONES, _none(3, 2), NO_TALL, False, True),
        # ... and by operations that know more
        ("eigh", lambda xp, x: sqrtm(x)[0, 1], EYE, OFF, _spread(-1 / 16), True, True),
        ("eigh", lambda xp, x: inv_sqrtm(x)[0, 1], EYE, LESS, _spread(3 / 16), True, True),
        ("eigh", lambda xp, x: expm(x)[0, 1], EMPTY, HALF, _spread(1 / 4), True, True),
        ("eigh", lambda xp, x: logm(x)[0, 1], EYE, HALF, _spread(-1 / 4), True, True),
        # the eigenvalues alone, and the vectors of another one
        (
            *("eigvalsh", lambda xp, x: xp.sum(xp.exp(xp.linalg.eigvalsh(x))), EYE),
            *([[E, 0.0], [0.0, E]], LOWER_EXP, False, True),
        ),
        (
            *("eigvalsh", lambda xp, x: xp.linalg.eigvalsh(x)[-1], EYE),
            *([[0.5, 0.0], [0.0, 0.5]], NO_READ, False, True),
        ),
        (
            *("eigh", _simple, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]),
            *([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]], SIMPLE, False, True),
        ),
        ("svd", lambda xp, x: xp.sum(xp.linalg.svdvals(x) ** 2), ONES, TWOS, _twice(3, 2), False, True),
        # sums of squares, of any rank
        ("qr", lambda xp, x: xp.sum(xp.linalg.qr(x)[1] ** 2), ONES, TWOS, _twice(3, 2), False, True),
        ("qr", lambda xp, x: xp.sum(xp.linalg.qr(x)[1] ** 2), TALL, TALL, _twice(3, 2), False, True),
        ("qr", lambda xp, x: xp.sum(xp.linalg.qr(x)[0]), ONES, _none(3, 2), NO_TALL, False, True),
        # one triangle is read
        (
            *("cholesky", lambda xp, x: xp.sum(xp.linalg.cholesky(x)), [[1.0, 7.0], [0.0, 1.0]]),
            *([[0.5, 0.0], [1.0, 0.5]], LOWER_ROOT, True, True),
        ),
        (
            "cholesky",
            _upper,
            [[1.0, 0.0], [7.0, 1.0]],
            [[0.5, 1.0], [0.0, 0.5]],
            UPPER_ROOT,
            True,
            True,
            True,
        ),
        (
            "eigvalsh",
            _upper_squares,
            [[1.0, 0.0], [7.0, 2.0]],
            [[2.0, 0.0], [0.0, 4.0]],
            UPPER_SQUARES,
            True,
            False,
        ),
    )
)
