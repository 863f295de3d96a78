"""Every backend against the float64 body, and in turn against the others: error, first call, transfer, steady state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pillars.backends import backend, call_cost, explain
from pillars.measure._ceiling import Ceiling, ceiling_of
from pillars.measure._precision import SINGLE, product_precision
from pillars.measure._results import OperationRow
from pillars.measure._timing import Candidate, first_call, race
from pillars.measure._workloads import Workload

__all__ = ["Pace", "bound_of", "measure_operation", "one_line", "relative_error", "to_backend"]


class Pace(NamedTuple):
    """How patiently to time; see :func:`pillars.measure.race`. No rounds: results are checked and not timed."""

    rounds: int = 3
    samples: int = 5
    min_time: float = 0.004
    pause: float = 0.05


def relative_error(found: Any, expected: Any) -> float:
    """max |found − expected| / max |expected|, in float64; infinity where either is not finite or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> relative_error(np.asarray([1.0, 2.5]), np.asarray([1.0, 2.0]))
    0.25
    """
    xp = backend("numpy").xp
    found, expected = xp.asarray(found, dtype=xp.float64), xp.asarray(expected, dtype=xp.float64)
    if found.shape != expected.shape or not (xp.isfinite(found).all() and xp.isfinite(expected).all()):
        return math.inf
    if not expected.size:
        return 0.0
    scale = float(xp.max(xp.abs(expected)))
    worst = float(xp.max(xp.abs(found - expected)))
    return worst / scale if scale > 0 else (0.0 if worst == 0 else math.inf)


def bound_of(workload: Workload, name: str, *, gradient: bool = False) -> float:
    """What rounding allows on a backend: roundings of float32, and of its matrix products where there are any."""
    products = product_precision(name).unit if workload.product_condition else SINGLE
    condition = workload.gradient_condition if gradient else workload.condition
    return SINGLE * condition + products * workload.product_condition


def one_line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def to_backend(name: str, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], float | None]:
    """Host arrays on a backend, and the seconds that took; None on NumPy, where they already are.

    The median of three: the first transfer of a process also starts the device.
    """
    if name == "numpy":
        return tuple(arrays), None
    home = backend(name)
    carry = Candidate(lambda: tuple(home.asarray(array) for array in arrays), home.synchronize)
    tries = [first_call(carry) for _ in range(3)]
    return tries[-1][0], sorted(seconds for _, seconds in tries)[1]


def measure_operation(
    workload: Workload, names: Sequence[str], pace: Pace, ceilings: Sequence[Ceiling] = ()
) -> list[OperationRow]:
    """One workload on every named backend: a row each. A backend that fails is a row with its reason."""
    xp = backend("numpy").xp
    operation = workload.operation
    wide = [array.astype(xp.float64) if array.dtype.kind == "f" else array for array in workload.arrays]
    expected = operation.reference(*wide)
    rows: dict[str, OperationRow] = {}
    candidates: dict[str, Candidate] = {}
    for name in names:
        bound = bound_of(workload, name)
        blank = OperationRow(
            workload.name,
            workload.size,
            workload.shape,
            name,
            "",
            "",
            math.nan,
            bound,
            False,
            None,
            None,
            None,
            None,
            None,
            None,
            "",
        )
        try:
            arrays, transfer = to_backend(name, workload.arrays)
            candidate = Candidate(_call(operation, arrays), backend(name).synchronize)
            result, seconds = first_call(candidate)
            error = relative_error(backend(name).to_numpy(result), expected)
            cost = call_cost(operation.record, operation.record.bind(arrays, {}), result)
            ceiling = ceiling_of(ceilings, name, str(workload.arrays[0].dtype))
            rows[name] = blank._replace(
                dtype=str(workload.arrays[0].dtype),
                kernel=explain(operation, *arrays).kernel,
                error=error,
                ok=error <= bound,
                first=seconds,
                transfer=transfer,
                bytes=cost.bytes,
                flops=cost.flops,
                least=ceiling.seconds(cost) if ceiling else None,
            )
            candidates[name] = candidate
        except Exception as error:
            rows[name] = blank._replace(failure=one_line(error))
    if pace.rounds:
        for name, timing in race(candidates, **pace._asdict()).items():
            rows[name] = rows[name]._replace(steady=timing)
    return list(rows.values())


def _call(operation: Any, arrays: tuple[Any, ...]) -> Any:
    return lambda: operation(*arrays)
