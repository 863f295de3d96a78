"""The formulas of schedules that have several pieces, for Python's numbers, arrays and tracers alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pillars.backends import MOST
from pillars.calculus.optimizers._schedule_formulas import Schedule, passed_of

__all__ = ["INTERPOLATIONS", "Joined", "Points", "Polynomial", "Restarts"]

INTERPOLATIONS = ("constant", "linear", "cosine")
_HALF_TURN = math.pi / 2


@dataclass(frozen=True)
class Points(Schedule):
    """Through given rates at given steps."""

    rates: tuple[Any, ...]
    places: tuple[int, ...]
    interpolation: str

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """Piece by piece; each rate exactly, at its step."""
        result = self.rates[0] + 0.0 * real(xp.minimum(xp.maximum(step, 0), 1))
        for (low, high), (begin, end) in zip(pairwise(self.rates), pairwise(self.places), strict=True):
            if self.interpolation != "constant":
                passed = passed_of(xp, step, begin, end - begin)
                near, far = (self._share(xp, real(n) / (end - begin)) for n in (end - begin - passed, passed))
                # two positive parts: the difference of the rates would cost the digits of the smaller one
                result = xp.where(step > begin, low * near + high * far, result)
            result = xp.where(step >= end, high + 0.0 * result, result)
        return result

    def _share(self, xp: Any, x: Any) -> Any:
        return xp.sin(_HALF_TURN * x) ** 2 if self.interpolation == "cosine" else x


@dataclass(frozen=True)
class Polynomial(Schedule):
    """A power of what is left."""

    peak: Any
    steps: int
    power: float
    final: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """From the peak to the final rate."""
        passed = passed_of(xp, step, 0, self.steps)
        left = (real(self.steps - passed) / self.steps) ** self.power
        return xp.where(passed <= 0, self.peak, self.final + (self.peak - self.final) * left)


@dataclass(frozen=True)
class Restarts(Schedule):
    """Half a cosine down, again and again."""

    peak: Any
    steps: int
    growth: int
    final: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """The cycle and the place in it as integers; the squared sine of what is left, as its digits do not cancel."""
        place = xp.maximum(step, 0)
        if self.growth == 1:
            place = place % self.steps
            left = self._left(real, place, self.steps)
        else:
            begin, length, left = 0, self.steps, self._left(real, place, self.steps)
            while begin + length <= MOST:
                begin, length = begin + length, length * self.growth
                later = xp.maximum(step, begin) - begin
                left = xp.where(step >= begin, self._left(real, later, length), left)
                place = xp.where(step >= begin, later, place)
        share = xp.sin(_HALF_TURN * left) ** 2
        return xp.where(place <= 0, self.peak, self.final + (self.peak - self.final) * share)

    def _left(self, real: Callable[[Any], Any], place: Any, length: int) -> Any:
        """The share of a cycle that lies ahead; one may be longer than any count, whose surplus is added apart."""
        whole = min(length, MOST)
        return (real(whole - place) + float(length - whole)) / float(length)


@dataclass(frozen=True)
class Joined(Schedule):
    """One schedule after another."""

    schedules: tuple[Schedule, ...]
    places: tuple[int, ...]

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """Each by its own count."""
        result = self.schedules[0].rate(xp, real, step)
        for place, schedule in zip(self.places, self.schedules[1:], strict=True):
            later = schedule.rate(xp, real, xp.maximum(step, place) - place)
            result = xp.where(step >= place, later, result)
        return result
