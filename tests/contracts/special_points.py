"""Second derivatives at drawn and at special inputs: NumPy's trace and JAX's, in float64, agree, or are NaN.

Special are inputs that are all 0, all 1 (ties everywhere, a constant slice), two rows alike, as small as numbers with
all their digits get, and large enough that squares overflow. Numbers among the options stay as they are drawn.
"""

from __future__ import annotations

import functools
import importlib.util
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from contracts._numeric import weights
from contracts._support import (
    draw,
    float_positions,
    invoke,
    leaves,
    no_error,
    not_applicable,
    reference,
    refill,
)
from contracts._variants import Variant
from pillars.backends import Record, dtype_kind, namespace
from pillars.calculus import grad, value_and_grad

__all__ = ["POINTS", "RUNS_ON", "check"]

RUNS_ON = ("numpy",)
# roundings, of the largest entry and of what inputs of order 1 are summed from
_CLOSE, _SLACK = 1e-9, 2.0**-44
_MOVED = 1.0 + 2.0**-40


def _alike(x: Any) -> Any:
    return np.broadcast_to(x[:1], x.shape).copy() if x.ndim and x.shape[0] else x


POINTS: dict[str, Callable[[Any], Any]] = {
    "drawn": lambda x: x,
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "rows alike": _alike,
    "tiny": lambda x: x * 2.0**-1000,
    "huge": lambda x: x * 2.0**600,
}


def check(record: Record, where: Variant, seed: int) -> None:
    if "grad" in record.unsupported:
        not_applicable(record.unsupported["grad"])
    if importlib.util.find_spec("jax") is None:
        not_applicable("JAX is not installed: no second derivative to compare with")
    values = draw(record, seed)
    positions = [p for p in float_positions(record, values) if not isinstance(values[p], float)]
    if not positions:
        not_applicable("no floating array to differentiate")
    if any(dtype_kind(np.asarray(y).dtype) != "float" for y in leaves(reference(record, values))):
        not_applicable("its result is of integers")
    points = {name: [point(values[p]) for p in positions] for name, point in POINTS.items()}
    names = [record.parameters[p].name for p in positions]
    truths = [_by_jax(record, values, positions, points, reference)]
    for name, given in points.items():
        label = f"{record.name} at {name} inputs, seed {seed}"
        with no_error(label), np.errstate(all="ignore"):
            mine = _derivatives(record, values, positions, invoke, grad, value_and_grad)(*given)
        slack = 0.0 if name in ("tiny", "huge") else _SLACK
        off = _differences(mine, truths[0][name], names, slack)
        if off and record.jax_derivative == "jvp":
            # autodiff of the body has kinks of its own, such as |x| inside a smooth function
            truths = truths[:1] + (truths[1:] or [_by_jax(record, values, positions, points, invoke)])
            off = _differences(mine, truths[1][name], names, slack)
        assert not off, f"{label}: {off}"


def _derivatives(
    record: Record, values: list[Any], positions: list[int], call: Any, grad: Any, value_and_grad: Any
) -> Callable[..., tuple[Any, Any, Any]]:
    """Of Σ w·y: the gradient; ⟨∇, v⟩ as an outer differentiation sees it; and the Hessian times v."""
    every = tuple(range(len(positions)))
    w = weights(record, values)
    rng = np.random.default_rng(1)
    v = [rng.standard_normal(values[p].shape) for p in positions]

    def inner(a: Any, b: Any) -> Any:
        return functools.reduce(operator.add, (namespace(x).sum(x * y) for x, y in zip(a, b, strict=True)))

    def total(*xs: Any) -> Any:
        return inner(leaves(call(record, refill(values, positions, xs))), w)

    def along(*xs: Any) -> Any:
        return inner(grad(total, every)(*xs), v)

    def found(*xs: Any) -> tuple[Any, Any, Any]:
        value, second = value_and_grad(along, every)(*xs)
        return grad(total, every)(*xs), [value], second

    return found


def _by_jax(
    record: Record, values: list[Any], positions: list[int], points: dict[str, list[Any]], call: Any
) -> dict[str, Any]:
    """By JAX's autodiff, of the body or of the operation: there, and a little beside it."""
    import jax

    with jax.enable_x64(True):
        place = {p: jax.numpy.asarray(x) for p, x in enumerate(values) if isinstance(x, np.ndarray)}
        placed = [place.get(p, x) for p, x in enumerate(values)]
        found = jax.jit(_derivatives(record, placed, positions, call, jax.grad, jax.value_and_grad))
        return {
            name: tuple(jax.tree.map(np.asarray, found(*(x * by for x in given))) for by in (1.0, _MOVED))
            for name, given in points.items()
        }


def _differences(mine: Any, truth: Any, names: list[str], slack: float) -> str:
    """The first array that is off, in words."""
    for what, got, there, beside in zip(("gradient", "slope", "Hessian"), mine, *truth, strict=True):
        for one, name, *pair in zip(got, names, there, beside, strict=False):
            words = _off(np.asarray(one), *map(np.asarray, pair), slack)
            if words:
                return f"{what} in {name}: {words}"
    return ""


def _off(got: Any, truth: Any, beside: Any, slack: float) -> str:
    """Every number that both have, to roundings and to what a change of the inputs in the last digits does."""
    with np.errstate(all="ignore"):
        judged = ~(np.isnan(got) | np.isnan(truth))
        largest = float(np.abs(truth[np.isfinite(truth)]).max(initial=0.0))
        doubt = np.nan_to_num(np.abs(beside - truth), nan=np.inf, posinf=np.inf).max(initial=0.0)
        # of tiny inputs nothing is summed but what is tiny, or what is of order 1
        slack = slack or _SLACK * (largest > 2.0**-100)
        bound = _CLOSE * largest + 64.0 * doubt + slack + 4.0 * np.finfo(float).tiny
        far = judged & (got != truth) & ~(np.abs(got - truth) <= bound)
    return f"got {got[far][:4]}, expected {truth[far][:4]} or NaN, within {bound:.1e}" if far.any() else ""
