"""Faults to plant in a record, one at a time: what reviewers might miss, and contracts must not."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from contracts import bad_inputs
from contracts._support import draw, float_positions, invoke, leaves, not_applicable, planted, public
from pillars._errors import ShapeError
from pillars.backends import (
    Record,
    _generic_call as running,
    _operation as dispatch,
    available,
    backend,
    dtype_kind,
    kernel,
    namespace,
    tree_map,
)
from pillars.backends._kernels import kernel_of
from pillars.calculus.autodiff._traced_array import strip

__all__ = [
    "another_device",
    "another_dtype",
    "another_library",
    "another_shape",
    "bare_error_on_odd_layout",
    "body_off",
    "branches_on_values",
    "devices_unchecked",
    "first_library_wins",
    "forgets_what_it_compiled",
    "forward_mode_off",
    "gradient_assigns",
    "gradient_misshapen",
    "gradient_missing",
    "gradient_of_all_or_nothing",
    "gradient_off",
    "gradient_without_slopes",
    "gradient_writes",
    "hangs",
    "kernel_off",
    "leaves_jax",
    "names_are_static",
    "numbers_are_static",
    "of_function",
    "off_beside_numpy",
    "off_far_from_one",
    "off_under_trace",
    "refuses_read_only",
    "remembers_its_first_answer",
    "returns_its_input",
    "second_derivative_off",
    "sections_missing",
    "unhelpful",
    "warns",
    "writes_to_input",
    "wrong_for_odd_layout",
    "wrong_rule_everywhere",
]


def _off(y: Any) -> Any:
    """A little wrong: by a thousandth, or by one."""
    if dtype_kind(y.dtype) in ("float", "half"):
        return y * 1.001 + 0.001
    return y + namespace(y).ones_like(y)


@contextlib.contextmanager
def _altered(record: Record, alter: Callable[..., Any]) -> Iterator[None]:
    """The record with its body, and its kernels on NumPy and JAX, followed by `alter(result, arguments)`."""

    def followed(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrong(*args: Any, **options: Any) -> Any:
            return alter(function(*args, **options), args)

        return wrong

    with planted(record, body=followed(record.body)):
        for name in [name for name in ("numpy", "jax") if available()[name].usable]:
            true = kernel_of(backend(name), record)
            wrong: Any = None if true is None else followed(true)
            if wrong is not None and true.otherwise is not None:
                wrong.otherwise = followed(true.otherwise)
            record.cache["kernel", name] = wrong
        yield


def _arrays(args: Any) -> list[Any]:
    return [x for x in args if hasattr(x, "dtype")]


def body_off(record: Record) -> Any:
    return _altered(record, lambda y, _: tree_map(_off, y))


@contextlib.contextmanager
def kernel_off(record: Record) -> Iterator[None]:
    body = record.body

    @kernel()
    def wrong(*args: Any, **options: Any) -> Any:
        return tree_map(_off, body(*args, **options))

    with planted(record):
        record.cache["kernel", "numpy"] = wrong
        yield


def _other_dtype(y: Any) -> Any:
    xp = namespace(y)
    pairs = {
        "float64": xp.float32,
        "float32": xp.float64,
        "int64": xp.int32,
        "int32": xp.int64,
        "uint32": xp.int64,
    }
    return xp.astype(y, pairs.get(str(y.dtype).rpartition(".")[2], xp.float64))


def another_dtype(record: Record) -> Any:
    return _altered(record, lambda y, _: tree_map(_other_dtype, y))


def another_shape(record: Record) -> Any:
    return _altered(record, lambda y, _: tree_map(lambda leaf: namespace(leaf).expand_dims(leaf, axis=0), y))


def another_library(record: Record) -> Any:
    return _altered(record, lambda y, _: tree_map(lambda leaf: np.ones(leaf.shape), y))


def another_device(record: Record) -> Any:
    import array_api_strict

    host = array_api_strict.Device("CPU_DEVICE")
    return _altered(
        record, lambda y, _: tree_map(lambda leaf: leaf if namespace(leaf) is np else leaf.to_device(host), y)
    )


def writes_to_input(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        for x in _arrays(args)[:1]:
            x[...] = x + namespace(x).ones_like(x)
        return y

    return _altered(record, alter)


def returns_its_input(record: Record) -> Any:
    return _altered(record, lambda _, args: _arrays(args)[0][...])


def refuses_read_only(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        if not all(x.flags.writeable for x in _arrays(args)):
            raise ValueError("assignment destination is read-only")
        return y

    return _altered(record, alter)


def _rule(record: Record, alter: Callable[..., Any]) -> Any:
    vjp = record.rules.vjp
    if vjp is None:
        not_applicable("no hand-derived gradient")

    def wrong(g: Any, y: Any, *args: Any, needs: Any, **options: Any) -> Any:
        found = vjp(g, y, *args, needs=needs, **options)
        return alter(found if isinstance(found, tuple) else (found,), g, needs)

    return planted(record, vjp=wrong)


def _each(f: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda found, *_: tuple(None if one is None else f(one) for one in found)


def gradient_off(record: Record) -> Any:
    return _rule(record, _each(_off))


def second_derivative_off(record: Record) -> Any:
    """The rule as it is, and a thousandth off to whoever differentiates it."""
    return _rule(
        record,
        lambda found, g, needs: _each(_off)(found) if any(hasattr(one, "_trace") for one in found) else found,
    )


def gradient_misshapen(record: Record) -> Any:
    return _rule(record, _each(lambda one: namespace(one).expand_dims(one, axis=0)))


def gradient_missing(record: Record) -> Any:
    return _rule(record, lambda found, *_: (None,) * len(found))


def gradient_without_slopes(record: Record) -> Any:
    """Right at first, and a constant to whoever differentiates it again."""
    return _rule(record, _each(strip))


def gradient_assigns(record: Record) -> Any:
    """Writes what it gives into an array, which no traced value can be written into."""

    def assigned(one: Any) -> Any:
        plain = strip(one)
        made = namespace(plain).zeros_like(plain)
        made[...] = one
        return made

    return _rule(record, _each(assigned))


def gradient_writes(record: Record) -> Any:
    def alter(found: Any, g: Any, needs: Any) -> Any:
        g[...] = g * 2
        return found

    return _rule(record, alter)


def gradient_of_all_or_nothing(record: Record) -> Any:
    if len(float_positions(record, draw(record, 0))) < 2:
        not_applicable("one argument to differentiate: it alone is all of them")
    return _rule(record, lambda found, g, needs: found if sum(needs) > 1 else _each(_off)(found))


@contextlib.contextmanager
def wrong_rule_everywhere(record: Record) -> Iterator[None]:
    """A wrong gradient that also JAX is told to use: zeros, where there was none."""
    if record.rules.vjp is not None:
        with gradient_off(record), planted(record, jax_derivative="vjp"):
            yield
        return
    if len(leaves(invoke(record, draw(record, 0)))) > 1:
        not_applicable("no hand-derived gradient")

    def nothing(g: Any, y: Any, *args: Any, needs: Any, **options: Any) -> Any:
        given = [*args, *[options[p.name] for p in record.numbers if p.name in options]]
        return tuple(0.0 * x if needed else None for x, needed in zip(given, needs, strict=False))

    with planted(record, vjp=nothing, jax_derivative="vjp"):
        yield


def forward_mode_off(record: Record) -> Any:
    if record.jax_derivative != "jvp" or record.rules.jvp is None:
        not_applicable("JAX differentiates its body")
    jvp = record.rules.jvp
    return planted(record, jvp=lambda *args, **options: _off(jvp(*args, **options)))


def _traced(args: Any) -> bool:
    return any(type(x).__name__.endswith("Tracer") for x in args)


def off_under_trace(record: Record) -> Any:
    return _altered(record, lambda y, args: tree_map(_off, y) if _traced(args) else y)


def branches_on_values(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        return tree_map(lambda leaf: leaf if bool(namespace(leaf).all(leaf * 0 == 0)) else leaf + leaf, y)

    return _altered(record, alter)


def leaves_jax(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        import jax

        return tree_map(
            lambda leaf: jax.pure_callback(lambda v: v, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), leaf), y
        )

    return _altered(record, alter)


def remembers_its_first_answer(record: Record) -> Any:
    kept: list[Any] = []

    def alter(y: Any, args: Any) -> Any:
        # not the reference's own calls, nor the perturbed ones around them
        if not dispatch._modes:
            kept.append(y)
            return kept[0]
        return y

    return _altered(record, alter)


def off_beside_numpy(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        return tree_map(lambda leaf: leaf if namespace(leaf) is np else _off(leaf), y)

    return _altered(record, alter)


def off_far_from_one(record: Record) -> Any:
    """What a square that overflows or vanishes does, somewhere on the way."""

    def far(x: Any) -> bool:
        size = np.abs(np.asarray(x, dtype=np.float64)).max(initial=0.0)
        return bool((0 < size < 2.0**-20) | (size > 2.0**20))

    return _altered(
        record,
        lambda y, args: tree_map(_off, y) if any(far(x) for x in _arrays(args) if x.dtype.kind == "f") else y,
    )


def _is_odd(x: Any) -> bool:
    return isinstance(x, np.ndarray) and not x.flags.c_contiguous


def _when_odd(record: Record, alter: Callable[[Any], Any]) -> Any:
    return _altered(record, lambda y, args: alter(y) if any(_is_odd(x) for x in args) else y)


def bare_error_on_odd_layout(record: Record) -> Any:
    def alter(y: Any) -> Any:
        raise KeyError("stride")

    return _when_odd(record, alter)


def wrong_for_odd_layout(record: Record) -> Any:
    return _when_odd(record, lambda y: tree_map(_off, y))


def warns(record: Record) -> Any:
    def alter(y: Any, args: Any) -> Any:
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=2)
        return y

    return _altered(record, alter)


def unhelpful(record: Record) -> Any:
    def check(*args: Any, **options: Any) -> None:
        raise ShapeError("bad shape")

    return planted(record, check=check)


@contextlib.contextmanager
def hangs(record: Record) -> Iterator[None]:
    def alter(y: Any, args: Any) -> Any:
        while any(_is_odd(x) for x in args):
            pass
        return y

    seconds = bad_inputs._SECONDS
    bad_inputs._SECONDS = 0.2
    try:
        with _altered(record, alter):
            yield
    finally:
        bad_inputs._SECONDS = seconds


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def first_library_wins(record: Record) -> Any:
    def backend_of_call(record: Record, values: list[Any]) -> Any:
        return backend(next(values[p.position] for p in record.arrays if values[p.position] is not None))

    return _replaced(dispatch, "backend_of_call", backend_of_call)


def devices_unchecked(record: Record) -> Any:
    return _replaced(running, "one_device", lambda *args: None)


def numbers_are_static(record: Record) -> Any:
    if not record.numbers:
        not_applicable("it has no numbers")
    return planted(record, statics=(*record.statics, *record.numbers))


def names_are_static(record: Record) -> Any:
    if not record.names:
        not_applicable("it has no name")
    return planted(record, statics=(*record.statics, *record.names), names=())


def forgets_what_it_compiled(record: Record) -> Any:
    def check(*args: Any, **options: Any) -> None:
        record.entries.clear()
        record.cache.clear()

    return planted(record, check=check)


def of_function(name: str, value: Any) -> Callable[[Record], Any]:
    return lambda record: _replaced(record.function, name, value)


def sections_missing(record: Record) -> Any:
    if not public(record):
        not_applicable("internal: the public functions around it are documented")
    return _replaced(record.function, "__doc__", "Words.")
