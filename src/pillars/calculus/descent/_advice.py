"""What to say of a descent: its status, or the shape of its history, decides."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, pstdev
from typing import Any

from pillars.calculus.descent._status import Status

__all__ = ["advised"]

_STILL = 1e-3  # a change of the loss, as a part of its whole fall, that raising steps would still be worth
_FLAT = 1e-9
_FEW = 8  # changes that say nothing of noise
_LEAPS = 9.0  # times the whole fall: a rise on the way that is worth words
_SPENT = 1e-6  # of the largest rate: what is below it moves nothing
# of the largest rate, and of the first gradient's norm: a schedule that ended too early
_LOW, _LARGE = (1e-3, 0.1)


def advised(parts: list[Any]) -> str:
    """What a status means for a run, and what to do about it.

    Parameters
    ----------
    parts : host arrays: status code, loss, steps, sharpness and limit, 0-d; the history's loss, rate and norm; and
        after how many steps the parameters were reached, and which of several monitors halted the run, 0-d.
    """
    code, loss, steps, sharpness, limit = (float(part) for part in parts[:5])
    n = int(steps)
    losses, rates, norms = ([float(x) for x in part[:n]] for part in parts[5:8])
    step, place = map(int, parts[8:]) if parts[8:] else (n, -1)
    monitor = "the monitor" if place < 0 else f"monitor[{place}]"
    if place >= 0 and code == Status.STALLED:
        monitor = f"the EarlyStopping monitor[{place}]"
    rate = f"learning rate {rates[-1]:.3g}" if rates else "learning rate"
    if step < n - (code == Status.LOSS_BROKE):
        return _restored(Status(int(code)), n, losses, loss, step, monitor, _cause(sharpness, limit, rate))
    match Status(int(code)):
        case Status.RUNNING | Status.INTERRUPTED:
            return (
                f"the run was interrupted after {n} steps, at a loss of {loss:.4g}. The same call with checkpoint= "
                "takes it up to the bit; these params begin the optimiser and its schedule anew."
            )
        case Status.STEPS if n:
            return _after_all_steps(losses, loss, norms, rates)
        case Status.STEPS:
            return "no step was asked for: these are the parameters given."
        case Status.CONVERGED:
            return f"the gradient's norm is below the tolerance after {n} steps."
        case Status.GRADIENT_BROKE:
            return (
                f"after {n} steps the loss is {loss:.4g} but its gradient is not finite. Look for sqrt or log at 0, or "
                "a branch that where() discards; check_gradient at these parameters says which entries, "
                "pillars.diagnosis.find_nonfinite(pillars.calculus.grad(loss), params, *data) where."
            )
        case Status.START_BROKE:
            return (
                f"at the parameters given the loss is {loss:.3g}, before any step. Look for values in the data that "
                "are not finite, exp() of a large number (pillars.probability has the losses that avoid it), log(0), "
                "or a division by 0; pillars.diagnosis.find_nonfinite(loss, params, *data) says where."
            )
        case Status.STOPPED:
            return f"the callback ended the run after {n} steps, at a loss of {loss:.4g}."
        case Status.STALLED:
            return _stalled(losses, loss, rates, monitor)
        case Status.HALTED:
            begin, cause = _halted(n, losses, loss, rate, monitor)
            return f"{begin} {cause or _cause(sharpness, limit, rate)}"
    return _blown_up(Status(int(code)), n, losses, loss, _cause(sharpness, limit, rate))


def _restored(
    code: Status, n: int, losses: list[float], loss: float, step: int, monitor: str, cause: str
) -> str:
    ended = {
        Status.STEPS: f"all {n} steps were taken",
        Status.CONVERGED: f"the gradient's norm is below the tolerance after {n} steps",
        Status.HALTED: f"{monitor} halted the run after {n} steps, where the loss had gone from {losses[0]:.4g} to "
        f"{losses[-1]:.4g} before the last of them",
        Status.LOSS_BROKE: f"step {n} gave a loss or parameters that are not finite",
        Status.GRADIENT_BROKE: f"after {n} steps the gradient is not finite",
        Status.STALLED: f"{monitor} halted the run after {n} steps: "
        f"no loss has beaten {min(losses):.4g} for its patience",
        Status.STOPPED: f"the callback ended the run after {n} steps",
        Status.INTERRUPTED: f"the run was interrupted after {n} steps",
    }.get(code, f"the loss went up to {losses[-1]:.4g} in {n} steps; each of the last ones raised it")
    best = f"{ended}. params are the best seen, of step {step}, with a loss of {loss:.4g} on all data."
    if code == Status.UPHILL:
        return f"{best} The gradient that was handed over points uphill: change its sign, and see check_gradient."
    if code == Status.HALTED and losses[-1] < losses[0]:
        return f"{best} {_BY_CHANCE}."
    if code == Status.LOSS_BROKE:
        return f"{best} {cause} {_TAKEN}"
    return f"{best} {cause}" if code in {Status.DIVERGED, Status.HALTED} else best


_BY_CHANCE = 'Losses of small batches rise by chance, which LossMonitor(rule="robust") looks past'


def _stalled(losses: list[float], loss: float, rates: list[float], monitor: str) -> str:
    least = min([*losses, loss])
    begin = f"{monitor} halted the run after {len(losses)} steps: no loss has beaten {least:.4g} for its patience."
    if losses and loss > losses[0]:
        return (
            f"{begin} At these params it is {loss:.4g}, more than at the start, {losses[0]:.4g}: begin again with a "
            f"lower learning rate than {rates[-1]:.3g}, not from here."
        )
    begin = f"{begin} At these params, on all data, it is {loss:.4g}."
    leapt = _leap([*losses, loss], rates)
    if leapt:
        return f"{begin} {leapt} {_AGAIN}"
    lower = f"the learning rate {rates[-1]:.3g}" if rates else "the learning rate"
    return f"{begin} Lower {lower} to go on from here, or raise the monitor's patience."


def _halted(n: int, losses: list[float], loss: float, rate: str, monitor: str) -> tuple[str, str]:
    start = losses[0] if losses else loss
    begin = f"{monitor} halted the run after {n} steps: the loss had gone from {start:.4g} to {loss:.4g}."
    if not loss > min([*losses, loss]):
        return begin, "That is the least it had been: see what the monitor's own rule looks at."
    if loss < start:
        return begin, f"{_BY_CHANCE}. If this one rises in earnest, lower the {rate}."
    return begin, ""


def _blown_up(code: Status, n: int, losses: list[float], loss: float, cause: str) -> str:
    went = f"the loss went from {losses[0]:.4g} to {loss:.4g} in {n} steps"
    if code == Status.UPHILL:
        return (
            f"{went}: the gradient that was handed over points uphill. From the parameters given, small steps against "
            "it raise the loss as fast as they should lower it: change its sign, and see check_gradient."
        )
    if code == Status.LOSS_BROKE:
        went = (
            f"step {n} gave a loss or parameters that are not finite, after the loss had gone from {losses[0]:.4g} to "
            f"{losses[-1]:.4g}; params and loss are those before it"
        )
        return f"{went}. {cause} {_TAKEN}"
    if len(losses) > 2 and losses[-3] < losses[-2] < losses[-1] < loss:
        return f"{went}; each of the last ones raised it. {cause}"
    return f"{went}, on all data, far beyond what batches differ by. {cause}"


# at the params of the result all is finite: there it would find nothing
_TAKEN = "pillars.diagnosis.find_nonfinite(loss, params, *data) says where it broke, given the params of that step."


def _cause(sharpness: float, limit: float, rate: str) -> str:
    if isfinite(limit):
        return (
            f"It grew by a steady factor, which at {rate} implies a curvature of {sharpness:.4g} and a limit of "
            f"{limit:.3g} for the learning rate: use at most {0.9 * limit:.2g}. If the gradient is hand-derived, "
            "check_gradient rules out a wrong one."
        )
    return (
        f"Lower the {rate} tenfold, warm it up, or pass clip_norm=1.0. If the gradient is hand-derived, check it with "
        "check_gradient first."
    )


def _after_all_steps(losses: list[float], loss: float, norms: list[float], rates: list[float]) -> str:
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
    every = [*losses, loss]
    leapt = _leap(every, rates)
    if not leapt:
        return f"{told} {_next(every, norms, rates)}"
    if abs(every[-1] - every[-max(2, n // 10)]) > _STILL * abs(losses[0] - loss):
        return f"{told} {leapt} {_next(every, norms, rates)}"
    return f"{told} {leapt} {_AGAIN}"


_AGAIN = (
    "What it ended on may be where the leap threw it, such as units that are 0 on every row: begin again with a lower "
    "rate, a warm-up, or clip_norm=1.0."
)


def _leap(losses: list[float], rates: list[float]) -> str:
    """That the loss was far above its start for a while; empty where it was not, or ended there."""
    top = max(losses)
    if losses[-1] > losses[0] or top - losses[0] <= _LEAPS * (losses[0] - losses[-1]):
        return ""
    place = losses.index(top)
    return f"On the way it leapt to {top:.4g}, at step {place}: the rate was too large there, {rates[place - 1]:.3g}."


def _next(losses: list[float], norms: list[float], rates: list[float]) -> str:
    rate = f"learning rate {rates[-1]:.3g}"
    first, last, least = losses[0], losses[-1], min(losses)
    fall = first - least
    window = losses[-(max(2, len(losses) // 10) + 1) :]
    recent = window[0] - window[-1]
    scale = max(abs(first), abs(last))
    if norms[-1] == 0:
        return "The gradient is exactly 0 there: more steps change nothing. Start elsewhere if that is no minimum."
    ended = rates[-1] <= _LOW * max(rates) and norms[-1] > _LARGE * norms[0] and last <= first
    if ended or rates[-1] <= _SPENT * max(rates):
        return _spent(norms[-1], rates)
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
        return (
            f"It fell by {100 * fall / scale:.2g} % only, as fast at the end as at first: raise the {rate}."
        )
    if recent > _STILL * fall and not _jitters(window):
        return "It is still falling: raise steps; with tolerance= a run ends once the gradient's norm is below it."
    if recent < -_STILL * fall:
        return f"It has risen again lately, from {least:.4g} at best: lower the {rate}, or let a schedule lower it."
    return "It hardly falls any more: with tolerance= a run ends once the gradient's norm is below it."


def _spent(norm: float, rates: list[float]) -> str:
    since = len(rates)
    while since and rates[since - 1] == rates[-1]:
        since -= 1
    stands = f" It has stood there since step {since}." if since < len(rates) - 1 else ""
    return (
        f"The schedule has brought the rate down to {rates[-1]:.2g}: more steps need a longer schedule.{stands} Its "
        f"largest was {max(rates):.2g}, and the gradient's norm is {norm:.3g} at the end."
    )


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
