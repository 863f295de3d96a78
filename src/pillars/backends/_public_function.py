"""Writes the public function of an operation: a real function whose hot path is a type check and a table look-up.

The source is generated per signature, as attrs and NamedTuple do, because a generic ``*args, **kwargs`` wrapper costs
several times the microsecond that dispatch may take. It is entered in `linecache`, so that tracebacks show it.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any

from pillars._typing import Kind
from pillars.backends._record import Parameter, Record

__all__ = ["build", "compile_source"]


def compile_source(
    source: str, name: str, variables: dict[str, Any], scope: dict[str, Any]
) -> Callable[..., Any]:
    """The function that a generated ``_make(...)`` returns, living in the module globals `scope`."""
    filename = f"<operation {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    local: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), scope, local)
    made: Callable[..., Any] = local["_make"](**variables)
    return made


def _fast(parameter: Parameter) -> str | None:
    """What must hold of an option for the hot path; None where its type does not matter there."""
    name = parameter.name
    if parameter.kind is Kind.NUMBER:
        return (
            f"({name} is None or type({name}) is float)" if parameter.optional else f"type({name}) is float"
        )
    if parameter.kind in (Kind.STATIC, Kind.NAME, Kind.AFTER):
        return f"type({name}) in _types_{name}"
    return None


def build(
    record: Record, slow: Callable[[Record, tuple[Any, ...]], Any], modes: list[Any]
) -> Callable[..., Any]:
    """The public function: dispatch by the arrays' types, everything unusual through `slow`."""
    variables: dict[str, Any] = {
        "_get": record.entries.get,
        "_slow": slow,
        "_modes": modes,
        "_record": record,
    }
    signature, conditions = [], []
    previous_positional = False
    for parameter in record.parameters:
        if previous_positional and not parameter.positional:
            signature.append("/")
            signature.append("*")
        elif not parameter.positional and not signature:
            signature.append("*")
        previous_positional = parameter.positional
        default = ""
        if parameter.default is not inspect.Parameter.empty:
            variables[f"_default_{parameter.name}"] = parameter.default
            default = f"=_default_{parameter.name}"
        signature.append(parameter.name + default)
        condition = _fast(parameter)
        if condition is not None:
            conditions.append(condition)
            variables[f"_types_{parameter.name}"] = parameter.types
    if previous_positional:
        signature.append("/")
    keys = [f"type({parameter.name})" for parameter in record.arrays]
    key = keys[0] if len(keys) == 1 else f"({', '.join(keys)})"
    values = ", ".join(parameter.name for parameter in record.parameters)
    fast = " and ".join([*conditions, "not _modes"])
    source = (
        f"def _make({', '.join(variables)}):\n"
        f"    def {record.body.__name__}({', '.join(signature)}):\n"
        f"        if {fast}:\n"
        f"            _entry = _get({key})\n"
        f"            if _entry is not None:\n"
        f"                return _entry({values})\n"
        f"        return _slow(_record, ({values},))\n"
        f"    return {record.body.__name__}\n"
    )
    function = compile_source(source, record.name, variables, record.body.__globals__)
    function.__module__ = record.body.__module__
    function.__qualname__ = record.body.__qualname__
    function.__doc__ = record.body.__doc__
    function.__annotations__ = dict(record.body.__annotations__)
    function.__wrapped__ = record.body  # type: ignore[attr-defined]
    return function


def entry_key(record: Record, values: list[Any]) -> Any:
    """The key under which the hot path looks for these values' entry."""
    kinds = tuple(type(values[parameter.position]) for parameter in record.arrays)
    return kinds[0] if len(kinds) == 1 else kinds
