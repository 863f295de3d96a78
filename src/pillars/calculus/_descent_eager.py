"""The loop of a descent in Python: NumPy, CuPy and the strict namespace.

What a step costs beside the loss and its gradient is a few microseconds a leaf: scalars are Python floats, trees are
flattened once, and what `update` offers but no one looks at here (the update ratio) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pillars.backends import dtype_kind, single_threaded_blas, tree_flatten, tree_leaves, tree_unflatten
from pillars.calculus._descent_plan import Metrics, Plan
from pillars.calculus._descent_result import (
    CONVERGED,
    GRADIENT_BROKE,
    LOSS_BROKE,
    RUNNING,
    START_BROKE,
    Descent,
    History,
    judge,
)
from pillars.calculus._norms import norm_of_leaves
from pillars.calculus._optimizers import Update, refuse_rate, scheduled
from pillars.calculus._parameters import rate_dtype

__all__ = ["descend_eagerly"]

_SMALL = 1 << 20  # elements: the products of smaller arrays gain nothing from a second BLAS thread
_TINY = 1e-30  # below it squares may have underflowed in float32


def descend_eagerly(
    plan: Plan,
    params: Any,
    data: Any,
    key: Any,
    clip_norm: float | None,
    tolerance: float | None,
    callback: Callable[[int, Metrics], Any] | None,
    every: int,
) -> Descent:
    """Run `plan` from `params`."""
    home = plan.home
    xp = home.xp
    evaluate = plan.evaluator()
    leaves, treedef = tree_flatten(params)
    dtype = rate_dtype(xp, leaves)
    move = _mover(plan, params)
    losses: list[float] = []
    rates: list[float] = []
    norms: list[float] = []
    previous, batch, order = leaves, data, None
    code, final = RUNNING, None
    with home.quiet(), _blas_threads(params, data):
        for t in range(plan.steps):
            params = tree_unflatten(treedef, leaves)
            if plan.batch_size:
                if t % plan.batches == 0:
                    order = plan.order(key, t // plan.batches)
                batch = plan.batch(data, order, t % plan.batches)
            value, grads = evaluate(params, batch)
            loss = float(value)
            if not (math.isfinite(loss) and _finite(xp, leaves)):
                code = LOSS_BROKE if t else START_BROKE
                break
            norm = _norm(xp, grads, dtype)
            if not math.isfinite(norm):
                code = GRADIENT_BROKE
                break
            if tolerance is not None and norm <= tolerance:
                code = CONVERGED
                break
            if clip_norm is not None and norm > clip_norm:
                factor = clip_norm / norm
                grads = [factor * g for g in grads]
            previous = leaves
            leaves, rate = move(leaves, grads)
            losses.append(loss)
            rates.append(rate)
            norms.append(norm)
            if callback is not None and (t + 1) % every == 0:
                callback(t + 1, Metrics(loss, rate, norm))
        if code == RUNNING:
            final, code = _ending(plan, tree_unflatten(treedef, leaves), data, tolerance, bool(losses))
        if code == LOSS_BROKE:
            leaves = previous
        params = tree_unflatten(treedef, leaves)
        if final is None or code != RUNNING:
            final = plan.value(params, *data)  # what stopped the run may have been a batch's
        return _result(plan, params, final, (losses, rates, norms), code, dtype)


def _ending(plan: Plan, params: Any, data: Any, tolerance: float | None, moved: bool) -> tuple[Any, int]:
    """The loss after the last step, and whether the run ends there for a reason of its own."""
    xp, leaves = plan.home.xp, tree_leaves(params)
    final = plan.value(params, *data)
    if not (math.isfinite(float(final)) and _finite(xp, leaves)):
        return final, LOSS_BROKE if moved else START_BROKE
    if tolerance is not None:
        _, grads = plan.evaluator()(params, data)
        if _norm(xp, grads, rate_dtype(xp, leaves)) <= tolerance:
            return final, CONVERGED
    return final, RUNNING


def _blas_threads(params: Any, data: Any) -> AbstractContextManager[Any]:
    """One BLAS thread where products are small: two wait for each other at every step, on a busy machine long."""
    sizes = (math.prod(getattr(x, "shape", ())) for x in tree_leaves((params, data)))
    return single_threaded_blas() if max(sizes, default=0) < _SMALL else nullcontext()


def _result(plan: Plan, params: Any, final: Any, kept: Any, code: int, dtype: Any) -> Descent:
    home = plan.home
    xp, device = home.xp, home.device_of(tree_leaves(params)[0])

    def array(values: Any, kind: Any) -> Any:
        return home.asarray(values, dtype=kind, device=device)

    losses, rates, _ = kept
    final = home.as_arrays(final)
    ended = array(code, xp.int32)
    steps = array(len(losses), xp.int32)
    whole = not plan.batch_size and code == RUNNING
    judged = [*losses, float(final)] if whole else losses or [math.nan]
    verdict = judge(
        ended,
        array(judged, dtype),
        array([*rates, math.nan] if whole else rates or [math.nan], dtype),
        steps if whole else steps - 1,
        plan.implied,
    )
    history = History(*(array(values, dtype) for values in kept))
    return Descent(params, final, history, steps, *(home.as_arrays(x) for x in verdict))


def _mover(plan: Plan, params: Any) -> Callable[[list[Any], list[Any]], tuple[list[Any], float]]:
    """(leaves, gradient leaves) -> (leaves, rate): one step; the optimiser's state stays inside."""
    home, update = plan.home, plan.optimizer.update
    xp = home.xp
    state = plan.optimizer.init(params)
    leaves, treedef = tree_flatten(params)
    if type(update) is not Update or any(dtype_kind(p.dtype) == "half" for p in leaves):

        def through_update(leaves: list[Any], grads: list[Any]) -> tuple[list[Any], float]:
            nonlocal state
            made = update(tree_unflatten(treedef, grads), state, tree_unflatten(treedef, leaves))
            state = made.state
            return tree_leaves(made.params), float(made.learning_rate)

        return through_update
    rule, schedule = update.rule, update.schedule
    slots: list[tuple[Any, ...]] = list(
        zip(*(tree_leaves(tree) for tree in state[2 : 2 + rule.slots]), strict=True)
    ) or [()] * len(leaves)
    rate, taken = float(state.learning_rate), 0
    zero_dim = [p.shape == () for p in leaves]

    def directly(leaves: list[Any], grads: list[Any]) -> tuple[list[Any], float]:
        nonlocal rate, taken
        if schedule is not None and taken:
            found = scheduled(rule, schedule, xp.asarray(taken))
            refuse_rate(rule, found, home)
            rate = float(found)
        taken += 1
        scalars = rule.scalars(taken, rate, math.expm1)
        moved = []
        for i, p in enumerate(leaves):
            after, slots[i] = rule.leaf(xp, p, grads[i], slots[i], scalars)
            moved.append(home.as_arrays(after) if zero_dim[i] else after)
        return moved, rate

    return directly


def _norm(xp: Any, grads: list[Any], dtype: Any) -> float:
    dot = getattr(xp, "vdot", None)
    total = sum(float(dot(g, g) if dot else xp.sum(g * g)) for g in grads)
    if _TINY < total < math.inf:
        return math.sqrt(total)
    return float(norm_of_leaves(xp, grads, dtype))


def _finite(xp: Any, leaves: list[Any]) -> bool:
    dot = getattr(xp, "vdot", None)
    if all(math.isfinite(float(dot(p, p) if dot else xp.sum(p * p))) for p in leaves):
        return True
    return all(bool(xp.all(xp.isfinite(p))) for p in leaves)  # squares overflow before numbers do
