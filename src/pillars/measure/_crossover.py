"""From which size on another backend is the faster one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pillars.measure._results import Crossover, OperationRow

__all__ = ["crossovers"]


def crossovers(rows: Sequence[OperationRow]) -> tuple[Crossover, ...]:
    """Every change of the fastest backend between neighbouring sizes, operation by operation.

    A backend that did not run at both sizes takes no part between them.

    Examples
    --------
    >>> crossovers(())
    ()
    """
    found = []
    for operation in dict.fromkeys(row.operation for row in rows):
        sizes: dict[float, dict[str, float]] = {}
        for row in rows:
            if row.operation == operation and row.steady is not None and row.bytes:
                sizes.setdefault(row.bytes, {})[row.backend] = row.steady.median
        points = sorted(sizes.items())
        for (low, first), (high, second) in itertools.pairwise(points):
            both = [name for name in first if name in second]
            if len(both) < 2:
                continue
            before, after = min(both, key=lambda name: first[name]), min(both, key=lambda name: second[name])
            if before != after:
                # how far the two are apart, in logarithms: of one sign below, of the other above
                below = math.log(first[after] / first[before])
                above = math.log(second[before] / second[after])
                share = below / (below + above) if below + above > 0 else 0.5
                found.append(Crossover(operation, before, after, low * (high / low) ** share))
    return tuple(found)
