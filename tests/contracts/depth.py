"""Gradients of gradients, four deep, along a line; and the hand-derived rule handed a traced cotangent."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from contracts._support import (
    HOST,
    draw,
    float_positions,
    invoke,
    leaves,
    no_error,
    not_applicable,
    place,
    reference,
    refill,
    rounded,
)
from contracts._variants import Variant
from derivatives_along import DEEPEST, agree, fitted, nested
from pillars.backends import Record, dtype_kind, namespace, tree_flatten, tree_unflatten
from pillars.calculus import grad, vjp

__all__ = ["COTANGENT_RUNS_ON", "RUNS_ON", "check", "check_cotangent"]

RUNS_ON = ("numpy", "strict", "jax", "cupy")
COTANGENT_RUNS_ON = ("numpy", "strict", "cupy")


class _Line(NamedTuple):
    """Inputs, where they go, and cotangents that make one number of the results."""

    values: list[Any]
    positions: list[int]
    directions: list[Any]
    weights: list[Any]


def _line(record: Record, seed: int) -> _Line:
    if "grad" in record.unsupported:
        not_applicable(record.unsupported["grad"])
    values = rounded(record, draw(record, seed, 4), "float64")
    positions = float_positions(record, values)
    if not positions:
        not_applicable("no floating argument to differentiate")
    results = leaves(reference(record, values))
    if any(dtype_kind(np.asarray(y).dtype) != "float" for y in results):
        not_applicable("its result is of integers")
    rng = np.random.default_rng(seed)
    directions = [rng.uniform(-1.0, 1.0, np.shape(values[position])) for position in positions]
    # a number has a range, and may lie near its end
    directions = [
        d * 0.5 * abs(values[p]) if isinstance(values[p], float) else d
        for p, d in zip(positions, directions, strict=True)
    ]
    return _Line(values, positions, directions, [rng.uniform(0.5, 1.5, np.shape(y)) for y in results])


def _along(record: Record, line: _Line, where: Variant) -> Any:
    """exp of the results' weighted sum, scaled: of a linear function too no derivative is 0."""
    placed = place(record, line.values, where, "float64")
    given = [where.asarray(line.values[position], "float64") for position in line.positions]
    directions = [where.asarray(d, "float64") for d in line.directions]
    weights = [where.asarray(w, "float64") for w in line.weights]

    def total(xs: list[Any]) -> Any:
        ys = leaves(invoke(record, refill(placed, line.positions, xs)))
        return sum(namespace(y).sum(y * w) for y, w in zip(ys, weights, strict=True))

    scale = 1.0 / (1.0 + abs(float(total(given))))

    def f(t: Any) -> Any:
        # the traced number first: an array of some libraries takes no stranger beside it
        y = total([t * d + x for x, d in zip(given, directions, strict=True)]) * scale
        return namespace(y).exp(y)

    return f


@functools.cache
def _by_fit(record: Record, seed: int) -> tuple[list[float], list[float]]:
    slope = nested(_along(record, _line(record, seed), HOST), 1)
    return fitted(lambda t: float(slope(np.asarray(t))))


def check(record: Record, where: Variant, seed: int) -> None:
    """Each derivative along a line against a polynomial through first ones; elsewhere than on NumPy the last alone."""
    if where.library == "jax":
        _on_jax(record, where, seed)
        return
    f = _along(record, _line(record, seed), where)
    for order in range(2, DEEPEST + 1) if where.library == "numpy" else (DEEPEST,):
        what = f"{record.name} on {where.id}, seed {seed}"
        with no_error(f"{what}: derivative {order}"):
            found = where.to_numpy(nested(f, order)(where.asarray(0.0, "float64")))
        agree(found, order, _by_fit(record, seed), what)


def _on_jax(record: Record, where: Variant, seed: int) -> None:
    """Where JAX is told to use a rule: it differentiates the rule then."""
    if record.jax_derivative not in ("jvp", "vjp"):
        not_applicable("JAX differentiates its body")
    import jax

    # each order multiplies the compiler's time; a rule for reverse mode alone ends forward mode
    order, forward = DEEPEST - 1, record.jax_derivative == "jvp"
    with jax.enable_x64(True):
        f = jax.grad(_along(record, _line(record, seed), where))
        for _ in range(order - 1):
            f = jax.jacfwd(f) if forward else jax.grad(f)
        compiled = jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})
        what = f"{record.name} on {where.id}, seed {seed}"
        with no_error(f"{what}: derivative {order}"):
            agree(compiled(jax.numpy.zeros(())), order, _by_fit(record, seed), what)


def check_cotangent(record: Record, where: Variant, seed: int) -> None:
    """The pullback at plain arguments is linear: its gradient in the cotangent, times that, is its value."""
    line = _line(record, seed)
    placed = place(record, line.values, where, "float64")
    given = [where.asarray(line.values[position], "float64") for position in line.positions]
    directions = [where.asarray(d, "float64") for d in line.directions]

    def pulled(*gs: Any) -> Any:
        out, pullback = vjp(lambda *xs: invoke(record, refill(placed, line.positions, xs)), *given)
        found = pullback(tree_unflatten(tree_flatten(out)[1], list(gs)))
        return sum(namespace(g).sum(g * d) for g, d in zip(found, directions, strict=True))

    weights = [where.asarray(w, "float64") for w in line.weights]
    what = f"{record.name} on {where.id}, seed {seed}: its rule with a traced cotangent"
    with no_error(what):
        value = float(pulled(*weights))
        found = where.to_numpy(grad(pulled, tuple(range(len(weights))))(*weights))
    parts = [g * w for g, w in zip(found, line.weights, strict=True)]
    size = sum(part.size for part in parts)
    terms = sum(float(np.abs(part).sum()) for part in parts)
    tolerance = 4.0 * float(np.finfo(np.float64).eps) * (4.0 + math.sqrt(size)) * (terms + abs(value)) * 16.0
    off = abs(sum(float(part.sum()) for part in parts) - value)
    assert off <= tolerance, f"{what}: off by {off:.3g}, more than {tolerance:.3g}"
