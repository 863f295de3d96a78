"""How long a call takes: its first time apart, then many times, in turn with its rivals."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from statistics import quantiles
from typing import Any, NamedTuple

from pillars._errors import one_line

__all__ = ["Candidate", "Timing", "first_call", "race", "summarise"]


class Timing(NamedTuple):
    """Seconds a call, over many samples.

    Attributes
    ----------
    median, low, high : seconds; low and high are the quartiles.
    samples : how many times it was measured.
    inner : calls in each sample (a sample's figure is their mean).
    """

    median: float
    low: float
    high: float
    samples: int
    inner: int

    @property
    def spread(self) -> float:
        """The quartiles' distance as a fraction of the median."""
        return (self.high - self.low) / self.median if self.median > 0 else 0.0


class Candidate(NamedTuple):
    """One call in a race: `call` does the work, `synchronize` waits for what it returned."""

    call: Callable[[], Any]
    synchronize: Callable[[Any], Any]


def first_call(candidate: Candidate) -> tuple[Any, float]:
    """The result of one call, and the seconds it took: compilation, caches and page faults included."""
    start = time.perf_counter()
    result = candidate.call()
    candidate.synchronize(result)
    return result, time.perf_counter() - start


def race(
    candidates: Mapping[str, Candidate],
    *,
    rounds: int = 3,
    samples: int = 5,
    min_time: float = 0.004,
    pause: float = 0.05,
    failures: MutableMapping[str, str] | None = None,
) -> dict[str, Timing]:
    """Time candidates in turn, forwards and backwards, so that what drifts on the machine drifts for all of them.

    Parameters
    ----------
    candidates : name -> Candidate; each must have been called once before.
    rounds : turns each candidate gets.
    samples : measurements a turn, fewer when one alone takes long.
    min_time : seconds that one sample lasts at least; fast calls are repeated inside it.
    pause : seconds of sleep before each turn. BLAS threads keep spinning after a call and would slow the
        next candidate.
    failures : filled with the name and the reason of each candidate that raises, which then leaves the race; None:
        the exception ends it.

    Returns
    -------
    name -> Timing, of those that finished. Every call is waited for, so that a device's queue does not hide the work.

    Examples
    --------
    >>> nothing = Candidate(lambda: None, lambda result: None)
    >>> race({"nothing": nothing}, rounds=1, pause=0.0)["nothing"].median < 1e-3
    True
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    lost: MutableMapping[str, str] = {} if failures is None else failures
    inner: dict[str, int] = {}

    @contextmanager
    def run(name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if failures is None:
                raise
            lost[name] = one_line(error)

    for name, candidate in candidates.items():
        with run(name):
            inner[name] = _inner_calls(candidate, min_time)
    order = list(candidates)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for name in order if turn % 2 == 0 else reversed(order):
                if name in lost:
                    continue
                time.sleep(pause)
                with run(name):
                    taken[name] += _turn(candidates[name], inner[name], samples, min_time)
    finally:
        if collecting:
            gc.enable()
    return {name: summarise(taken[name], inner[name]) for name in candidates if name not in lost}


def summarise(seconds: Iterable[float], inner: int = 1) -> Timing:
    """Median and quartiles (linear interpolation) of the samples.

    Examples
    --------
    >>> summarise([3.0, 1.0, 2.0])
    Timing(median=2.0, low=1.5, high=2.5, samples=3, inner=1)
    """
    taken = list(seconds)
    if not taken:
        raise ValueError("summarise: got no samples, expected at least one.")
    # of one sample alone Python before 3.13 tells no quantiles
    low, median, high = quantiles(taken * 2 if len(taken) == 1 else taken, n=4, method="inclusive")
    return Timing(median, low, high, len(taken), inner)


def _sample(candidate: Candidate, calls: int) -> float:
    call, synchronize = candidate
    start = time.perf_counter()
    for _ in range(calls):
        synchronize(call())
    return (time.perf_counter() - start) / calls


def _turn(candidate: Candidate, inner: int, samples: int, min_time: float) -> list[float]:
    if inner > 1:
        _sample(candidate, 1)  # wakes threads and caches, which a long call does by itself
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < samples:
        taken.append(_sample(candidate, inner))
        if time.perf_counter() - began > 10 * samples * min_time:
            break
    return taken


def _inner_calls(candidate: Candidate, min_time: float) -> int:
    """Doubled until a sample lasts long enough: one guess from one call would be thrown by its outliers."""
    calls = 1
    if min_time <= 0:
        return calls
    while (took := _sample(candidate, calls) * calls) < min_time and calls < 1 << 20:
        calls = max(2 * calls, int(calls * min_time / took)) if took > 0 else 2 * calls
    return calls
