"""Hand-derived gradients against automatic differentiation of the body: error, time and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pillars._errors import one_line
from pillars.backends import (
    backend as backend_of,
    forward_and_pullback,
    reference_bodies,
    tree_flatten,
    tree_unflatten,
)
from pillars.calculus import vjp
from pillars.measure.bench._ceiling import Ceiling, ceiling_of
from pillars.measure.bench._parity import Pace, as_float64, bound_of, to_backend, worst_error
from pillars.measure.bench._precision import doubled
from pillars.measure.bench._results import GradientRow, Side
from pillars.measure.bench._timing import Candidate, first_call, race
from pillars.measure.bench._workloads import Workload

__all__ = [
    "autodiff_gradient",
    "by_rules",
    "first_side",
    "hand_gradient",
    "measure_gradient",
    "true_gradient",
]


def hand_gradient(operation: Any, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """Value, and the cotangents of the floating arrays, by the operation's own rule."""
    record = operation.record
    floating = _floating(arrays)
    needs = record.needs(*[p.is_array and p.position in floating for p in record.differentiable])
    y, pullback = forward_and_pullback(record, record.bind(tuple(arrays), {}), needs)
    return (y, *[result for result in pullback(cotangent) if result is not None])


def autodiff_gradient(operation: Any, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """The same by differentiating the body, step by step: no rule of the operation's own takes part."""
    floating = _floating(arrays)

    def body(*values: Any) -> Any:
        given = list(arrays)
        for place, value in zip(floating, values, strict=True):
            given[place] = value
        return operation.reference(*given)

    y, pullback = vjp(body, *[arrays[place] for place in floating])
    result = pullback(cotangent)
    return (y, *(result if isinstance(result, tuple) else (result,)))


def by_rules(workload: Workload, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """Of a procedure too: through the rules of the operations that it calls."""
    if workload.operation is not None:
        return hand_gradient(workload.operation, arrays, cotangent)
    return _through(workload.call, arrays, cotangent)


def _by_bodies(workload: Workload, arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    """Of a procedure: through the bodies of the operations that it calls."""
    if workload.operation is not None:
        return autodiff_gradient(workload.operation, arrays, cotangent)
    with reference_bodies():
        return _through(workload.call, arrays, cotangent)


def _through(call: Callable[..., Any], arrays: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    y, pullback = vjp(call, *arrays)
    result = pullback(cotangent)
    return (y, *(result if isinstance(result, tuple) else (result,)))


def measure_gradient(
    workload: Workload, names: Sequence[str], pace: Pace, ceilings: Sequence[Ceiling] = ()
) -> list[GradientRow]:
    """Both gradients of one workload on every named backend: a row each.

    The reference is the body in float64 on NumPy, differentiated automatically: the rule under test has no part in it.
    """
    with doubled(names, workload.dtype):
        expected = true_gradient(workload)
        bounds = {name: bound_of(workload, name, gradient=True) for name in names}
        sides: dict[str, Side] = {}
        candidates: dict[str, Candidate] = {}
        for name in names:
            for method, rule in (("hand", by_rules), ("autodiff", _by_bodies)):
                key = f"{name}|{method}"
                try:
                    sides[key], candidates[key] = first_side(rule, workload, name, expected, bounds[name])
                except Exception as error:
                    sides[key] = Side(math.nan, False, None, None, None, one_line(error))
        failures: dict[str, str] = {}
        timings = race(candidates, **pace._asdict(), failures=failures) if pace.rounds else {}
    for key, side in sides.items():
        lost = failures.get(key, side.failure)
        sides[key] = side._replace(steady=timings.get(key), failure=lost, ok=side.ok and not lost)
    cost = workload.gradient_cost()
    ceilings_of = {name: ceiling_of(ceilings, name, workload.dtype) for name in names}
    return [
        GradientRow(
            workload.name,
            workload.size,
            workload.shape,
            name,
            workload.dtype,
            bounds[name],
            cost.bytes,
            cost.flops,
            ceiling.seconds(cost) if (ceiling := ceilings_of[name]) else None,
            sides[f"{name}|hand"],
            sides[f"{name}|autodiff"],
        )
        for name in names
    ]


def true_gradient(workload: Workload) -> tuple[Any, ...]:
    """Value and gradient of the bodies in float64 on NumPy."""
    cotangents, treedef = tree_flatten(workload.inputs.cotangent)
    wide = tree_unflatten(treedef, as_float64(cotangents))
    return _by_bodies(workload, as_float64(workload.arrays), wide)


def first_side(
    rule: Callable[..., Any], workload: Workload, name: str, expected: Any, bound: float
) -> tuple[Side, Candidate]:
    """A gradient after its first call, not yet timed, and what is to be timed."""
    backend = backend_of(name)
    arrays, _ = to_backend(name, workload.arrays)
    leaves, treedef = tree_flatten(workload.inputs.cotangent)
    cotangent = tree_unflatten(treedef, list(to_backend(name, leaves)[0]))
    floating = _floating(arrays)

    def run(g: Any, *values: Any) -> Any:
        given = list(arrays)
        for place, value in zip(floating, values, strict=True):
            given[place] = value
        return rule(workload, given, g)

    compiled = backend.jit(run)
    values = [arrays[place] for place in floating]
    candidate = Candidate(lambda: compiled(cotangent, *values), backend.synchronize)
    result, seconds = first_call(candidate)
    error = worst_error(backend.to_numpy, result[1:], expected[1:])
    try:
        memory = backend.memory(compiled, cotangent, *values)
    except Exception:  # a library without such a count is no reason to lose the row
        memory = None
    return Side(error, error <= bound, seconds, None, memory, ""), candidate


def _floating(arrays: Sequence[Any]) -> list[int]:
    return [i for i, array in enumerate(arrays) if "float" in str(array.dtype)]
