"""One case on one backend: checked against NumPy in float64, then timed, with what the machine allows beside it."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from pillars.backends import Cost
from pillars.measure import Candidate, Ceiling, measure_ceilings
from pillars.measure.bench._ceiling import ceiling_of, device_name
from pillars.measure.bench._gradients import by_rules, first_side
from pillars.measure.bench._parity import blank_row, bound_of, first_row, to_backend
from suite.cases import Case, case_of

__all__ = ["time_case"]


@lru_cache(maxsize=4)
def _prepared(name: str, size: str, part: str) -> tuple[Case, Any]:
    """A case and its answer in float64, once for every backend."""
    return case_of(name, size).expected(part)


@lru_cache
def _limits(name: str) -> tuple[Ceiling, ...]:
    return measure_ceilings((name,))


def time_case(benchmark: Any, name: str, backend_name: str, size: str, part: str, way: str) -> None:
    """Time it after its first call, which is checked; every call is waited for."""
    case, expected = _prepared(name, size, part)
    # Without timing there is nothing to hold against a limit.
    limits = () if benchmark.disabled else _limits(backend_name)
    judge = _gradient if part == "gradient" else partial(_value, way=way)
    candidate, facts = judge(case, backend_name, expected, limits)
    benchmark.extra_info.update(facts, device=device_name(backend_name), shape=case.workload.shape)
    assert facts["error"] <= facts["bound"], (
        f"{name} {case.workload.shape} {part} on {backend_name}, {way}: {facts['error']:.1e} off from NumPy in "
        f"float64, expected at most {facts['bound']:.1e}"
    )
    benchmark(lambda: candidate.synchronize(candidate.call()))
    least = facts["least_seconds"]
    if benchmark.stats is not None and least is not None:
        benchmark.extra_info["fraction_of_limit"] = least / benchmark.stats.stats.median


def _value(
    case: Case, name: str, expected: Any, limits: tuple[Ceiling, ...], *, way: str
) -> tuple[Candidate, dict[str, Any]]:
    arrays, _ = to_backend(name, case.workload.arrays)
    workload, kernel = case.workload, ""
    if way == "body":
        workload = case.on_body(name, arrays)
    if case.operation is not None:
        kernel = "body" if way == "body" else case.kernel(arrays)
    row, candidate = first_row(blank_row(workload, name), workload, arrays, expected, limits)
    cost = Cost(row.bytes, row.flops)
    return candidate, _facts(row.error, row.bound, row.first, cost, row.least, kernel=kernel)


def _gradient(
    case: Case, name: str, expected: Any, limits: tuple[Ceiling, ...]
) -> tuple[Candidate, dict[str, Any]]:
    workload = case.workload
    bound = bound_of(workload, name, gradient=True)
    side, candidate = first_side(by_rules, workload, name, expected, bound)
    ceiling, cost = ceiling_of(limits, name, workload.dtype), workload.gradient_cost()
    least = ceiling.seconds(cost) if ceiling else None
    return candidate, _facts(side.error, bound, side.first, cost, least, memory_bytes=side.memory)


def _facts(
    error: float, bound: float, first: Any, cost: Cost, least: float | None, **more: Any
) -> dict[str, Any]:
    # No floating operations are none to hold against a limit, or nobody has counted them.
    work = {"bytes": cost.bytes, "flops": cost.flops or None}
    return {
        "error": error,
        "bound": bound,
        "first_call_seconds": first,
        **work,
        "least_seconds": least,
        **more,
    }
