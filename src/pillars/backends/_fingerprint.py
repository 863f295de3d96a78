"""Whether two functions would be traced into the same program, told from what they can reach.

A compiled function that is kept by the identity of the Python function goes stale when a variable that it closes over
changes; one that is compiled anew in every call takes a second each time. A fingerprint is the middle way: the code,
and everything that the code can read without being given it (closure, defaults, the globals it names), by value.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import functools
import types
from typing import Any, NamedTuple

import numpy as np

from pillars.backends._context import chosen
from pillars.backends._operation import current_mode
from pillars.backends._record import Record
from pillars.backends._registry import backend_of_type

__all__ = ["fingerprint"]

# what these libraries offer does not change while a program runs
_LIBRARIES = frozenset(
    {"jax", "jaxlib", "numpy", "pillars", "array_api_compat", "array_api_extra"}
    | {"builtins", "cmath", "collections", "functools", "itertools", "math", "operator", "typing"}
)
_OPEN_ENDED = frozenset(
    {"__import__", "eval", "exec", "getattr", "globals", "input", "locals", "open", "vars"}
)
_UNTOLD = object()
_OBJECTS = frozenset({"jax", "jaxlib", "pillars"})
_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice))
_BARE = frozenset(vars(NamedTuple("Bare", []))) | {"__annotate__", "__annotate_func__", "__orig_bases__"}


_GENERATED = (
    frozenset(vars(dataclasses.make_dataclass("Bare", (), frozen=True, order=True)))
    | frozenset(vars(dataclasses.make_dataclass("Slots", (), frozen=True, slots=True)))
    | {
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__annotations__",
        "__static_attributes__",
    }
    | {"__firstlineno__", "__slots__", "__qualname__"}
)


class _Unknown(Exception):  # noqa: N818 - a signal between the functions of this module
    """Something whose value now says nothing of its value later."""


class _Same:
    """An object that only equals itself; held, so that its address is not given away."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.it is self.it


def fingerprint(*functions: Any) -> Any:
    """A hashable value that is equal for functions that do the same; None where that cannot be told.

    Known are plain functions, their closures, defaults and globals: numbers, strings, JAX's arrays (by identity, as
    they do not change), lists, tuples, dictionaries, bare NamedTuples and dataclasses of these, functools.partial,
    other functions, and what JAX, NumPy, pillars and the standard library's mathematical modules define. Not known are
    NumPy's arrays, which may be refilled, instances of other classes (bound methods too), other modules and classes.

    Notes
    -----
    Costs some 20 µs for a loss of two lines. The chosen default backend and the mode of operations belong to it.

    Examples
    --------
    >>> def scaled(factor):
    ...     return lambda x: factor * x
    >>> fingerprint(scaled(2.0)) == fingerprint(scaled(2.0))
    True
    >>> fingerprint(scaled(2.0)) == fingerprint(scaled(3.0))
    False
    """
    choice = chosen()
    seen: dict[int, int] = {}
    try:
        return (
            current_mode(),
            (choice.backend, str(choice.device), str(choice.dtype)),
            *(_of(f, seen) for f in functions),
        )
    except _Unknown:
        return None


def _root(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _library(module: str | None) -> bool:
    return _root(module) in _LIBRARIES


def _bare_named_tuple(kind: Any) -> bool:
    """Whether a type is a NamedTuple with nothing but its fields: no method of it can read anything else."""
    if not (isinstance(kind, type) and kind.__mro__[1:] == (tuple, object)):
        return False
    return set(vars(kind)) <= _BARE | set(getattr(kind, "_fields", ()))


def _bare_dataclass(kind: Any) -> bool:
    """Likewise a dataclass with nothing but its fields and what was generated for them."""
    if (
        not isinstance(kind, type)
        or kind.__mro__[1:] != (object,)
        or "__dataclass_params__" not in vars(kind)
    ):
        return False
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if any(field.default_factory is not dataclasses.MISSING for field in fields.values()):
        return False
    methods = [f for f in vars(kind).values() if isinstance(f, types.FunctionType)]
    # a generated __repr__ lies within a function that guards against repeating itself
    written = [getattr(f, "__wrapped__", f).__code__.co_filename for f in methods]
    defaults = (vars(kind).get(name) for name in fields)
    return (
        set(vars(kind)) <= _GENERATED | set(fields)
        and all(name in ("<string>", dataclasses.__file__) for name in written)
        and all(type(x) in _PLAIN or isinstance(x, types.MemberDescriptorType) for x in defaults)
    )


def _of(x: Any, seen: dict[int, int]) -> Any:
    if type(x) in _PLAIN:  # a subclass may carry what its repr does not show
        return type(x), repr(x)  # repr tells 0.0 from -0.0, and a NaN equals itself
    kind = type(x)
    owner = backend_of_type(kind)
    if owner is not None:
        return _array(x, owner)
    if isinstance(x, np.generic):
        return kind, x.tobytes()
    if id(x) in seen:  # a function that calls itself, a list that holds itself
        return "again", seen[id(x)]
    seen[id(x)] = len(seen)
    if kind in (list, tuple, dict) or _bare_named_tuple(kind):
        items = [*x.keys(), *x.values()] if kind is dict else x
        return _Same(kind), tuple(_of(item, seen) for item in items)
    if _bare_dataclass(kind):
        return _Same(kind), tuple(
            _of(getattr(x, field.name, None), seen) for field in dataclasses.fields(kind)
        )
    if isinstance(x, functools.partial):
        return "partial", _of(x.func, seen), _of(x.args, seen), _of(x.keywords, seen)
    if isinstance(x, types.FunctionType):
        return _function(x, seen)
    frozen = dataclasses.is_dataclass(kind) and getattr(kind, "__dataclass_params__").frozen  # noqa: B009 - not typed
    if frozen and _library(kind.__module__):  # the methods of one's own may read anything
        return _Same(kind), tuple(_of(getattr(x, field.name), seen) for field in dataclasses.fields(kind))
    return _fixed(x, seen)


def _fixed(x: Any, seen: dict[int, int]) -> Any:
    """What a library defines, which stays what it is."""
    if isinstance(x, (types.ModuleType, type)):
        known = _library(x.__name__ if isinstance(x, types.ModuleType) else x.__module__) or (
            _bare_named_tuple(x) or _bare_dataclass(x)
        )
    elif isinstance(x, (types.BuiltinFunctionType, types.MethodWrapperType)):
        known = isinstance(x.__self__, types.ModuleType) and _library(x.__self__.__name__)
    else:
        # instances of anything else, the standard library's containers among them, may change
        known = isinstance(x, (np.ufunc, np.dtype)) or _root(type(x).__module__) in _OBJECTS
        wrapped = getattr(x, "__wrapped__", None)
        if known and wrapped is not None and not _library(getattr(wrapped, "__module__", None)):
            # jax.jit holds the user's function and nothing else of theirs; custom derivative rules hold more
            return _Same(type(x)), _of(wrapped if type(x).__name__ == "PjitFunction" else _UNTOLD, seen)
    if not known:
        raise _Unknown
    return _Same(x)


def _array(x: Any, owner: Any) -> Any:
    if owner.is_tracer(type(x)):
        raise _Unknown
    if owner.name == "jax":
        return _Same(x)
    # JAX finds a captured host array by its identity while a program that holds it lives: refilled, it would be stale
    raise _Unknown


def _function(f: types.FunctionType, seen: dict[int, int]) -> Any:
    record = getattr(f, "record", None)
    if isinstance(record, Record) and record.function is f:
        return _Same(f)
    # where its globals are, not __module__: functools.wraps lends that of the function wrapped
    if _library(f.__globals__.get("__name__")) and "<locals>" not in f.__qualname__:
        return _Same(f)
    try:
        cells = tuple(_of(cell.cell_contents, seen) for cell in f.__closure__ or ())
    except ValueError:  # a cell that is not filled yet
        raise _Unknown from None
    outside = []
    for name in _names(f.__code__):
        if name in f.__globals__:
            outside.append((name, _of(f.__globals__[name], seen)))
        elif name in _OPEN_ENDED or not (hasattr(builtins, name) or _library(name)):
            raise _Unknown
    rest = tuple(_of(part, seen) for part in (f.__defaults__, f.__kwdefaults__, f.__dict__))
    return f.__code__, cells, tuple(outside), rest


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The globals that a function and those defined inside it read, and what they import."""
    result: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            result[str(instruction.argval)] = None
        elif instruction.opname == "IMPORT_NAME":
            result[str(instruction.argval).partition(".")[0]] = None
        elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            result["  assigned"] = None  # no such name: such a function is not known
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            result.update(dict.fromkeys(_names(constant)))
    return tuple(result)
