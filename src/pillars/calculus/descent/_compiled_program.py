"""The pieces of a compiled descent: where it starts, a run of steps, and the end."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

from pillars.backends import tree_leaves, tree_map, tree_unflatten
from pillars.calculus._norms import clip_factor, norm_of_leaves, wide
from pillars.calculus._parameters import rate_dtype
from pillars.calculus.descent._monitors import watching
from pillars.calculus.descent._packing import Packing
from pillars.calculus.descent._plan import Plan
from pillars.calculus.descent._result import Descent, History
from pillars.calculus.descent._status import (
    CONVERGED,
    GRADIENT_BROKE,
    HALTED,
    LOSS_BROKE,
    RUNNING,
    STALLED,
    START_BROKE,
)
from pillars.calculus.optimizers import within_bound

__all__ = ["Carry", "Finished", "Given", "Program"]

_TINY = 1e-30  # below it squares may have underflowed in float32


class Given(NamedTuple):
    """What a compiled descent takes as arguments: none of it is compiled in."""

    data: Any
    key: Any
    clip_norm: Any
    clip_value: Any
    tolerance: Any


class Best(NamedTuple):
    """The least loss of a step, the parameters that had it, and after how many steps they were reached."""

    loss: Any
    params: Any
    step: Any


class Carry(NamedTuple):
    """What a step hands to the next."""

    params: Any
    previous: Any
    state: Any
    order: Any
    monitor: Any
    best: Best | None
    step: Any
    code: Any


class Finished(NamedTuple):
    """A descent that is not yet judged, and the loss that it ended on, which better parameters may have replaced."""

    descent: Descent
    last_loss: Any


class Program:
    """The pieces of a compiled descent: where it starts, a run of steps, and the verdict at the end."""

    def __init__(self, plan: Plan, params: Any, *, whole_length: bool) -> None:
        self.plan = plan
        self.whole_length = whole_length
        self.backend = plan.backend
        self.xp = plan.backend.xp
        self.packing = Packing(plan, params)
        self.dtype = rate_dtype(self.xp, tree_leaves(params))
        self.evaluator = plan.evaluator()

    def evaluate(self, packed: Any, batch: Any) -> tuple[Any, Any]:
        """The loss and the gradient, which is packed as the parameters are."""
        with self.backend.explaining():
            value, grads = self.evaluator(self.packing.unpack(packed), batch)
        if self.packing.on:
            return value, self.packing.joined(grads)
        return value, tree_unflatten(self.packing.treedef, grads)

    def value(self, packed: Any, data: Any) -> Any:
        """The loss."""
        with self.backend.explaining():
            return self.plan.value(self.packing.unpack(packed), *data)

    def first(self, params: Any, state: Any, given: Given) -> Carry:
        """The state before any step."""
        order = self.plan.order(given.key, 0) if self.plan.batch_size else None
        zero = self.xp.zeros((), dtype=self.dtype)
        monitors = tuple(watching(monitor, zero) for monitor in self.plan.monitors)
        slots = getattr(getattr(self.plan.optimizer.update, "rule", None), "slots", 0)
        packed, state = self.packing.pack(params), self.packing.pack_state(state, slots)
        start = self._whole(0)
        best = Best(zero + math.inf, packed, start) if self.plan.restores else None
        return Carry(packed, packed, state, order, monitors, best, start, self._whole(RUNNING))

    def whole(self, params: Any, state: Any, given: Given) -> Finished:
        """All steps and the end of them, not yet judged."""
        carry, rows = self.run(self.first(params, state, given), given, self.plan.steps)
        return self.finish(carry, rows, given)

    def run(self, carry: Carry, given: Given, length: int) -> tuple[Carry, Any]:
        """`length` steps, and the history's rows of them, (length, 3)."""
        if not length:
            return carry, self.xp.zeros((0, 3), dtype=self.dtype)
        with nullcontext() if self.plan.batch_size else self.backend.held(given.data):
            return self._loop(carry, given, length)

    def _loop(self, carry: Carry, given: Given, length: int) -> tuple[Carry, Any]:
        xp = self.xp
        nothing = xp.full((3,), xp.nan, dtype=self.dtype)
        if self.whole_length:

            def advance(carry: Carry, _: Any) -> tuple[Carry, Any]:
                after: tuple[Carry, Any] = self.backend.cond(
                    carry.code == RUNNING, lambda c: self._step(c, given), lambda c: (c, nothing), carry
                )
                return after

            return self.backend.scan(advance, carry, None, length)

        def proceed(state: Any) -> Any:
            carry, rows, place = state
            after, row = self._step(carry, given)
            return after, rows.at[place].set(row, mode="promise_in_bounds"), place + 1

        rows = xp.full((length, 3), xp.nan, dtype=self.dtype)
        carry, rows, _ = self.backend.while_loop(
            lambda state: (state[0].code == RUNNING) & (state[2] < length),
            proceed,
            (carry, rows, self._whole(0)),
        )
        return carry, rows

    def _step(self, carry: Carry, given: Given) -> tuple[Carry, Any]:
        xp, dtype = self.xp, self.dtype
        batch, order = self._batch(carry, given)
        value, grads = self.evaluate(carry.params, batch)
        norm, sound = self._norm(grads, carry.params)
        code = xp.where(xp.isfinite(norm), self._whole(RUNNING), self._whole(GRADIENT_BROKE))
        if given.tolerance is not None:
            code = xp.where(norm <= given.tolerance, self._whole(CONVERGED), code)
        sound = sound & xp.isfinite(value)
        code = xp.where(sound, code, self._broke(carry))
        monitors = []
        for monitor, before, halts in zip(
            self.plan.monitors, carry.monitor, self.plan.halted_codes, strict=True
        ):
            seen = monitor.update(xp.astype(value, dtype), before)
            code = xp.where((code == RUNNING) & seen.halted, self._whole(halts), code)
            monitors.append(seen)
        go = code == RUNNING
        if given.clip_norm is not None:
            factor = clip_factor(xp, norm, given.clip_norm)
            grads = tree_map(lambda g: g * xp.astype(factor, g.dtype), grads)
        if given.clip_value is not None:
            limit = given.clip_value
            grads = tree_map(lambda g: within_bound(xp, g, xp.astype(limit, g.dtype)), grads)
        made = self.plan.update(grads, carry.state, carry.params, value)
        stay = self._choose(sound, carry.params, carry.previous)
        # where the descent ends here, nobody asks for the previous parameters or the state again
        after = Carry(
            self._choose(go, made.params, stay),
            carry.params,
            made.state,
            order,
            tuple(monitors),
            self._better(carry, sound, value),
            xp.where(go, carry.step + 1, carry.step),
            code,
        )
        row = xp.stack([xp.astype(x, dtype) for x in (value, made.learning_rate, norm)])
        return after, xp.where(go, row, xp.full_like(row, xp.nan))

    def _better(self, carry: Carry, sound: Any, value: Any) -> Best | None:
        """The best parameters so far, with a monitor that gives them back."""
        best = carry.best
        if best is None:
            return None
        loss = self.xp.astype(value, self.dtype)
        better = sound & (loss < best.loss)
        return self._choose_all(better, Best(loss, carry.params, carry.step), best)

    def _choose_all(self, condition: Any, yes: Best, no: Best) -> Best:
        result: Best = self._choose(condition, yes, no)
        return result

    def _norm(self, grads: Any, params: Any) -> tuple[Any, Any]:
        """The gradient's norm, and whether the parameters are finite.

        By one sum of squares, where that neither overflows nor underflows: parameters that are not finite make it NaN.
        """
        xp, leaves, total = self.xp, tree_leaves(grads), self.xp.zeros((), dtype=self.dtype)
        for g, p in zip(leaves, tree_leaves(params), strict=True):
            square = xp.astype(wide(xp, g), self.dtype) ** 2
            total = total + xp.sum(xp.where(xp.isfinite(p), square, xp.full_like(square, xp.nan)))
        result: tuple[Any, Any] = self.backend.cond(
            (total > _TINY) & xp.isfinite(total),
            lambda: (xp.sqrt(total), xp.asarray(True)),
            lambda: (norm_of_leaves(xp, leaves, self.dtype), self._finite(params)),
        )
        return result

    def _batch(self, carry: Carry, given: Given) -> tuple[Any, Any]:
        """The step's data, and the epoch's order of the rows."""
        plan = self.plan
        if not plan.batch_size:
            return given.data, carry.order
        place, epoch = carry.step % plan.batches, carry.step // plan.batches
        again = (place == 0) & (carry.step > 0)
        order = self.backend.cond(again, lambda: plan.order(given.key, epoch), lambda: carry.order)
        return plan.batch(given.data, order, self.xp.astype(place, order.dtype)), order

    def finish(self, carry: Carry, rows: Any, given: Given) -> Finished:
        """The loss at the end; what the run comes to is left open, as it is cheaper told than compiled."""
        xp = self.xp
        value = self.value(carry.params, given.data)
        running = carry.code == RUNNING
        sound = xp.isfinite(value) & self._finite(carry.params)
        code = carry.code
        if given.tolerance is not None:
            norm, _ = self._norm(self.evaluate(carry.params, given.data)[1], carry.params)
            code = xp.where(running & (norm <= given.tolerance), self._whole(CONVERGED), code)
        back = running & ~sound
        code = xp.where(back, self._broke(carry), code)
        params = self._choose(back, carry.previous, carry.params)
        loss = self.backend.cond(back, lambda: self.value(carry.previous, given.data), lambda: value)
        step = xp.where(code == LOSS_BROKE, carry.step - 1, carry.step)
        last = loss
        if carry.best is not None:
            # the best ones, unless those that it ended on are as good on all data
            best, least = carry.best, self.value(carry.best.params, given.data)
            restored = xp.isfinite(best.loss) & ~(loss <= least) & (best.step != step)
            params = self._choose(restored, best.params, params)
            loss, step = xp.where(restored, least, loss), xp.where(restored, best.step, step)
        unknown = xp.full((), xp.nan, dtype=self.dtype)
        history = History(*(rows[:, column] for column in range(3)))
        result = Descent(
            params=self.packing.unpack(params),
            loss=loss,
            history=history,
            steps=carry.step,
            status_code=code,
            sharpness=unknown,
            limit=unknown,
            params_step=step,
            monitor=self._halted(carry, code),
        )
        return Finished(result, last)

    def _halted(self, carry: Carry, code: Any) -> Any:
        """Which of several monitors halted the run, -1 for none."""
        xp, place = self.xp, self._whole(-1)
        if len(carry.monitor) > 1:
            for i in reversed(range(len(carry.monitor))):
                place = xp.where(carry.monitor[i].halted, self._whole(i), place)
            place = xp.where((code == HALTED) | (code == STALLED), place, self._whole(-1))
        return place

    def _whole(self, number: int) -> Any:
        return self.xp.asarray(number, dtype=self.xp.int32)

    def _broke(self, carry: Carry) -> Any:
        return self.xp.where(carry.step > 0, self._whole(LOSS_BROKE), self._whole(START_BROKE))

    def _finite(self, params: Any) -> Any:
        ok = self.xp.asarray(True)
        for leaf in tree_leaves(params):
            ok = ok & self.xp.all(self.xp.isfinite(leaf))
        return ok

    def _choose(self, condition: Any, yes: Any, no: Any) -> Any:
        return tree_map(lambda a, b: self.xp.where(condition, a, b), yes, no)
