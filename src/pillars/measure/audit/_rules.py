"""The audit of the tracing array: both derivatives of all functions, by numbers and at edges."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from pillars._errors import one_line
from pillars.backends import Backend, backend as backend_of, namespace
from pillars.calculus import CheckRow, check_gradient
from pillars.measure.audit._special_points import POINTS, second_order, special_points
from pillars.measure.audit.cases import CASES, Case, draw

__all__ = ["GRAD", "rule_checks"]

GRAD = "grad"  # what a row's operation begins with: "grad.exp"
_LONGEST = 120


def rule_checks(backend: Backend) -> Iterator[tuple[str, dict[str, list[CheckRow]]]]:
    """(function, method -> the row of each of its cases), by the functions' names.

    CuPy is given NumPy's functions, which dispatch; array-api-strict its own, and the cases in the standard alone.
    Nothing on JAX, which differentiates such functions by itself.
    """
    if backend.differentiates:
        return
    whole = backend.name != "strict"
    by_name: dict[str, list[tuple[int, Case]]] = {}
    for number, case in enumerate(CASES):
        if (
            whole or (case.strict and case.plain)
        ) and case.rule != "astype":  # what rounds has no differences
            by_name.setdefault(case.name, []).append((number, case))
    points = special_points(backend)
    for name, cases in sorted(by_name.items()):
        result: dict[str, list[CheckRow]] = {}
        for number, case in cases:
            for row in _rows(backend, number, case):
                result.setdefault(row.method, []).append(row)
        if name in points:
            result[POINTS] = points[name]
        yield f"{GRAD}.{name}", result


def _rows(backend: Backend, number: int, case: Case) -> tuple[CheckRow, ...]:
    host = backend_of("numpy").xp
    rng = host.random.default_rng(zlib.crc32(f"{case.name} {number}".encode()))
    args = [backend.asarray(draw(words, rng)) for words in case.draws]

    def f(*x: Any) -> Any:
        return case.f(namespace(*x) if backend.name == "strict" else host, *x)

    weights: list[Any] = []

    def total(*x: Any) -> Any:
        """Against fixed weights, so that every entry matters."""
        y = f(*x)
        if not weights:
            weights.append(backend.asarray(rng.uniform(0.5, 1.5, tuple(y.shape))))
        return namespace(y).sum(y * weights[0])

    try:
        checked = check_gradient(f, *args, argnums=tuple(range(len(args))))
    except Exception as error:  # a rule that fails is a row that says so, not the end of the audit
        return (CheckRow("central", float("inf"), 0.0, False, one_line(error, _LONGEST)),)
    # autodiff is what is audited
    rows = tuple(row for row in checked.rows if row.method != "autodiff")
    return (*rows, second_order(total, args, number)) if case.smooth else rows
