"""Where the fastest backend changes: straight lines in logarithms have a point in common that is known."""

from __future__ import annotations

import math

import pytest

from pillars.measure import Timing
from pillars.measure.bench._crossover import crossovers
from pillars.measure.bench._results import OperationRow


def row(backend: str, moved: float, seconds: float | None, operation: str = "softmax") -> OperationRow:
    steady = None if seconds is None else Timing(seconds, seconds, seconds, 3, 1)
    parts = ("", "", backend, "float32", "body", 0.0, 1.0, True, None, None, steady, moved, 0.0, None, (), "")
    return OperationRow(operation, *parts)


def test_the_lines_cross_where_they_do() -> None:
    rows = [row("numpy", b, 1e-6 * b) for b in (1e2, 1e4)] + [
        row("jax", b, 1e-3 * math.sqrt(b) / 10) for b in (1e2, 1e4)
    ]
    # 1e-6·b = 1e-4·√b where √b = 100
    # where neither is the faster one nothing is decided, and the lines meet all the same
    [found] = crossovers([*rows, row("numpy", 1e6, 1.0), row("jax", 1e6, 0.1)])
    assert (found.operation, found.before, found.after) == ("softmax", "numpy", "jax")
    assert found.bytes == pytest.approx(1e4)


def test_between_two_sizes() -> None:
    rows = [row("numpy", 100, 1.0), row("jax", 100, 8.0), row("numpy", 10_000, 8.0), row("jax", 10_000, 1.0)]
    [found] = crossovers(rows)
    assert found.bytes == pytest.approx(1000.0)
    # nearer to where they are close
    rows[1] = row("jax", 100, 2.0)
    [nearer] = crossovers(rows)
    assert nearer.bytes == pytest.approx(100 * 100 ** (1 / 4))


def test_each_change_once_and_none_where_nothing_changes() -> None:
    times = {"numpy": (1.0, 2.0, 1.0), "jax": (2.0, 1.0, 2.0)}
    rows = [row(name, 10.0**i, t) for name, all_of in times.items() for i, t in enumerate(all_of, 1)]
    assert [(c.before, c.after) for c in crossovers(rows)] == [("numpy", "jax"), ("jax", "numpy")]
    assert (
        crossovers([row("numpy", 10, 1.0), row("jax", 10, 2.0), row("numpy", 99, 1.0), row("jax", 99, 2.0)])
        == ()
    )
    assert crossovers([row("numpy", 10, 1.0), row("numpy", 99, 1.0)]) == ()


def test_what_did_not_run_takes_no_part() -> None:
    rows = [row("numpy", 10, 1.0), row("jax", 10, None), row("numpy", 99, 2.0), row("jax", 99, 1.0)]
    assert crossovers(rows) == ()
    apart = [
        row("numpy", 10, 1.0),
        row("jax", 10, 2.0, "relu"),
        row("numpy", 99, 2.0),
        row("jax", 99, 1.0, "relu"),
    ]
    assert crossovers(apart) == ()


def test_what_overlaps_decides_nothing() -> None:
    def blurred(backend: str, moved: float, seconds: float) -> OperationRow:
        return row(backend, moved, seconds)._replace(steady=Timing(seconds, seconds / 2, 2 * seconds, 3, 1))

    sure = [row("numpy", 10, 1.0), row("jax", 10, 2.0)]
    # faster by a hair at the end, then slower, then for certain
    assert crossovers([*sure, blurred("numpy", 100, 1.1), blurred("jax", 100, 1.0)]) == ()
    rows = [
        *sure,
        blurred("numpy", 100, 1.1),
        blurred("jax", 100, 1.0),
        row("numpy", 1000, 8.0),
        row("jax", 1000, 2.0),
    ]
    [found] = crossovers(rows)
    assert (found.before, found.after) == ("numpy", "jax")
    assert 10 < found.bytes < 100  # log 2 above, log 1.1 below: nearly at the second size
    assert found.bytes == pytest.approx(10 * 10 ** (math.log(2) / math.log(2.2)))
