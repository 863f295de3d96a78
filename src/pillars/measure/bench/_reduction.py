"""The job's second step: principal components of the training rows, on every backend and in float64."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pillars.backends import backend as backend_of
from pillars.linalg import pca
from pillars.measure.bench._precision import product_unit
from pillars.measure.bench._prepare import Problem, smoothness
from pillars.measure.bench._results import Reduction
from pillars.measure.bench._timing import Candidate, first_call

__all__ = ["Target", "reduce_on", "target"]

KEPT = 0.95  # of the variance
_LARGEST = 2000  # rows or columns, whichever are fewer: beyond it an exact decomposition takes minutes


class Target(NamedTuple):
    """The float64 decomposition that every backend's is compared with.

    Attributes
    ----------
    problem : the job's, its rows replaced by their scores.
    solver : "covariance" or "full".
    explained : the part of the variance that the components have.
    """

    problem: Problem
    solver: str
    components: Any  # (k, d)
    variances: Any  # (k + 1,): the last is the first that is left out, 0 where none is
    total: float
    explained: float


def target(problem: Problem) -> Target | None:
    """As many components as have 95% of the variance; None where there are too many rows and columns to be exact."""
    xp = backend_of("numpy").xp
    x = problem.x.astype(xp.float64)
    n, d = x.shape
    if min(n, d) > _LARGEST or n < 2:
        return None
    solver = "covariance" if d <= n else "full"
    result = pca(x, solver=solver)
    variances = result.explained_variance
    total = float(xp.sum(variances))
    if not total > 0:
        return None
    share = xp.cumsum(variances) / total
    k = min(int(xp.searchsorted(share, KEPT)) + 1, len(variances))
    kept = result._replace(components=result.components[:k], scale=result.scale[:k])
    scores = [kept.transform(rows.astype(xp.float64)) for rows in (problem.x, problem.x_held_out)]
    reduced = problem._replace(x=scores[0], x_held_out=scores[1], smoothness=smoothness(scores[0]))
    left_out = xp.append(variances, 0.0)[: k + 1]
    return Target(reduced, solver, kept.components, left_out, total, float(share[k - 1]))


def reduce_on(name: str, problem: Problem, wanted: Target) -> tuple[Problem, Reduction, Candidate]:
    """The problem with its rows replaced by their scores, as a backend has them in float32, and how far these are off.

    A covariance of n rows is off by √n roundings of its trace: an eigenvalue by as much, and the components' span, as
    the sine of its largest angle, by that over the gap to what is left out (Davis and Kahan 1970).
    """
    backend, xp = backend_of(name), backend_of("numpy").xp
    train, held_out = (
        backend.asarray(rows, dtype=backend.xp.float32) for rows in (problem.x, problem.x_held_out)
    )
    k = len(wanted.components)

    def reduce() -> Any:
        result = pca(train, k, solver=wanted.solver)
        return result, result.transform(train)

    candidate = Candidate(reduce, lambda both: backend.synchronize(both[1]))
    (result, scores), seconds = first_call(candidate)
    largest = float(wanted.variances[0])
    variances = backend.to_numpy(result.explained_variance).astype(xp.float64)
    error = float(xp.max(xp.abs(variances - wanted.variances[:-1]))) / largest
    own = backend.to_numpy(result.components).astype(xp.float64)
    outside = own - (own @ wanted.components.T) @ wanted.components
    angle = float(xp.linalg.norm(outside, ord=2))
    off = product_unit(name, "float32") * (8 + math.sqrt(len(problem.x))) * wanted.total
    gap = float(wanted.variances[-2] - wanted.variances[-1])
    bound, angle_bound = off / largest, min(1.0, off / gap if gap > 0 else 1.0)
    row = Reduction(
        backend=name,
        error=error,
        bound=bound,
        angle=angle,
        angle_bound=angle_bound,
        first=seconds,
        steady=None,
        ok=error <= bound and angle <= angle_bound,
        failure="",
    )
    moved = [backend.to_numpy(part) for part in (scores, result.transform(held_out))]
    return (
        problem._replace(x=moved[0], x_held_out=moved[1], smoothness=wanted.problem.smoothness),
        row,
        candidate,
    )
