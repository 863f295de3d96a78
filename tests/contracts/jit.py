"""Inside somebody's jit, numbers traced too, an operation gives what its unjitted body gives."""

from __future__ import annotations

from contracts._support import draw, expected, leaves, no_error, not_applicable, place, reference, run
from contracts._variants import Variant
from pillars.backends import Record

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("jax-jit",)


def check(record: Record, where: Variant, seed: int) -> None:
    if "jit" in record.unsupported:
        not_applicable(record.unsupported["jit"])
    values, dtype = draw(record, seed), where.default_float
    placed = place(record, values, where, dtype)
    what = f"{record.name} under jit in {dtype}, seed {seed}"
    truth = expected(record, values, dtype)
    got = run(record, placed, where)
    truth.agree([where.to_numpy(y) for y in got], dtype, what)
    with no_error(f"{what}, its unjitted body"):
        plain = leaves(reference(record, placed))
    for one, other in zip(got, plain, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), f"{what}: {one.dtype}{one.shape} instead"
    truth.agree([where.to_numpy(y) for y in plain], dtype, f"{what}, its unjitted body")
