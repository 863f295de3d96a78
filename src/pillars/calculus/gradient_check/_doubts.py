"""What speaks against a gradient beside the methods: entries that are not finite, agreement in the same mistake."""

from __future__ import annotations

import math

from pillars.calculus.gradient_check._directions import along
from pillars.calculus.gradient_check._line_probe import probe
from pillars.calculus.gradient_check._methods import CheckRow, Evidence, Walk, apart

__all__ = ["across", "nonfinite", "unexplained"]

_ACROSS = 3  # directions, each through all entries
_SHARE = 1e-4  # of the largest slope: what is less may be the rounding of a formula that cancels
_NAMED = 8  # entries that are not finite are probed, the first few of many


def nonfinite(evidence: Evidence) -> CheckRow | None:
    """A row that says so, where the gradient is not finite and the function has a slope all the same.

    NaN of automatic differentiation is no wrong number: some function on the way has no derivative at that point.
    """
    subject = evidence.subject
    places = [int(i) for i in (~subject.host.isfinite(evidence.raw)).nonzero()[0]]
    if not places:
        return None
    largest = float(subject.host.max(subject.host.abs(evidence.gradient)))  # of those that are finite
    for place in places[:_NAMED]:
        u = along(subject, [place])
        result = probe(evidence.problem, u)
        if result.error is None or not result.differentiable:
            continue
        known = max(abs(result.error), largest * float(subject.host.linalg.norm(u)))
        if result.truncation + result.rounding < 1e-2 * known + 1e-6:
            slope = f"where the function's slope is {result.error:.3g}"
            if subject.autodiff is None and math.isnan(float(evidence.raw[place])):
                return apart(
                    "",
                    f"automatic differentiation has no answer for {len(places)} of {subject.x.size} entries, NaN, "
                    f"{slope}: a function on the way has no derivative there by convention (a root of 0, equal "
                    "eigenvalues). pillars.diagnosis.find_nonfinite of the gradient names it",
                )
            note = f"{len(places)} of {subject.x.size} entries are not finite, {slope}"
            return CheckRow("", math.inf, 0.0, False, note)
    return apart(
        "", f"{len(places)} of {subject.x.size} entries are not finite, nor has the function a slope there"
    )


def across(evidence: Evidence) -> list[Walk]:
    """A few directions through all entries: what one entry alone leaves as it is (equal eigenvalues), these change."""
    subject = evidence.subject
    places = subject.host.nonzero(subject.host.isfinite(evidence.raw))[0]
    directions = [along(subject, places) for _ in range(_ACROSS if places.size else 0)]
    return [evidence.walk(u, probe(evidence.problem, u)) for u in directions]


def unexplained(evidence: Evidence, walks: list[Walk]) -> str | None:
    """Why nothing confirms the gradient: in some direction the function's slope is another, beyond its own rounding.

    That the gradient changes by as much in the last place of the point is no rounding where the function does not: a
    convention that leaves something out (equal eigenvalues that a step would split) looks like that, and so do two
    gradients of the same convention, which agree.
    """
    largest = max((abs(p.slope + (p.error or 0.0)) for _, p, _ in walks), default=0.0)
    for u, p, _ in walks:
        norm = float(evidence.subject.host.linalg.norm(evidence.gradient * u))
        own = 4 * (p.truncation + p.rounding) + 32 * evidence.subject.eps * norm
        if p.error is not None and p.differentiable and abs(p.error) > max(own, _SHARE * largest):
            return (
                f"confirms nothing: in a direction the function's slope is {p.slope + p.error:.3g} and the gradient's "
                f"{p.slope:.3g}, which changes with the last place of the point as the function does not"
            )
    return None
