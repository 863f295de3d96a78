"""The finding of each method of a gradient check: its error, its tolerance, and whether that confirms anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars._errors import one_line
from pillars.calculus.gradient_check._directions import differentiable_among
from pillars.calculus.gradient_check._flat_function import LONGEST, Subject
from pillars.calculus.gradient_check._line_probe import Probe
from pillars.calculus.gradient_check._step_ladder import Problem

__all__ = [
    "CheckRow",
    "Evidence",
    "Walk",
    "apart",
    "autodiff",
    "central",
    "complex_step",
    "taylor",
]

_MARGIN = 4.0
_ORDER = 1.9
_FITTED = 4  # remainders that an order below 2 must rest on
_TELLS = 0.25  # of the largest slope: with half of it a method would not tell a gradient from its double
_UNSEEN = "the function is not finite on both sides of this point"


class CheckRow(NamedTuple):
    """One method's finding.

    Attributes
    ----------
    error, tolerance : relative to the largest slope seen; for "taylor" how far the remainder's order is below 2. NaN
        where the method does not apply.
    ok : None where the method does not apply, or where there is no derivative to compare with.
    note : the tolerance's budget, the directions, or the reason.
    """

    method: str
    error: float
    tolerance: float
    ok: bool | None
    note: str


class Walk(NamedTuple):
    """A direction without kinks, what was found along it, and the slope's own rounding."""

    direction: Any
    found: Probe
    extra: float


class Evidence(NamedTuple):
    """What the methods share.

    Attributes
    ----------
    raw, gradient : the gradient to be checked as it came, and with 0 where it is not finite.
    near : the point moved by a few units in the last place.
    shaken : what the gradient changes by there.
    """

    subject: Subject
    problem: Problem
    raw: Any
    gradient: Any
    near: list[Any]
    shaken: list[Any]

    def walk(self, direction: Any, found: Probe) -> Walk:
        """With what rounding makes of the slope: by a change of the point in the last places, and by its own sum."""
        moved = max(abs(float(change @ direction)) for change in self.shaken)
        norm = float(self.subject.host.linalg.norm(self.gradient * direction))
        return Walk(direction, found, moved + 8 * self.subject.eps * norm)

    def elsewhere(self, rule: Callable[[list[Any], list[Any]], list[Any]]) -> list[tuple[float, Any, Any]]:
        """How far away, the point there, and a gradient, where it is finite."""
        host = self.subject.host
        result = [(way, x, self.subject.gradient_at(x, rule)) for way, x in self.subject.around()]
        return [each for each in result if bool(host.all(host.isfinite(each[2])))]

    def slope_change(self, direction: Any) -> float:
        """What the slope changes by over short ways, where formulas round otherwise than here."""
        there = self.elsewhere(self.subject.gradient)
        changes = [
            abs(float((g - self.gradient) @ direction)) for way, _, g in there if _short(way, self.subject)
        ]
        return max(changes, default=0.0)


def apart(method: str, reason: str) -> CheckRow:
    """A row that judges nothing."""
    return CheckRow(method, math.nan, math.nan, None, reason)


def autodiff(evidence: Evidence) -> CheckRow:
    """Entry by entry, each argument by its own scale."""
    subject, raw = evidence.subject, evidence.raw
    host, rule = subject.host, subject.autodiff
    if rule is None:
        return apart("autodiff", "the gradient is automatic differentiation's own")
    try:
        other = subject.gradient_at(subject.x, rule)
    except (
        Exception
    ) as failure:  # what it cannot follow, it cannot judge; the other methods need no derivative
        return apart("autodiff", f"it cannot follow the function: {one_line(failure, LONGEST)}")
    here, there = host.isfinite(raw), host.isfinite(other)
    unknown = int(host.sum(here & host.isnan(other)))
    if unknown and bool(host.all(here | ~there)):
        return apart("autodiff", f"it has no answer: NaN at {unknown} of {raw.size} entries")
    if not bool(host.all(here == there)):
        k = int(host.sum(here != there))
        return CheckRow(
            "autodiff", math.inf, 0.0, False, f"{k} of {raw.size} entries are finite in one of them alone"
        )
    theirs = host.where(here, other, 0.0)
    difference = evidence.gradient - theirs
    moved = [subject.gradient_at(point, rule) - other for point in evidence.near]
    moved = [host.where(host.isfinite(d), d, 0.0) for d in moved]
    spread = host.max(host.abs(host.stack([*evidence.shaken, *moved])), axis=0)
    scale = float(host.max(host.abs(theirs)))

    def judge(changes: list[tuple[float, Any]]) -> tuple[list[tuple[float, float, float]], Any]:
        """(error, tolerance, unit) an argument, and the entries beyond their tolerance."""
        result, beyond, begin = [], [host.zeros(0, dtype=int)], 0
        for size in filter(None, subject.sizes):
            part = slice(begin, begin + size)
            begin += size
            mine = float(host.max(host.abs(theirs[part])))
            erratic = [
                _erratic(_MARGIN * float(host.max(change[part])), way, subject, mine)
                for way, change in changes
            ]
            tolerance = subject.eps * (32 * mine + 4 * scale) + 8 * float(host.max(spread[part]))
            tolerance += max(erratic, default=0.0)
            result.append((float(host.max(host.abs(difference[part]))), tolerance, mine or scale or 1.0))
            beyond.append(host.nonzero(host.abs(difference[part]) > tolerance)[0] + part.start)
        return result, host.concatenate(beyond)

    result, beyond = judge([])
    if beyond.size:
        changes = [
            (way, host.abs(g - subject.gradient_at(point, rule) - difference))
            for way, point, g in evidence.elsewhere(subject.gradient)
        ]
        result, beyond = judge([(w, host.where(host.isfinite(change), change, 0.0)) for w, change in changes])
    if beyond.size and not differentiable_among(subject, evidence.problem, beyond):
        return apart("autodiff", "they differ in entries where the function has no derivative")
    error, tolerance, unit = max(result, key=lambda each: _ratio(each[0], each[1]))
    note = f"{raw.size} entries" + (
        "" if bool(host.all(here)) else f", {int(host.sum(~here))} not finite in both"
    )
    if beyond.size:
        k = int(beyond[host.argmax(host.abs(difference[beyond]))])
        mine, theirs_there = float(evidence.gradient[k]), float(theirs[k])
        note += f"; most at {subject.named(k)}: {mine:.6g}, by autodiff {theirs_there:.6g}"
        return CheckRow("autodiff", error / unit, tolerance / unit, False, note)
    vague = max(each[1] / each[2] for each in result)
    if vague > _TELLS:
        return apart(
            "autodiff",
            f"confirms nothing: the last place of the point changes the gradient by {vague / 8:.1e} of itself; {note}",
        )
    return CheckRow("autodiff", error / unit, tolerance / unit, True, note)


def central(evidence: Evidence, walks: list[Walk], words: str) -> CheckRow:
    """The best of the central differences along every direction."""
    judged = [walk for walk in walks if walk.found.error is not None]
    if not judged:
        return apart("central", _UNSEEN)
    bounds = [_MARGIN * (p.truncation + p.rounding + extra) for _, p, extra in judged]
    errors = [abs(p.error or 0.0) for _, p, _ in judged]
    bounds = [
        bound if error <= bound else bound + _MARGIN * evidence.slope_change(u)
        for error, bound, (u, _, _) in zip(errors, bounds, judged, strict=True)
    ]
    ratio = [_ratio(error, bound) for error, bound in zip(errors, bounds, strict=True)]
    k = ratio.index(max(ratio))
    p = judged[k].found
    scale = _largest(walks) or 1.0
    note = (
        f"step {p.step:.0e}, truncation {p.truncation / scale:.0e}, rounding {p.rounding / scale:.0e}; {words}"
        + ("" if len(judged) == len(walks) else f"; {len(walks) - len(judged)} leave the domain")
    )
    if ratio[k] > 1:
        return CheckRow("central", errors[k] / scale, bounds[k] / scale, False, note)
    return _confirmed("central", (errors[k], bounds[k]), max(bounds), walks, evidence, note)


def taylor(evidence: Evidence, walks: list[Walk], words: str) -> CheckRow:
    """The order of the first-order remainder along every direction."""
    own = {id(p): _MARGIN * extra for _, p, extra in walks}
    seen = [p for _, p, _ in walks if p.error is not None]
    if not seen:
        return apart("taylor", _UNSEEN)
    fitted = [p for p in seen if p.order is not None]
    good = [p for p in fitted if (p.order or 0.0) >= _ORDER]
    low = [p for p in fitted if (p.order or 0.0) < _ORDER and p.decays and p.points >= _FITTED]
    for u, p, _ in walks:
        if p in low:
            own[id(p)] += _MARGIN * evidence.slope_change(u)
    wrong = [p for p in low if abs(p.error or 0.0) > own[id(p)]]
    worst = min(wrong or good or fitted or seen, key=lambda p: p.order or 0.0)
    below = 0.0 if worst.order is None else max(0.0, 2 - worst.order)
    note = (
        f"the remainder is rounding alone; {words}"
        if worst.order is None
        else f"order {worst.order:.2f} over {worst.points - 1} halvings; {words}"
    )
    if wrong:
        return CheckRow("taylor", below, 2 - _ORDER, False, note)
    if len(good) < len(fitted):
        note += f"; {len(fitted) - len(good)} with too few regular remainders above rounding"
    if fitted and not good:
        return apart("taylor", f"too few regular remainders above rounding: {note}")
    hidden = max(p.hidden + own[id(p)] for p in seen if p.order is None or p.order >= _ORDER)
    result = _confirmed("taylor", (0.0, hidden), hidden, walks, evidence, note)
    return result._replace(error=below, tolerance=2 - _ORDER) if result.ok else result


def complex_step(evidence: Evidence, walks: list[Walk], words: str) -> CheckRow:
    """Imaginary steps along every direction, within the rounding of the gradient and of the function inside."""
    method, subject = "complex_step", evidence.subject
    host = subject.host
    size = float(host.linalg.norm(subject.weights * subject.y))
    elsewhere: list[tuple[float, Any, Any]] | None = None
    errors, bounds, slopes = [], [], []
    for u, p, extra in walks:
        slope = subject.complex_slope(subject.x, u)
        if isinstance(slope, str):
            return apart(method, slope)
        if not math.isfinite(slope):
            return apart(method, "its complex derivative is not finite")
        norm = float(host.linalg.norm(evidence.gradient * u))
        beside = [subject.complex_slope(point, u) for point in evidence.near]
        shaken = max((abs(each - slope) for each in beside if not isinstance(each, str)), default=0.0)
        own = 8 * extra + _MARGIN * shaken + subject.eps * (16 * norm + 8 * size)
        if p.error is not None:
            unsure = 2 * _MARGIN * (p.truncation + p.rounding + extra) + own
            if abs(slope - p.slope - p.error) > unsure:
                return apart(method, "its complex derivative is not its real one: it is not analytic here")
        error = slope - p.slope
        if abs(error) > own:
            # the step's own square, which is all there is where every slope is 0, and what underflows on the way
            own += 64 * subject.imaginary**2 * p.secant + 16 * subject.tiny / subject.imaginary
        least = own
        if abs(error) > own:
            elsewhere = evidence.elsewhere(subject.gradient) if elsewhere is None else elsewhere
            for way, point, g in elsewhere:
                there = subject.complex_slope(point, u)
                if not isinstance(there, str) and math.isfinite(there):
                    change = _MARGIN * abs(there - float(g @ u) - error)
                    own = max(own, least + _erratic(change, way, subject, max(_largest(walks), abs(slope))))
        errors.append(abs(error))
        bounds.append(own)
        slopes.append(abs(slope))
    if not errors:
        return apart(method, "there is no direction without a kink")
    ratio = [_ratio(error, bound) for error, bound in zip(errors, bounds, strict=True)]
    k = ratio.index(max(ratio))
    if ratio[k] > 1:
        scale = max(_largest(walks), *slopes) or 1.0
        return CheckRow(method, errors[k] / scale, bounds[k] / scale, False, words)
    return _confirmed(method, (errors[k], bounds[k]), max(bounds), walks, evidence, words)


# --------------------------------------------------------------------------------------------------- what they share
def _short(way: float, subject: Subject) -> bool:
    return way < math.pow(subject.eps, 0.3)


def _erratic(change: float, way: float, subject: Subject, scale: float) -> float:
    """What a difference that changes by so much over such a way owes to rounding.

    A formula that subtracts terms of nearly the same size rounds by more than its result, and often by the same at
    points a few units in the last place away. Over a short way a fault's difference stays as it is, so that a change is
    rounding; over a long one it may change too, and what central differences resolve at best is no rounding.
    """
    return change if _short(way, subject) else min(change, math.pow(subject.eps, 2 / 3) * scale)


def _ratio(error: float, bound: float) -> float:
    return error / bound if bound else (math.inf if error else 0.0)


def _largest(walks: list[Walk]) -> float:
    """The largest slope, as claimed or as measured."""
    return max(
        (max(abs(p.slope), abs(p.slope + p.error)) for _, p, _ in walks if p.error is not None), default=0.0
    )


def _confirmed(
    method: str,
    figures: tuple[float, float],
    bound: float,
    walks: list[Walk],
    evidence: Evidence,
    note: str,
) -> CheckRow:
    """A row without objection: it holds only where the method would have seen a quarter of the largest slope missing.

    Where all slopes vanish, as at a minimum, the chords around it tell what is small.
    """
    largest = _largest(walks)
    chord = max((p.secant for _, p, _ in walks), default=0.0)
    scale = max(largest, math.sqrt(evidence.subject.eps) * chord)
    if bound > _TELLS * scale:
        return apart(
            method,
            f"confirms nothing: beside rounding it cannot tell slopes below {bound:.1e}, "
            f"the largest here is {largest:.1e}; {note}",
        )
    return CheckRow(method, figures[0] / (scale or 1.0), figures[1] / (scale or 1.0), True, note)
