"""A bench against an older one: what got slower or faster by more than either run's own spread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pillars.measure.bench._environment import Environment
from pillars.measure.bench._results import Bench, GradientRow, OperationRow
from pillars.measure.bench._timing import Timing

__all__ = ["Change", "Comparison", "compare"]

_Key = tuple[str, str, str, str, str, str]  # what, operation, size, shape, dtype, backend
_CLEAR = 1.1  # how far apart the nearer quartiles must be: two runs differ by more than one does in itself


class Change(NamedTuple):
    """One row's time in two runs, seconds a call, medians.

    Attributes
    ----------
    what : "forward", "gradient by hand", "gradient by autodiff".
    """

    what: str
    operation: str
    size: str
    shape: str
    dtype: str
    backend: str
    before: float
    after: float


class Comparison(NamedTuple):
    """Two benches, row by row.

    Attributes
    ----------
    date, commit : of the older one.
    differs : what else is not the same, a line each: machine, threads, versions, variables.
    slower, faster : rows whose quartiles are at least a tenth apart, the largest change first.
    alike : how many rows are not.
    apart : how many rows only one of the two has.
    """

    date: str
    commit: str | None
    differs: tuple[str, ...]
    slower: tuple[Change, ...]
    faster: tuple[Change, ...]
    alike: int
    apart: int


def compare(bench: Bench, older: Bench) -> Comparison:
    """Hold a bench against an older one.

    A row counts as slower where the lower quartile of the new run is over a tenth above the upper one of the old, and
    as faster the other way round: what lies between is each run's own noise.
    """
    new, old = dict(_times(bench)), dict(_times(older))
    slower, faster, alike = [], [], 0
    for key, after in new.items():
        if key not in old:
            continue
        before = old[key]
        change = Change(*key, before.median, after.median)
        if after.low > _CLEAR * before.high:
            slower.append(change)
        elif before.low > _CLEAR * after.high:
            faster.append(change)
        else:
            alike += 1
    return Comparison(
        date=older.environment.date,
        commit=older.environment.commit,
        differs=tuple(_differences(bench.environment, older.environment)),
        slower=tuple(sorted(slower, key=lambda change: change.before / change.after)),
        faster=tuple(sorted(faster, key=lambda change: change.after / change.before)),
        alike=alike,
        apart=len(new.keys() ^ old.keys()),
    )


def _times(bench: Bench) -> Iterator[tuple[_Key, Timing]]:
    """(what, operation, size, shape, dtype, backend) -> the steady state, of every row that has one."""
    for row in bench.operations:
        if row.steady is not None:
            yield ("forward", *_place(row)), row.steady
    for slope in bench.gradients:
        for side, name in ((slope.hand, "by hand"), (slope.autodiff, "by autodiff")):
            if side.steady is not None:
                yield (f"gradient {name}", *_place(slope)), side.steady


def _place(row: OperationRow | GradientRow) -> tuple[str, str, str, str, str]:
    return row.operation, row.size, row.shape, row.dtype, row.backend


def _differences(new: Environment, old: Environment) -> Iterator[str]:
    for name in ("cpu", "cores", "threads", "system", "python", "blas"):
        then, now = getattr(old, name), getattr(new, name)
        if then != now:
            yield f"{name}: {_said(then)} then, {_said(now)} now"
    for before, after in ((old.packages, new.packages), (old.variables, new.variables)):
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield f"{key}: {before.get(key, 'none')} then, {after.get(key, 'none')} now"


def _said(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
