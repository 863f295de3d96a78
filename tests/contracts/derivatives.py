"""The hand-derived gradient against central differences, the complex step and JAX's autodiff of the body."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._numeric import Slope, autodiff, complex_step, slope
from contracts._support import NotApplicable, no_error, not_applicable, place
from contracts._variants import Variant
from pillars.backends import (
    Record,
    dtype_name,
    forward_and_pullback,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)

__all__ = ["METHODS", "RUNS_ON", "check", "check_autodiff", "check_complex_step", "check_needs"]

RUNS_ON = ("numpy", "strict", "jax", "cupy")


def _known(record: Record, seed: int, dtype: str) -> Slope:
    if record.rules.vjp is None:
        not_applicable("no hand-derived gradient")
    return slope(record, seed, dtype)


def _cotangents(
    record: Record, known: Slope, where: Variant, dtype: str, needs: Any = None
) -> tuple[Any, dict[int, Any]]:
    placed = place(record, known.values, where, dtype)
    with no_error(f"{record.name}: its gradient in {dtype} on {where.id}"):
        y, pullback = forward_and_pullback(record, list(placed), needs)
        parts, structure = tree_flatten(y)
        found = pullback(
            tree_unflatten(
                structure,
                [
                    where.asarray(w, dtype_name(part.dtype))
                    for w, part in zip(known.weights, parts, strict=True)
                ],
            )
        )
    return y, dict(zip((p.position for p in record.differentiable), found, strict=True))


def check(record: Record, where: Variant, seed: int) -> None:
    """Values against central differences; each cotangent of its primal's shape and dtype."""
    halves = ("float16",) if where.library in ("numpy", "jax") else ()
    for dtype in (*where.floats, *halves):
        known = _known(record, seed, dtype)
        y, found = _cotangents(record, known, where, dtype)
        for position, cotangent in found.items():
            name = record.parameters[position].name
            what = f"{record.name}: gradient of {name} in {dtype} on {where.id}, seed {seed}"
            if position not in known.positions:
                assert cotangent is None, f"{what}: got one for an argument that has no derivative"
                continue
            assert cotangent is not None, f"{what}: None, though it is needed"
            assert dtype_name(cotangent.dtype) == dtype, (
                f"{what}: {dtype_name(cotangent.dtype)}, expected {dtype}"
            )
            shape = np.shape(known.values[position])
            assert cotangent.shape == shape, f"{what}: shape {cotangent.shape}, expected {shape}"
            assert where.backend.owns(type(cotangent)), f"{what}: a {type(cotangent).__name__}"
            assert where.backend.device_of(cotangent) == where.backend.device_of(tree_leaves(y)[0]), (
                f"{what}: on another device"
            )
            known.agree(position, where.to_numpy(cotangent), dtype, what)


def check_autodiff(record: Record, where: Variant, seed: int) -> None:
    """Every digit against JAX's autodiff of the body."""
    known = _known(record, seed, "float32")
    truth, dtype = autodiff(record, known)
    _, found = _cotangents(record, known, where, "float64")
    for position, expected in zip(known.positions, truth, strict=True):
        what = f"{record.name}: gradient of {record.parameters[position].name} against autodiff, seed {seed}"
        known.agree(position, where.to_numpy(found[position]), dtype, what, expected)


def check_complex_step(record: Record, where: Variant, seed: int) -> None:
    """Every digit against the complex step, along a random direction of each argument."""
    known = _known(record, seed, "float64")
    _, found = _cotangents(record, known, where, "float64")
    rng = np.random.default_rng(seed)
    refused = []
    for position in known.positions:
        direction = rng.standard_normal(np.shape(known.values[position]))
        try:
            expected = complex_step(record, known, position, direction)
        except NotApplicable as reason:
            refused.append(str(reason))
            continue
        got = np.sum(where.to_numpy(found[position]) * direction)
        what = f"{record.name}: gradient of {record.parameters[position].name} by complex step, seed {seed}"
        known.agree_along(position, got, "float64", what, expected, direction)
    if len(refused) == len(known.positions):
        not_applicable(refused[0])


def check_needs(record: Record, where: Variant, seed: int) -> None:
    """One cotangent at a time: the same digits, and nothing that was not asked for."""
    known = _known(record, seed, "float64")
    _, every = _cotangents(record, known, where, "float64")
    for position in known.positions:
        needs = record.needs(*[p.position == position for p in record.differentiable])
        _, found = _cotangents(record, known, where, "float64", needs)
        for other, cotangent in found.items():
            name = record.parameters[other].name
            if other != position:
                assert cotangent is None, f"{record.name}: a cotangent of {name} that nobody needs"
                continue
            assert cotangent is not None, f"{record.name}: no cotangent of {name} where it alone is needed"
            same = np.array_equal(where.to_numpy(cotangent), where.to_numpy(every[other]), equal_nan=True)
            assert same, f"{record.name}: another cotangent of {name} where it alone is needed"


METHODS = {
    "differences": check,
    "autodiff": check_autodiff,
    "complex step": check_complex_step,
    "needs": check_needs,
}
