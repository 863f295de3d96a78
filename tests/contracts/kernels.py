"""A kernel may replace the body, never the meaning: each against the body, forced below its size threshold."""

from __future__ import annotations

from contracts._support import draw, expected, invoke, leaves, no_error, not_applicable, place
from contracts._variants import Variant
from pillars.backends import Record, forced_kernels
from pillars.backends._kernels import kernel_of
from pillars.backends._operation import choose

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "jax", "cupy", "jax-gpu")
_SCALES = (6, 40)


def check(record: Record, where: Variant, seed: int) -> None:
    if kernel_of(where.backend, record) is None:
        not_applicable(f"no kernel on {where.library}")
    refusals = []
    for scale in _SCALES:
        for dtype in where.floats:
            values = draw(record, seed, scale)
            placed = place(record, values, where, dtype)
            with no_error(f"{record.name}: choosing a kernel"):
                _, chosen, reason = choose(where.backend, record, list(placed), forced=True)
            if chosen == "body":
                refusals.append(reason)
                continue
            what = f"{record.name} by {chosen} in {dtype}, seed {seed}, scale {scale}"
            with no_error(what), forced_kernels():
                got = leaves(invoke(record, placed))
            expected(record, values, dtype).agree([where.to_numpy(y) for y in got], dtype, what)
    if len(refusals) == len(_SCALES) * len(where.floats):
        not_applicable(f"kernel not eligible for these inputs: {refusals[0]}")
