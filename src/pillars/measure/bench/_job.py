"""The real job: principal components, then softmax regression by hand-derived gradient and by autodiff, everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pillars._errors import one_line
from pillars.backends import backend as backend_of, dtype_name, namespace
from pillars.calculus import gradient_descent, sgd
from pillars.calculus.descent import passed_on
from pillars.layers import linear
from pillars.measure.bench._interval import wilson_interval
from pillars.measure.bench._precision import product_unit
from pillars.measure.bench._prepare import Problem, prepare
from pillars.measure.bench._reduction import Target, reduce_on, target
from pillars.measure.bench._results import Job, JobRun, Reduction, Reference
from pillars.measure.bench._timing import Candidate, first_call, race
from pillars.measure.data import Dataset
from pillars.probability import cross_entropy, softmax

__all__ = ["Bound", "hand_gradient", "loss", "rounding_bound", "run_job"]


def loss(params: Any, x: Any, labels: Any, targets: Any) -> Any:
    """Mean cross-entropy of softmax regression; `targets`, labels as 0/1 rows, are for the hand-derived gradient."""
    return cross_entropy(linear(x, params["weight"], params["bias"]), labels)


def hand_gradient(params: Any, x: Any, labels: Any, targets: Any) -> Any:
    """xᵀ·(p − t)/n and the column means of p − t, with p = softmax(x·W + b)."""
    xp = namespace(x)
    residual = (softmax(linear(x, params["weight"], params["bias"])) - targets) / x.shape[0]
    # linear, and not @: products in pillars keep one precision policy, whatever the library's own default
    return {"weight": linear(xp.matrix_transpose(x), residual), "bias": xp.sum(residual, axis=0)}


GRADIENTS: dict[str, Callable[..., Any] | None] = {"hand-derived": hand_gradient, "autodiff": None}


class Bound(NamedTuple):
    """How far rounding can carry a descent: parameters (2-norm, relative to the reference's) and loss."""

    parameters: float
    loss: float


class _Reference(NamedTuple):
    weights: Any  # (d + 1, k) float64, the bias last
    predicted: Any
    found: Reference
    gradient_norm: float


def run_job(
    data: Dataset,
    names: Sequence[str],
    *,
    steps: int = 500,
    rng: int = 0,
    rounds: int = 3,
    pause: float = 0.05,
    progress: Callable[[str], None] = lambda what: None,
) -> Job:
    """Components and training on every backend in `names`, with each gradient, each compared with float64.

    Parameters
    ----------
    data : a classification problem.
    names : usable backends.
    steps : gradient-descent steps from zero, at a rate of 1/L (see :func:`pillars.measure.smoothness`).
    rng : seed of the held-out split (a quarter of each class).
    rounds, pause : see :func:`pillars.measure.race`.

    Returns
    -------
    Job. A backend that fails is a run with `error` set; the others finish.
    """
    problem = prepare(data, rng=rng)
    wanted = target(problem)
    regressed = wanted.problem if wanted is not None else problem
    reference = _reference(regressed, steps)
    told = lambda what: progress(f"{data.name}: {what}")  # noqa: E731
    result = [_on_backend(name, problem, wanted, reference, steps, told) for name in names]
    candidates = {key: candidate for one in result for key, candidate in one.candidates.items()}
    progress(f"{data.name}: timing")
    failures: dict[str, str] = {}
    patience: dict[str, Any] = {"rounds": rounds, "samples": 1, "min_time": 0.0, "pause": pause}
    timings = race(candidates, **patience, failures=failures) if rounds else {}
    runs, reductions = [], []
    for one in result:
        for run in one.runs:
            key = f"{run.backend}|{run.gradient}"
            lost = failures.get(key, run.error)
            runs.append(run._replace(steady=timings.get(key), error=lost, ok=run.ok and not lost))
        for row in one.reductions:
            key = f"{row.backend}|pca"
            lost = failures.get(key, row.failure)
            reductions.append(row._replace(steady=timings.get(key), failure=lost, ok=row.ok and not lost))
    return Job(
        data=data.name,
        rows=len(data.y),
        features=data.x.shape[1],
        classes=problem.classes,
        train=len(problem.y),
        held_out=len(problem.y_held_out),
        constant=tuple(data.features[i] for i in problem.constant),
        smoothness=regressed.smoothness,
        learning_rate=1 / regressed.smoothness,
        steps=steps,
        components=len(wanted.components) if wanted is not None else 0,
        explained=wanted.explained if wanted is not None else 0.0,
        reductions=tuple(reductions),
        reference=reference.found,
        runs=tuple(runs),
    )


class _Found(NamedTuple):
    """What one backend gave, and what is to be timed."""

    reductions: list[Reduction]
    runs: list[JobRun]
    candidates: dict[str, Candidate]


def _on_backend(
    name: str,
    problem: Problem,
    wanted: Target | None,
    reference: _Reference,
    steps: int,
    progress: Callable[[str], None],
) -> _Found:
    """Components, then a descent by each gradient, held against float64 on the very scores that the backend has."""
    result = _Found([], [], {})
    exact = reference
    if wanted is not None:
        progress(f"{name}, principal components")
        try:
            problem, row, result.candidates[f"{name}|pca"] = reduce_on(name, problem, wanted)
            exact = _reference(problem, steps)
        except Exception as error:
            nan = math.nan
            row = Reduction(name, nan, nan, nan, nan, None, None, False, one_line(error))
        result.reductions.append(row)
    bound = rounding_bound(problem, exact.weights, exact.gradient_norm, steps, product_unit(name, "float32"))
    lost = any(row.failure for row in result.reductions)
    for gradient in GRADIENTS:
        if lost:
            result.runs.append(_failed(name, gradient, bound, "no principal components to work on"))
            continue
        progress(f"{name}, {gradient}")
        try:
            candidate = _descent(problem, name, gradient, steps, "float32")
            descent, seconds = first_call(candidate)
            run = _judge(problem, name, gradient, descent, seconds, exact, reference.predicted, bound)
            result.candidates[f"{name}|{gradient}"] = candidate
        except Exception as error:
            run = _failed(name, gradient, bound, one_line(error))
        result.runs.append(run)
    return result


def rounding_bound(problem: Problem, weights: Any, gradient_norm: float, steps: int, unit: float) -> Bound:
    r"""How far a descent in arithmetic of unit roundoff u may end from the exact one.

    The loss is convex with curvature at most L, so a step of rate 1/L brings two points no further apart: an error made
    in one step is not amplified by the later ones, and the errors of T steps, as good as independent, add up
    to √T times one. One step's error is (1/L)·‖δG‖ + u·‖W‖, where G = Zᵀ·R/n (Z the features with a column
    of ones, R = p − t) and

        ‖δG‖ ≤ √n·u·‖Z‖_F·‖R‖_F/n  +  ‖Z‖₂·‖δR‖_F/n,        ‖δR‖_F ≤ u·(√(d+1)·‖Z‖_F·‖W‖_F + √n·(4 + 2·max|z·W|)),

    products of inner length m being off by √m·u where rounding errors are independent with mean zero (Higham and Mary
    2019), the factor λ = 4 of their theorem applied once, at the end; softmax is 1-Lipschitz, and its own rounding is
    from Blanchard, Higham and Higham (2021). The loss then differs by ‖∇f‖·Δ + L·Δ²/2 and its own rounding.
    """
    xp = backend_of("numpy").xp
    n, d = problem.x.shape
    z = xp.concatenate([problem.x, xp.ones((n, 1), dtype=problem.x.dtype)], axis=1)
    size = float(xp.linalg.norm(z))
    length = max(float(xp.linalg.norm(weights)), 1e-300)
    logit = float(xp.max(xp.abs(z @ weights)))
    residual = math.sqrt(n * (1 - 1 / problem.classes))  # at the start, from where descent only lowers it
    spectral = math.sqrt(2 * n * problem.smoothness)
    d_residual = math.sqrt(d + 1) * size * length + math.sqrt(n) * (4 + 2 * logit)
    d_gradient = math.sqrt(n) * size * residual / n + spectral * d_residual / n
    step = d_gradient / problem.smoothness + length
    moved = 4 * math.sqrt(steps) * unit * step
    evaluated = 4 * unit * (math.sqrt(n) + math.sqrt(d + 1) * size / math.sqrt(n) * length + 4 + 2 * logit)
    return Bound(moved / length, gradient_norm * moved + problem.smoothness * moved**2 / 2 + evaluated)


def _arrays(problem: Problem, name: str, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Zero parameters and the training data, on a backend."""
    backend, host = backend_of(name), backend_of("numpy").xp
    floating = getattr(backend.xp, dtype)
    k, d = problem.classes, problem.x.shape[1]
    params = {
        "weight": backend.asarray(host.zeros((d, k)), dtype=floating),
        "bias": backend.asarray(host.zeros(k), dtype=floating),
    }
    x = backend.asarray(problem.x, dtype=floating)
    labels = backend.asarray(problem.y.astype(host.int32))
    targets = backend.asarray(host.eye(k)[problem.y], dtype=floating)
    return params, x, labels, targets


def _descent(problem: Problem, name: str, gradient: str, steps: int, dtype: str) -> Candidate:
    params, *arrays = _arrays(problem, name, dtype)
    optimizer, rule, backend = sgd(1 / problem.smoothness), GRADIENTS[gradient], backend_of(name)
    return Candidate(
        lambda: passed_on(
            gradient_descent(loss, params, *arrays, optimizer=optimizer, steps=steps, gradient=rule)
        ),
        lambda found: backend.synchronize(found.params["weight"]),
    )


def _outcome(problem: Problem, name: str, descent: Any) -> tuple[Any, float, Any]:
    """On the host: all parameters in one float64 matrix, the loss, and the classes predicted for the held-out rows."""
    backend, host = backend_of(name), backend_of("numpy").xp
    weight, bias = descent.params["weight"], descent.params["bias"]
    held_out = backend.asarray(problem.x_held_out, dtype=weight.dtype)
    predicted = backend.to_numpy(backend.xp.argmax(linear(held_out, weight, bias), axis=-1))
    rows = [backend.to_numpy(weight), backend.to_numpy(bias)[None, :]]
    return host.concatenate(rows, axis=0).astype(host.float64), float(descent.loss), predicted


def _reference(problem: Problem, steps: int) -> _Reference:
    host = backend_of("numpy").xp
    descent, _ = first_call(_descent(problem, "numpy", "hand-derived", steps, "float64"))
    weights, value, predicted = _outcome(problem, "numpy", descent)
    last = hand_gradient(descent.params, *_arrays(problem, "numpy", "float64")[1:])
    norm = math.hypot(*(float(host.linalg.norm(part)) for part in last.values()))
    right = int(host.sum(predicted == problem.y_held_out))
    result = Reference(value, wilson_interval(right, len(predicted)), steps, str(descent.status))
    return _Reference(weights, predicted, result, norm)


def _judge(
    problem: Problem,
    name: str,
    gradient: str,
    descent: Any,
    seconds: float,
    exact: _Reference,
    expected: Any,
    bound: Bound,
) -> JobRun:
    host = backend_of("numpy").xp
    weights, value, predicted = _outcome(problem, name, descent)
    distance = float(host.linalg.norm(weights - exact.weights) / host.linalg.norm(exact.weights))
    loss_error = abs(value - exact.found.loss)
    return JobRun(
        backend=name,
        gradient=gradient,
        dtype=dtype_name(descent.params["weight"].dtype),
        loss=value,
        loss_error=loss_error,
        loss_bound=bound.loss,
        parameter_error=distance,
        parameter_bound=bound.parameters,
        accuracy=wilson_interval(int(host.sum(predicted == problem.y_held_out)), len(predicted)),
        disagreements=int(host.sum(predicted != expected)),
        status=str(descent.status),
        first=seconds,
        steady=None,
        ok=distance <= bound.parameters and loss_error <= bound.loss,
        error="",
    )


def _failed(name: str, gradient: str, bound: Bound, reason: str) -> JobRun:
    nan = math.nan
    return JobRun(
        name,
        gradient,
        "float32",
        nan,
        nan,
        bound.loss,
        nan,
        bound.parameters,
        None,
        0,
        "failed",
        nan,
        None,
        False,
        reason,
    )
