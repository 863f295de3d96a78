"""The verdict on a descent's history: whether it diverged, and what it implies of the curvature."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pillars.backends import backend, namespace
from pillars.calculus.descent._status import DIVERGED, GRADIENT_BROKE, HALTED, LOSS_BROKE, RUNNING, STEPS

__all__ = ["Verdict", "judge"]

_STEADY = 1.1  # how much the growth of the last steps may vary and still be one number
_NOTICEABLE = 1.001
_PER_DIFFERENCE = math.sqrt(math.pi) / 2  # standard deviation over mean |difference| of two, for normal noise
_FAR, _NEAR = 6.0, 2.0  # times the noise of the batches
_FEWEST = 4  # losses in the first half that tell their noise


class Verdict(NamedTuple):
    """The final status code, and what the last losses imply."""

    code: Any
    sharpness: Any
    limit: Any


def judge(code: Any, losses: Any, rates: Any, last: Any, implied: Any, after: Any = None) -> Verdict:
    """Tell divergence from a run that was merely long enough, and read curvature off a steady growth.

    Along the eigenvector that dominates, a quadratic's error is multiplied by −r in every step, so differences of
    successive losses by r², whatever the loss's minimum: r and the rate give the curvature.

    Diverged is what was not halted and ends at the highest loss of the whole run, after three steps each of which
    raised it. A fixed bound on the loss would call a run healthy whose loss has merely not got there yet. Losses of
    batches rise by chance: there the loss on all data has to stand out of their noise (:func:`_stands_out`).

    Parameters
    ----------
    code : 0-d, RUNNING where nothing ended the run early.
    losses : (n,), in order, entries after `last` without meaning.
    rates : (n,) of the same dtype, the rate of the step from each of these losses on.
    last : 0-d integer: the place of the last loss that counts.
    implied : the rule's formula, (growth, rate) -> (curvature, limit), or None where it has none.
    after : 0-d, the loss on all data after the last step, where `losses` are those of batches; None: they are not.
    """
    xp = namespace(losses)
    n = losses.shape[0]
    nan = xp.full_like(losses[0, ...], xp.nan)
    steps = xp.full_like(code, STEPS)
    ended = xp.where(code == RUNNING, steps, code)
    if n < 4:
        return Verdict(ended, nan, nan)
    device = backend(losses).device_beside(losses)
    places = xp.arange(n, dtype=last.dtype, device=device)
    counted = xp.where(places <= last, losses, xp.full_like(losses, -xp.inf))
    recent = last - 4 + xp.arange(5, dtype=last.dtype, device=device)
    tail = xp.take(losses, xp.clip(recent, 0, n - 1))
    rises = tail[1:] - tail[:-1]
    final = tail[4]
    risen = xp.all(rises[1:] > 0) & (final >= xp.max(counted))
    if after is not None:
        risen = _stands_out(xp, losses, places, last, xp.astype(after, losses.dtype), risen)
    risen = risen & (last >= 3)
    verdict = xp.where((code == RUNNING) & risen, xp.full_like(code, DIVERGED), ended)
    rate = xp.take(rates, xp.clip(recent[:4], 0, n - 1))
    growths = rises[1:] / xp.where(rises[:-1] > 0, rises[:-1], xp.ones_like(rises[:-1]))
    # a monitor may halt a run at three rises: then two growths have to do
    few = code == HALTED
    growths = xp.where(few & (xp.arange(3, device=device) == 0), growths[1], growths)
    rose = xp.all(rises[1:] > 0) & ((rises[0] > 0) | few)
    steady = ((last >= 4) | (few & (last >= 3))) & rose & (xp.max(growths) < _STEADY * xp.min(growths))
    steady = steady & (xp.max(rate) == xp.min(rate)) & (growths[2] > _NOTICEABLE)
    growth = xp.sqrt(xp.where(steady, growths[2], xp.ones_like(growths[2])))
    result = implied(growth, rate[3])
    if result is None:
        return Verdict(verdict, nan, nan)
    sharpness, limit = result
    broke = few | (verdict == DIVERGED) | (verdict == LOSS_BROKE) | (verdict == GRADIENT_BROKE)
    told = steady & broke
    return Verdict(verdict, xp.where(told, sharpness, nan), xp.where(told, limit, nan))


def _stands_out(xp: Any, losses: Any, places: Any, last: Any, after: Any, risen: Any) -> Any:
    """Whether the loss on all data after the last step is above what the noise of the batches explains.

    Above the level of the first half of them by six times its noise (√π/2 times the mean difference of neighbours, a
    standard deviation where the noise is normal), the last three by twice; that takes eight losses. Or, however few
    there are, above all of them by more than they differ among themselves, after three rises.
    """
    half = (last + 1) // 2
    first, pairs = places < half, places[1:] < half
    zeros = xp.zeros_like(losses)
    number = xp.astype(half, losses.dtype)
    level = xp.sum(xp.where(first, losses, zeros)) / number
    steps = xp.sum(xp.where(pairs, xp.abs(losses[1:] - losses[:-1]), zeros[1:]))
    noise = _PER_DIFFERENCE * steps / xp.where(half > 1, number - 1, xp.ones_like(number))
    recent = xp.min(xp.where((places > last - 3) & (places <= last), losses, xp.full_like(losses, xp.inf)))
    far = (after > level + _FAR * noise) & (recent > level + _NEAR * noise) & (last >= 2 * _FEWEST - 1)
    highest = xp.max(xp.where(places <= last, losses, xp.full_like(losses, -xp.inf)))
    lowest = xp.min(xp.where(places <= last, losses, xp.full_like(losses, xp.inf)))
    return far | (risen & (after - highest > highest - lowest))
