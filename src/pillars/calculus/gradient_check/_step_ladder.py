"""The ladder of halved steps along one direction: rounding inside a function and jumps at a point, as its values show.

Near a point a function changes by c + a·t + O(t²) on each side, with c its jump and a its slope there. Over three
halved steps the combination u(h) − 3u(h/2) + 2u(h/4) cancels both, so that what is left of it at the smallest steps is
rounding, whatever the function does at the point; 2u(h/2) − u(h) cancels a and leaves c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from pillars.backends import backend

__all__ = ["Ladder", "Problem", "climb", "deepest"]

_ROUNDINGS = 4.0  # of the result of a short computation, in units of its dtype
_TRIPLE = math.sqrt(1 + 3**2 + 2**2)  # of independent errors of size 1 in u(h) − 3u(h/2) + 2u(h/4)
_BELOW = 14  # halvings below the smallest entry's size: a kink at 0 has come and gone, and eight are left to settle
_DEEPEST = 100  # where squares of the steps are still float32 numbers
_TAIL = 5
_STILL = 3  # steps without a move, before a function is said to stand still
_STAIRS = 10  # halvings; what kinks leave over falls by 64 within six
_WHOLE = 5  # moves, each a whole number of some part of the smallest
_EXACT = 1e-6
_HIDDEN = 4.0  # rounding this much above the largest slope shows nothing of it
_CLEAR = 8.0  # a jump stands this far out of rounding
_HELD = 6  # and stays over so many halvings, over which a square root loses 8


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
    depth : the smallest step is 2**-depth where no entry is small.
    """

    x: Any
    outputs: Callable[[Any], tuple[Any, Any]]
    weights: Any
    y: Any
    gradient: Any
    eps: float
    depth: int


class Ladder(NamedTuple):
    """What was seen at the steps, largest first.

    Attributes
    ----------
    ahead : (step, change of the function beyond the gradient's) for steps forward.
    steps, ups, downs : the same on both sides, where the function is finite there.
    rounding, typical : of one change, a step, at most and as measured; `ahead_rounding` goes with `ahead`.
    secant : the largest slope of a chord that is no rounding.
    gap : how far the function jumps at the point itself; else 0.
    """

    ahead: list[tuple[float, float]]
    ahead_rounding: list[float]
    steps: list[float]
    ups: list[float]
    downs: list[float]
    rounding: list[float]
    typical: list[float]
    secant: float
    gap: float


def deepest(problem: Problem, direction: Any) -> int:
    """Until the steps are small beside the smallest entry, but not beside the last place of the largest."""
    xp = backend("numpy").xp
    moved = direction != 0
    sizes = xp.abs(problem.x[moved]) / xp.abs(direction[moved])
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return problem.depth
    wanted = _BELOW - math.floor(math.log2(float(xp.min(sizes))))
    possible = -math.log2(8 * problem.eps * float(xp.max(sizes)))
    return max(problem.depth, min(wanted, math.floor(possible), _DEEPEST))


def climb(problem: Problem, direction: Any, depth: int) -> Ladder:
    """Walk along `direction`, whose entries are as long as a step of 1 is to be there, down to steps of 2**-depth."""
    xp = backend("numpy").xp
    base = _ROUNDINGS * problem.eps * float(xp.linalg.norm(problem.weights * problem.y))
    ahead, ahead_rounding, steps, ups, downs, rounding, moves = [], [], [], [], [], [], []
    secant, slope = 0.0, abs(float(problem.gradient @ direction))
    for k in range(2, depth + 1):
        h = 2.0**-k
        if k > problem.depth and base > _HIDDEN * h * max(slope, secant):
            break  # nothing but rounding is left
        there, y_there = problem.outputs(problem.x + h * direction)
        behind, y_behind = problem.outputs(problem.x - h * direction)
        forth, back = there - problem.x, problem.x - behind
        rise = float(xp.sum(problem.weights * (y_there - problem.y)))
        fall = float(xp.sum(problem.weights * (problem.y - y_behind)))
        up, down = rise - float(problem.gradient @ forth), fall - float(problem.gradient @ back)
        unit = base + _ROUNDINGS * problem.eps * (
            float(xp.linalg.norm(problem.weights * y_there))
            + 2 * float(xp.linalg.norm(problem.gradient * forth))
        )
        if math.isfinite(up):
            ahead.append((h, up))
            ahead_rounding.append(unit)
        if math.isfinite(up) and math.isfinite(down):
            steps.append(h)
            ups.append(up)
            downs.append(down)
            rounding.append(unit)
            moves.append(max(abs(rise), abs(fall)))
            secant = max(secant, (abs(rise) - unit) / h, (abs(fall) - unit) / h)
    sides = [_halved(steps, side) for side in (ups, downs)]
    moves = _halved(steps, moves)
    inside = _inside(sides, moves)
    typical = [max(unit / (2 * _ROUNDINGS), inside) for unit in rounding]
    rounding = [max(unit, inside) for unit in rounding]
    ahead_rounding = [max(unit, inside) for unit in ahead_rounding]
    gap = max((_gap(side, rounding[-1]) for side in sides), default=0.0) if rounding else 0.0
    return Ladder(ahead, ahead_rounding, steps, ups, downs, rounding, typical, secant, gap)


def _halved(steps: list[float], changes: list[float]) -> list[float]:
    """The changes of the smallest steps that follow one another by halves."""
    first = len(steps) - 1
    while first > 0 and steps[first - 1] == 2 * steps[first]:
        first -= 1
    return changes[max(first, 0) :]


def _inside(sides: list[list[float]], moves: list[float]) -> float:
    """Rounding inside the function, beyond that of its result: at the smallest steps, or as a stair above them.

    A function that rounds on the way to its result stands still at the smallest steps, where its differences are
    exactly none and would look exact: what counts is the height of the stair, the smallest move there is. Larger moves
    are whole numbers of it, or, where stairs are added up, as much is left over at steps however much larger; corners,
    beyond which a function is constant, leave nothing, or the more the larger the step.
    """
    left = [
        [abs(a - 3 * b + 2 * c) / _TRIPLE for a, b, c in zip(side, side[1:], side[2:], strict=False)]
        for side in sides
    ]
    result = max((max(side[-_TAIL:], default=0.0) for side in left), default=0.0)
    first = len(moves)  # of the steps at which nothing moves
    while first > 0 and moves[first - 1] == 0:
        first -= 1
    if 0 < first <= len(moves) - _STILL:
        stair = moves[first - 1]
        alike = [
            k
            for side in left
            for k in range(max(0, first - 2 * _STAIRS), min(first - 2, len(side)))
            if stair / 16 <= side[k] <= 4 * stair
        ]
        counts = [move / stair for move in moves[max(0, first - _WHOLE) : first]]
        whole = len(counts) == _WHOLE and any(
            all(abs(parts * count - round(parts * count)) < _EXACT for count in counts)
            for parts in range(1, _STAIRS)
        )
        spread = len(alike) >= _STAIRS - 2 and max(alike) - min(alike) >= _STAIRS
        if spread or whole:
            result = max(result, stair)
    return result


def _gap(changes: list[float], rounding: float) -> float:
    """What stays of the changes however small the step."""
    held = [2 * b - a for a, b in pairwise(changes)][-_HELD:]
    if len(held) < _HELD or min(held) * max(held) <= 0:
        return 0.0
    sizes = [abs(each) for each in held]
    return min(sizes) if min(sizes) > max(_CLEAR * rounding, max(sizes) / 2) else 0.0
