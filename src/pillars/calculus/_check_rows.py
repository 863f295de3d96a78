"""The verdict of each method of a gradient check, and the verdict of all."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pillars.calculus._probes import Probe, Problem, probe
from pillars.calculus._subject import Subject, one_line

__all__ = ["METHODS", "CheckRow", "GradientCheck", "check_subject"]

METHODS = ("autodiff", "complex_step", "taylor", "central")
_MARGIN = 4.0
_ORDER = 1.9
_FITTED = 4  # remainders that an order below 2 must rest on
_COORDINATES = 16  # up to as many entries are checked one by one
_SIGNED = 8
_JOINT_LEAVES = 8  # with more leaves than this, directions span them all


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


class GradientCheck(NamedTuple):
    """What all methods found.

    Attributes
    ----------
    ok : False where any method found the gradient wrong, True where at least one confirms it and none objects, None
        where none could judge (a kink, a point where the function is not finite). Truth value: ``ok is True``.
    rows : a :class:`CheckRow` a method.
    """

    ok: bool | None
    rows: tuple[CheckRow, ...]

    def __bool__(self) -> bool:
        return self.ok is True

    def __str__(self) -> str:
        words = {True: "holds", False: "WRONG", None: "-"}
        lines = [f"gradient: {({True: 'right', False: 'WRONG', None: 'not judged'})[self.ok]}"]
        for row in self.rows:
            figures = "" if row.ok is None else f"error {row.error:.1e}, tolerance {row.tolerance:.1e}; "
            lines.append(f"  {row.method:<12} {words[row.ok]:<6} {figures}{row.note}")
        return "\n".join(lines)


def check_subject(subject: Subject, methods: Sequence[str] = METHODS) -> GradientCheck:
    """Check a prepared function: what `check_gradient` and the audit share."""
    host = subject.host
    if not bool(host.all(host.isfinite(subject.y))):
        reason = "the function is not finite at this point: choose another"
        return _together([_apart(method, reason) for method in methods])
    raw = subject.gradient_at(subject.x, subject.gradient)
    bad = ~host.isfinite(raw)
    g = host.where(bad, 0.0, raw)
    near = subject.nearby(3)
    shaken, noise = [], 0.0
    for point in near:
        moved, y = subject.outputs(point)
        change = float(host.sum(subject.weights * (y - subject.y)) - g @ (moved - subject.x))
        noise = max(noise, abs(change)) if math.isfinite(change) else noise
        other = subject.gradient_at(point, subject.gradient) - g
        shaken.append(host.where(host.isfinite(other), other, 0.0))
    rows = {}
    problem = Problem(
        subject.x, subject.outputs, subject.weights, subject.y, g, subject.eps, noise, subject.depth
    )
    if "autodiff" in methods:
        rows["autodiff"] = _autodiff(subject, problem, raw, shaken, near)
    if set(methods) - {"autodiff"}:
        directions, words = _directions(subject, bad)
        probes = [
            (
                u,
                probe(problem, u),
                max(abs(float(d @ u)) for d in shaken) + 8 * subject.eps * float(host.linalg.norm(g * u)),
            )
            for u in directions
        ]
        bad_entries = _nonfinite(subject, problem, bad)
        judges: dict[str, Callable[[list[Any]], CheckRow]] = {
            "central": lambda probes: _central(probes, words),
            "taylor": lambda probes: _taylor(probes, words),
            "complex_step": lambda probes: _complex(subject, g, probes, words),
        }
        for method in set(methods) & set(judges):
            rows[method] = (
                _smooth(probes, judges[method])
                if bad_entries is None
                else bad_entries._replace(method=method)
            )
    return _together([rows[method] for method in methods])


def _together(rows: list[CheckRow]) -> GradientCheck:
    verdicts = [row.ok for row in rows]
    ok = False if False in verdicts else (True if True in verdicts else None)
    return GradientCheck(ok, tuple(rows))


def _apart(method: str, reason: str) -> CheckRow:
    return CheckRow(method, math.nan, math.nan, None, reason)


# ----------------------------------------------------------------------------------------------------- the methods
def _autodiff(subject: Subject, problem: Problem, raw: Any, shaken: list[Any], near: list[Any]) -> CheckRow:
    """Entry by entry, each argument by its own scale."""
    host = subject.host
    if subject.autodiff is None:
        return _apart("autodiff", "the gradient is automatic differentiation's own")
    try:
        other = subject.gradient_at(subject.x, subject.autodiff)
    except (
        Exception
    ) as failure:  # what it cannot follow, it cannot judge; the other methods need no derivative
        return _apart("autodiff", f"it cannot follow the function: {one_line(failure)}")
    here, there = host.isfinite(raw), host.isfinite(other)
    if not bool(host.all(here == there)):
        k = int(host.sum(here != there))
        return CheckRow(
            "autodiff", math.inf, 0.0, False, f"{k} of {raw.size} entries are finite in one of them alone"
        )
    difference = host.abs(host.where(here, raw, 0.0) - host.where(here, other, 0.0))
    moved = [subject.gradient_at(point, subject.autodiff) - other for point in near]
    moved = [host.where(host.isfinite(d), d, 0.0) for d in moved]
    spread = functools.reduce(host.maximum, [host.abs(d) for d in [*shaken, *moved]])
    scale = float(host.max(host.abs(host.where(here, other, 0.0)), initial=0.0))
    worst, apart, begin = (0.0, 0.0, -1.0), host.zeros(0), 0
    for size in subject.sizes:
        part = slice(begin, begin + size)
        begin += size
        if not size:
            continue
        mine = float(host.max(host.abs(host.where(here, other, 0.0)[part])))
        tolerance = subject.eps * (32 * mine + 4 * scale) + 8 * float(host.max(spread[part]))
        error, unit = float(host.max(difference[part])), mine or scale or 1.0
        ratio = error / tolerance if tolerance else (math.inf if error else 0.0)
        if ratio > worst[2]:
            worst = (error / unit, tolerance / unit, ratio)
            apart = host.nonzero(difference[part] > tolerance)[0] + part.start
    if worst[2] > 1 and _all_kinks(subject, problem, apart):
        return _apart("autodiff", "both are slopes of one side of a kink")
    note = f"{raw.size} entries" + (
        "" if bool(host.all(here)) else f", {int(host.sum(~here))} not finite in both"
    )
    return CheckRow("autodiff", worst[0], worst[1], worst[2] <= 1, note)


def _all_kinks(subject: Subject, problem: Problem, places: Any) -> bool:
    """Whether the function has a kink along every one of these entries (the first few of many)."""
    return all(probe(problem, _along(subject, [int(i)], [1.0])).jump for i in places[:_SIGNED])


def _kink(probes: list[tuple[Any, Probe]]) -> str | None:
    kinked = [(u, p.jump) for u, p in probes if p.jump]
    if not kinked:
        return None
    u, jump = max(kinked, key=lambda each: each[1])
    along = [int(i) for i in u.nonzero()[0]]
    where = f"along entry {along[0]}" if len(along) == 1 else "in such a direction"
    return f"a kink {where}: the slopes on its two sides differ by {jump:.3g}, however small the step"


def _smooth(probes: list[Any], row: Callable[[list[Any]], CheckRow]) -> CheckRow:
    """The row of the directions that cross no kink: where it finds nothing wrong, a kink leaves the verdict open."""
    kink = _kink([(u, p) for u, p, _ in probes])
    found = row([each for each in probes if not each[1].jump])
    return found if found.ok is False or kink is None else _apart(found.method, kink)


def _central(probes: list[Any], words: str) -> CheckRow:
    judged = [(p, extra) for _, p, extra in probes if p.error is not None]
    if not judged:
        return _apart("central", "the function is not finite on both sides of this point")
    scale = max(max(abs(p.slope), abs(p.slope + p.error)) for p, _ in judged) or 1.0
    bound = [_MARGIN * (p.truncation + p.rounding + extra) for p, extra in judged]
    ratio = [_ratio(abs(p.error), b) for (p, _), b in zip(judged, bound, strict=True)]
    k = ratio.index(max(ratio))
    p = judged[k][0]
    note = (
        f"step {p.step:.0e}, truncation {p.truncation / scale:.0e}, rounding {p.rounding / scale:.0e}; {words}"
        + ("" if len(judged) == len(probes) else f"; {len(probes) - len(judged)} leave the domain")
    )
    return CheckRow("central", abs(p.error) / scale, bound[k] / scale, ratio[k] <= 1, note)


def _taylor(probes: list[Any], words: str) -> CheckRow:
    fitted = [p for _, p, _ in probes if p.order is not None]
    if not fitted:
        if any(p.error is not None for _, p, _ in probes):
            return CheckRow("taylor", 0.0, 2 - _ORDER, True, f"the remainder is rounding alone; {words}")
        return _apart("taylor", "the function is not finite on both sides of this point")
    good = [p for p in fitted if (p.order or 0.0) >= _ORDER]
    wrong = [p for p in fitted if (p.order or 0.0) < _ORDER and p.decays and p.points >= _FITTED]
    worst = min(wrong or good or fitted, key=lambda p: p.order or 0.0)
    below = max(0.0, 2 - (worst.order or 0.0))
    note = f"order {worst.order:.2f} over {worst.points - 1} halvings; {words}"
    if wrong:
        return CheckRow("taylor", below, 2 - _ORDER, False, note)
    if len(good) < len(fitted):
        note += f"; {len(fitted) - len(good)} with too few regular remainders above rounding"
    if not good:
        return _apart("taylor", note)
    return CheckRow("taylor", below, 2 - _ORDER, True, note)


def _complex(subject: Subject, g: Any, probes: list[Any], words: str) -> CheckRow:
    method = "complex_step"
    host = subject.host
    size = float(host.linalg.norm(subject.weights * subject.y))
    found = []
    for u, p, extra in probes:
        slope = subject.complex_slope(u)
        if isinstance(slope, str):
            return _apart(method, slope)
        if not math.isfinite(slope):
            return _apart(method, "its complex derivative is not finite")
        if p.error is not None:
            central = p.slope + p.error
            if abs(slope - central) > 2 * _MARGIN * (p.truncation + p.rounding + extra):
                return _apart(method, "its complex derivative is not its real one: it is not analytic here")
        rounding = subject.eps * (16 * float(host.linalg.norm(g * u)) + 8 * size)
        found.append((abs(slope - p.slope), 8 * extra + rounding, max(abs(slope), abs(p.slope))))
    if not found:
        return _apart(method, "there is no direction without a kink")
    scale = max(each[2] for each in found) or 1.0
    ratio = [_ratio(error, bound) for error, bound, _ in found]
    k = ratio.index(max(ratio))
    return CheckRow(method, found[k][0] / scale, found[k][1] / scale, ratio[k] <= 1, words)


def _ratio(error: float, bound: float) -> float:
    return error / bound if bound else (math.inf if error else 0.0)


def _nonfinite(subject: Subject, problem: Problem, bad: Any) -> CheckRow | None:
    """A row that says so, where the gradient is not finite and the function has a slope all the same."""
    places = [int(i) for i in bad.nonzero()[0]]
    if not places:
        return None
    for place in places[:_SIGNED]:
        found = probe(problem, _along(subject, [place], [1.0]))
        if (
            found.error is not None
            and found.jump == 0
            and found.truncation + found.rounding < 1e-2 * abs(found.error) + 1e-6
        ):
            note = (
                f"{len(places)} of {subject.x.size} entries are not finite, "
                f"where the function's slope is {found.error:.3g}"
            )
            return CheckRow("", math.inf, 0.0, False, note)
    return _apart(
        "", f"{len(places)} of {subject.x.size} entries are not finite, nor has the function a slope there"
    )


# ---------------------------------------------------------------------------------------------------- the directions
def _along(subject: Subject, places: Any, signs: Any) -> Any:
    u = subject.host.zeros(subject.x.size)
    u[places] = signs * subject.host.maximum(1.0, subject.host.abs(subject.x[places]))
    return u


def _directions(subject: Subject, bad: Any) -> tuple[list[Any], str]:
    host = subject.host
    groups: list[Any] = []
    begin = 0
    for size in subject.sizes:
        groups.append(host.arange(begin, begin + size))
        begin += size
    groups = [group[~bad[group]] for group in groups if group.size]
    if len(groups) > _JOINT_LEAVES:
        groups = [host.concatenate(groups)]
    made, single, signed = [], 0, 0
    for group in groups:
        if group.size <= _COORDINATES:
            made += [_along(subject, [int(i)], [1.0]) for i in group]
            single += group.size
            continue
        for _ in range(_SIGNED):
            made.append(_along(subject, group, subject.random.choice([-1.0, 1.0], group.size)))
            signed += 1
    parts = ([f"{single} entries"] if single else []) + (
        [f"{signed} signed directions, seed {subject.seed}"] if signed else []
    )
    return made, " and ".join(parts)
