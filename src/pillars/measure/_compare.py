"""A bench against an older one: what got slower or faster by more than either run's own spread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pillars.measure._results import Bench, as_json
from pillars.measure._schema import BENCH
from pillars.measure.data import DataError

__all__ = ["Change", "Comparison", "compare", "load_bench"]

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


def load_bench(path: Path) -> dict[str, Any]:
    """The JSON of ``pillars bench --json``, of this version.

    Raises
    ------
    DataError : no such file, no JSON, no bench, the bench of another version, or one with parts missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataError(
            f"compare: cannot read {path}: {reason}. Expected what pillars bench --json printed."
        ) from None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"compare: {path} is no JSON (line {error.lineno}). Expected what pillars bench --json printed."
        ) from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != BENCH:
        raise DataError(
            f"compare: {path} has schema {schema!r}, expected {BENCH!r}. "
            "Measure the older commit with this version's bench."
        )
    try:
        dict(_times(found))
        where = found["environment"]
        tuple(_differences(where, where)), where["date"], where["commit"]
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"compare: {path} lacks parts of a bench. Expected all that pillars bench --json printed."
        ) from None
    return dict(found)


def compare(bench: Bench, older: Mapping[str, Any]) -> Comparison:
    """Hold a bench against :func:`load_bench` of an older one.

    A row counts as slower where the lower quartile of the new run is over a tenth above the upper one of the old, and
    as faster the other way round: what lies between is each run's own noise.
    """
    new, old = dict(_times(json.loads(as_json(bench)))), dict(_times(older))
    slower, faster, alike = [], [], 0
    for key, after in new.items():
        if key not in old:
            continue
        before = old[key]
        change = Change(*key, before["median"], after["median"])
        if after["low"] > _CLEAR * before["high"]:
            slower.append(change)
        elif before["low"] > _CLEAR * after["high"]:
            faster.append(change)
        else:
            alike += 1
    where = older["environment"]
    return Comparison(
        date=where["date"],
        commit=where["commit"],
        differs=tuple(_differences(bench.environment._asdict(), where)),
        slower=tuple(sorted(slower, key=lambda change: change.before / change.after)),
        faster=tuple(sorted(faster, key=lambda change: change.after / change.before)),
        alike=alike,
        apart=len(new.keys() ^ old.keys()),
    )


def _times(bench: Mapping[str, Any]) -> Iterator[tuple[_Key, Mapping[str, float]]]:
    """(what, operation, size, shape, dtype, backend) -> the steady state, of every row that has one."""
    for row in bench["operations"]:
        if row["steady"] is not None:
            yield ("forward", *_place(row)), row["steady"]
    for row in bench["gradients"]:
        for side, name in (("hand", "by hand"), ("autodiff", "by autodiff")):
            if row[side]["steady"] is not None:
                yield (f"gradient {name}", *_place(row)), row[side]["steady"]


def _place(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return row["operation"], row["size"], row["shape"], row["dtype"], row["backend"]


def _differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    for name in ("cpu", "cores", "threads", "system", "python", "blas"):
        if new[name] != old.get(name):
            yield f"{name}: {_said(old.get(name))} then, {_said(new[name])} now"
    for name in ("packages", "variables"):
        then, now = old.get(name, {}), new[name]
        for key in sorted(then.keys() | now.keys()):
            if then.get(key) != now.get(key):
                yield f"{key}: {then.get(key, 'none')} then, {now.get(key, 'none')} now"


def _said(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
