"""A verdict on a learning rate before the first step, with the number behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pillars._errors import CapabilityError, ShapeError
from pillars.backends import count, procedure, tree_leaves, tree_map
from pillars.calculus.curvature._preflight_result import REHEARSED, UNTOLD, Preflight, StabilityLimit, advised
from pillars.calculus.curvature._sharpness import Sharpness, Subject, subject, top
from pillars.calculus.optimizers import Course, Optimizer, PlateauUpdate, sgd

__all__ = ["preflight", "stable_learning_rate"]

_CATAPULT = 2.0  # times the limit: 4/λ for plain descent, beyond which losses were not seen to recover
# how much H·v may change along a step, relative to λ, on a quadratic
_SAME = {"float32": 1e-3, "float64": 1e-7}
_BEYOND = 1e3  # times the loss at the start
_HESSIAN = "The loss's Hessian is NaN at params, where the loss and its gradient are finite."
_ELSEWHERE = (
    "There is no second derivative there, or none is known, such as of a norm, a square root or eigenvectors at "
    "special points. Start a small way off, or write that part so that it is smooth there (a sum of squares)."
)


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it ends by the numbers it meets: call it outside jit, vmap and grad"
    )
)
def stable_learning_rate(
    loss: Callable[..., Any], params: Any, *data: Any, optimizer: Optimizer | None = None, rng: Any = 0
) -> StabilityLimit:
    r"""The learning rate above which an optimizer's steps grow along the loss's sharpest direction.

    On a quadratic of largest curvature λ plain descent is stable below 2/λ, with momentum β below 2(1+β)/λ, in
    Nesterov's form below (2+2β)/((1+2β)λ), and Adam, its preconditioner P held fixed, below
    2(1+β₁)/((1−β₁)λ_P), where λ_P is the largest eigenvalue of P^(−1/2)·H·P^(−1/2).

    Parameters
    ----------
    loss, params, data, rng : see :func:`sharpness`.
    optimizer : of pillars; its learning rate does not matter. None: plain gradient descent.

    Returns
    -------
    StabilityLimit(limit, low, sharpness, formula). Adam's P is taken as after its first step from `params`: \|g\| + ε,
    entries below a thousandth of their root mean square raised to it.

    Raises
    ------
    CapabilityError : an optimizer that is not of pillars, and so has no formula here; else as :func:`sharpness`.

    Notes
    -----
    Cost: that of :func:`sharpness`, and a gradient for Adam. The limit holds at `params`: training moves on to sharper
    or flatter places, and Adam's preconditioner with it.

    References
    ----------
    Cohen et al. (2021), Gradient descent on neural networks typically occurs at the edge of stability, appendix B;
    Cohen et al. (2022), Adaptive gradient methods at the edge of stability, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
    >>> found = stable_learning_rate(lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y)
    >>> round(found.limit, 4), found.formula
    (0.0909, '2/λ')
    >>> print(found)
    stable below the learning rate 0.09091
    2/λ with λ = 22 ± ...
    """
    where = "stable_learning_rate"
    given = subject(where, loss, params, data)
    result = _limit(where, given, sgd(1.0) if optimizer is None else optimizer, rng)[0]
    if math.isnan(result.limit):
        raise ShapeError(
            f"{where}: a product with the loss's Hessian is NaN at params, expected finite numbers. {_ELSEWHERE}"
        )
    return result


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it ends by the numbers it meets: call it outside jit, vmap and grad"
    )
)
def preflight(
    loss: Callable[..., Any],
    params: Any,
    *data: Any,
    optimizer: Optimizer,
    steps: int | None = None,
    rng: Any = 0,
) -> Preflight:
    """Whether a run will be stable, before its first step.

    Parameters
    ----------
    loss, params, data, rng : see :func:`sharpness`.
    optimizer : of pillars, with the rate or schedule that is meant to be used.
    steps : of the run, 1 or more, which a schedule is looked at for. None: as many as the schedule's own numbers name,
        and 2²⁰ at least.

    Returns
    -------
    Preflight(verdict, limit, ahead, learning_rate, quadratic, advice): the verdict is "stable", "catapult", "diverges"
    or "cannot be told"; see :class:`Preflight`.

    Raises
    ------
    As :func:`stable_learning_rate`, but for a Hessian that is NaN where the loss and its gradient are finite: that is
    the verdict "cannot be told".

    Notes
    -----
    Cost: that of :func:`stable_learning_rate`, a gradient, a Hessian product, and 64 steps. On a quadratic the verdict
    is a theorem; elsewhere the limit is that of the starting point, or of the first steps. It is for all rows in every
    step: with a small ``batch_size`` the limit is lower, as every batch has its own curvature, and it may diverge.

    A schedule is any function of the step. It is asked for every step at first and for a few hundred in each doubling
    from then on, in one call where it takes an array of them; the largest rate and the step at which it first reaches
    the limit are then searched for between these. A rise and fall within a hundredth of the steps before it may be
    missed. What :func:`reduce_on_plateau` lowers is taken as it is not lowered.

    References
    ----------
    Lewkowycz, Bahri, Dyer, Sohl-Dickstein, Gur-Ari (2020), The large learning rate phase of deep learning: the
    catapult mechanism.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
    >>> found = preflight(lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y, optimizer=sgd(0.1))
    >>> found.verdict, round(found.limit, 4)
    ('diverges', 0.0909)
    >>> print(found)
    diverges: learning rate 0.1, limit 0.09091, exact on this quadratic
    0.1 is 1.1 times the limit of 0.0909 (2/λ, λ = 22): each step grows along the sharpest direction. Use at most 0.082.
    """
    given = subject("preflight", loss, params, data)
    length = None if steps is None else count("preflight", "steps", steps, 1)
    found, vector = _limit("preflight", given, optimizer, rng)
    course = _course(given, optimizer, length)
    rate = float(optimizer.init(given.params).learning_rate) if course is None else course.largest()
    adapts = optimizer.update.rule.preconditioned  # type: ignore[attr-defined]
    if math.isnan(found.limit):
        return Preflight(UNTOLD, math.nan, math.nan, rate, False, f"{_HESSIAN} {_ELSEWHERE}")
    quadratic = not adapts and _is_quadratic(given, found.sharpness, vector)
    lowest = found.limit if quadratic else _rehearsed(given, optimizer, rng)
    if math.isnan(lowest):
        words = f"In a rehearsal of the first {REHEARSED[-1]} steps the loss's Hessian became NaN."
        return Preflight(UNTOLD, found.limit, math.nan, rate, False, f"{words} {_ELSEWHERE}")
    ahead = min(found.limit, lowest)
    if rate < ahead:
        verdict = "stable"
    elif adapts:  # what grows makes the preconditioner grow, until the steps are small enough
        verdict = "diverges" if ahead == 0 else "catapult"
    # it grows while the rate is above the limit, and sinks again below
    elif quadratic and course is not None:
        verdict = "diverges" if course.growth(found.limit) > math.log(_BEYOND) else "catapult"
    elif quadratic or rate >= _CATAPULT * found.limit:
        verdict = "diverges"
    else:
        verdict = "catapult"
    result = Preflight(verdict, found.limit, ahead, rate, quadratic, "")
    at = None if course is None or verdict == "stable" else course.reaches(ahead or found.limit)
    return result._replace(advice=advised(result, found, warms_up=course is not None, at=at))


def _stepped(given: Subject, optimizer: Optimizer, params: Any, state: Any) -> Any:
    """One step, the loss shown to an optimiser that asks for it."""
    gradient, update = given.gradient(params), optimizer.update
    if isinstance(update, PlateauUpdate):
        return update(gradient, state, params, value=given.value(params))
    return update(gradient, state, params)


def _adaptive(state: Any) -> Any:
    """The state that holds the moments: itself, or that of the optimiser inside."""
    return getattr(state, "inner", state)


def _rehearsed(given: Subject, optimizer: Optimizer, rng: Any) -> float:
    """The lowest limit on the way of the first steps; 0 where the loss leaves all bounds there, NaN where one is."""
    rule = optimizer.update.rule  # type: ignore[attr-defined]
    params, state = given.params, optimizer.init(given.params)
    first = float(given.value(params))
    lowest = math.inf
    for step in range(1, REHEARSED[-1] + 1):
        params, state, *_ = _stepped(given, optimizer, params, state)
        if step not in REHEARSED:
            continue
        loss = float(given.value(params))
        if not math.isfinite(loss) or loss > _BEYOND * max(abs(first), 1e-300):
            return 0.0
        scale = (
            rule.scale(given.backend.xp, rule.divisor(_adaptive(state)), step)
            if rule.preconditioned
            else None
        )
        pairs = top(given, scale, params=params, rng=rng, tolerance=1e-2)
        limit = rule.stable(float(pairs.eigenvalues[-1]))[0]
        if math.isnan(limit):
            return math.nan
        lowest = min(lowest, limit)
    return lowest


def _limit(where: str, given: Subject, optimizer: Optimizer, rng: Any) -> tuple[StabilityLimit, Any]:
    """The limit, and the unit vector (as a tree's leaves in one) along which it was found."""
    rule = getattr(getattr(optimizer, "update", None), "rule", None)
    if rule is None or not hasattr(rule, "stable"):
        raise CapabilityError(
            f"{where}: optimizer is {optimizer!r:.60}, expected one of pillars: sgd, adam, adamw. There is no formula "
            "for others; sharpness gives the curvature."
        )
    xp = given.backend.xp
    slopes = tree_leaves(given.gradient(given.params))
    if not math.isfinite(float(given.value(given.params))) or not all(
        bool(xp.all(xp.isfinite(g))) for g in slopes
    ):
        raise ShapeError(
            f"{where}: the loss or its gradient is not finite at params, expected finite numbers. Start elsewhere, or "
            "look for NaN in the data."
        )
    scale = None
    if rule.preconditioned:
        after = _stepped(given, optimizer, given.params, optimizer.init(given.params))
        scale = rule.scale(xp, rule.divisor(_adaptive(after.state)), 1)
    pairs = top(given, scale, rng=rng)
    sharp = Sharpness(float(pairs.eigenvalues[-1]), float(pairs.residuals[-1]))
    limit, low, formula = rule.stable(sharp.value)
    return StabilityLimit(limit, low, sharp, formula), pairs.basis[-1, ...]


def _course(given: Subject, optimizer: Optimizer, steps: int | None) -> Course | None:
    """What a schedule does in the whole run; None where the rate is one number."""
    rule, schedule = optimizer.update.rule, optimizer.update.schedule  # type: ignore[attr-defined]
    return None if schedule is None else Course(rule, schedule, given.backend, steps)


def _is_quadratic(given: Subject, sharp: Sharpness, vector: Any) -> bool:
    """Whether the Hessian does the same to that vector a step of 1/λ away."""
    backend, leaves = given.backend, tree_leaves(given.params)
    if not (sharp.value > 0 and math.isfinite(sharp.value)):
        return False
    at, parts = 0, []
    for leaf in leaves:
        size = math.prod(leaf.shape)
        parts.append(backend.xp.reshape(vector[at : at + size], leaf.shape))
        at += size
    remaining = iter(parts)
    direction = tree_map(lambda _: next(remaining), given.params)
    moved = tree_map(
        lambda p, g, v: p - g / sharp.value + v, given.params, given.gradient(given.params), direction
    )
    changes = zip(
        tree_leaves(given.product(given.params, direction)),
        tree_leaves(given.product(moved, direction)),
        strict=True,
    )
    change = math.sqrt(sum(float(backend.xp.sum((a - b) ** 2)) for a, b in changes))
    return change <= _SAME.get(str(leaves[0].dtype), 1e-3) * sharp.value
