"""What is told of a learning rate before the first step: the limit, the verdict, and advice in words."""

from __future__ import annotations

import math
from typing import NamedTuple

from pillars.calculus.curvature._sharpness import Sharpness

__all__ = ["REHEARSED", "UNTOLD", "Preflight", "StabilityLimit", "advised"]

_MARGIN = 0.9
# steps after which the curvature is looked at again
REHEARSED = (1, 4, 16, 64)
UNTOLD = "cannot be told"


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

    def __str__(self) -> str:
        curvature = f"λ = {self.sharpness.value:.4g} ± {self.sharpness.residual:.1e}"
        if math.isinf(self.limit):
            return f"no learning rate is too large here: the loss curves upwards nowhere\n{curvature}"
        lines = [f"stable below the learning rate {self.limit:.4g}", f"{self.formula} with {curvature}"]
        if self.low < self.limit:
            lines.append(f"with small batches it may sink to {self.low:.4g}")
        return "\n".join(lines)


class Preflight(NamedTuple):
    """What a run with this optimizer will do.

    Attributes
    ----------
    verdict : "stable": the rate is below the limit, at every step of a schedule. "catapult": above it by less than
        twice, on a loss that is no quadratic, or above one on the way of its first steps: it may rise and come back
        where the loss is flatter. "diverges": beyond. Adam's steps grow its preconditioner with them: above its limit
        it oscillates, and is said to diverge only where its first steps do. "cannot be told": the Hessian is NaN there
        or on that way.
    limit : at the starting point; NaN where it cannot be told.
    ahead : the lowest limit on the way of the first 64 steps, which are rehearsed; 0 where the loss grew a
        thousandfold.
    learning_rate : what is compared with them; of a schedule its largest rate in the whole run.
    quadratic : whether the Hessian is the same a step away: then the limit is exact. False for Adam.
    advice : what to do; of a schedule that reaches the limit, at which step it does.
    """

    verdict: str
    limit: float
    ahead: float
    learning_rate: float
    quadratic: bool
    advice: str

    def __str__(self) -> str:
        numbers = f"learning rate {self.learning_rate:.4g}"
        if math.isinf(self.limit):
            numbers += ", no limit"
        elif not math.isnan(self.limit):
            numbers += f", limit {self.limit:.4g}{', exact on this quadratic' * self.quadratic}"
        if self.ahead == 0:
            numbers += f"; in its first {REHEARSED[-1]} steps the loss grows a thousandfold"
        elif self.ahead < self.limit:
            numbers += f", {self.ahead:.4g} on the way of the first {REHEARSED[-1]} steps"
        return f"{self.verdict}: {numbers}\n{self.advice}"


def advised(seen: Preflight, found: StabilityLimit, *, warms_up: bool, at: int | None) -> str:
    """What the verdict rests on, and what to do.

    `warms_up`: a schedule gives the rate; `at`: the step at which it reaches the limit.
    """
    rate, limit, ahead = seen.learning_rate, seen.limit, seen.ahead
    if math.isinf(limit):
        flat = "The loss curves upwards nowhere here: no rate is too large for it"
        if seen.verdict != "stable":
            return f"{flat}, and none is known to be safe."
        return f"{flat}. A loss that goes on so has no minimum either, and falls for ever."
    source = f"{found.formula}, λ = {found.sharpness.value:.4g}"
    largest = ", the schedule's largest rate," if warms_up else ""
    number = f"{rate:.3g}{largest} is {rate / limit:.2g} times the limit of {limit:.3g} ({source})"
    if seen.verdict == "stable":
        low = f"may sink to {found.low:.2g}" if found.low < limit else "is lower"
        small = f" That is for all rows in every step: with small batches the limit {low}."
        later = "" if seen.quadratic else " here; training may move on to sharper places"
        return f"{number}: stable{later}.{small}"
    if at is not None:
        number += f"; it passes {ahead or limit:.3g} at step {at}"
    if seen.verdict == "catapult":
        words = "the loss may rise at first and come back where it is flatter"
        if seen.quadratic:
            words = (
                "the loss rises while the rate is above it, less than a thousandfold, and comes back below it"
            )
        if rate < limit:
            words = "stable at first"
        if 0 < ahead < limit:
            words += f"; in a rehearsal of its first {REHEARSED[-1]} steps the limit sank to {ahead:.2g}"
        if ahead == 0:
            words += f"; in a rehearsal of its first {REHEARSED[-1]} steps the loss grew a thousandfold"
        warm = "" if warms_up else f", or warm up to {rate:.3g}"
        return f"{number}: {words}. To be sure use at most {_MARGIN * (ahead or limit):.2g}{warm}."
    if ahead == 0 and rate < limit:
        words = f"in a rehearsal of its first {REHEARSED[-1]} steps the loss grew a thousandfold all the same"
        return f"{number}: {words}. Use a tenth of it, or warm up to it."
    grows = "above it each step grows" if at else "each step grows"
    return f"{number}: {grows} along the sharpest direction. Use at most {_MARGIN * limit:.2g}."
