"""Every backend against the float64 body, and in turn against the others: error, first call, transfer, steady state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pillars._errors import one_line
from pillars.backends import backend as backend_of, explain, tree_leaves
from pillars.measure.bench._ceiling import Ceiling, ceiling_of
from pillars.measure.bench._peers import peers_of
from pillars.measure.bench._precision import DOUBLE, doubled, product_unit, unit_of
from pillars.measure.bench._results import OperationRow, PeerTime
from pillars.measure.bench._timing import Candidate, Timing, first_call, race
from pillars.measure.bench._workloads import Workload

__all__ = [
    "Pace",
    "as_float64",
    "blank_row",
    "bound_of",
    "first_row",
    "measure_operation",
    "relative_error",
    "to_backend",
    "worst_error",
]

_WITH_PEERS = ("small", "large")


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
    xp = backend_of("numpy").xp
    found, expected = xp.asarray(found, dtype=xp.float64), xp.asarray(expected, dtype=xp.float64)
    if found.shape != expected.shape or not (xp.isfinite(found).all() and xp.isfinite(expected).all()):
        return math.inf
    if not expected.size:
        return 0.0
    scale = float(xp.max(xp.abs(expected)))
    worst = float(xp.max(xp.abs(found - expected)))
    return worst / scale if scale > 0 else (0.0 if worst == 0 else math.inf)


def worst_error(to_numpy: Callable[[Any], Any], found: Any, expected: Any) -> float:
    """The largest :func:`relative_error` of the arrays of a result."""
    pairs = zip(tree_leaves(found), tree_leaves(expected), strict=True)
    return max(relative_error(to_numpy(one), other) for one, other in pairs)


def bound_of(workload: Workload, name: str, *, gradient: bool = False) -> float:
    """What rounding allows on a backend: roundings of the dtype, and of its matrix products where there are any.

    The reference is in float64, so that for float64 both sides round.
    """
    inputs = workload.inputs
    products = product_unit(name, workload.dtype) if inputs.product_condition else 0.0
    condition = inputs.gradient_condition if gradient else inputs.condition
    bound = unit_of(workload.dtype) * condition + products * inputs.product_condition
    return bound * (2 if unit_of(workload.dtype) == DOUBLE else 1)


def as_float64(arrays: Sequence[Any]) -> list[Any]:
    """Host arrays with the floating ones in float64."""
    return [array.astype("float64") if array.dtype.kind == "f" else array for array in arrays]


def to_backend(name: str, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], float | None]:
    """Host arrays on a backend, and the seconds that took; None on NumPy, where they already are.

    The median of three: the first transfer of a process also starts the device.
    """
    if name == "numpy":
        return tuple(arrays), None
    backend = backend_of(name)
    carry = Candidate(lambda: tuple(backend.asarray(array) for array in arrays), backend.synchronize)
    tries = [first_call(carry) for _ in range(3)]
    return tries[-1][0], sorted(seconds for _, seconds in tries)[1]


def measure_operation(
    workload: Workload, names: Sequence[str], pace: Pace, ceilings: Sequence[Ceiling] = ()
) -> list[OperationRow]:
    """One workload on every named backend: a row each. A backend that fails is a row with its reason."""
    with doubled(names, workload.dtype):
        expected = workload.reference(*as_float64(workload.arrays))
        rows: dict[str, OperationRow] = {}
        peers: dict[str, dict[str, PeerTime]] = {}
        candidates: dict[str, Candidate] = {}
        for name in names:
            blank = blank_row(workload, name)
            try:
                arrays, transfer = to_backend(name, workload.arrays)
                rows[name], candidates[name] = first_row(blank, workload, arrays, expected, ceilings)
                rows[name] = rows[name]._replace(transfer=transfer)
            except Exception as error:
                rows[name] = blank._replace(failure=one_line(error))
                continue
            peers[name] = {}
            if pace.rounds and workload.size in _WITH_PEERS and workload.dtype == "float32":
                for peer, call in peers_of(workload, name, arrays).items():
                    peers[name][peer], candidate = _peer(peer, call, name, expected)
                    if candidate is not None:
                        candidates[f"{name}|{peer}"] = candidate
        failures: dict[str, str] = {}
        timings = race(candidates, **pace._asdict(), failures=failures) if pace.rounds else {}
        return [_timed(rows[name], peers.get(name, {}), timings, failures) for name in names]


def blank_row(workload: Workload, name: str) -> OperationRow:
    """The row of a workload that has not run yet."""
    return OperationRow(
        operation=workload.name,
        size=workload.size,
        shape=workload.shape,
        backend=name,
        dtype=workload.dtype,
        kernel="",
        error=math.nan,
        bound=bound_of(workload, name),
        ok=False,
        first=None,
        transfer=None,
        steady=None,
        bytes=None,
        flops=None,
        least=None,
        peers=(),
        failure="",
    )


def first_row(
    blank: OperationRow, workload: Workload, arrays: Sequence[Any], expected: Any, ceilings: Sequence[Ceiling]
) -> tuple[OperationRow, Candidate]:
    """The row after the first call, not yet timed, and what is to be timed."""
    backend = backend_of(blank.backend)
    candidate = Candidate(_call(workload, arrays), backend.synchronize)
    result, seconds = first_call(candidate)
    error = worst_error(backend.to_numpy, result, expected)
    cost = workload.cost(result)
    ceiling = ceiling_of(ceilings, blank.backend, workload.dtype)
    row = blank._replace(
        kernel=explain(workload.operation, *arrays).kernel if workload.operation is not None else "",
        error=error,
        ok=error <= blank.bound,
        first=seconds,
        bytes=cost.bytes,
        flops=cost.flops,
        least=ceiling.seconds(cost) if ceiling else None,
    )
    return row, candidate


def _peer(peer: str, call: Callable[[], Any], name: str, expected: Any) -> tuple[PeerTime, Candidate | None]:
    """A peer's first call; it may give fewer arrays than the function has, such as no signs of components."""
    backend = backend_of(name)
    candidate = Candidate(call, backend.synchronize if peer == "plain" else lambda result: result)
    try:
        result, _ = first_call(candidate)
        fetch = backend.to_numpy if peer == "plain" else backend.xp.asarray
        pairs = zip(tree_leaves(result), tree_leaves(expected), strict=False)
        error = max(relative_error(fetch(one), other) for one, other in pairs)
    except Exception as failure:
        return PeerTime(peer, math.nan, None, one_line(failure)), None
    return PeerTime(peer, error, None, ""), candidate


def _timed(
    row: OperationRow,
    peers: Mapping[str, PeerTime],
    timings: Mapping[str, Timing],
    failures: Mapping[str, str],
) -> OperationRow:
    result = []
    for peer in peers.values():
        key = f"{row.backend}|{peer.name}"
        result.append(peer._replace(steady=timings.get(key), failure=failures.get(key, peer.failure)))
    lost = failures.get(row.backend, row.failure)
    return row._replace(
        steady=timings.get(row.backend), peers=tuple(result), failure=lost, ok=row.ok and not lost
    )


def _call(workload: Workload, arrays: Sequence[Any]) -> Callable[[], Any]:
    call = workload.inputs.call or workload.operation
    return lambda: call(*arrays)
