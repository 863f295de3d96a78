"""The loop of a descent as one program, for JAX.

A program of its own is a while loop, which ends where the run does. As part of somebody's program it is a scan, so
that it can be differentiated in reverse and mapped over many rates at once: its steps do nothing once something has
ended it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars.backends import backend as backend_of, namespace, plain_bool, tree_map
from pillars.calculus.descent._callbacks import Breaks, attach_descent
from pillars.calculus.descent._compiled_program import Carry, Finished, Given, Program
from pillars.calculus.descent._interrupt import interruptible
from pillars.calculus.descent._judge import Verdict, judge
from pillars.calculus.descent._plan import Metrics, Plan
from pillars.calculus.descent._result import Descent, History
from pillars.calculus.descent._status import HALTED, INTERRUPTED, RUNNING, STALLED, STOPPED
from pillars.calculus.optimizers import PlateauUpdate, Update, refuse_rate

__all__ = ["descend_compiled", "descend_in_trace"]


def descend_in_trace(plan: Plan, params: Any, state: Any, given: Given) -> Descent:
    """The whole descent as part of somebody's program; the history keeps its full length."""
    result = Program(plan, params, whole_length=True).whole(params, state, given)
    return _with(result.descent, _judged(plan, result))


def _with(found: Descent, verdict: Verdict) -> Descent:
    return found._replace(status_code=verdict.code, sharpness=verdict.sharpness, limit=verdict.limit)


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
    program = Program(plan, params, whole_length=False)
    with interruptible() as interrupt:
        if not breaks.any or not plan.steps:
            result = compiled("whole", program.whole)(params, state, given)
            code = result.descent.status_code
            # the program does not look up before its end; what was asked for until then is told at least
            if int(code) == RUNNING and interrupt.asked:
                result = result._replace(
                    descent=result.descent._replace(status_code=_like(code, INTERRUPTED))
                )
            return _told(plan, result)
        finish = compiled("finish", program.finish)
        carry, parts, done = compiled("first", program.first)(params, state, given), [], 0
        if breaks.saved is not None:
            carry, done = breaks.saved.tree("carry", carry, plan.backend), breaks.saved.step
            parts = [plan.backend.asarray(breaks.saved.history, dtype=program.dtype)]
        code = RUNNING
        while done < plan.steps and int(carry.code) == RUNNING and code == RUNNING:
            length = min(breaks.every - done % breaks.every, plan.steps - done)
            segment = compiled(
                f"segment {length}", lambda carry, given, n=length: program.run(carry, given, n)
            )
            try:
                carry, part = segment(carry, given)
                taken = int(carry.step)
            except KeyboardInterrupt:
                code = INTERRUPTED
                break
            parts.append(part)
            done += length
            if taken == done:
                code = _stop(
                    program,
                    breaks,
                    carry,
                    parts,
                    done,
                    lambda rows: _told(plan, finish(carry, rows, given)),  # noqa: B023
                )
                if code == RUNNING and interrupt.asked and done < plan.steps:
                    code = INTERRUPTED
        if code != RUNNING:
            carry = carry._replace(code=_like(carry.code, code))
        rows = plan.backend.xp.concat(parts) if parts else plan.backend.xp.zeros((0, 3), dtype=program.dtype)
        return _told(plan, finish(carry, rows, given))


def _like(x: Any, number: int) -> Any:
    return namespace(x).full_like(x, number)


def _stop(
    program: Program,
    breaks: Breaks,
    carry: Carry,
    parts: list[Any],
    done: int,
    told: Callable[[Any], Descent],
) -> int:
    """What comes after some of the steps, and why they end there, if so; an exception carries what was reached."""
    plan, what = program.plan, "writing the checkpoint"
    try:
        if breaks.writes(done, plan.steps):
            assert breaks.checkpoint is not None
            breaks.checkpoint.save(done, plan.backend.xp.concat(parts), carry=carry)
        if breaks.calls(done):
            what = "the callback"
            assert breaks.callback is not None
            shown = program.packing.unpack(carry.params)
            loss, rate, norm = (float(x) for x in parts[-1][-1])
            ends = plain_bool(breaks.callback(done, Metrics(loss, rate, norm, shown)))
            return STOPPED if ends is True else RUNNING
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        attach_descent(error, told(plan.backend.xp.concat(parts)), what)
        raise
    return RUNNING


def _told(plan: Plan, found: Finished) -> Descent:
    """The verdict, and the history without the entries of steps that were not taken: on the host they are known."""
    backend, whole = plan.backend, found.descent
    n = int(whole.steps)
    shorter = whole.history.loss.shape[0] != n
    history = History(*(x[:n] for x in whole.history)) if shorter else whole.history
    told = whole._replace(params=None, history=history)
    host = Finished(tree_map(backend.to_numpy, told), backend.to_numpy(found.last_loss))
    update = plan.optimizer.update
    # nothing could be said of these in the program
    if isinstance(update, (Update, PlateauUpdate)) and update.schedule is not None and n:
        refuse_rate(update.rule, backend_of("numpy").xp.min(host.descent.history.learning_rate), backend)
    with backend_of("numpy").quiet():
        verdict = _judged(plan, host)
    now = (whole.status_code, whole.sharpness, whole.limit)
    made = (backend.asarray(x, dtype=y.dtype) for x, y in zip(verdict, now, strict=True))
    return _with(whole._replace(history=history), Verdict(*made))


def _judged(plan: Plan, finished: Finished) -> Verdict:
    """The verdict on losses, rates, and the last loss that counts; a batch's are not followed by that of all data."""
    result = finished.descent
    xp = namespace(result.status_code)
    history, steps, code = result.history, result.steps, result.status_code
    nan = xp.full((1,), xp.nan, dtype=history.loss.dtype)
    losses, rates = xp.concat([history.loss, nan]), xp.concat([history.learning_rate, nan])
    if plan.batch_size:
        return judge(code, losses, rates, steps - 1, plan.implied, finished.last_loss)
    whole = (
        (code == RUNNING) | (code == HALTED) | (code == STALLED) | (code == STOPPED) | (code == INTERRUPTED)
    )
    at_end = xp.arange(losses.shape[0], dtype=steps.dtype) == steps
    losses = xp.where(whole & at_end, xp.astype(finished.last_loss, losses.dtype), losses)
    return judge(code, losses, rates, xp.where(whole, steps, steps - 1), plan.implied)
