"""What a function's values say of its slope along one direction: the measurements under every gradient check.

A ladder of halved steps is walked on both sides. From it come the central difference whose truncation and rounding are
smallest together, the remainder of the first-order Taylor expansion, and the jump between the one-sided slopes.

Everything is in float64 on the host; only the function itself runs on its backend, in its own dtype. Displacements are
taken as they were after rounding, and outputs are subtracted one by one before they are contracted, so that a sum of
many outputs costs no digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from pillars.backends import Backend, backend

__all__ = ["Probe", "Problem", "probe"]

_ROUNDINGS = 4.0  # of the result of a short computation, in units of its dtype
_ABOVE = 64.0  # a remainder this far above rounding has its slope right within 0.05
_JUMP = 0.6  # over two halvings: a smooth function's one-sided slopes come together by 0.25
_WINDOW = 6
_SHARE = 0.15


class Problem(NamedTuple):
    """A function of one long vector, as the probes see it.

    Attributes
    ----------
    x : (n,) float64, the point.
    outputs : vector -> (the vector as rounded to the arguments' dtypes, outputs flattened to float64).
    weights : what outputs are multiplied by before they are summed.
    y : outputs at `x`.
    gradient : (n,) float64, the gradient to be checked, 0 where it is not finite.
    eps : unit roundoff, doubled, of the lowest precision that takes part.
    perturbed : |change of y contracted − gradient · change of x| for changes of a few units in the last place.
    depth : the smallest step is 2**-depth.
    """

    x: Any
    outputs: Callable[[Any], tuple[Any, Any]]
    weights: Any
    y: Any
    gradient: Any
    eps: float
    perturbed: float
    depth: int


class Probe(NamedTuple):
    """One direction.

    Attributes
    ----------
    slope : gradient · direction.
    error : central difference minus `slope`, at the best step; None where the function is not finite on both sides.
    truncation, rounding : of that difference, estimated.
    step : the best step.
    jump : how far the one-sided slopes disagree, where they do not come together; else 0.
    order : the slope of log remainder over log step, the median of a few halvings, 2 for a right gradient; None where
        too little is above rounding.
    points : remainders above rounding that `order` was taken from.
    decays : whether the order falls towards 1 at the smallest steps, as a wrong gradient's does.
    """

    slope: float
    error: float | None
    truncation: float
    rounding: float
    step: float
    jump: float
    order: float | None
    points: int
    decays: bool


def probe(problem: Problem, direction: Any) -> Probe:
    """Walk the ladder along `direction`, whose entries are as long as a step of 1 is to be there."""
    xp = _host().xp
    slope = float(problem.gradient @ direction)
    base = _ROUNDINGS * problem.eps * float(xp.linalg.norm(problem.weights * problem.y)) + problem.perturbed
    steps, errors, noises, remainders, jumps, floors = [], [], [], [], [], []
    for k in range(2, problem.depth + 1):
        h = 2.0**-k
        ahead, y_ahead = problem.outputs(problem.x + h * direction)
        behind, y_behind = problem.outputs(problem.x - h * direction)
        forth, back = ahead - problem.x, problem.x - behind
        rise, fall = problem.weights * (y_ahead - problem.y), problem.weights * (problem.y - y_behind)
        up = float(xp.sum(rise) - problem.gradient @ forth)
        down = float(xp.sum(fall) - problem.gradient @ back)
        moved = problem.eps * (
            _ROUNDINGS * float(xp.linalg.norm(problem.weights * y_ahead))
            + 2 * _ROUNDINGS * float(xp.linalg.norm(problem.gradient * forth))
        )
        if math.isfinite(up):
            remainders.append((h, abs(up), base + moved))
        if math.isfinite(up) and math.isfinite(down):
            steps.append(h)
            errors.append((up + down) / (2 * h))
            noises.append((base + moved) / h)
            jumps.append(abs(up - down) / h)
            floors.append((base + moved) / h)
    if len(steps) < 3:
        return Probe(slope, None, 0.0, 0.0, 0.0, 0.0, None, 0, False)
    shaky = _shaken(steps, errors)
    noises = [max(noise, shaky / h) for noise, h in zip(noises, steps, strict=True)]
    best, truncation = _best(errors, noises)
    order, points, linear = _order([(h, r, max(floor, shaky)) for h, r, floor in remainders])
    # the linear part of the remainder is the gradient's error, so that the central difference must see it too: far
    # from the point, where a function levels off, a right gradient leaves such a remainder as well
    seen = abs(errors[best])
    decays = linear > 0 and seen > _SHARE * linear and seen > truncation + noises[best]
    jump = _jump(jumps, noises)
    return Probe(slope, errors[best], truncation, noises[best], steps[best], jump, order, points, decays)


def _host() -> Backend:
    return backend("numpy")


def _shaken(steps: list[float], errors: list[float]) -> float:
    """Noise in the function's values, from differences at the smallest steps, where truncation has vanished."""
    return max(abs(errors[k] - errors[k - 1]) * steps[k] for k in range(max(1, len(steps) - 5), len(steps)))


def _best(errors: list[float], noises: list[float]) -> tuple[int, float]:
    """The step with the smallest estimated error, and what it owes to truncation.

    That is the change to its neighbours, and to any smaller step beyond that one's noise: far away from the point a
    function may look settled too, on another slope.
    """

    def change(k: int) -> float:
        beside = [abs(errors[k] - errors[j]) for j in (k - 1, k + 1) if 0 <= j < len(errors)]
        later = [abs(errors[k] - errors[j]) - 2 * noises[j] for j in range(k + 1, len(errors))]
        return max([*beside, *later])

    best = min(range(len(errors)), key=lambda k: change(k) + noises[k])
    return best, change(best)


def _order(remainders: list[tuple[float, float, float]]) -> tuple[float | None, int, float]:
    """The order, how many remainders it rests on, and the smallest one over its step where the order decays; else 0."""
    above: list[tuple[float, float]] = []
    for h, remainder, floor in remainders:
        if remainder <= _ABOVE * floor:
            if above:
                break
            continue
        above.append((math.log2(h), math.log2(remainder)))
    window = above[-_WINDOW:]
    if len(window) < 2:
        return None, len(window), 0.0
    local = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(window)]
    order = sorted(local)[(len(local) - 1) // 2]
    # A wrong gradient takes over gradually, at most 0.18 a halving: a sudden drop is rounding. An order that stays
    # between 1 and 2 is a function that is not twice differentiable.
    last = local[-3:]
    falls = all(-0.3 < b - a <= 0.1 for a, b in pairwise(last))
    decays = falls and 0.6 < last[-1] < (1.8 if last[0] - last[-1] > 0.2 else 1.25)
    return order, len(window), 2.0 ** (window[-1][1] - window[-1][0]) if decays else 0.0


def _jump(jumps: list[float], noises: list[float]) -> float:
    """The disagreement of the one-sided slopes, where smaller steps do not make it smaller."""
    seen = [k for k, (jump, noise) in enumerate(zip(jumps, noises, strict=True)) if jump > 16 * noise]
    if len(seen) < 3:
        return 0.0
    last = seen[-1]
    lost_to_noise = last == len(jumps) - 1 or jumps[last] < 32 * noises[last + 1]
    persists = last - 2 in seen and jumps[last] > _JUMP * jumps[last - 2]
    return jumps[last] if lost_to_noise and persists else 0.0
