"""A bench from its JSON: to be shown again, or compared with."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pillars.measure.bench._results import Bench
from pillars.measure.bench._schema import BENCH
from pillars.measure.data import DataError

__all__ = ["load_bench"]

_EXPECTED = "Expected what pillars bench --json or bench/gpu.py wrote."


def load_bench(path: Path) -> Bench:
    """The bench in a JSON of ``pillars bench --json``, or in one of ``bench/gpu.py``, of this version.

    Numbers that JSON lacks come back as NaN.

    Raises
    ------
    DataError : no such file, no JSON, no bench, the bench of another version, or one with parts missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"bench: cannot read {path}: {reason}. {_EXPECTED}") from None
    try:
        result = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"bench: {path} is no JSON (line {error.lineno}). {_EXPECTED}") from None
    if isinstance(result, dict) and isinstance(result.get("bench"), dict):
        result = result["bench"].get("result")  # a machine's report has it beside its tests
        if result is None:
            raise DataError(f"bench: {path} reports a bench that printed no JSON. Run bench/gpu.py again.")
    if isinstance(result, dict) and result.get("status") == "not run":
        raise DataError(
            f"bench: {path} holds no bench, not run: {' '.join(str(result.get('reason')).split())}. "
            "Run bench/gpu.py on a machine with a GPU."
        )
    schema = result.get("schema") if isinstance(result, dict) else None
    if not str(schema).startswith(BENCH.partition("/")[0]):
        raise DataError(f"bench: {path} is no bench of pillars. {_EXPECTED}")
    if schema != BENCH:
        remedy = "Measure that commit with this version's bench."
        raise DataError(f"bench: {path} has schema {schema!r}, expected {BENCH!r}. {remedy}")
    try:
        made: Bench = _made(Bench, result)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"bench: {path} lacks parts of a bench ({error}). {_EXPECTED}") from None
    return made


def _made(kind: Any, value: Any) -> Any:
    """The value that :func:`as_json` wrote, as the type that it had."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _made(next(one for one in inner if one is not type(None)), value)
    if origin is tuple:
        return tuple(_made(inner[0], item) for item in _checked(value, list))
    if origin is list:
        return [_made(inner[0], item) for item in _checked(value, list)]
    if origin in (dict, Mapping):
        return dict(_checked(value, dict))
    if hasattr(kind, "_fields"):
        hints, given = typing.get_type_hints(kind), _checked(value, dict)
        missing = [name for name in kind._fields if name not in given]
        if missing:
            raise KeyError(f"{kind.__name__}: no {', '.join(missing)}")
        return kind(*(_made(hints[name], given[name]) for name in kind._fields))
    if kind is float:
        return math.nan if value is None else float(_checked(value, (int, float)))
    return _checked(value, kind)


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r:.40} where {getattr(kind, '__name__', 'a number')} belongs")
    return value
