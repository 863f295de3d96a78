"""Mapped over an axis - by jax.vmap, or by the loop elsewhere - an operation gives its rows' answers, stacked."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._support import (
    Expected,
    draw,
    dynamic,
    expected,
    invoke,
    leaves,
    no_error,
    not_applicable,
    place,
    refill,
)
from contracts._variants import Variant
from pillars.backends import Record, dtype_kind

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "strict", "jax")
_ROWS = 3


def check(record: Record, where: Variant, seed: int) -> None:
    if "vmap" in record.unsupported:
        not_applicable(record.unsupported["vmap"])
    values, dtype = draw(record, seed), where.default_float
    positions = dynamic(record, values)
    every = tuple(0 for _ in positions)
    first = tuple(0 if index == 0 else None for index in range(len(positions)))
    for axes in dict.fromkeys((every, first)):
        rows = [
            [
                _row(value, row) if position in positions and axes[positions.index(position)] == 0 else value
                for position, value in enumerate(values)
            ]
            for row in range(_ROWS)
        ]
        given = [
            _stacked([row[position] for row in rows], where, dtype) if axis == 0 else placed
            for position, axis in zip(positions, axes, strict=True)
            for placed in [place(record, values, where, dtype)[position]]
        ]
        what = f"{record.name} under vmap {axes} on {where.id}, seed {seed}"
        _compare(record, where, rows, positions, given, axes, what)


def _compare(
    record: Record,
    where: Variant,
    rows: list[Any],
    positions: list[int],
    given: list[Any],
    axes: Any,
    what: str,
) -> None:
    dtype = where.default_float
    frame = place(record, rows[0], where, dtype)
    with no_error(what):
        mapped = where.backend.vmap(lambda *xs: invoke(record, refill(frame, positions, xs)), axes)
        got = leaves(mapped(*given))
    each = [expected(record, row, dtype) for row in rows]
    truth = Expected(
        [np.stack(parts) for parts in zip(*(one.arrays for one in each), strict=True)],
        [max(kappas) for kappas in zip(*(one.kappas for one in each), strict=True)],
        each[0].size,
    )
    truth.agree([where.to_numpy(y) for y in got], dtype, what)


def _row(value: Any, row: int) -> Any:
    """Another valid value of the same shape: nearer to zero, on the same side; another key; the same labels."""
    if isinstance(value, float) or dtype_kind(value.dtype) == "float":
        return value * (1.0 - row / 16)
    return value + value.dtype.type(row) if value.dtype.kind == "u" else value


def _stacked(parts: list[Any], where: Variant, dtype: str) -> Any:
    stacked = np.stack([np.asarray(part) for part in parts])
    return where.asarray(stacked, dtype if stacked.dtype.kind == "f" else None)
