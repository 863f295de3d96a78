"""The loop of a descent in Python: NumPy, CuPy and the strict namespace.

What a step costs beside the loss and its gradient is a dozen calls on all small leaves together: scalars are Python
floats, trees are flattened once, and what `update` offers but no one looks at here (the update ratio) is left out.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from pillars.backends import (
    plain_bool,
    single_threaded_blas,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_unflatten,
)
from pillars.calculus.descent._callbacks import Breaks, attach_descent
from pillars.calculus.descent._eager_gradients import ByHand, gradients_of
from pillars.calculus.descent._eager_updates import Moves, moves_of
from pillars.calculus.descent._interrupt import Interrupt, interruptible
from pillars.calculus.descent._judge import judge
from pillars.calculus.descent._plan import Bounds, Metrics, Plan
from pillars.calculus.descent._result import Descent, History
from pillars.calculus.descent._status import (
    CONVERGED,
    GRADIENT_BROKE,
    HALTED,
    INTERRUPTED,
    LOSS_BROKE,
    RUNNING,
    STALLED,
    START_BROKE,
    STOPPED,
)
from pillars.calculus.descent._watcher import Watcher, watcher_of

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
        return plan.backend.xp.reshape(plan.backend.asarray(rows, dtype=plan.backend.xp.float64), (-1, 3))

    def take(self, rows: Any) -> None:
        """Begin with the history of an earlier run."""
        self.losses, self.rates, self.norms = (column.tolist() for column in rows.T)

    def cut(self, n: int) -> None:
        """Forget what came after `n` steps."""
        for column in (self.losses, self.rates, self.norms):
            del column[n:]


def descend_eagerly(plan: Plan, params: Any, data: Any, key: Any, bounds: Bounds, breaks: Breaks) -> Descent:
    """Run `plan` from `params`, or from where an earlier run of it stood."""
    if breaks.saved is not None:
        params = breaks.saved.tree("params", params, plan.backend)
    moves = moves_of(plan, *tree_flatten(params))
    evaluate = gradients_of(plan, moves.leaves, moves.treedef)
    with (
        plan.backend.quiet(),
        _blas_threads(params, data),
        evaluate.lent(data) as seen,
        interruptible() as interrupt,
    ):
        run = _Run(plan, moves, evaluate, watcher_of(plan, moves), breaks)
        code = run.all(data, seen, key, bounds, interrupt)
        final = None
        if code == RUNNING:
            try:
                final, code = _ending(
                    plan, moves, evaluate, data, seen, bounds.tolerance, bool(run.kept.losses)
                )
            except KeyboardInterrupt:
                code = INTERRUPTED
        step, leaves = run.reached
        if code == LOSS_BROKE:
            step, leaves = step - 1, run.previous
        params = tree_unflatten(moves.treedef, leaves)
        if final is None or code != RUNNING:
            # what stopped the run may have been a batch's
            final = _loss_at(plan, params, data, moves.dtype, code)
        result = _result(plan, params, final, run.kept, code, moves.dtype)
        result = result._replace(**_whole(plan, moves, params_step=step, monitor=run.place))
        return result if run.best is None else _restored(plan, moves, result, data, run.best)


class _Best(NamedTuple):
    """The least loss of a step, the parameters that had it, and after how many steps they were reached."""

    loss: float
    leaves: list[Any]
    step: int


def _restored(plan: Plan, moves: Moves, found: Descent, data: Any, best: _Best) -> Descent:
    """The descent with the best parameters, unless those that it ended on are as good on all data."""
    if best.loss == math.inf or best.step == int(found.params_step):
        return found
    params = tree_unflatten(moves.treedef, best.leaves)
    value = _loss_at(plan, params, data, moves.dtype, int(found.status_code))
    if float(found.loss) <= float(value):
        return found
    return found._replace(
        params=params, loss=plan.backend.as_arrays(value), **_whole(plan, moves, params_step=best.step)
    )


def _whole(plan: Plan, moves: Moves, **numbers: int) -> dict[str, Any]:
    """Counts as 0-d arrays beside the parameters."""
    backend = plan.backend
    device = backend.device_beside(moves.leaves[0])
    return {name: backend.asarray(n, dtype=backend.xp.int32, device=device) for name, n in numbers.items()}


def _loss_at(plan: Plan, params: Any, data: Any, dtype: Any, code: int) -> Any:
    """The loss on all data; NaN where a run that was interrupted is interrupted in this as well."""
    try:
        return plan.value(params, *data)
    except KeyboardInterrupt:
        if code != INTERRUPTED:
            raise
        return plan.backend.asarray(math.nan, dtype=dtype)


class _Run:
    """All steps.

    Attributes
    ----------
    kept : the history.
    previous : the parameters before the last step.
    reached : the steps that were taken, and the parameters after them.
    best : with a monitor that gives them back, the best parameters so far.
    halted : which monitor halted the run; -1: none.
    """

    def __init__(
        self, plan: Plan, moves: Moves, evaluate: ByHand, watch: Watcher | None, breaks: Breaks
    ) -> None:
        self.plan, self.moves, self.evaluate, self.watch, self.breaks = plan, moves, evaluate, watch, breaks
        self.kept, self.previous, self.begin, self.halted = _Kept(), moves.leaves, 0, -1
        self.best = _Best(math.inf, moves.leaves, 0) if plan.restores else None
        saved = breaks.saved
        if saved is not None:
            self.begin = saved.step
            self.kept.take(saved.history)
            self.previous = saved.tree("previous", self.previous, plan.backend)
            moves.restore(saved.tree("moves", moves.saved(), plan.backend))
            if watch is not None:
                watch.states = saved.tree("monitor", watch.states, plan.backend)
            if self.best is not None:
                self.best = saved.tree("best", self.best, plan.backend)
        self.reached = self.begin, moves.leaves

    @property
    def place(self) -> int:
        """Which of several monitors halted the run; -1 where none did, or there is but one."""
        return self.halted if len(self.plan.monitors) > 1 else -1

    def all(self, data: Any, seen: Any, key: Any, bounds: Bounds, interrupt: Interrupt) -> int:
        """All steps: why they ended."""
        try:
            return self._steps(data, seen, key, bounds, interrupt)
        except KeyboardInterrupt:
            # raised at any place: what was whole before counts
            self.kept.cut(self.reached[0])
            return INTERRUPTED

    def _steps(self, data: Any, seen: Any, key: Any, bounds: Bounds, interrupt: Interrupt) -> int:
        plan, moves, evaluate, watch, breaks = self.plan, self.moves, self.evaluate, self.watch, self.breaks
        kept = self.kept
        losses, rates, norms = kept.losses.append, kept.rates.append, kept.norms.append
        batch, order, stops = seen, None, breaks.any
        isfinite, (clip_norm, clip_value, tolerance) = math.isfinite, bounds
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
            if watch is not None and self._halts(watch, loss, t):
                return plan.halted_codes[self.halted]
            self.previous = moves.leaves
            if clip_value is not None:
                moves.clip(clip_value)
            rate = moves.step(clip_norm / norm if clip_norm is not None and norm > clip_norm else None, loss)
            losses(loss)
            rates(rate)
            norms(norm)
            self.reached = t + 1, moves.leaves
            if stops:
                code = self._stop(t + 1, data, interrupt.asked)
                if code != RUNNING:
                    return code
            if interrupt.asked and t + 1 < plan.steps:
                return INTERRUPTED
        return RUNNING

    def _halts(self, watch: Watcher, loss: float, step: int) -> bool:
        """Whether a monitor halts the run at the loss after so many steps; the best so far is kept, if asked for."""
        if self.best is not None and loss < self.best.loss:
            self.best = _Best(loss, self.moves.leaves, step)
        halted = watch(loss)
        if halted is None:
            return False
        self.halted = halted
        return True

    def _stop(self, done: int, data: Any, asked: bool) -> int:
        """What comes after some of the steps, and why they end there, if so; an exception carries what was reached."""
        plan, moves, kept, breaks = self.plan, self.moves, self.kept, self.breaks
        what = "writing the checkpoint"
        try:
            if breaks.writes(done, plan.steps, asked):
                assert breaks.checkpoint is not None
                trees = {"params": moves.params(), "previous": self.previous, "moves": moves.saved()}
                trees |= {"monitor": None if self.watch is None else self.watch.states, "best": self.best}
                breaks.checkpoint.save(done, kept.rows(plan), **trees)
            if breaks.calls(done):
                what = "the callback"
                assert breaks.callback is not None
                shown = tree_map(lambda p: plan.backend.xp.asarray(p, copy=True), moves.params())
                result = breaks.callback(
                    done, Metrics(kept.losses[-1], kept.rates[-1], kept.norms[-1], shown)
                )
                return STOPPED if plain_bool(result) is True else RUNNING
        except KeyboardInterrupt:
            return INTERRUPTED
        except BaseException as error:
            final = plan.value(moves.params(), *data)
            result = _result(plan, moves.params(), final, kept, RUNNING, moves.dtype)
            attach_descent(error, result._replace(**_whole(plan, moves, params_step=done)), what)
            raise
        return RUNNING


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


def _result(plan: Plan, params: Any, final: Any, kept: _Kept, code: int, dtype: Any) -> Descent:
    backend = plan.backend
    xp, device = backend.xp, backend.device_beside(tree_leaves(params)[0])

    def array(values: Any, kind: Any) -> Any:
        return backend.asarray(values, dtype=kind, device=device)

    losses, rates = kept.losses, kept.rates
    final = backend.as_arrays(final)
    ended = array(code, xp.int32)
    steps = array(len(losses), xp.int32)
    whole = not plan.batch_size and code in {RUNNING, HALTED, STALLED, STOPPED, INTERRUPTED}
    judged = [*losses, float(final)] if whole else losses or [math.nan]
    verdict = judge(
        ended,
        array(judged, dtype),
        array([*rates, math.nan] if whole else rates or [math.nan], dtype),
        steps if whole else steps - 1,
        plan.implied,
        backend.as_arrays(final) if plan.batch_size else None,
    )
    history = History(*(array(values, dtype) for values in (losses, rates, kept.norms)))
    return Descent(
        params=params,
        loss=final,
        history=history,
        steps=steps,
        status_code=backend.as_arrays(verdict.code),
        sharpness=backend.as_arrays(verdict.sharpness),
        limit=backend.as_arrays(verdict.limit),
        params_step=steps,
        monitor=array(-1, xp.int32),
    )
