"""Hand-derived gradients against automatic differentiation of the body: error and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pillars.backends import backend, forward_and_pullback, gradient_cost
from pillars.calculus import vjp
from pillars.measure._ceiling import Ceiling, ceiling_of
from pillars.measure._parity import Pace, bound_of, one_line, relative_error, to_backend
from pillars.measure._results import GradientRow, Side
from pillars.measure._timing import Candidate, first_call, race
from pillars.measure._workloads import Workload

__all__ = ["autodiff_gradient", "hand_gradient", "measure_gradient"]


def hand_gradient(operation: Any, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """Value, and the cotangents of the floating arrays, by the operation's own rule."""
    record = operation.record
    floating = _floating(arrays)
    needs = record.needs(*[p.is_array and p.position in floating for p in record.differentiable])
    y, pullback = forward_and_pullback(record, record.bind(tuple(arrays), {}), needs)
    return (y, *[found for found in pullback(cotangent) if found is not None])


def autodiff_gradient(operation: Any, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """The same by differentiating the body, step by step: no rule of the operation's own takes part."""
    floating = _floating(arrays)

    def body(*values: Any) -> Any:
        given = list(arrays)
        for place, value in zip(floating, values, strict=True):
            given[place] = value
        return operation.reference(*given)

    y, pullback = vjp(body, *[arrays[place] for place in floating])
    found = pullback(cotangent)
    return (y, *(found if isinstance(found, tuple) else (found,)))


def measure_gradient(
    workload: Workload, names: Sequence[str], pace: Pace, ceilings: Sequence[Ceiling] = ()
) -> list[GradientRow]:
    """Both gradients of one workload on every named backend: a row each.

    The reference is the body in float64 on NumPy, differentiated automatically: the rule under test has no part in it.
    """
    xp = backend("numpy").xp
    operation = workload.operation
    wide = [array.astype(xp.float64) if array.dtype.kind == "f" else array for array in workload.arrays]
    expected = autodiff_gradient(operation, wide, workload.cotangent.astype(xp.float64))
    bounds = {name: bound_of(workload, name, gradient=True) for name in names}
    sides: dict[tuple[str, str], Side] = {}
    candidates: dict[str, Candidate] = {}
    for name in names:
        for method, rule in (("hand", hand_gradient), ("autodiff", autodiff_gradient)):
            try:
                candidate = _candidate(rule, workload, name)
                result, seconds = first_call(candidate)
                error = max(
                    relative_error(backend(name).to_numpy(found), wanted)
                    for found, wanted in zip(result[1:], expected[1:], strict=True)
                )
                sides[name, method] = Side(error, error <= bounds[name], seconds, None, "")
                candidates[f"{name}|{method}"] = candidate
            except Exception as error:
                sides[name, method] = Side(math.nan, False, None, None, one_line(error))
    if pace.rounds:
        for key, timing in race(candidates, **pace._asdict()).items():
            name, _, method = key.partition("|")
            sides[name, method] = sides[name, method]._replace(steady=timing)
    dtype = str(workload.arrays[0].dtype)
    # the value is of the arrays' dtype, and its shape is the cotangent's
    cost = gradient_cost(operation.record, operation.record.bind(workload.arrays, {}), workload.cotangent)
    ceilings_of = {name: ceiling_of(ceilings, name, dtype) for name in names}
    return [
        GradientRow(
            workload.name,
            workload.size,
            workload.shape,
            name,
            dtype,
            bounds[name],
            cost.bytes,
            cost.flops,
            ceiling.seconds(cost) if (ceiling := ceilings_of[name]) else None,
            sides[name, "hand"],
            sides[name, "autodiff"],
        )
        for name in names
    ]


def _candidate(rule: Callable[..., Any], workload: Workload, name: str) -> Candidate:
    home = backend(name)
    arrays, _ = to_backend(name, workload.arrays)
    (cotangent,), _ = to_backend(name, [workload.cotangent])
    floating = _floating(arrays)

    def run(g: Any, *values: Any) -> Any:
        given = list(arrays)
        for place, value in zip(floating, values, strict=True):
            given[place] = value
        return rule(workload.operation, given, g)

    compiled = home.jit(run)
    values = [arrays[place] for place in floating]
    return Candidate(lambda: compiled(cotangent, *values), home.synchronize)


def _floating(arrays: Sequence[Any]) -> list[int]:
    return [i for i, array in enumerate(arrays) if "float" in str(array.dtype)]
