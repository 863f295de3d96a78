"""The loop of a descent in Python: NumPy, CuPy and the strict namespace.

What a step costs beside the loss and its gradient is a dozen calls on all small leaves together: scalars are Python
floats, trees are flattened once, and what `update` offers but no one looks at here (the update ratio) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pillars.backends import (
    plain_bool,
    single_threaded_blas,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_unflatten,
)
from pillars.calculus._descent_breaks import Breaks, carrying
from pillars.calculus._descent_gradients import ByHand, gradients_of
from pillars.calculus._descent_moves import Moves, moves_of
from pillars.calculus._descent_plan import Metrics, Plan
from pillars.calculus._descent_result import (
    CONVERGED,
    GRADIENT_BROKE,
    HALTED,
    LOSS_BROKE,
    RUNNING,
    STALLED,
    START_BROKE,
    STOPPED,
    Descent,
    History,
    judge,
)
from pillars.calculus._monitors import Monitor, watching
from pillars.calculus._scalars import scalars

__all__ = ["descend_eagerly"]

_SMALL = 1 << 20  # elements: the products of smaller arrays gain nothing from a second BLAS thread


class _Kept:
    """What the history becomes, as Python's floats."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.norms: list[float] = []

    def rows(self, plan: Plan) -> Any:
        """The history as an array, one row a step."""
        rows = [*zip(self.losses, self.rates, self.norms, strict=True)]
        return plan.home.xp.reshape(plan.home.asarray(rows, dtype=plan.home.xp.float64), (-1, 3))

    def take(self, rows: Any) -> None:
        """Begin with the history of an earlier run."""
        self.losses, self.rates, self.norms = (column.tolist() for column in rows.T)


def descend_eagerly(
    plan: Plan,
    params: Any,
    data: Any,
    key: Any,
    clip_norm: float | None,
    tolerance: float | None,
    breaks: Breaks,
) -> Descent:
    """Run `plan` from `params`, or from where an earlier run of it stood."""
    if breaks.saved is not None:
        params = breaks.saved.tree("params", params, plan.home)
    moves = moves_of(plan, *tree_flatten(params))
    evaluate = gradients_of(plan, moves.leaves, moves.treedef)
    run, final = _Run(plan, moves, evaluate, _watcher(plan, moves), breaks), None
    kept = run.kept
    with plan.home.quiet(), _blas_threads(params, data), evaluate.lent(data) as seen:
        code = run.all(data, seen, key, clip_norm, tolerance)
        if code == RUNNING:
            final, code = _ending(plan, moves, evaluate, data, seen, tolerance, bool(kept.losses))
        leaves = run.previous if code == LOSS_BROKE else moves.leaves
        params = tree_unflatten(moves.treedef, leaves)
        if final is None or code != RUNNING:
            final = plan.value(params, *data)  # what stopped the run may have been a batch's
        return _result(plan, params, final, kept, code, moves.dtype)


class _Run:
    """All steps.

    Attributes
    ----------
    kept : the history.
    previous : the parameters before the last step.
    """

    def __init__(
        self, plan: Plan, moves: Moves, evaluate: ByHand, watch: _Watcher | None, breaks: Breaks
    ) -> None:
        self.plan, self.moves, self.evaluate, self.watch, self.breaks = plan, moves, evaluate, watch, breaks
        self.kept, self.previous, self.begin = _Kept(), moves.leaves, 0
        saved = breaks.saved
        if saved is not None:
            self.begin = saved.step
            self.kept.take(saved.history)
            self.previous = saved.tree("previous", self.previous, plan.home)
            moves.restore(saved.tree("moves", moves.saved(), plan.home))
            if watch is not None:
                watch.state = saved.tree("monitor", watch.state, plan.home)

    def all(self, data: Any, seen: Any, key: Any, clip_norm: float | None, tolerance: float | None) -> int:
        """All steps: why they ended."""
        plan, moves, evaluate, watch, breaks = self.plan, self.moves, self.evaluate, self.watch, self.breaks
        kept = self.kept
        losses, rates, norms = kept.losses.append, kept.rates.append, kept.norms.append
        batch, order, stops = seen, None, breaks.any
        isfinite = math.isfinite
        for t in range(self.begin, plan.steps):
            if plan.batch_size:
                if order is None or t % plan.batches == 0:
                    order = plan.order(key, t // plan.batches)
                batch = evaluate.batch(plan.batch(data, order, t % plan.batches))
            value, grads = evaluate(moves.leaves, batch)
            loss = float(value)
            if not (isfinite(loss) and moves.finite()):
                return LOSS_BROKE if t else START_BROKE
            norm = moves.take(grads)
            if not isfinite(norm):
                norm = moves.take(evaluate.again(grads))
                if not isfinite(norm):
                    return GRADIENT_BROKE
            if tolerance is not None and norm <= tolerance:
                return CONVERGED
            if watch is not None and watch(loss):
                return plan.halted_code
            self.previous = moves.leaves
            rate = moves.step(clip_norm / norm if clip_norm is not None and norm > clip_norm else None, loss)
            losses(loss)
            rates(rate)
            norms(norm)
            if stops and self._stop(t + 1, data):
                return STOPPED
        return RUNNING

    def _stop(self, done: int, data: Any) -> bool:
        """What comes after some of the steps, and whether they end there; an exception carries what was reached."""
        plan, moves, kept, breaks = self.plan, self.moves, self.kept, self.breaks
        what = "writing the checkpoint"
        try:
            if breaks.writes(done, plan.steps):
                assert breaks.checkpoint is not None
                state = None if self.watch is None else self.watch.state
                trees = {"params": moves.params(), "previous": self.previous, "moves": moves.saved()}
                breaks.checkpoint.save(done, kept.rows(plan), monitor=state, **trees)
            if breaks.calls(done):
                what = "the callback"
                assert breaks.callback is not None
                shown = tree_map(lambda p: plan.home.xp.asarray(p, copy=True), moves.params())
                found = breaks.callback(done, Metrics(kept.losses[-1], kept.rates[-1], kept.norms[-1], shown))
                return plain_bool(found) is True
        except BaseException as error:
            final = plan.value(moves.params(), *data)
            carrying(error, _result(plan, moves.params(), final, kept, RUNNING, moves.dtype), what)
            raise
        return False


def _ending(
    plan: Plan, moves: Moves, evaluate: ByHand, data: Any, seen: Any, tolerance: float | None, moved: bool
) -> tuple[Any, int]:
    """The loss after the last step, and whether the run ends there for a reason of its own."""
    final = plan.value(moves.params(), *data)
    if not (math.isfinite(float(final)) and moves.finite()):
        return final, LOSS_BROKE if moved else START_BROKE
    if tolerance is not None:
        _, grads = evaluate(moves.leaves, seen)
        norm = moves.norm(grads)
        if not math.isfinite(norm):
            norm = moves.norm(evaluate.again(grads))
        if norm <= tolerance:
            return final, CONVERGED
    return final, RUNNING


def _blas_threads(params: Any, data: Any) -> AbstractContextManager[Any]:
    """One BLAS thread where products are small: two wait for each other at every step, on a busy machine long."""
    sizes = (math.prod(getattr(x, "shape", ())) for x in tree_leaves((params, data)))
    return single_threaded_blas() if max(sizes, default=0) < _SMALL else nullcontext()


class _Watcher:
    """loss -> whether the monitor halts the run there.

    Attributes
    ----------
    state : the monitor's.
    """

    def __init__(self, state: Any, advance: Callable[[float, Any], Any]) -> None:
        self.state, self.advance = state, advance

    def __call__(self, loss: float) -> bool:
        self.state = self.advance(loss, self.state)
        return bool(self.state.halted)


def _watcher(plan: Plan, moves: Moves) -> _Watcher | None:
    home, monitor, dtype = plan.home, plan.monitor, moves.dtype
    device = home.device_beside(moves.leaves[0])
    if monitor is None:
        return None
    if isinstance(monitor, Monitor):
        return _Watcher(monitor.first(), lambda loss, state: monitor.advance(scalars, float, loss, state))

    def updated(loss: float, state: Any) -> Any:
        return monitor.update(home.asarray(loss, dtype=dtype, device=device), state)

    return _Watcher(watching(monitor, home.asarray(0.0, dtype=dtype, device=device)), updated)


def _result(plan: Plan, params: Any, final: Any, kept: _Kept, code: int, dtype: Any) -> Descent:
    home = plan.home
    xp, device = home.xp, home.device_beside(tree_leaves(params)[0])

    def array(values: Any, kind: Any) -> Any:
        return home.asarray(values, dtype=kind, device=device)

    losses, rates = kept.losses, kept.rates
    final = home.as_arrays(final)
    ended = array(code, xp.int32)
    steps = array(len(losses), xp.int32)
    whole = not plan.batch_size and code in {RUNNING, HALTED, STALLED, STOPPED}
    judged = [*losses, float(final)] if whole else losses or [math.nan]
    verdict = judge(
        ended,
        array(judged, dtype),
        array([*rates, math.nan] if whole else rates or [math.nan], dtype),
        steps if whole else steps - 1,
        plan.implied,
        home.as_arrays(final) if plan.batch_size else None,
    )
    history = History(*(array(values, dtype) for values in (losses, rates, kept.norms)))
    return Descent(params, final, history, steps, *(home.as_arrays(x) for x in verdict))
