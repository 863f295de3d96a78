"""The bad-input table: what somebody will pass sooner or later, row by row.

A row has the value, its cleaned form (the float64 array that it means, or `REFUSED` where it means none), and whether
an answer is owed: an operation may refuse a row that is merely odd, with an error that helps, but not a layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pillars._typing import Kind
from pillars.backends import Parameter

__all__ = ["LAZY", "REFUSED", "Row", "array_rows", "number_rows", "static_rows"]

REFUSED: Any = object()


class Row(NamedTuple):
    """One thing to pass for one argument."""

    label: str
    value: Any
    cleaned: Any
    owed: bool = False  # whether it must be answered, not refused


# What is run on libraries that compile or loop, too: each row is a compilation there.
_WORDS = "zero rows, extra axis, one more, NaN, all NaN, +inf, -inf, integer, boolean, complex, None, negative, far"
LAZY = frozenset(_WORDS.split(", "))


def _plain(label: str, value: Any, *, owed: bool = False) -> Row:
    """A row that means what NumPy makes of it: floats, integers and booleans in float64."""
    return Row(label, value, np.asarray(value, dtype=np.float64), owed)


def array_rows(parameter: Parameter, x: Any) -> Iterator[Row]:
    """Rows for an array argument whose valid value is `x`, a NumPy float64 or integer array."""
    yield from _shapes(x)
    yield from _layouts(x)
    yield from _foreign(x, optional=parameter.optional)
    if x.dtype.kind == "f":
        yield from _numbers(x)
        yield from _dtypes(x, kept=parameter.kind is Kind.ANY_ARRAY)
    else:
        yield from _labels(x)


def _as_is(label: str, value: Any, *, owed: bool = False) -> Row:
    return Row(label, value, np.array(value), owed)


def _shapes(x: Any) -> Iterator[Row]:
    yield _as_is("empty", np.zeros((0,), x.dtype))
    yield _as_is("0-d", np.asarray(x.reshape(-1)[0]))
    yield _as_is("extra axis", x[None])
    if x.ndim:
        yield _as_is("zero rows", x[:0])
        yield _as_is("zero columns", x[..., :0])
        yield _as_is("one row", x[:1])
        yield _as_is("missing axis", x[0])
        yield _as_is("one more", np.concatenate([x, x[..., :1]], axis=-1))
        yield _as_is("transposed", x.T)


def _layouts(x: Any) -> Iterator[Row]:
    """The same numbers, elsewhere in memory: these must be answered."""
    wide = np.repeat(x[..., None], 2, axis=-1)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield _as_is("non-contiguous", wide[..., 0], owed=True)
    yield _as_is("Fortran", x.copy(order="F"), owed=True)
    yield _as_is("read-only", frozen, owed=True)
    if x.ndim:
        yield _as_is("backwards", np.flip(np.flip(x).copy()), owed=True)
        yield _as_is("broadcast", np.broadcast_to(x[:1], x.shape))


def _numbers(x: Any) -> Iterator[Row]:
    def with_first(value: float) -> Any:
        changed = x.copy()
        changed.reshape(-1)[:1] = value
        return changed

    sign = np.where(x >= 0, 1.0, -1.0)
    yield _plain("NaN", with_first(np.nan))
    yield _plain("+inf", with_first(np.inf))
    yield _plain("-inf", with_first(-np.inf))
    yield _plain("all NaN", np.full_like(x, np.nan))
    yield _plain("all +inf", np.full_like(x, np.inf))
    yield _plain("all -inf", np.full_like(x, -np.inf))
    yield _plain("zeros", np.zeros_like(x))
    yield _plain("1e38 in float32", (sign * 1e38).astype(np.float32))
    yield _plain("1e308", sign * 1e308)
    yield _plain("denormal in float32", (x * 1e-40).astype(np.float32))
    yield _plain("denormal", x * 1e-310)


def _dtypes(x: Any, *, kept: bool) -> Iterator[Row]:
    yield _plain("integer", np.rint(x).astype(np.int64))
    yield _plain("int8", np.rint(x).astype(np.int8))
    yield _plain("uint8", np.rint(np.abs(x)).astype(np.uint8))
    # where the dtype is kept, booleans mean another thing than 0 and 1
    yield (_as_is if kept else _plain)("boolean", x > 0)
    yield _plain("float16", x.astype(np.float16), owed=True)
    yield _plain("float32", x.astype(np.float32), owed=True)
    yield _plain("other byte order", x.astype(">f8"))
    yield _plain("list", x.tolist(), owed=True)
    yield _plain("NumPy scalar", x.reshape(-1)[0])
    yield _plain("Python integer", 1)
    yield _as_is("boolean scalar", np.asarray(True)) if kept else _plain("boolean scalar", True)


def _labels(x: Any) -> Iterator[Row]:
    yield _as_is("negative", np.full_like(x, -1) if x.dtype.kind == "i" else x.astype(np.int64) * -1)
    yield _as_is("far", np.full_like(x, 1_000_000))
    if x.dtype.kind != "b":
        yield _as_is("smallest", np.full_like(x, np.iinfo(x.dtype).min))
    yield _as_is("floating labels", x.astype(np.float64))
    yield _as_is("boolean", x.astype(bool))
    yield _as_is("int64", x.astype(np.int64))
    yield _as_is("list", x.tolist())


def _foreign(x: Any, *, optional: bool) -> Iterator[Row]:
    """What is no array of real numbers, and must be refused by name."""
    yield Row("object", x.astype(object), REFUSED)
    yield Row("object of None", np.full(x.shape, None), REFUSED)
    yield Row("masked", np.ma.masked_array(x, mask=np.zeros(x.shape, bool)), REFUSED)
    yield Row("complex", x + 1j, REFUSED)
    yield Row("strings", x.astype(str), REFUSED)
    yield Row("dates", np.zeros(x.shape, "datetime64[s]"), REFUSED)
    yield Row("records", np.zeros(x.shape, [("a", float)]), REFUSED)
    yield Row("ragged list", [[1.0], [1.0, 2.0]], REFUSED)
    yield Row("list of strings", ["a", "b"], REFUSED)
    yield Row("list of None", [None, 1.0], REFUSED)
    yield Row("string", "abc", REFUSED)
    yield Row("complex scalar", 1j, REFUSED)
    yield Row("dictionary", {"a": 1.0}, REFUSED)
    yield Row("set", {1.0}, REFUSED)
    yield Row("generator", (v for v in (1.0, 2.0)), REFUSED)
    yield Row("function", len, REFUSED)
    yield Row("type", float, REFUSED)
    if not optional:
        yield Row("None", None, REFUSED)


def number_rows(parameter: Parameter, value: float) -> Iterator[Row]:
    """Rows for a number."""
    for label, odd in (
        ("NaN", float("nan")),
        ("+inf", float("inf")),
        ("-inf", -float("inf")),
        ("zero", 0.0),
        ("negative", -1.0),
        ("huge", 1e308),
        ("tiny", 1e-310),
        ("integer", 1),
    ):
        yield Row(label, odd, float(odd))
    yield Row("NumPy float32", np.float32(value), float(np.float32(value)), True)
    yield Row("NumPy 0-d", np.asarray(value), value, True)
    for label, odd in (
        ("boolean", True),
        ("string", "1"),
        ("list", [1.0]),
        ("array", np.asarray([1.0, 2.0])),
        ("complex", 1j),
        ("complex array", np.asarray(1j)),
        ("object", object()),
    ):
        yield Row(label, odd, REFUSED)
    if not parameter.optional:
        yield Row("None", None, REFUSED)


def static_rows(parameter: Parameter, value: Any) -> Iterator[Row]:
    """Rows for a static: what it may be, taken too far, and what it may not be."""
    kinds = parameter.types
    if int in kinds:
        yield Row("far", 1_000_000, 1_000_000)
        yield Row("far below", -1_000_000, -1_000_000)
        if isinstance(value, int) and not isinstance(value, bool):
            yield Row("NumPy integer", np.int64(value), value, True)
            yield Row("0-d integer array", np.asarray(value), value, True)
    if tuple in kinds:
        yield Row("empty tuple", (), ())
        yield Row("twice", (0, 0), (0, 0))
        yield Row("far in a tuple", (77,), (77,))
        yield Row("negative in a tuple", (-77,), (-77,))
        yield Row("words in a tuple", ("a",), REFUSED)
        yield Row("half in a tuple", (0.5,), REFUSED)
    if str in kinds:
        yield Row("unknown word", "no such", REFUSED)
    if parameter.kind is Kind.STATIC:
        if bool in kinds:
            yield Row("NumPy boolean", np.bool_(value), bool(value), True)
        if not kinds & {str}:
            yield Row("string", "axis", REFUSED)
        if not kinds & {float}:
            yield Row("half", 0.5, REFUSED)
        yield Row("dictionary", {}, REFUSED)
        yield Row("object", object(), REFUSED)
        if type(None) not in kinds:
            yield Row("None", None, REFUSED)
