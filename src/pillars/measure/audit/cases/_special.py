"""Points where formulas lose their way (0, ties, singular matrices, the ends of the range), and what is right there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars.backends import backend

__all__ = ["NUMBERS", "Special"]

np = backend("numpy").xp
NO = math.nan
_ROOT, _THIRD = math.sqrt(0.5), 2.0 ** (-2.0 / 3.0)


class Special(NamedTuple):
    """A scalar function of one array at a point, and its derivatives there in closed form.

    Attributes
    ----------
    gradient, hessian : nested lists of numbers. NaN: there is none, so that no finite number is right.
    whole : whether all of the Hessian must be there; otherwise NaN may stand for what hangs on a convention.
    strict : whether the standard has what the function uses.
    numpy_alone : whether other libraries mean something else by the same call, by their own convention.
    """

    name: str
    f: Callable[..., Any]
    x: Any
    gradient: Any
    hessian: Any
    whole: bool = True
    strict: bool = True
    numpy_alone: bool = False

    def applies(self, library: str) -> bool:
        """Whether the function is there, and means this."""
        return library == "numpy" or (not self.numpy_alone and (self.strict or library != "strict"))

    def __str__(self) -> str:
        return self.name


def _twice(n: int) -> Any:
    return (2.0 * np.eye(n)).tolist()


def _none(n: int) -> Any:
    return np.full((n, n), NO).tolist()


def _across(curvature: float) -> Any:
    """Of a function of two numbers that does not change where both do alike."""
    return [[curvature, -curvature], [-curvature, curvature]]


def _norm(xp: Any, x: Any, order: Any = 2) -> Any:
    return xp.linalg.vector_norm(x, ord=order)


def _complex(xp: Any, x: Any) -> Any:
    return xp.abs(x[0] + 1j * x[1])


def _magnitude(xp: Any, x: Any) -> Any:
    return xp.hypot(x[0], x[1])


def _det_hessian(a: Any) -> Any:
    """Of 2 × 2 and 3 × 3 matrices: det is linear in every entry, so that differences of it are exact."""
    n = len(a)
    h = np.zeros((n, n, n, n))
    for i, j, k, m in np.ndindex(n, n, n, n):
        if i != k and j != m:
            row, column = ([one for one in range(n) if one not in pair] for pair in ((i, k), (j, m)))
            minor = a[np.ix_(row, column)][0, 0] if row else 1.0
            h[i, j, k, m] = (-1) ** (i + j + (k - (k > i)) + (m - (m > j))) * minor
    return h.tolist()


def _det(a: Any, gradient: Any, name: str = "det") -> Special:
    a = np.asarray(a)
    return Special(name, lambda xp, x: xp.linalg.det(x), a, gradient, _det_hessian(a))


ZEROS = [0.0, 0.0]
TINY = [5e-324, 5e-324]
NUMBERS = (
    # sizes at 0: their squares have every derivative
    Special("vector_norm", lambda xp, x: _norm(xp, x) ** 2, ZEROS, ZEROS, _twice(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x) ** 4, ZEROS, ZEROS, [ZEROS, ZEROS]),
    Special("vector_norm", lambda xp, x: xp.square(_norm(xp, x)), ZEROS, ZEROS, _twice(2)),
    Special("vector_norm", _norm, ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x) * _norm(xp, x), ZEROS, ZEROS, _twice(2), whole=False),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 3) ** 2, ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 1.5) ** 2, ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 3), ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 1.5), ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 0.5), ZEROS, ZEROS, _none(2)),
    Special("vector_norm", lambda xp, x: _norm(xp, x, 1) ** 2, ZEROS, ZEROS, _none(2)),
    Special("hypot", lambda xp, x: _magnitude(xp, x) ** 2, ZEROS, ZEROS, _twice(2)),
    Special("hypot", _magnitude, ZEROS, ZEROS, _none(2)),
    Special("abs", lambda xp, x: xp.sum(xp.abs(x) ** 2), ZEROS, ZEROS, _twice(2)),
    Special("abs", lambda xp, x: xp.sum(xp.abs(x) * xp.abs(x)), ZEROS, ZEROS, _twice(2), whole=False),
    Special("abs", lambda xp, x: _complex(xp, x) ** 2, ZEROS, ZEROS, _twice(2), strict=False),
    Special("abs", _complex, ZEROS, ZEROS, _none(2), strict=False),
    # log(1 + exp x), as it is written to overflow nowhere
    Special(
        "abs",
        lambda xp, x: xp.sum(xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))),
        [0.0],
        [0.5],
        [[0.25]],
        whole=False,
    ),
    Special("std", lambda xp, x: xp.std(x) ** 2, [3.0, 3.0], ZEROS, _across(0.5)),
    Special("std", lambda xp, x: xp.std(x), [3.0, 3.0], ZEROS, _none(2)),
    Special("std", lambda xp, x: xp.std(x), [3.0], [0.0], [[0.0]]),
    # the ends of the range
    Special("vector_norm", _norm, [3e-200, 4e-200], [0.6, 0.8], [[1.28e199, -9.6e198], [-9.6e198, 7.2e198]]),
    Special("vector_norm", _norm, TINY, [_ROOT, _ROOT], _none(2), whole=False),
    Special("hypot", _magnitude, TINY, [_ROOT, _ROOT], _none(2), whole=False),
    Special("hypot", _magnitude, [1.5e308, 1.5e308], [_ROOT, _ROOT], _across(_ROOT / 1.5e308 / 2.0)),
    Special(
        "vector_norm", lambda xp, x: _norm(xp, x, 3), [3e-150] * 2, [_THIRD] * 2, _across(_THIRD / 3e-150)
    ),
    Special(
        "logaddexp",
        lambda xp, x: xp.logaddexp(x[0], x[1]),
        [0.0, -40.0],
        [1.0, math.exp(-40.0)],
        _across(math.exp(-40.0)),
    ),
    Special(
        "logaddexp",
        lambda xp, x: xp.logaddexp(x[0], x[1]),
        [1e17, 1e17],
        [0.5, 0.5],
        _across(0.25),
    ),
    # powers: aᵇ at a = 0, and at b = 0
    Special("pow", lambda xp, x: x[0] ** x[1], [0.0, 2.0], ZEROS, [[2.0, 0.0], [0.0, 0.0]]),
    Special(
        "pow", lambda xp, x: x[0] ** x[1], [0.0, 1.0], [1.0, 0.0], [[0.0, -math.inf], [-math.inf, 0.0]], False
    ),
    Special(
        "pow",
        lambda xp, x: x[0] ** x[1],
        [2.0, 0.0],
        [0.0, math.log(2.0)],
        [[0, 0.5], [0.5, math.log(2.0) ** 2]],
    ),
    Special("prod", lambda xp, x: xp.prod(x), ZEROS, ZEROS, [[0.0, 1.0], [1.0, 0.0]]),
    # ties
    Special("sort", lambda xp, x: xp.sum(xp.sort(x) ** 2), [1.0, 1.0], [2.0, 2.0], _twice(2)),
    Special("max", lambda xp, x: xp.max(x), [1.0, 1.0], [0.5, 0.5], [ZEROS, ZEROS]),
    # determinants: polynomials, at any rank
    _det(np.ones((2, 2)), [[1.0, -1.0], [-1.0, 1.0]]),
    _det(np.zeros((2, 2)), [ZEROS, ZEROS]),
    _det(np.arange(9.0).reshape(3, 3), [[-3.0, 6.0, -3.0], [6.0, -12.0, 6.0], [-3.0, 6.0, -3.0]]),
    _det(np.eye(3), np.eye(3).tolist()),
    Special(
        "slogdet",
        lambda xp, x: xp.linalg.slogdet(x)[1],
        np.ones((2, 2)),
        np.full((2, 2), NO),
        np.full((2,) * 4, NO),
    ),
)
