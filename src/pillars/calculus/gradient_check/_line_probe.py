"""What a function's values say of its slope along one direction: the measurements under every gradient check.

A ladder of halved steps is walked on both sides. From it come the central difference whose truncation and rounding are
smallest together, the remainder of the first-order Taylor expansion, and the jump between the one-sided slopes.

Everything is in float64 on the host; only the function itself runs on its backend, in its own dtype. Displacements are
taken as they were after rounding, and outputs are subtracted one by one before they are contracted, so that a sum of
many outputs costs no digits.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

from pillars.calculus.gradient_check._step_ladder import Ladder, Problem, climb, deepest

__all__ = ["Probe", "Problem", "probe"]

_ABOVE = 64.0  # a remainder this far above rounding has its slope right within 0.05
_JUMP = 0.6  # over two halvings: a smooth function's one-sided slopes come together by 0.25
_BENT = 0.75  # over one halving: a smooth function's come together by 0.5; else kinks lie within the step
_WINDOW = 6
_SHARE = 0.15
# a linear part of a tenth at the middle of the window, where the order would still be 1.9, doubles with every halving
_LINEAR = 0.4
_FALLS = 2.5
_SURE = 2.0  # an error beyond this much of its estimate, or an estimate beyond this share of the slope, is doubted
_SMALL = 1e-3


class Probe(NamedTuple):
    """One direction.

    Attributes
    ----------
    slope : gradient · direction.
    error : central difference minus `slope`, at the best step; None where the function is not finite on both sides.
    truncation, rounding : of that difference, estimated.
    step : the best step.
    jump : how far the one-sided slopes disagree, where they do not come together; else 0.
    gap : how far the function itself jumps at the point; else 0.
    order : the slope of log remainder over log step, the median of a few halvings, 2 for a right gradient; None where
        too little is above rounding.
    points : remainders above rounding that `order` was taken from.
    decays : whether the order falls towards 1 at the smallest steps, as a wrong gradient's does.
    hidden : the largest error of the slope that the remainders would not show.
    secant : the largest slope of a chord from the point.
    """

    slope: float
    error: float | None
    truncation: float
    rounding: float
    step: float
    jump: float
    gap: float
    order: float | None
    points: int
    decays: bool
    hidden: float
    secant: float

    @property
    def differentiable(self) -> bool:
        """Whether nothing speaks against a derivative here."""
        return self.jump == 0 and self.gap == 0


def probe(problem: Problem, direction: Any) -> Probe:
    """Walk the ladder along `direction`, whose entries are as long as a step of 1 is to be there.

    What looks like a kink, a jump or a wrong slope is looked at again with smaller steps, where entries are small.
    """
    result = _measure(problem, direction, climb(problem, direction, problem.depth))
    depth = deepest(problem, direction)
    doubtful = result.error is None or not result.differentiable or not _agrees(result)
    if doubtful and depth > problem.depth:
        return _measure(problem, direction, climb(problem, direction, depth))
    return result


def _agrees(found: Probe) -> bool:
    unsure = found.truncation + found.rounding
    return abs(found.error or 0.0) <= _SURE * unsure and unsure <= _SMALL * abs(found.slope)


def _measure(problem: Problem, direction: Any, seen: Ladder) -> Probe:
    slope = float(problem.gradient @ direction)
    if len(seen.steps) < 3:
        return Probe(slope, None, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0, False, math.inf, seen.secant)
    steps = seen.steps
    errors = [(up + down) / (2 * h) for up, down, h in zip(seen.ups, seen.downs, steps, strict=True)]
    jumps = [abs(up - down) / h for up, down, h in zip(seen.ups, seen.downs, steps, strict=True)]
    noises = [unit / h for unit, h in zip(seen.rounding, steps, strict=True)]
    typical = [unit / h for unit, h in zip(seen.typical, steps, strict=True)]
    best, truncation = _best(errors, noises, typical)
    bent = best + 1 < len(jumps) and jumps[best + 1] > _BENT * jumps[best]
    if bent or _rough(errors[: max(best, _WINDOW) + 1], typical):
        truncation = max(truncation, jumps[best] / 2)
    remainders = [(h, abs(up), unit) for (h, up), unit in zip(seen.ahead, seen.ahead_rounding, strict=True)]
    order, points, linear, hidden = _order(remainders)
    # the linear part of the remainder is the gradient's error, so that the central difference must see it too: far
    # from the point, where a function levels off, a right gradient leaves such a remainder as well
    error = abs(errors[best])
    decays = linear > 0 and error > _SHARE * linear and error > truncation + noises[best]
    return Probe(
        slope,
        errors[best],
        truncation,
        noises[best],
        steps[best],
        _jump(jumps, noises),
        seen.gap,
        order,
        points,
        decays,
        hidden,
        seen.secant,
    )


def _best(errors: list[float], noises: list[float], typical: list[float]) -> tuple[int, float]:
    """The step with the smallest estimated error, and what it owes to truncation.

    That is the change to its neighbours, and to any smaller step beyond that one's noise: far away from the point a
    function may look settled too, on another slope.
    """

    def change(k: int) -> float:
        beside = [abs(errors[k] - errors[j]) for j in (k - 1, k + 1) if 0 <= j < len(errors)]
        later = [abs(errors[k] - errors[j]) - 2 * typical[j] for j in range(k + 1, len(errors))]
        return max([*beside, *later])

    best = min(range(len(errors)), key=lambda k: change(k) + noises[k])
    return best, change(best)


def _rough(errors: list[float], noises: list[float]) -> bool:
    """Whether the errors up to the best step (or the first few) fell as those of a smooth function do, by 4 a halving.

    With kinks on the way they come and go by chance, and seem settled where none happens to lie: what the sides differ
    by bounds them, if all bend alike.
    """
    moves = [
        abs(a - b) if abs(a - b) > 2 * noise else 0.0
        for a, b, noise in zip(errors, errors[1:], noises[1:], strict=False)
    ][-_WINDOW:]
    return any(0 < a < _FALLS * b for a, b in pairwise(moves))


def _order(remainders: list[tuple[float, float, float]]) -> tuple[float | None, int, float, float]:
    """The order, how many remainders it rests on, and two slopes.

    The smallest remainder over its step, where the order decays, else 0; and the linear part that could hide.
    """
    above: list[tuple[float, float]] = []
    for h, remainder, floor in remainders:
        if remainder <= _ABOVE * floor:
            if above:
                break
            continue
        above.append((math.log2(h), math.log2(remainder)))
    window = above[-_WINDOW:]
    if len(window) < 2:
        hidden = min((_ABOVE * floor / h for h, _, floor in remainders), default=math.inf)
        return None, len(window), 0.0, hidden
    local = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(window)]
    order = sorted(local)[(len(local) - 1) // 2]
    # A wrong gradient takes over gradually, at most 0.18 a halving: a sudden drop is rounding. An order that stays
    # between 1 and 2 is a function that is not twice differentiable.
    last = local[-3:]
    falls = all(-0.3 < b - a <= 0.1 for a, b in pairwise(last))
    decays = falls and 0.6 < last[-1] < (1.8 if last[0] - last[-1] > 0.2 else 1.25)
    smallest = 2.0 ** (window[-1][1] - window[-1][0])
    return order, len(window), smallest if decays else 0.0, _LINEAR * smallest


def _jump(jumps: list[float], noises: list[float]) -> float:
    """The disagreement of the one-sided slopes, where smaller steps do not make it smaller."""
    seen = [k for k, (jump, noise) in enumerate(zip(jumps, noises, strict=True)) if jump > 16 * noise]
    if len(seen) < 3:
        return 0.0
    last = seen[-1]
    lost_to_noise = last == len(jumps) - 1 or jumps[last] < 32 * noises[last + 1]
    persists = last - 2 in seen and jumps[last] > _JUMP * jumps[last - 2]
    return jumps[last] if lost_to_noise and persists else 0.0
