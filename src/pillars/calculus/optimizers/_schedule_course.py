"""The course of a schedule over a whole run: its largest rate, and the step at which it first reaches a bound."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from pillars._errors import PillarsError
from pillars.backends import Backend, backend as backend_of
from pillars.calculus.optimizers._init_and_update import refuse_rate, scheduled

__all__ = ["Course"]

_HORIZON = 1 << 20  # steps, where neither the run's length nor the schedule's own is known
# steps looked at one by one, by whether one call gives the rates of many
_DENSE = {True: 1 << 16, False: 1 << 10}
_OCTAVE = {True: 1 << 10, False: 1 << 6}  # and in every doubling from then on
_FINER = 64  # parts into which a stretch between two of them is cut
_LEAST = 1e-3  # of a direction that a step leaves: none lasts to be exactly on it
_ROUNDING = -72.0  # log of eps², what is left of a loss that has been lowered
_CLOSE = 1e-5  # rates of one call, and of a call each, in float32


class Course:
    """A schedule's rates at so many steps that a peak of a hundredth of its place's width is seen.

    Every step at first, and then more and more apart; every step that the schedule's own record names, and those beside
    it. A schedule that fails at some step, as a table does beyond its end, ends there.

    Attributes
    ----------
    places, rates : the steps looked at, in order, and the rates there.
    """

    def __init__(
        self, rule: Any, schedule: Callable[[Any], Any], backend: Backend, steps: int | None
    ) -> None:
        self._rule, self._schedule, self._backend = rule, schedule, backend
        named = sorted(set(_counts(getattr(schedule, "__dict__", {}).values())))
        last = max(_HORIZON, 2 * sum(named)) - 1 if steps is None else max(steps, 1) - 1
        self.places, self.rates = self._together(_spread(last, named, together=True))
        if not self.places:
            self.places, self.rates = self._one_by_one(_spread(last, named, together=False))
        self._refine()

    def largest(self) -> float:
        """The largest rate."""
        return max(self.rates)

    def growth(self, limit: float) -> float:
        """What the loss's part along the sharpest direction of a quadratic comes to on the way, as a logarithm.

        From 0 at the start, or from rounding, which is as small as it gets; without end where the last rate is above.
        """
        total = worst = 0.0
        for place, following, rate in zip(
            self.places, [*self.places[1:], self.places[-1] + 1], self.rates, strict=True
        ):
            factor = max(self._rule.growth(rate / limit), _LEAST)
            total = max(total + 2 * (following - place) * math.log(factor), _ROUNDING)
            worst = max(worst, total)
        return worst if self.rates[-1] < limit else math.inf

    def reaches(self, bound: float) -> int | None:
        """The first step whose rate is at least `bound`; None where none is."""
        k = next((k for k, rate in enumerate(self.rates) if rate >= bound), None)
        if k is None:
            return None
        below, above = self.places[k - 1] if k else -1, self.places[k]
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (below, middle) if self._at(middle) >= bound else (middle, above)
        return above

    def _at(self, step: int) -> float:
        try:
            rate = scheduled(self._rule, self._schedule, step)
        except PillarsError:
            raise
        except Exception:  # written for arrays alone, which is what an optimiser hands over
            count = self._backend.asarray(step, dtype=self._backend.xp.int32)
            rate = scheduled(self._rule, self._schedule, count)
        refuse_rate(self._rule, rate, self._backend)
        return float(rate)

    def _together(self, places: list[int]) -> tuple[list[int], list[float]]:
        """The rates of one call for all steps; nothing where the schedule is not made for that."""
        host = backend_of("numpy")
        try:
            with host.quiet():
                given = self._schedule(host.xp.asarray(places))
            rates = host.xp.asarray(backend_of(given).to_numpy(given), dtype=host.xp.float64)
        except Exception:  # whatever it makes of an array, it has to be asked step by step then
            return [], []
        if rates.shape != (len(places),) or not bool(host.xp.all(rates >= 0)):
            return [], []
        looked = {0, 1, len(places) // 3, len(places) - 1, int(host.xp.argmax(rates))} & {*range(len(places))}
        for k in looked:
            one = self._at(places[k])
            if abs(one - rates[k]) > _CLOSE * max(abs(one), float(rates[k])):
                return [], []
        return places, rates.tolist()

    def _one_by_one(self, places: list[int]) -> tuple[list[int], list[float]]:
        rates = [self._at(places[0])]
        for step in places[1:]:
            try:
                rates.append(self._at(step))
            except PillarsError:
                raise
            except Exception:  # a table has an end
                break
        return places[: len(rates)], rates

    def _refine(self) -> None:
        """Look closer about the largest rate, until its neighbours have been seen."""
        while True:
            k = self.rates.index(max(self.rates))
            ends = self.places[max(k - 1, 0)], self.places[min(k + 1, len(self.places) - 1)]
            step = max((ends[1] - ends[0]) // _FINER, 1)
            more = [place for place in range(ends[0] + step, ends[1], step) if place != self.places[k]]
            if ends[1] - ends[0] <= 2 or not more:
                return
            for place in more:
                at = bisect_right(self.places, place)
                if self.places[at - 1] != place:
                    self.places.insert(at, place)
                    self.rates.insert(at, self._at(place))
            if step == 1:
                return


def _counts(values: Iterable[Any]) -> list[int]:
    """The integers in a schedule's record, in sequences too: its lengths and places."""
    result: list[int] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            result += _counts(value)
        elif hasattr(value, "__dataclass_fields__"):
            result += _counts(vars(value).values())
        elif isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 30:
            result.append(value)
    return result


def _spread(last: int, named: list[int], *, together: bool) -> list[int]:
    """The steps to look at, from 0 to `last`."""
    dense, octave = _DENSE[together], _OCTAVE[together]
    places = {*range(min(dense, last + 1)), last}
    begin = dense
    while begin <= last:
        places.update(range(begin, min(2 * begin, last), max(begin // octave, 1)))
        begin *= 2
    total = 0
    for count in named:
        total += count
        places.update(place + k for place in (count, total) for k in (-1, 0, 1))
    return sorted(place for place in places if 0 <= place <= last)
