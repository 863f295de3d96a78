"""The record of one public function: its parameters and their kinds, its rules, and where it stands."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pillars._typing import Kind

__all__ = ["Parameter", "Record", "Rules", "records"]

_ARRAYS = (Kind.ARRAY, Kind.ANY_ARRAY)


class Parameter(NamedTuple):
    """One parameter of an operation: its kind decides what dispatch, jit and derivatives do with it."""

    name: str
    kind: Kind
    position: int
    positional: bool
    default: Any
    types: frozenset[type]  # what a static may be; for arrays and numbers, whether None is among them

    @property
    def is_array(self) -> bool:
        return self.kind in _ARRAYS

    @property
    def optional(self) -> bool:
        return type(None) in self.types

    @property
    def differentiable(self) -> bool:
        """Whether the gradient has a place for it: arrays and numbers."""
        return self.kind in (Kind.ARRAY, Kind.ANY_ARRAY, Kind.NUMBER)


class Rules:
    """What hangs on a body: checks, derivatives and a count of operations. Each is None until its decorator sets it."""

    __slots__ = ("check", "check_values", "flops", "forward", "jvp", "vjp")

    def __init__(self) -> None:
        self.check: Callable[..., None] | None = None
        self.check_values: Callable[..., None] | None = None
        self.vjp: Callable[..., Any] | None = None
        self.forward: Callable[..., Any] | None = None
        self.jvp: Callable[..., Any] | None = None
        self.flops: Callable[..., Any] | None = None


class Record:
    """Everything pillars knows of one public function.

    Attributes
    ----------
    name : room and function, ``"probability.softmax"``: the key of kernels and of the capability table.
    kind : "operation" or "procedure".
    body : the specification, pure Array API.
    function : the public function.
    domain : draws valid inputs; see :class:`pillars.backends.Draw`.
    rules : check, check_values, vjp, forward, jvp, flops.
    half : "wide" (half precision is computed in float32 and rounded once) or "native".
    jax_derivative : "body" (JAX differentiates the body), "vjp" or "jvp" (the rule replaces it).
    kinks : whether the function has points without a derivative, which its domain avoids.
    unsupported : feature -> reason, for what this function cannot do on any backend.
    """

    def __init__(
        self,
        body: Callable[..., Any],
        *,
        kind: str,
        domain: Callable[..., Any] | None,
        half: str = "wide",
        jax_derivative: str = "body",
        kinks: bool = False,
        unsupported: Mapping[str, str] | None = None,
    ) -> None:
        self.body = body
        self.kind = kind
        self.domain = domain
        self.half = half
        self.jax_derivative = jax_derivative
        self.kinks = kinks
        self.unsupported = dict(unsupported or {})
        self.rules = Rules()
        self.name = f"{_room(body.__module__)}.{body.__name__}"
        self.function: Callable[..., Any] = body
        self.parameters: tuple[Parameter, ...] = tuple(_parameters(body)) if kind == "operation" else ()
        self.arrays = tuple(p for p in self.parameters if p.is_array)
        self.positional = tuple(p for p in self.parameters if p.positional)
        self.options = tuple(p for p in self.parameters if not p.positional)
        self.numbers = tuple(p for p in self.parameters if p.kind is Kind.NUMBER)
        self.statics = tuple(p for p in self.parameters if p.kind in (Kind.STATIC, Kind.AFTER))
        self.names = tuple(p for p in self.parameters if p.kind is Kind.NAME)
        self.differentiable = tuple(p for p in self.parameters if p.differentiable)
        self.needs: Any = _needs_type(body.__name__, self.differentiable)
        self.entries: dict[Any, Callable[..., Any]] = {}
        self.cache: dict[
            Any, Any
        ] = {}  # what a backend keeps with the record: compiled bodies, loaded kernels

    def split(self, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Values in parameter order, as a body takes them: positional arguments and options, without names."""
        return (
            [values[p.position] for p in self.positional],
            {p.name: values[p.position] for p in self.options if p.kind is not Kind.NAME},
        )

    def run_check(self, values: list[Any]) -> None:
        """Shapes, dtypes and statics, names included."""
        if self.rules.check is not None:
            positional, options = self.split(values)
            options.update({p.name: values[p.position] for p in self.names})
            self.rules.check(*positional, **options)

    def run_check_values(self, values: list[Any]) -> None:
        """What only the numbers inside host arrays can tell."""
        if self.rules.check_values is not None:
            positional, options = self.split(values)
            options.update({p.name: values[p.position] for p in self.names})
            self.rules.check_values(*positional, **options)

    def bind(self, args: tuple[Any, ...], options: Mapping[str, Any]) -> list[Any]:
        """A call's arguments in parameter order, defaults filled in."""
        bound = inspect.signature(self.body).bind(*args, **options)
        bound.apply_defaults()
        return [bound.arguments[p.name] for p in self.parameters]

    def __repr__(self) -> str:
        return f"<record {self.name}>"


_records: dict[str, Record] = {}


def enlist(record: Record) -> None:
    """Put a record on the list that tests, audit and the capability table walk."""
    _records[record.name] = record


def records() -> dict[str, Record]:
    """Every record of the rooms that have been imported, by name."""
    return dict(sorted(_records.items()))


# sub-rooms whose records are called by another room
_CALLED = {"pillars.layers.attention": "algorithms"}


def _room(module: str) -> str:
    """``pillars.probability._softmax`` -> ``probability``; outside the package, the module's own name."""
    called = _CALLED.get(module.rpartition(".")[0])
    if called is not None:
        return called
    parts = module.split(".")
    return parts[1] if parts[0] == "pillars" and len(parts) > 1 else parts[-1]


def _needs_type(name: str, parameters: tuple[Parameter, ...]) -> Any:
    return NamedTuple(f"{name}_needs", [(p.name, bool) for p in parameters])


def _parameters(body: Callable[..., Any]) -> Iterator[Parameter]:
    hints = typing.get_type_hints(body, include_extras=True)
    for position, (name, parameter) in enumerate(inspect.signature(body).parameters.items()):
        kind, allowed = _kind(hints[name]) if name in hints else (None, frozenset())
        positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        if not positional and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(
                f"{body.__name__}: {name} must be positional-only (an array) or keyword-only (an option)"
            )
        if kind is None:
            raise TypeError(
                f"{body.__name__}: {name} is annotated {hints.get(name)!r}; use Array, AnyArray, Number, Name, After, "
                "or bool, int, str, None, tuple and unions of them"
            )
        default = parameter.default
        if kind is Kind.NUMBER and isinstance(default, int):
            default = float(default)
        yield Parameter(name, kind, position, positional, default, allowed)


def _kind(hint: Any) -> tuple[Kind | None, frozenset[type]]:
    """The kind that an annotation declares, and the Python types it allows."""
    if typing.get_origin(hint) is typing.Annotated:
        inner, *marks = typing.get_args(hint)
        result = next((mark for mark in marks if isinstance(mark, Kind)), None)
        _, allowed = _kind(inner)
        return (
            (result, allowed | {str, type(None)})
            if result in (Kind.NAME, Kind.AFTER)
            else (result, frozenset())
        )
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_kind(part) for part in typing.get_args(hint)]
        kinds: set[Kind] = {kind for kind, _ in parts if kind is not None and kind is not Kind.STATIC}
        kinds = kinds or {Kind.STATIC}
        return (kinds.pop() if len(kinds) == 1 else None), frozenset().union(
            *(allowed for _, allowed in parts)
        )
    plain = type(None) if hint is None else typing.get_origin(hint) or hint
    if plain is typing.Literal:
        return Kind.STATIC, frozenset(type(value) for value in typing.get_args(hint))
    if plain in (bool, int, str, float, tuple, type(None)):
        return Kind.STATIC, frozenset({plain})
    return None, frozenset()
