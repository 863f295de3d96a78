"""The gradient that a user asks a backend for is the body's: reverse mode everywhere, forward mode on JAX too."""

from __future__ import annotations

from typing import Any

from contracts._numeric import Slope, slope
from contracts._support import invoke, leaves, no_error, place, refill
from contracts._variants import Variant
from pillars.backends import Record, namespace

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy", "strict", "jax", "jax-jit")


def check(record: Record, where: Variant, seed: int) -> None:
    dtype = where.default_float
    known = slope(record, seed, dtype)
    placed = place(record, known.values, where, dtype)
    w = [where.asarray(one, dtype) for one in known.weights]

    def total(*xs: Any) -> Any:
        ys = leaves(invoke(record, refill(placed, known.positions, xs)))
        return sum(namespace(y).sum(y * one) for one, y in zip(w, ys, strict=True))

    given = [where.asarray(placed[position], dtype) for position in known.positions]
    what = f"{record.name} under grad on {where.id}, seed {seed}"
    every = tuple(range(len(given)))
    with no_error(what):
        gradients = where.compiled(where.backend.grad(total, every))(*given)
    for position, x, gradient in zip(known.positions, given, gradients, strict=True):
        label = f"{what}, with respect to {record.parameters[position].name}"
        assert gradient.dtype == x.dtype, f"{label}: {gradient.dtype} for {x.dtype}"
        known.agree(position, where.to_numpy(gradient), dtype, label)
    if where.library == "jax" and record.jax_derivative != "vjp":
        _forward(where, known, total, given, dtype, what)


def _forward(where: Variant, known: Slope, total: Any, given: list[Any], dtype: str, what: str) -> None:
    """Each argument's directional derivative along its own gradient, by JAX's forward mode."""
    import jax

    for index, (position, x) in enumerate(zip(known.positions, given, strict=True)):
        direction = where.asarray(known.gradients[index], dtype)
        tangents = [direction if other == index else where.xp.zeros_like(y) for other, y in enumerate(given)]
        with no_error(f"{what}, forward mode"):
            _, along = where.compiled(lambda *ts: jax.jvp(total, given, list(ts)))(*tangents)
        known.agree_along(position, where.to_numpy(along), dtype, f"{what}, forward mode")
        assert x.dtype == along.dtype, f"{what}, forward mode: {along.dtype} for {x.dtype}"
