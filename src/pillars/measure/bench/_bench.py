"""The whole bench: the real job, then the main operations, on every backend that runs here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pillars._errors import BackendError, DTypeError, one_line
from pillars.backends import available, backend, dtype_name
from pillars.measure.bench._ceiling import device_name, measure_ceilings
from pillars.measure.bench._crossover import crossovers
from pillars.measure.bench._environment import environment
from pillars.measure.bench._gradients import measure_gradient
from pillars.measure.bench._job import run_job
from pillars.measure.bench._parity import Pace, measure_operation
from pillars.measure.bench._precision import product_precision
from pillars.measure.bench._results import BackendState, Bench, GradientRow, Job, OperationRow
from pillars.measure.bench._schema import BENCH
from pillars.measure.bench._workloads import number_of_workloads, workloads
from pillars.measure.data import Dataset, load_digits

__all__ = ["backend_states", "findings", "run_bench"]

Progress = Callable[[str, float], None]


def backend_states(names: Sequence[str] | None = None) -> tuple[BackendState, ...]:
    """Which of the named backends (None: all) run here, and why the others do not.

    Raises
    ------
    BackendError : an unknown name, or none of the named ones usable.
    """
    known = available()
    if isinstance(names, str) or not isinstance(names, (Iterable, type(None))):
        raise DTypeError(f"backends: got {names!r:.60}, expected a list of names, or None for all.")
    wanted = list(dict.fromkeys(names)) if names else list(known)
    for name in wanted:
        if name not in known:
            raise BackendError(f"backends: got {name!r}, expected some of {', '.join(map(repr, known))}.")
    states = []
    for name in wanted:
        usable, version, devices, reason = known[name]
        precision, device, double = "", "", False
        if usable:
            try:
                precision, device = product_precision(name).name, device_name(name)
                double = dtype_name(backend(name).stored_dtype("float64")) == "float64"
            except Exception as error:  # its first product: what cannot multiply cannot be measured
                usable, reason = False, one_line(error)
        states.append(BackendState(name, usable, version, tuple(devices), reason, precision, device, double))
    if not any(state.ran for state in states):
        reasons = "; ".join(f"{state.name}: {state.reason}" for state in states)
        raise BackendError(
            f"backends: got none that is usable here ({reasons}), expected one. Add numpy to the list."
        )
    return tuple(states)


def run_bench(
    data: Dataset | None = None,
    backends: Sequence[str] | None = None,
    *,
    quick: bool = False,
    progress: Progress = lambda what, fraction: None,
) -> Bench:
    """Run the job and the main operations on every usable backend.

    Parameters
    ----------
    data : a classification problem; None: the bundled digits.
    backends : names; None: all that there are. One that is not usable is reported as not run, with its reason.
    quick : fewer repeats, small and less large sizes alone, gradients at the latter only: under a minute instead
        of some two.
    progress : called with what comes next and the fraction done.

    Returns
    -------
    Bench. `findings` lists what is wrong: runs that disagree, gradients that are off, backends that failed half way.
    Interrupted after the job, it holds what was measured until then, and says so.
    """
    start = time.perf_counter()
    where = environment()  # first: its load is then that of others
    states = backend_states(backends)
    names = [state.name for state in states if state.ran]
    pace = Pace(rounds=1, samples=5, min_time=0.001, pause=0.01) if quick else Pace()
    done, total = 0.0, 10.0 + number_of_workloads(quick=quick)

    def step(what: str, by: float = 0.0) -> None:
        nonlocal done
        progress(what, min(done / total, 1.0))
        done += by

    job = run_job(
        data if data is not None else load_digits(),
        names,
        steps=200 if quick else 500,
        rounds=2 if quick else 3,
        pause=pace.pause,
        progress=lambda what: step(what, 8.0 / (3 * len(names) + 1)),
    )
    step("what the machine allows", 2.0)
    ceilings = measure_ceilings(names, ("float32", "float64"), quick=quick)
    operations: list[OperationRow] = []
    gradients: list[GradientRow] = []
    interrupted = False
    try:
        for workload in workloads(quick=quick):
            step(f"{workload.name} {workload.shape}", 1.0)
            operations += measure_operation(workload, names, pace, ceilings)
            if workload.inputs.cotangent is None:
                continue
            single = workload.dtype == "float32"
            wanted = ("small", "large") if single and not quick else ("large",)
            if workload.size in wanted and (single or not quick):
                gradients += measure_gradient(workload, names, pace, ceilings)
    except KeyboardInterrupt:  # what was measured until then is worth showing
        interrupted = True
    step("done")
    return Bench(
        schema=BENCH,
        quick=quick,
        environment=where,
        backends=states,
        ceilings=ceilings,
        job=job,
        operations=tuple(operations),
        crossovers=crossovers([row for row in operations if row.dtype == "float32"]),
        gradients=tuple(gradients),
        findings=tuple(findings(job, operations, gradients)),
        remarks=tuple(remarks(gradients)),
        seconds=time.perf_counter() - start,
        interrupted=interrupted,
    )


def findings(job: Job, operations: Sequence[OperationRow], gradients: Sequence[GradientRow]) -> list[str]:
    """What is wrong, a line each; empty where everything agrees."""
    result = []
    for reduction in job.reductions:
        place = f"{job.data}, {reduction.backend}, principal components"
        if reduction.failure:
            result.append(f"{place}: {reduction.failure}")
        elif not reduction.ok:
            result.append(
                f"{place}: variances {reduction.error:.1e} off (bound {reduction.bound:.1e}), the space they span "
                f"{reduction.angle:.1e} (bound {reduction.angle_bound:.1e})"
            )
    for run in job.runs:
        place = f"{job.data}, {run.backend}, {run.gradient}"
        if run.error:
            result.append(f"{place}: {run.error}")
        elif not run.ok:
            result.append(
                f"{place}: parameters {run.parameter_error:.1e} from the float64 run (bound "
                f"{run.parameter_bound:.1e}), loss {run.loss_error:.1e} (bound {run.loss_bound:.1e})"
            )
    for row in operations:
        result += _judge(f"{row.operation} {row.shape} {row.dtype}, {row.backend}", row, row.bound)
    for gradient in gradients:
        place = f"gradient of {gradient.operation} {gradient.shape} {gradient.dtype}, {gradient.backend}"
        result += _judge(f"{place}, hand-derived", gradient.hand, gradient.bound)
        if not _anothers(gradient):
            result += _judge(f"{place}, autodiff", gradient.autodiff, gradient.bound)
    return result


def remarks(gradients: Sequence[GradientRow]) -> list[str]:
    """Where a library's own autodiff of a body is off and the hand-derived gradient is right, a line each.

    JAX's derivative of eigh, for one, divides by the distances of eigenvalues, and gives NaN where two are equal.
    """
    return [
        f"Gradient of {row.operation} {row.shape} {row.dtype}: {row.backend}'s own autodiff is "
        f"{_off(row.autodiff.error)} (bound {row.bound:.1e}), and is not counted below; the hand-derived one is right "
        f"to {row.hand.error:.1e}."
        for row in gradients
        if _anothers(row)
    ]


def _anothers(row: GradientRow) -> bool:
    """Whether the gradient that is off is the library's and not ours."""
    ran = not row.autodiff.failure and not row.autodiff.ok
    return ran and row.hand.ok and backend(row.backend).differentiates


def _judge(place: str, result: Any, bound: float) -> list[str]:
    if result.failure:
        return [f"{place}: {result.failure}"]
    if not result.ok:
        return [f"{place}: {_off(result.error)} (bound {bound:.1e})"]
    return []


def _off(error: float) -> str:
    return "not finite or of another shape" if math.isinf(error) else f"{error:.1e} off"
