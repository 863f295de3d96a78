"""One answer everywhere: each backend in each precision against the float64 body on NumPy."""

from __future__ import annotations

from contracts._support import draw, expected, not_applicable, place, run
from contracts._variants import Variant
from pillars.backends import Record

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "strict", "strict-device1", "jax", "cupy", "jax-gpu")


def check(record: Record, where: Variant, seed: int) -> None:
    values = draw(record, seed)
    for dtype in where.floats:
        if dtype in record.unsupported:
            if len(where.floats) == 1:
                not_applicable(record.unsupported[dtype])
            continue
        got = run(record, place(record, values, where, dtype), where)
        what = f"{record.name} in {dtype} on {where.id}, seed {seed}"
        expected(record, values, dtype).agree([where.to_numpy(y) for y in got], dtype, what)
