"""A kernel may replace the body, never the meaning: each against the body, forced below its size threshold."""

from __future__ import annotations

from typing import Any

from contracts._support import (
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
from pillars.backends import Record, forced_kernels
from pillars.backends._kernels import kernel_of
from pillars.backends._operation import choose

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "jax", "cupy", "jax-gpu")
_SCALES = (6, 40)


def _as_compiled(record: Record, placed: list[Any], where: Variant, chosen: str) -> list[Any]:
    """The call; on JAX as one program, as its kernels run there, with the kernel that was chosen outside of it."""
    if where.library != "jax":
        return leaves(invoke(record, placed))
    inside = dynamic(record, placed)

    def call(*given: Any) -> list[Any]:
        values = refill(placed, inside, given)
        assert choose(where.backend, record, values, forced=True)[1] == chosen
        return leaves(invoke(record, values))

    return list(where.backend.jit(call)(*[placed[position] for position in inside]))


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
                got = _as_compiled(record, placed, where, chosen)
            expected(record, values, dtype).agree([where.to_numpy(y) for y in got], dtype, what)
    if len(refusals) == len(_SCALES) * len(where.floats):
        not_applicable(f"kernel not eligible for these inputs: {refusals[0]}")
