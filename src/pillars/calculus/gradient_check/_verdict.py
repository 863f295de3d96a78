"""The verdict of a gradient check: which methods are asked, and what their findings say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pillars.calculus.gradient_check._directions import kink_note, survey
from pillars.calculus.gradient_check._doubts import across, nonfinite, unexplained
from pillars.calculus.gradient_check._flat_function import Subject
from pillars.calculus.gradient_check._methods import (
    CheckRow,
    Evidence,
    apart,
    autodiff,
    central,
    complex_step,
    taylor,
)
from pillars.calculus.gradient_check._step_ladder import Problem

__all__ = ["METHODS", "CheckRow", "GradientCheck", "check_subject"]

METHODS = ("autodiff", "complex_step", "taylor", "central")
_NUMERICAL = {"complex_step": complex_step, "taylor": taylor, "central": central}
_SHAKES = 3


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
    reason = _unfit(subject)
    if reason is not None:
        return _together([apart(method, reason) for method in methods])
    evidence = _gather(subject)
    rows: dict[str, CheckRow] = {}
    doubt: str | None = None
    if "autodiff" in methods:
        rows["autodiff"] = autodiff(evidence)
    numerical = [method for method in methods if method in _NUMERICAL]
    senseless = nonfinite(evidence) if numerical else None
    if senseless is not None and senseless.ok is False:
        rows |= {method: senseless._replace(method=method) for method in numerical}
    elif numerical:
        seen = survey(subject, evidence.problem, ~subject.host.isfinite(evidence.raw))
        walks = [evidence.walk(u, result) for u, result in seen.smooth]
        broken = kink_note(seen.broken) if senseless is None else senseless.note
        for method in numerical:
            row = _NUMERICAL[method](evidence, walks, seen.words)
            # where nothing is wrong along the others, a kink leaves the verdict open
            rows[method] = row if row.ok is False or broken is None else apart(method, broken)
        if "autodiff" in rows and rows["autodiff"].ok and any(result.gap for _, result in seen.broken):
            rows["autodiff"] = apart("autodiff", "both agree, but a function that jumps has no derivative")
        doubt = unexplained(evidence, walks)
    elif rows["autodiff"].ok:
        doubt = unexplained(evidence, across(evidence))
    if doubt is not None:
        rows = {method: apart(method, doubt) if row.ok else row for method, row in rows.items()}
    return _together([rows[method] for method in methods])


def _unfit(subject: Subject) -> str | None:
    if not subject.x.size:
        return "nothing to check: the argument has 0 entries"
    if not subject.y.size:
        return "nothing to check: the function's result has 0 entries"
    if not bool(subject.host.all(subject.host.isfinite(subject.y))):
        return "the function is not finite at this point: choose another"
    return None


def _gather(subject: Subject) -> Evidence:
    host = subject.host
    raw = subject.gradient_at(subject.x, subject.gradient)
    g = host.where(host.isfinite(raw), raw, 0.0)
    near = subject.nearby(_SHAKES)
    shaken = [subject.gradient_at(point, subject.gradient) - g for point in near]
    shaken = [host.where(host.isfinite(change), change, 0.0) for change in shaken]
    problem = Problem(subject.x, subject.outputs, subject.weights, subject.y, g, subject.eps, subject.depth)
    return Evidence(subject, problem, raw, g, near, shaken)


def _together(rows: list[CheckRow]) -> GradientCheck:
    verdicts = [row.ok for row in rows]
    ok = False if False in verdicts else (True if True in verdicts else None)
    return GradientCheck(ok, tuple(rows))
