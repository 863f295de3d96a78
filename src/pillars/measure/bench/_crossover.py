"""From which size on another backend is the faster one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from pillars.measure.bench._results import Crossover, OperationRow
from pillars.measure.bench._timing import Timing

__all__ = ["crossovers"]


def crossovers(rows: Sequence[OperationRow]) -> tuple[Crossover, ...]:
    """Every change of the fastest backend from one size to a larger one, operation by operation.

    A size where the quartiles of the fastest overlap another's decides nothing, and a backend that did not run at all
    sizes takes no part.

    Examples
    --------
    >>> crossovers(())
    ()
    """
    result = []
    for operation in dict.fromkeys(row.operation for row in rows):
        sizes: dict[float, dict[str, Timing]] = {}
        for row in rows:
            if row.operation == operation and row.steady is not None and row.bytes:
                sizes.setdefault(row.bytes, {})[row.backend] = row.steady
        points = sorted(sizes.items())
        known = set.intersection(*(set(times) for _, times in points)) if points else set()
        decided = [(i, name) for i, (_, times) in enumerate(points) if (name := _fastest(times, known))]
        for (first, before), (last, after) in pairwise(decided):
            if before != after:
                moved = _meeting(points[first : last + 1], before, after)
                result.append(Crossover(operation, before, after, moved))
    return tuple(result)


def _fastest(times: Mapping[str, Timing], known: Collection[str]) -> str:
    """The backend that is the fastest beyond doubt; empty where none is."""
    ran = sorted((times[name].median, name) for name in known)
    if len(ran) < 2:
        return ""
    (_, first), (_, second) = ran[:2]
    return first if times[first].high < times[second].low else ""


def _meeting(points: Sequence[tuple[float, Mapping[str, Timing]]], before: str, after: str) -> float:
    """The bytes at which both take as long: by straight lines through the logarithms, where they first cross."""
    # above 0, then below
    apart = [math.log(times[after].median / times[before].median) for _, times in points]
    place = next(i for i, value in enumerate(apart[1:]) if value <= 0)
    (low, _), (high, _) = points[place : place + 2]
    share = apart[place] / (apart[place] - apart[place + 1])
    return float(low * (high / low) ** share)
