"""What every contract needs: the records, their drawn calls on any backend, and faults planted in a record."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

import pillars
from contracts._tolerance import agree, conditioning
from contracts._variants import Variant
from pillars._typing import Kind
from pillars.backends import Draw, Record, dtype_kind, records

__all__ = [
    "HOST",
    "Expected",
    "NotApplicable",
    "draw",
    "dynamic",
    "expected",
    "float_positions",
    "invoke",
    "leaves",
    "no_error",
    "not_applicable",
    "operations",
    "place",
    "planted",
    "procedures",
    "public",
    "reference",
    "refill",
    "rounded",
    "run",
]

HOST = Variant("numpy", "numpy")
_SHELLS = ("pillars.cli", "pillars.report", "pillars.measure")


class NotApplicable(Exception):  # noqa: N818 - no error: an outcome, counted apart from what passes
    """A contract says nothing about this operation here, for the reason given."""


def not_applicable(reason: str) -> NoReturn:
    """Leave a check that does not apply; the summary counts it with its reason."""
    raise NotApplicable(reason)


def _all_records() -> dict[str, Record]:
    for module in pkgutil.iter_modules(pillars.__path__, "pillars."):
        if module.ispkg and not module.name.startswith(_SHELLS):
            importlib.import_module(module.name)
    return {
        name: record for name, record in records().items() if record.body.__module__.startswith("pillars.")
    }


def operations() -> list[Record]:
    """Every operation of every room."""
    return [record for record in _all_records().values() if record.kind == "operation"]


def procedures() -> list[Record]:
    """Every procedure of every room."""
    return [record for record in _all_records().values() if record.kind == "procedure"]


def draw(record: Record, seed: int, scale: int = 6) -> list[Any]:
    """A valid call in parameter order: NumPy float64 and integer arrays, floats, statics."""
    assert record.domain is not None, f"{record.name} has no domain: nothing can draw its inputs"
    call = record.domain(Draw(seed, scale=scale))
    values = record.bind(call.args, call.options)
    return [
        np.asarray(value) if parameter.is_array and value is not None else value
        for parameter, value in _pairs(record, values)
    ]


def rounded(record: Record, values: list[Any], dtype: str) -> list[Any]:
    """The same call with every floating array rounded to `dtype`, still NumPy float64: what a test dtype sees."""
    return [
        value.astype(dtype).astype(np.float64)
        if parameter.is_array and _is_float(value)
        else HOST.beside(dtype, value)
        if parameter.kind is Kind.STATIC and isinstance(value, str)
        else value
        for parameter, value in _pairs(record, values)
    ]


def place(record: Record, values: list[Any], where: Variant, dtype: str) -> list[Any]:
    """The same call as arrays of a variant, floating arrays in `dtype`, and dtypes that statics name beside it."""
    placed = []
    for parameter, value in _pairs(record, values):
        if parameter.is_array and value is not None:
            placed.append(where.asarray(value, dtype if _is_float(value) else None))
        elif parameter.kind is Kind.STATIC and isinstance(value, str):
            placed.append(where.beside(dtype, value))
        else:
            placed.append(value)
    return placed


def _pairs(record: Record, values: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(record.parameters, values, strict=True)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and dtype_kind(value.dtype) in ("float", "half")


def float_positions(record: Record, values: list[Any]) -> list[int]:
    """Which arguments a derivative can be taken of: floating arrays, and numbers that are given."""
    return [
        p.position
        for p in record.differentiable
        if values[p.position] is not None
        and (
            isinstance(values[p.position], float) or dtype_kind(values[p.position].dtype) in ("float", "half")
        )
    ]


def dynamic(record: Record, values: list[Any]) -> list[int]:
    """Which arguments jit and vmap see: arrays, and numbers that are given."""
    return [p.position for p in (*record.arrays, *record.numbers) if values[p.position] is not None]


def refill(values: list[Any], positions: list[int], given: Any) -> list[Any]:
    """The call with some of its arguments replaced."""
    changed = list(values)
    for position, value in zip(positions, given, strict=True):
        changed[position] = value
    return changed


def invoke(record: Record, values: list[Any], function: Callable[..., Any] | None = None) -> Any:
    """The public function (or another of its signature) on a call in parameter order."""
    positional = [values[p.position] for p in record.positional]
    options = {p.name: values[p.position] for p in record.options}
    return (function or record.function)(*positional, **options)


def reference(record: Record, values: list[Any]) -> Any:
    """The body on a call in parameter order."""
    return invoke(record, values, record.function.reference)  # type: ignore[attr-defined]


def run(record: Record, values: list[Any], where: Variant) -> list[Any]:
    """The operation's arrays for a placed call; jitted whole, numbers traced too, where the variant asks for it."""
    positions = dynamic(record, values)

    def call(*given: Any) -> Any:
        return invoke(record, refill(values, positions, given))

    with no_error(f"{record.name} on {where.id}"):
        return leaves(where.compiled(call)(*[values[position] for position in positions]))


class Expected(NamedTuple):
    """What a call must give in some dtype: host arrays, the condition of each, and how many numbers went in."""

    arrays: list[Any]
    kappas: list[float]
    size: int

    def agree(self, got: list[Any], dtype: str, what: str) -> None:
        assert len(got) == len(self.arrays), f"{what}: {len(got)} arrays, expected {len(self.arrays)}"
        for index, (one, array, kappa) in enumerate(zip(got, self.arrays, self.kappas, strict=True)):
            label = what if len(got) == 1 else f"{what}, result {index}"
            agree(one, array, dtype=dtype, size=self.size, kappa=kappa, what=label)


def expected(record: Record, values: list[Any], dtype: str) -> Expected:
    """The body in float64 on NumPy, on the inputs as `dtype` rounds them."""
    seen = rounded(record, values, dtype)
    size = sum(np.size(seen[p.position]) for p in record.arrays if seen[p.position] is not None)

    def body(inputs: list[Any]) -> list[Any]:
        return leaves(reference(record, inputs))

    return Expected([np.asarray(y) for y in body(seen)], conditioning(body, seen), size)


@contextlib.contextmanager
def no_error(what: str) -> Iterator[None]:
    """Turn whatever is raised (warnings are errors here) into a failed assertion."""
    try:
        yield
    except (AssertionError, NotApplicable):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise AssertionError(f"{what}: raised {type(error).__name__}: {lines[0]}") from error


def public(record: Record) -> bool:
    """Whether users reach it: its room exports it."""
    room = importlib.import_module(f"pillars.{record.name.partition('.')[0]}")
    return getattr(room, record.body.__name__, None) is record.function


def leaves(result: Any) -> list[Any]:
    """A result's arrays; a single array is one."""
    return pillars.backends.tree_leaves(result)


@contextlib.contextmanager
def planted(record: Record, **changes: Any) -> Iterator[None]:
    """The record with some of its attributes (or rules) replaced, and nothing compiled for the true ones left."""
    before = {name: getattr(_owner(record, name), name) for name in changes}
    caches = dict(record.entries), dict(record.cache)
    record.entries.clear()
    record.cache.clear()
    for name, value in changes.items():
        setattr(_owner(record, name), name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(_owner(record, name), name, value)
        for cache, kept in zip((record.entries, record.cache), caches, strict=True):
            cache.clear()
            cache.update(kept)


def _owner(record: Record, name: str) -> Any:
    return record.rules if name in ("check", "check_values", "vjp", "forward", "jvp") else record
