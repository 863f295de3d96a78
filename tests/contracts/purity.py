"""Inputs are never written to, read-only ones are welcome, and the result's memory is its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._support import draw, invoke, leaves, no_error, not_applicable, place
from contracts._variants import Variant
from pillars.backends import Record, forward_and_pullback, tree_map

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "strict", "jax", "cupy")


def check(record: Record, where: Variant, seed: int) -> None:
    if where.library == "jax":
        not_applicable("JAX's arrays cannot be written to")
    for dtype in where.floats:
        values = place(record, draw(record, seed), where, dtype)
        arrays = {p.name: values[p.position] for p in record.arrays if values[p.position] is not None}
        before = {name: where.to_numpy(x).copy() for name, x in arrays.items()}
        what = f"{record.name} in {dtype} on {where.id}, seed {seed}"
        with no_error(what):
            got = leaves(invoke(record, values))
        _unchanged(where, arrays, before, what)
        for name, x in arrays.items():
            for y in got:
                assert not _shared(where, x, y), f"{what}: the result shares memory with {name}"
        if where.library == "numpy":
            _read_only(record, values, got, what)
        if record.rules.vjp is not None:
            _pullback(record, where, values, arrays, before, what)


def _pullback(
    record: Record,
    where: Variant,
    values: list[Any],
    arrays: dict[str, Any],
    before: dict[str, Any],
    what: str,
) -> None:
    with no_error(f"{what}, backward"):
        y, pullback = forward_and_pullback(record, list(values))
        g = tree_map(where.xp.ones_like, y)
        kept = [where.to_numpy(part).copy() for part in leaves(y)]
        pullback(g)
    _unchanged(where, arrays, before, f"{what}, backward")
    assert all(np.all(where.to_numpy(part) == 1) for part in leaves(g)), (
        f"{what}: the pullback wrote to its cotangent"
    )
    for part, before_it in zip(leaves(y), kept, strict=True):
        assert np.array_equal(where.to_numpy(part), before_it, equal_nan=True), (
            f"{what}: the pullback wrote to the result"
        )


def _read_only(record: Record, values: list[Any], got: list[Any], what: str) -> None:
    frozen = tree_map(lambda x: x, values)
    for parameter in record.arrays:
        if frozen[parameter.position] is not None:
            frozen[parameter.position] = frozen[parameter.position].copy()
            frozen[parameter.position].flags.writeable = False
    with no_error(f"{what}, read-only inputs"):
        again = leaves(invoke(record, frozen))
    for one, other in zip(again, got, strict=True):
        assert np.array_equal(one, other, equal_nan=True), f"{what}: another answer for read-only inputs"


def _unchanged(where: Variant, arrays: dict[str, Any], before: dict[str, Any], what: str) -> None:
    for name, x in arrays.items():
        same = np.array_equal(where.to_numpy(x), before[name], equal_nan=before[name].dtype.kind == "f")
        assert same, f"{what}: wrote to {name}"


def _shared(where: Variant, x: Any, y: Any) -> bool:
    if where.library == "cupy":
        return bool(x.data.mem.ptr == y.data.mem.ptr and x.size and y.size)
    # the strict namespace shares its buffer with the NumPy view that it gives
    return bool(np.shares_memory(where.backend.to_numpy(x), where.backend.to_numpy(y)))
