"""A trace that is read, not differentiated: every operation of a function is told to somebody, with the user's line.

What the readings have in common; what each makes of the operations stands in a file of its own.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from pillars.backends import dtype_kind, tree_flatten, tree_map, tree_unflatten
from pillars.calculus.autodiff._aliasing import lending
from pillars.calculus.autodiff._arguments import backend_of_arguments, outside, parameter
from pillars.calculus.autodiff._namespace import space_of
from pillars.calculus.autodiff._pullback import call
from pillars.calculus.autodiff._tape import OBSERVER, Node, Trace, next_number
from pillars.calculus.autodiff._traced_array import TracedArray, strip

__all__ = ["Computed", "layer_of", "location", "read"]

# code between the user's line and the trace
_BETWEEN = frozenset(
    {"array_api_compat", "array_api_strict", "contextlib", "cupy", "functools", "numpy", "pillars"}
)


class Computed(NamedTuple):
    """One operation as it ran.

    Attributes
    ----------
    name : the operation's; "" for what the rule of a gradient made of plain arrays.
    operands, results : plain arrays, and numbers.
    options, record : what else it was given, or for what a rule made the number of the walk; the record of an operation
        of pillars, else None.
    line : the user's line, ``file:line in function``; in a gradient that of the function whose gradient it is.
    of : that function, "" outside gradients (on JAX everywhere).
    """

    name: str
    operands: tuple[Any, ...]
    results: tuple[Any, ...]
    options: Any
    record: Any
    line: str
    of: str


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


class _Observer:
    """Where the program stands: the user's line, and in a backward walk that of the function whose gradient it is.

    Numbers of nodes rise as the program runs, so that the operation told of last before a node was made is its own.
    """

    def __init__(self, note: Callable[..., None]) -> None:
        self.note = note
        self.node: Node | None = None
        self.walk = 0  # how many there have been: one whose result is not finite is made again
        self.numbers: list[int] = []
        self.places: list[tuple[str, str]] = []  # of these: whose gradient, and the line

    def enter(self, node: Node | None) -> None:
        """The walk pulls a cotangent through this node; None: it is over."""
        self.node = node
        self.walk += node is None

    def place(self) -> tuple[str, str]:
        """The function whose gradient is being taken, "" for none, and the user's line."""
        if self.node is None:
            return "", location()
        at = bisect_left(self.numbers, self.node.number) - 1
        of, line = self.places[at] if at >= 0 else ("", location())
        return of or str(getattr(self.node.rule, "name", "")), line

    def told(self, name: str, operands: Any, results: Any, options: Any, record: Any = None) -> None:
        """An operation of the program."""
        of, line = self.place()
        self.numbers.append(next_number())
        self.places.append((of, line))
        self.note(
            Computed(name, tuple(map(strip, operands)), tuple(map(strip, results)), options, record, line, of)
        )

    def pulled(self, d: Any) -> None:
        """What a rule has made of a cotangent; what it computes of traced values has been told already."""
        if self.node is None or (type(d) is TracedArray and d._trace.level):
            return
        of, line = self.place()
        saved = self.node.saved if isinstance(self.node.saved, tuple) else ()
        operands = tuple(strip(x) for x in saved if hasattr(x, "shape"))
        self.note(Computed("", operands, (strip(d),), {"walk": self.walk}, None, line, of))


def read(where: str, f: Callable[..., Any], args: tuple[Any, ...], note: Callable[[Computed], None]) -> Any:
    """The result of ``f(*args)``, plain; of every operation `note` is told, with where it stands.

    ``note`` is handed a :class:`Computed`. Comparisons and what else is a constant to a gradient are not told of; nor
    is what is computed of plain arrays alone, but for what the rule of a gradient makes of a cotangent. On JAX the
    operations are the primitives of its program, loops of ``jax.lax`` whole.
    """
    backend = backend_of_arguments(where, args)
    if backend.name == "jax":

        def told(name: str, operands: Any, results: Any, options: Any, record: Any, line: Any) -> None:
            note(Computed(name, tuple(operands), tuple(results), options, record, line(), ""))

        return backend.run_told(f, args, told)
    trace = Trace(space_of(backend), where)
    observer = _Observer(note)
    trace.reading = observer.told
    lent: list[Any] = []

    def enter(leaf: Any) -> Any:
        if isinstance(leaf, float) and not hasattr(leaf, "dtype"):
            return parameter(trace, backend.asarray(leaf), copy=False)
        if dtype_kind(getattr(leaf, "dtype", None)) in ("float", "half") and type(leaf) is not TracedArray:
            return parameter(trace, backend.asarray(leaf), copy=False)
        return outside(trace, leaf, lent)

    given = []
    for argument in args:
        leaves, treedef = tree_flatten(argument)
        given.append(tree_unflatten(treedef, [enter(leaf) for leaf in leaves]))
    token = OBSERVER.set(observer)
    try:
        with lending(lent), backend.quiet():
            return tree_map(lambda y: strip(y) if type(y) is TracedArray else y, call(trace, f, given, {}))
    finally:
        OBSERVER.reset(token)
