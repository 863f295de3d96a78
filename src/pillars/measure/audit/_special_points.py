"""The audit beyond first derivatives at drawn points: second derivatives, and special points in closed form."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from pillars._errors import one_line
from pillars.backends import Backend, backend as backend_of, namespace
from pillars.calculus import CheckRow, grad, jacobian
from pillars.measure.audit.cases import SPECIAL, Special

__all__ = ["POINTS", "SECOND", "second_order", "special_points"]

SECOND, POINTS = "second_order", "special_points"
_LONGEST = 120
_STEP, _STENCIL = 2.0**-12, (-2.0, -1.0, 1.0, 2.0)
_SHARE = 2.0**-6  # of what a difference of fourth order is nearer than one of second
_UNITS = 256.0  # roundings of a closed form's largest entry: svd and a handful of products


def second_order(f: Callable[..., Any], args: Sequence[Any], seed: int) -> CheckRow:
    """Hv, the gradient of ⟨∇f, v⟩, against differences of ⟨∇f, v⟩ along a drawn direction.

    `f` is a scalar function; half its square is what is differentiated, so that a linear one has a second derivative.
    """
    backend, host = backend_of(args[0]), backend_of("numpy").xp
    rng, places = host.random.default_rng(seed), tuple(range(len(args)))
    v = [backend.asarray(rng.standard_normal(tuple(x.shape))) for x in args]
    # a number among the options may be near the end of its range: a step is a share of it
    w = [
        backend.asarray(rng.standard_normal(tuple(x.shape)) * (1.0 if x.shape else abs(float(x))))
        for x in args
    ]

    def squared(*x: Any) -> Any:
        y = f(*x)
        return 0.5 * y * y

    def inner(a: Sequence[Any], b: Sequence[Any]) -> Any:
        return functools.reduce(operator.add, (namespace(x).sum(x * y) for x, y in zip(a, b, strict=True)))

    def slope(*x: Any) -> Any:
        return inner(grad(squared, places)(*x), v)

    try:
        result = float(inner(grad(slope, places)(*args), w))
        ends = [float(slope(*(x + k * _STEP * d for x, d in zip(args, w, strict=True)))) for k in _STENCIL]
    except Exception as error:  # a rule that fails is a row that says so, not the end of the audit
        return CheckRow(SECOND, math.inf, 0.0, False, one_line(error, _LONGEST))
    a, b, c, d = ends
    fourth, second = (a - 8.0 * b + 8.0 * c - d) / (12.0 * _STEP), (c - b) / (2.0 * _STEP)
    # what the better of the two is off by: less than they differ by, and rounding of the slopes
    rounding = _UNITS * float(host.finfo(host.float64).eps) * max(map(abs, ends)) / _STEP
    scale = max(abs(fourth), abs(second), 1e-300)
    bound = (_SHARE * abs(fourth - second) + rounding) / scale
    off = abs(result - fourth) / scale
    return CheckRow(SECOND, off, bound, off <= bound, "along a drawn direction")


def special_points(backend: Backend) -> dict[str, list[CheckRow]]:
    """Function -> the row of each of its special points."""
    result: dict[str, list[CheckRow]] = {}
    for point in SPECIAL:
        if point.applies(backend.name):
            result.setdefault(point.name, []).append(special_point(backend, point))
    return result


def special_point(backend: Backend, point: Special) -> CheckRow:
    """Gradient and Hessian there, against the closed form: right, or NaN where that is allowed."""
    host = backend_of("numpy").xp
    x = backend.asarray(host.asarray(point.x, dtype=host.float64))

    def f(x: Any) -> Any:
        return point.f(namespace(x), x)

    try:
        with backend.quiet():
            first, second = (backend.to_numpy(one) for one in (grad(f)(x), jacobian(grad(f), x)))
    except Exception as error:
        return CheckRow(POINTS, math.inf, 0.0, False, one_line(error, _LONGEST))
    off = max(_error(first, point.gradient, whole=True), _error(second, point.hessian, whole=point.whole))
    tolerance = _UNITS * float(host.finfo(host.float64).eps)
    return CheckRow(
        POINTS, off, tolerance, off <= tolerance, f"at {host.ravel(host.asarray(point.x)).tolist()}"
    )


def _error(found: Any, truth: Any, *, whole: bool) -> float:
    """The largest, of the largest entry's size; infinite where a number stands that should not, or none that should."""
    host = backend_of("numpy").xp
    truth = host.asarray(truth, dtype=host.float64)
    none, missing = host.isnan(truth), host.isnan(found)
    if found.shape != truth.shape or bool(host.any(none & host.isfinite(found))):
        return math.inf
    if whole and bool(host.any(missing & ~none)):
        return math.inf
    judged = ~none & ~missing
    alike = judged & (found == truth)
    rest = judged & ~alike
    largest = float(host.max(host.abs(truth[host.isfinite(truth)]), initial=0.0))
    gap = host.abs(found[rest] - truth[rest])
    if not gap.size:
        return 0.0
    return float(host.max(gap)) / largest if largest else math.inf
