"""The loop of a descent as one program, for JAX.

A program of its own is a while loop, which ends where the run does. As part of somebody's program it is a scan, so
that it can be differentiated in reverse and mapped over many rates at once: its steps do nothing once something has
ended it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from pillars.backends import (
    backend,
    namespace,
    plain_bool,
    tree_leaves,
    tree_map,
    tree_unflatten,
)
from pillars.calculus._descent_breaks import Breaks, carrying
from pillars.calculus._descent_packing import Packing
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
    Verdict,
    judge,
)
from pillars.calculus._monitors import watching
from pillars.calculus._norms import clip_factor, norm_of_leaves, wide
from pillars.calculus._update import Update, refuse_rate
from pillars.calculus._parameters import rate_dtype
from pillars.calculus._plateau import PlateauUpdate

_TINY = 1e-30  # below it squares may have underflowed in float32

__all__ = ["Given", "descend_compiled", "descend_in_trace"]


class Given(NamedTuple):
    """What a compiled descent takes as arguments: none of it is compiled in."""

    data: Any
    key: Any
    clip_norm: Any
    tolerance: Any


class _Carry(NamedTuple):
    params: Any
    previous: Any
    state: Any
    order: Any
    monitor: Any
    step: Any
    code: Any


def descend_in_trace(plan: Plan, params: Any, state: Any, given: Given) -> Descent:
    """The whole descent as part of somebody's program; the history keeps its full length."""
    found = _Program(plan, params, whole_length=True).whole(params, state, given)
    return Descent(*found[:4], *_judged(plan, found))


def descend_compiled(
    plan: Plan,
    params: Any,
    state: Any,
    given: Given,
    breaks: Breaks,
    compiled: Callable[[str, Callable[..., Any]], Callable[..., Any]],
) -> Descent:
    """The descent by programs of its own: one, or with something to stop for one for every `every` steps.

    ``compiled(name, f)`` is `f` compiled, the one kept from an equal descent where there is one.
    """
    program = _Program(plan, params, whole_length=False)
    if not breaks.any or not plan.steps:
        return _told(plan, compiled("whole", program.whole)(params, state, given))
    finish = compiled("finish", program.finish)
    carry, parts, done = compiled("first", program.first)(params, state, given), [], 0
    if breaks.saved is not None:
        carry, done = breaks.saved.tree("carry", carry, plan.home), breaks.saved.step
        parts = [plan.home.asarray(breaks.saved.history, dtype=program.dtype)]
    while done < plan.steps and int(carry.code) == RUNNING:
        length = min(breaks.every - done % breaks.every, plan.steps - done)
        segment = compiled(f"segment {length}", lambda carry, given, n=length: program.run(carry, given, n))
        carry, part = segment(carry, given)
        parts.append(part)
        done += length
        if int(carry.step) == done and _stop(
            program,
            breaks,
            carry,
            parts,
            done,
            lambda rows: _told(plan, finish(carry, rows, given)),  # noqa: B023
        ):
            carry = carry._replace(code=program.xp.full_like(carry.code, STOPPED))
    return _told(plan, finish(carry, plan.home.xp.concat(parts), given))


def _stop(
    program: _Program,
    breaks: Breaks,
    carry: _Carry,
    parts: list[Any],
    done: int,
    told: Callable[[Any], Descent],
) -> bool:
    """What comes after some of the steps, and whether they end there; an exception carries what was reached."""
    plan, what = program.plan, "writing the checkpoint"
    try:
        if breaks.writes(done, plan.steps):
            assert breaks.checkpoint is not None
            breaks.checkpoint.save(done, plan.home.xp.concat(parts), carry=carry)
        if breaks.calls(done):
            what = "the callback"
            assert breaks.callback is not None
            shown = program.packing.unpack(carry.params)
            loss, rate, norm = (float(x) for x in parts[-1][-1])
            return plain_bool(breaks.callback(done, Metrics(loss, rate, norm, shown))) is True
    except BaseException as error:
        carrying(error, told(plan.home.xp.concat(parts)), what)
        raise
    return False


def _told(plan: Plan, found: Descent) -> Descent:
    """The verdict, and the history without the entries of steps that were not taken: on the host they are known."""
    home = plan.home
    n = int(found.steps)
    history = found.history if n == plan.steps else History(*(x[:n] for x in found.history))
    host = Descent(None, *tree_map(home.to_numpy, (found.loss, history, *found[3:])))
    update = plan.optimizer.update
    if (
        isinstance(update, (Update, PlateauUpdate)) and update.schedule is not None and n
    ):  # nothing could be said of these in the program
        refuse_rate(update.rule, backend("numpy").xp.min(host.history.learning_rate), home)
    with backend("numpy").quiet():
        verdict = _judged(plan, host)
    made = (home.asarray(x, dtype=y.dtype) for x, y in zip(verdict, found[4:], strict=True))
    return Descent(found.params, found.loss, history, found.steps, *made)


def _judged(plan: Plan, found: Descent) -> Verdict:
    """The verdict on losses, rates, and the last loss that counts; a batch's are not followed by that of all data."""
    xp = namespace(found.status_code)
    history, steps, code = found.history, found.steps, found.status_code
    nan = xp.full((1,), xp.nan, dtype=history.loss.dtype)
    losses, rates = xp.concat([history.loss, nan]), xp.concat([history.learning_rate, nan])
    if plan.batch_size:
        return judge(code, losses, rates, steps - 1, plan.implied)
    whole = (code == RUNNING) | (code == HALTED) | (code == STALLED) | (code == STOPPED)
    at_end = xp.arange(losses.shape[0], dtype=steps.dtype) == steps
    losses = xp.where(whole & at_end, xp.astype(found.loss, losses.dtype), losses)
    return judge(code, losses, rates, xp.where(whole, steps, steps - 1), plan.implied)


class _Program:
    """The pieces of a compiled descent: where it starts, a run of steps, and the verdict at the end."""

    def __init__(self, plan: Plan, params: Any, *, whole_length: bool) -> None:
        self.plan = plan
        self.whole_length = whole_length
        self.home = plan.home
        self.xp = plan.home.xp
        self.packing = Packing(plan, params)
        self.dtype = rate_dtype(self.xp, tree_leaves(params))
        self.evaluator = plan.evaluator()

    def evaluate(self, packed: Any, batch: Any) -> tuple[Any, Any]:
        """The loss and the gradient, which is packed as the parameters are."""
        with self.home.explaining():
            value, grads = self.evaluator(self.packing.unpack(packed), batch)
        if self.packing.on:
            return value, self.packing.joined(grads)
        return value, tree_unflatten(self.packing.treedef, grads)

    def value(self, packed: Any, data: Any) -> Any:
        """The loss."""
        with self.home.explaining():
            return self.plan.value(self.packing.unpack(packed), *data)

    def first(self, params: Any, state: Any, given: Given) -> _Carry:
        """The state before any step."""
        order = self.plan.order(given.key, 0) if self.plan.batch_size else None
        monitor = watching(self.plan.monitor, self.xp.zeros((), dtype=self.dtype))
        slots = getattr(getattr(self.plan.optimizer.update, "rule", None), "slots", 0)
        packed, state = self.packing.pack(params), self.packing.pack_state(state, slots)
        return _Carry(packed, packed, state, order, monitor, self._whole(0), self._whole(RUNNING))

    def whole(self, params: Any, state: Any, given: Given) -> Descent:
        """All steps and the end of them, not yet judged."""
        carry, rows = self.run(self.first(params, state, given), given, self.plan.steps)
        return self.finish(carry, rows, given)

    def run(self, carry: _Carry, given: Given, length: int) -> tuple[_Carry, Any]:
        """`length` steps, and the history's rows of them, (length, 3)."""
        if not length:
            return carry, self.xp.zeros((0, 3), dtype=self.dtype)
        with nullcontext() if self.plan.batch_size else self.home.held(given.data):
            return self._loop(carry, given, length)

    def _loop(self, carry: _Carry, given: Given, length: int) -> tuple[_Carry, Any]:
        xp = self.xp
        nothing = xp.full((3,), xp.nan, dtype=self.dtype)
        if self.whole_length:

            def advance(carry: _Carry, _: Any) -> tuple[_Carry, Any]:
                after: tuple[_Carry, Any] = self.home.cond(
                    carry.code == RUNNING, lambda c: self._step(c, given), lambda c: (c, nothing), carry
                )
                return after

            return self.home.scan(advance, carry, None, length)

        def proceed(state: Any) -> Any:
            carry, rows, place = state
            after, row = self._step(carry, given)
            return after, rows.at[place].set(row, mode="promise_in_bounds"), place + 1

        rows = xp.full((length, 3), xp.nan, dtype=self.dtype)
        carry, rows, _ = self.home.while_loop(
            lambda state: (state[0].code == RUNNING) & (state[2] < length),
            proceed,
            (carry, rows, self._whole(0)),
        )
        return carry, rows

    def _step(self, carry: _Carry, given: Given) -> tuple[_Carry, Any]:
        xp, dtype = self.xp, self.dtype
        batch, order = self._batch(carry, given)
        value, grads = self.evaluate(carry.params, batch)
        norm, sound = self._norm(grads, carry.params)
        code = xp.where(xp.isfinite(norm), self._whole(RUNNING), self._whole(GRADIENT_BROKE))
        if given.tolerance is not None:
            code = xp.where(norm <= given.tolerance, self._whole(CONVERGED), code)
        sound = sound & xp.isfinite(value)
        code = xp.where(sound, code, self._broke(carry))
        monitor = carry.monitor
        if monitor is not None:
            monitor = self.plan.monitor.update(xp.astype(value, dtype), monitor)
            halted = (code == RUNNING) & monitor.halted
            code = xp.where(halted, self._whole(self.plan.halted_code), code)
        go = code == RUNNING
        if given.clip_norm is not None:
            factor = clip_factor(xp, norm, given.clip_norm)
            grads = tree_map(lambda g: g * xp.astype(factor, g.dtype), grads)
        made = self.plan.update(grads, carry.state, carry.params, value)
        stay = self._choose(sound, carry.params, carry.previous)
        # where the descent ends here, nobody asks for the previous parameters or the state again
        after = _Carry(
            self._choose(go, made.params, stay),
            carry.params,
            made.state,
            order,
            monitor,
            xp.where(go, carry.step + 1, carry.step),
            code,
        )
        row = xp.stack([xp.astype(x, dtype) for x in (value, made.learning_rate, norm)])
        return after, xp.where(go, row, xp.full_like(row, xp.nan))

    def _norm(self, grads: Any, params: Any) -> tuple[Any, Any]:
        """The gradient's norm, and whether the parameters are finite.

        By one sum of squares, where that neither overflows nor underflows: parameters that are not finite make it NaN.
        """
        xp, leaves, total = self.xp, tree_leaves(grads), self.xp.zeros((), dtype=self.dtype)
        for g, p in zip(leaves, tree_leaves(params), strict=True):
            square = xp.astype(wide(xp, g), self.dtype) ** 2
            total = total + xp.sum(xp.where(xp.isfinite(p), square, xp.full_like(square, xp.nan)))
        found: tuple[Any, Any] = self.home.cond(
            (total > _TINY) & xp.isfinite(total),
            lambda: (xp.sqrt(total), xp.asarray(True)),
            lambda: (norm_of_leaves(xp, leaves, self.dtype), self._finite(params)),
        )
        return found

    def _batch(self, carry: _Carry, given: Given) -> tuple[Any, Any]:
        """The step's data, and the epoch's order of the rows."""
        plan = self.plan
        if not plan.batch_size:
            return given.data, carry.order
        place, epoch = carry.step % plan.batches, carry.step // plan.batches
        again = (place == 0) & (carry.step > 0)
        order = self.home.cond(again, lambda: plan.order(given.key, epoch), lambda: carry.order)
        return plan.batch(given.data, order, self.xp.astype(place, order.dtype)), order

    def finish(self, carry: _Carry, rows: Any, given: Given) -> Descent:
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
        params = self.packing.unpack(self._choose(back, carry.previous, carry.params))
        loss = self.home.cond(back, lambda: self.value(carry.previous, given.data), lambda: value)
        unknown = xp.full((), xp.nan, dtype=self.dtype)
        history = History(*(rows[:, column] for column in range(3)))
        return Descent(params, loss, history, carry.step, code, unknown, unknown)

    def _whole(self, number: int) -> Any:
        return self.xp.asarray(number, dtype=self.xp.int32)

    def _broke(self, carry: _Carry) -> Any:
        return self.xp.where(carry.step > 0, self._whole(LOSS_BROKE), self._whole(START_BROKE))

    def _finite(self, params: Any) -> Any:
        ok = self.xp.asarray(True)
        for leaf in tree_leaves(params):
            ok = ok & self.xp.all(self.xp.isfinite(leaf))
        return ok

    def _choose(self, condition: Any, yes: Any, no: Any) -> Any:
        return tree_map(lambda a, b: self.xp.where(condition, a, b), yes, no)
