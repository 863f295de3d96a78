"""What to say of a descent that took all its steps: the shape of its history decides."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from statistics import fmean, pstdev

__all__ = ["after_all_steps"]

_STILL = 1e-3  # a change of the loss, as a part of its whole fall, that raising steps would still be worth
_FLAT = 1e-9
_FEW = 8  # changes that say nothing of noise
_SPENT = 1e-6  # of the largest rate: what is below it moves nothing


def after_all_steps(losses: list[float], loss: float, norms: list[float], rates: list[float]) -> str:
    """One sentence of figures and one of advice.

    Parameters
    ----------
    losses, norms : before each step; `loss` after the last one.
    rates : of each step.
    """
    n = len(losses)
    told = (
        f"all {n} steps were taken: the loss went from {losses[0]:.4g} to {loss:.4g}, the gradient's norm from "
        f"{norms[0]:.3g} to {norms[-1]:.3g}."
    )
    return f"{told} {_advised([*losses, loss], norms, rates)}"


def _advised(losses: list[float], norms: list[float], rates: list[float]) -> str:
    rate = f"learning rate {rates[-1]:.3g}"
    first, last, least = losses[0], losses[-1], min(losses)
    fall = first - least
    window = losses[-(max(2, len(losses) // 10) + 1) :]
    recent = window[0] - window[-1]
    scale = max(abs(first), abs(last))
    if norms[-1] == 0:
        return "The gradient is exactly 0 there: more steps change nothing. Start elsewhere if that is no minimum."
    if rates[-1] <= _SPENT * max(rates):
        return (
            f"The schedule has brought the rate down to {rates[-1]:.2g}: more steps need a longer schedule."
        )
    if last > first:
        return f"It rose: lower the {rate}, tenfold to begin with."
    if last < 0 and norms[-1] > norms[0] and recent > 0.5 * fall > 0:
        return "It falls ever faster as the gradient grows: see whether the loss is bounded below."
    if fall <= _FLAT * scale:
        if norms[-1] > 0.5 * norms[0] and norms[0] > 0:
            return (
                f"It did not change, and the gradient is as large as it was: the {rate} moves the parameters too "
                "little to matter, or so far that they jump from one side of the minimum to the other. Try both ways."
            )
        return "It did not change: raise the tolerance, or start elsewhere."
    if fall <= _STILL * scale and norms[-1] > 0.9 * norms[0] and recent > 0:
        return f"It fell by {100 * fall / scale:.2g} % only, and no slower at the end: raise the {rate}."
    if recent > _STILL * fall and not _jitters(window):
        return "It is still falling: raise steps; tolerance= stops at a gradient's norm."
    if recent < -_STILL * fall:
        return f"It has risen again lately, from {least:.4g} at best: lower the {rate}, or let a schedule lower it."
    return "It no longer falls to speak of: tolerance= would have stopped at a gradient's norm."


def _jitters(window: list[float]) -> bool:
    """Whether the losses go up and down, as those of batches do, by more than their two halves differ."""
    changes = [b - a for a, b in pairwise(window)]
    if len(changes) < _FEW:
        return False
    if min(sum(change > 0 for change in changes), sum(change < 0 for change in changes)) < len(changes) / 4:
        return False
    half = len(window) // 2
    before, after = fmean(window[:half]), fmean(window[half:])
    noise = pstdev(changes) / sqrt(2)  # of one loss
    return abs(before - after) < 3 * noise * sqrt(2 / half)
