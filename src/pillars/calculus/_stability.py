"""A verdict on a learning rate before the first step, with the number behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars._errors import CapabilityError, ShapeError
from pillars.backends import procedure, tree_leaves, tree_map
from pillars.calculus._curvature import Sharpness, Subject, subject, top
from pillars.calculus._optimizers import Optimizer, sgd

__all__ = ["Preflight", "StabilityLimit", "preflight", "stable_learning_rate"]

_CATAPULT = 2.0  # times the limit: 4/λ for plain descent, beyond which losses were not seen to recover
_SAME = {
    "float32": 1e-3,
    "float64": 1e-7,
}  # how much H·v may change along a step, relative to λ, on a quadratic
_HORIZON = 1000  # steps of a schedule that are looked at
_MARGIN = 0.9
_REHEARSED = (1, 4, 16, 64)  # steps after which the curvature is looked at again
_BEYOND = 1e3  # times the loss at the start


class StabilityLimit(NamedTuple):
    """The largest learning rate at which descent is stable.

    Attributes
    ----------
    limit : the rate; infinity where the loss curves upwards nowhere.
    low : what it may sink to with small batches, whose noise moves along the sharp directions.
    sharpness : :class:`Sharpness` that it follows from: of the Hessian, or of the preconditioned one.
    formula : in λ, the sharpness's value.
    """

    limit: float
    low: float
    sharpness: Sharpness
    formula: str


class Preflight(NamedTuple):
    """What a run with this optimizer will do.

    Attributes
    ----------
    verdict : "stable": the rate is below the limit. "catapult": above it by less than twice, on a loss that is no
        quadratic, or above one on the way of its first steps: it may rise and come back where the loss is flatter.
        "diverges": beyond. Adam's steps grow its preconditioner with them: above its limit it oscillates, and is said
        to diverge only where its first steps do.
    limit : at the starting point.
    ahead : the lowest limit on the way of the first 64 steps, which are rehearsed; 0 where the loss grew a
        thousandfold.
    learning_rate : what is compared with them; of a schedule the largest rate of its first 1000 steps.
    quadratic : whether the Hessian is the same a step away: then the limit is exact. False for Adam.
    advice : what to do.
    """

    verdict: str
    limit: float
    ahead: float
    learning_rate: float
    quadratic: bool
    advice: str


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it decides by the numbers when it is done: call it outside"
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
    """
    given = subject("stable_learning_rate", loss, params, data)
    return _limit("stable_learning_rate", given, sgd(1.0) if optimizer is None else optimizer, rng)[0]


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it decides by the numbers when it is done: call it outside"
    )
)
def preflight(
    loss: Callable[..., Any], params: Any, *data: Any, optimizer: Optimizer, rng: Any = 0
) -> Preflight:
    """Whether a run will be stable, before its first step.

    Parameters
    ----------
    loss, params, data, rng : see :func:`sharpness`.
    optimizer : of pillars, with the rate or schedule that is meant to be used.

    Returns
    -------
    Preflight(verdict, limit, ahead, learning_rate, quadratic, advice): the verdict is "stable", "catapult" or
    "diverges"; see :class:`Preflight`.

    Raises
    ------
    As :func:`stable_learning_rate`.

    Notes
    -----
    Cost: that of :func:`stable_learning_rate`, a gradient and a Hessian product. On a quadratic the verdict is a
    theorem; elsewhere the limit is that of the starting point.

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
    """
    given = subject("preflight", loss, params, data)
    found, vector = _limit("preflight", given, optimizer, rng)
    rate = _largest_rate(given, optimizer)
    adapts = optimizer.update.rule.preconditioned  # type: ignore[attr-defined]
    quadratic = not adapts and _is_quadratic(given, found.sharpness, vector)
    ahead = found.limit if quadratic else min(found.limit, _rehearsed(given, optimizer, rng))
    if rate < ahead:
        verdict = "stable"
    elif adapts:  # what grows makes the preconditioner grow, until the steps are small enough
        verdict = "diverges" if ahead == 0 else "catapult"
    elif rate >= _CATAPULT * found.limit or (quadratic and rate >= found.limit):
        verdict = "diverges"
    else:
        verdict = "catapult"
    result = Preflight(verdict, found.limit, ahead, rate, quadratic, "")
    warms_up = optimizer.update.schedule is not None  # type: ignore[attr-defined]
    return result._replace(advice=_advice(result, found, warms_up=warms_up))


def _rehearsed(given: Subject, optimizer: Optimizer, rng: Any) -> float:
    """The lowest limit on the way of the first steps; 0 where the loss leaves all bounds there."""
    rule = optimizer.update.rule  # type: ignore[attr-defined]
    params, state = given.params, optimizer.init(given.params)
    first = float(given.value(params))
    lowest = math.inf
    for step in range(1, _REHEARSED[-1] + 1):
        gradient = given.gradient(params)
        params, state, *_ = optimizer.update(gradient, state, params)
        if step not in _REHEARSED:
            continue
        loss = float(given.value(params))
        if not math.isfinite(loss) or loss > _BEYOND * max(abs(first), 1e-300):
            return 0.0
        scale = rule.scale(given.home.xp, rule.divisor(state), step) if rule.preconditioned else None
        pairs = top(given, scale, params=params, rng=rng, tolerance=1e-2)
        lowest = min(lowest, rule.stable(float(pairs.eigenvalues[-1]))[0])
    return lowest


def _limit(where: str, given: Subject, optimizer: Optimizer, rng: Any) -> tuple[StabilityLimit, Any]:
    """The limit, and the unit vector (as a tree's leaves in one) along which it was found."""
    rule = getattr(getattr(optimizer, "update", None), "rule", None)
    if rule is None or not hasattr(rule, "stable"):
        raise CapabilityError(
            f"{where}: optimizer is {optimizer!r:.60}, expected one of pillars: sgd, adam, adamw. There is no formula "
            "for others; sharpness gives the curvature."
        )
    scale = None
    if rule.preconditioned:
        after = optimizer.update(given.gradient(given.params), optimizer.init(given.params), given.params)
        scale = rule.scale(given.home.xp, rule.divisor(after.state), 1)
    pairs = top(given, scale, rng=rng)
    sharp = Sharpness(float(pairs.eigenvalues[-1]), float(pairs.residuals[-1]))
    if math.isnan(sharp.value) or not math.isfinite(float(given.value(given.params))):
        raise ShapeError(
            f"{where}: the loss, its gradient or its curvature is not finite at params, expected finite numbers. Start "
            "elsewhere, or look for NaN in the data."
        )
    limit, low, formula = rule.stable(sharp.value)
    return StabilityLimit(limit, low, sharp, formula), pairs.basis[-1]


def _largest_rate(given: Subject, optimizer: Optimizer) -> float:
    schedule = optimizer.update.schedule  # type: ignore[attr-defined]
    if schedule is None:
        return float(optimizer.init(given.params).learning_rate)
    return max(float(schedule(step)) for step in range(_HORIZON))


def _is_quadratic(given: Subject, sharp: Sharpness, vector: Any) -> bool:
    """Whether the Hessian does the same to that vector a step of 1/λ away."""
    home, leaves = given.home, tree_leaves(given.params)
    if not (sharp.value > 0 and math.isfinite(sharp.value)):
        return False
    at, parts = 0, []
    for leaf in leaves:
        size = math.prod(leaf.shape)
        parts.append(home.xp.reshape(vector[at : at + size], leaf.shape))
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
    change = math.sqrt(sum(float(home.xp.sum((a - b) ** 2)) for a, b in changes))
    return change <= _SAME.get(str(leaves[0].dtype), 1e-3) * sharp.value


def _advice(seen: Preflight, found: StabilityLimit, *, warms_up: bool) -> str:
    rate, limit, ahead = seen.learning_rate, seen.limit, seen.ahead
    if math.isinf(limit):
        flat = "The loss curves upwards nowhere here: no rate is too large for it"
        if seen.verdict != "stable":
            return f"{flat}, and none is known to be safe."
        return f"{flat}. A loss that goes on so has no minimum either, and falls for ever."
    source = f"{found.formula}, λ = {found.sharpness.value:.4g}"
    number = f"{rate:.3g} is {rate / limit:.2g} times the limit of {limit:.3g} ({source})"
    if seen.verdict == "stable":
        small = f" With small batches the limit may sink to {found.low:.2g}." if found.low < limit else ""
        later = "" if seen.quadratic else " here; training may move on to sharper places"
        return f"{number}: stable{later}.{small}"
    if seen.verdict == "catapult":
        words = "the loss may rise at first and come back where it is flatter"
        if rate < limit:
            words = "stable at first"
        if 0 < ahead < limit:
            words += f"; in a rehearsal of its first {_REHEARSED[-1]} steps the limit sank to {ahead:.2g}"
        if ahead == 0:
            words += f"; in a rehearsal of its first {_REHEARSED[-1]} steps the loss grew a thousandfold"
        warm = "" if warms_up else f", or warm up to {rate:.3g}"
        return f"{number}: {words}. To be sure use at most {_MARGIN * (ahead or limit):.2g}{warm}."
    if ahead == 0 and rate < limit:
        words = (
            f"in a rehearsal of its first {_REHEARSED[-1]} steps the loss grew a thousandfold all the same"
        )
        return f"{number}: {words}. Use a tenth of it, or warm up to it."
    return f"{number}: each step grows along the sharpest direction. Use at most {_MARGIN * limit:.2g}."
