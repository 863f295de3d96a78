"""A trace that is read, not differentiated: every operation of a function is told to somebody, with the user's line.

What the readings have in common; what each makes of the operations stands in a file of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from pillars.backends import tree_flatten, tree_map, tree_unflatten
from pillars.backends._dtypes import dtype_kind
from pillars.calculus import _traced_operations  # noqa: F401 - it registers the tracing array
from pillars.calculus._captured import lending
from pillars.calculus._reverse import call
from pillars.calculus._reverse_arguments import home_of, outside, parameter
from pillars.calculus._tape import Trace
from pillars.calculus._traced import TracedArray, strip
from pillars.calculus._traced_namespace import space_of

__all__ = ["layer_of", "location", "read"]

# code between the user's line and the trace
_BETWEEN = frozenset(
    {"array_api_compat", "array_api_strict", "contextlib", "cupy", "functools", "numpy", "pillars"}
)


def location() -> str:
    """The innermost line that is the user's own: ``file:line in function``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        if module.partition(".")[0] not in _BETWEEN and not file.startswith("<operation "):
            return f"{file}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return "unknown"


def layer_of(record: Any, values: Any) -> str:
    """The layer's path, where the operation was given one: its ``name=``."""
    if record is None:
        return ""
    return next((str(values[p.position]) for p in record.names if values[p.position] is not None), "")


def read(where: str, f: Callable[..., Any], args: tuple[Any, ...], note: Callable[..., None]) -> Any:
    """The result of ``f(*args)``, plain; of every operation `note` is told, with where it stands.

    ``note(name, operands, results, options, record, line)``: operands and results are plain arrays, and numbers;
    ``line()`` is the user's line, ``file:line in function``. Comparisons and what else is a constant to a gradient are
    not told of; nor is what is computed of plain arrays alone. On JAX the operations are the primitives of its program,
    loops of ``jax.lax`` whole.
    """
    home = home_of(where, args)
    if home.name == "jax":
        return home.run_told(f, args, note)
    trace = Trace(space_of(home))

    def told(name: str, operands: Any, results: Any, options: Any, record: Any = None) -> None:
        note(name, tuple(map(strip, operands)), tuple(map(strip, results)), options, record, location)

    trace.reading = told
    lent: list[Any] = []

    def enter(leaf: Any) -> Any:
        if isinstance(leaf, float) and not hasattr(leaf, "dtype"):
            return parameter(trace, home.asarray(leaf), copy=False)
        if dtype_kind(getattr(leaf, "dtype", None)) in ("float", "half") and type(leaf) is not TracedArray:
            return parameter(trace, home.asarray(leaf), copy=False)
        return outside(trace, leaf, lent)

    given = []
    for argument in args:
        leaves, treedef = tree_flatten(argument)
        given.append(tree_unflatten(treedef, [enter(leaf) for leaf in leaves]))
    with lending(lent), home.quiet():
        return tree_map(lambda y: strip(y) if type(y) is TracedArray else y, call(trace, f, given, {}))
