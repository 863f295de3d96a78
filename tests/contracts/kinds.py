"""What comes out is of the kind that came in: library, dtype, shape, device; scalars are 0-d arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._support import draw, expected, invoke, leaves, no_error, place, public, rounded
from contracts._variants import Variant
from contracts.oracle import truth
from pillars.backends import Record, dtype_kind, dtype_name

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "strict", "strict-device1", "jax", "cupy", "jax-gpu")


def check(record: Record, where: Variant, seed: int) -> None:
    values = draw(record, seed)
    # shapes and kinds from outside, not from the body
    shown = truth(record, rounded(record, values, "float64"))
    for dtype in (*where.floats, *_halves(where)):
        if dtype in record.unsupported:
            continue
        placed = place(record, values, where, dtype)
        what = f"{record.name} in {dtype} on {where.id}, seed {seed}"
        with no_error(what):
            got = leaves(invoke(record, placed))
        assert [y.shape for y in got] == [y.shape for y in shown], f"{what}: shapes {[y.shape for y in got]}"
        names = [_name(record, placed, y, where, dtype) for y in shown]
        _like(record, where, placed, got, names, what)
        if dtype != "bfloat16":  # NumPy, which holds the reference, has none
            expected(record, values, dtype).agree([where.to_numpy(y) for y in got], dtype, what)
    for number in record.numbers:
        if isinstance(values[number.position], float):
            _number(record, where, values, number.position)


def _halves(where: Variant) -> tuple[str, ...]:
    return {"strict": (), "jax": ("float16", "bfloat16")}.get(where.library, ("float16",))


def _name(record: Record, placed: list[Any], shown: Any, where: Variant, dtype: str) -> str:
    """The dtype expected: floats that came in keep theirs, a static may name one, integers are the default ones."""
    if dtype_kind(shown.dtype) != "float":
        return where.expected_integer(shown.dtype)
    if any(
        dtype_kind(placed[p.position].dtype) in ("float", "half") for p in record.arrays if _given(placed, p)
    ):
        return dtype
    named = [placed[p.position] for p in record.statics if placed[p.position] in ("float32", "float64")]
    return named[0] if named else where.default_float


def _given(values: list[Any], parameter: Any) -> bool:
    return values[parameter.position] is not None


def _like(
    record: Record, where: Variant, placed: list[Any], got: list[Any], names: list[str], what: str
) -> None:
    device = next(
        where.backend.device_of(placed[p.position]) for p in record.arrays if placed[p.position] is not None
    )
    for y, name in zip(got, names, strict=True):
        assert where.backend.owns(type(y)), (
            f"{what}: returned a {type(y).__name__}, expected an array of {where.library}"
        )
        right = dtype_name(y.dtype) == name or (_accumulates(record) and _wider(dtype_name(y.dtype), name))
        assert right, f"{what}: returned {dtype_name(y.dtype)}, expected {name}"
        assert where.backend.device_of(y) == device, (
            f"{what}: landed on {where.backend.device_of(y)}, not on {device}"
        )
        assert not getattr(y, "weak_type", False), (
            f"{what}: a weak dtype, which the next operation would change"
        )


def _accumulates(record: Record) -> bool:
    """An internal state may be wider than what it sums up; what users get of it may not."""
    return record.half == "native" and not public(record)


def _wider(name: str, than: str) -> bool:
    order = ("float16", "bfloat16", "float32", "float64")
    return name in order and than in order and order.index(name) > order.index(than)


def _number(record: Record, where: Variant, values: list[Any], position: int) -> None:
    """A number may come as NumPy's float64, which must not turn float32 arrays into float64."""
    placed = place(record, values, where, "float32")
    name = record.parameters[position].name
    plain = leaves(invoke(record, placed))
    for disguise in (np.float64, np.asarray):
        changed = list(placed)
        changed[position] = disguise(placed[position])
        what = f"{record.name} in float32 with {name} as {type(changed[position]).__name__} on {where.id}"
        with no_error(what):
            got = leaves(invoke(record, changed))
        _like(record, where, placed, got, [dtype_name(y.dtype) for y in plain], what)
        for one, other in zip(got, plain, strict=True):
            assert np.array_equal(where.to_numpy(one), where.to_numpy(other), equal_nan=True), what
