"""Where a descent ends: several monitors, the best parameters back, Ctrl-C; what is clipped entry by entry."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from contracts._variants import Variant, variant as named
from pillars import DTypeError, ShapeError
from pillars.backends import backend, namespace, tree_leaves
from pillars.calculus import (
    Descent,
    EarlyStopping,
    LossMonitor,
    adam,
    gradient_descent,
    learning_rate_sweep,
    sgd,
)
from pillars.calculus.descent._interrupt import interruptible
from running import eps

BACKENDS = pytest.mark.parametrize("name", ["numpy", "strict", "jax"])


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """What is started in the background of a shell inherits that SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def valley(p: Any) -> Any:
    """One steep and one flat direction: too fast in the first, it falls in the second for a while."""
    return 15.0 * p[0] ** 2 + 0.2 * p[1] ** 2


def descend(variant: Variant, **options: Any) -> Descent:
    start = variant.asarray(np.asarray([1e-6, 5.0]), variant.default_float)
    return variant.compiled(lambda p: gradient_descent(valley, p, **options))(start)


def host(variant: Variant, x: Any) -> Any:
    return variant.to_numpy(x)


def path_of(rate: float, steps: int) -> tuple[Any, Any]:
    """Parameters and losses of plain descent, by hand."""
    p, scale = np.asarray([1e-6, 5.0]), np.asarray([30.0, 0.4])
    every = [p * (1 - rate * scale) ** t for t in range(steps + 1)]
    return every, [0.5 * float(np.sum(scale * q * q)) for q in every]


# -------------------------------------------------------------------------------------------------- the best come back
@pytest.mark.parametrize("steps", [40, 60], ids=["at the end", "halted before"])
def test_the_best_parameters_come_back_however_the_run_ends(variant: Variant, steps: int) -> None:
    # with the rate 0.1 the steep direction doubles in every step: the loss falls, then rises for good
    patience = 100 if steps == 40 else 20
    every, losses = path_of(0.1, steps)
    best = int(np.argmin(losses))
    assert 5 < best < 30
    monitor = EarlyStopping(patience=patience, min_delta=10.0, restore_best=True)
    found = descend(variant, optimizer=sgd(0.1), steps=steps, monitor=monitor)
    assert found.status == ("diverged" if steps == 40 else "halted")
    taken = int(host(variant, found.steps))
    assert taken == 40 if steps == 40 else best < taken < 40
    assert int(host(variant, found.params_step)) == best
    assert np.allclose(host(variant, found.params), every[best], rtol=1e3 * eps(variant))
    assert math.isclose(float(host(variant, found.loss)), losses[best], rel_tol=1e3 * eps(variant))
    assert f"params are the best seen, of step {best}, with a loss of" in found.advice
    plain = descend(
        variant, optimizer=sgd(0.1), steps=steps, monitor=EarlyStopping(patience=patience, min_delta=10.0)
    )
    assert (plain.status, int(host(variant, plain.params_step))) == (found.status, taken)
    assert float(host(variant, plain.loss)) > 2 * losses[best]
    assert np.array_equal(
        host(variant, plain.history.loss), host(variant, found.history.loss), equal_nan=True
    )
    assert np.isclose(host(variant, plain.limit), host(variant, found.limit), equal_nan=True)


def test_where_the_last_are_the_best_they_stay(variant: Variant) -> None:
    monitor = EarlyStopping(patience=3, restore_best=True)
    found = descend(variant, optimizer=sgd(0.01), steps=10, monitor=monitor)
    assert (found.status, int(host(variant, found.params_step))) == ("steps", 10)
    assert np.allclose(host(variant, found.params), path_of(0.01, 10)[0][10], rtol=64 * eps(variant))


def test_a_run_that_breaks_gives_the_best_back(variant: Variant) -> None:
    found = descend(
        variant, optimizer=sgd(100.0), steps=400, monitor=EarlyStopping(patience=999, restore_best=True)
    )
    assert found.status == "nonfinite"
    assert int(host(variant, found.params_step)) == 0
    assert host(variant, found.params).tolist() == [np.dtype(variant.default_float).type(1e-6), 5.0]
    plain = descend(variant, optimizer=sgd(100.0), steps=400)
    assert int(host(variant, plain.params_step)) == int(host(variant, plain.steps)) - 1
    assert "not finite. params are the best seen, of step 0" in found.advice


@BACKENDS
def test_of_a_lucky_batch_and_the_end_the_better_on_all_data_comes_back(name: str) -> None:
    put = lambda a: backend(name).asarray(np.asarray(a, np.float32))  # noqa: E731
    draw = np.random.default_rng(0)
    x, y = put(draw.standard_normal((64, 3))), put(3 * draw.standard_normal(64))

    def loss(p: Any, x: Any, y: Any) -> Any:
        return namespace(x).mean((x @ p - y) ** 2)

    options: dict[str, Any] = {"batch_size": 4, "steps": 60, "optimizer": sgd(0.05), "rng": 3}
    last = gradient_descent(loss, put(np.zeros(3)), x, y, **options)
    best = gradient_descent(
        loss, put(np.zeros(3)), x, y, monitor=EarlyStopping(patience=99, restore_best=True), **options
    )
    lucky = int(np.argmin(backend(name).to_numpy(last.history.loss)))
    assert int(best.params_step) in (60, lucky)
    assert float(best.loss) <= float(last.loss)
    assert math.isclose(float(best.loss), float(loss(best.params, x, y)), rel_tol=1e-6)


@BACKENDS
def test_the_best_and_several_monitors_are_taken_up_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    start = named(name).asarray(np.asarray([1e-6, 5.0]), "float32")
    monitors = [LossMonitor(patience=30), EarlyStopping(patience=22, restore_best=True)]
    options: dict[str, Any] = {"optimizer": sgd(0.1), "monitor": monitors, "every": 4}
    whole = gradient_descent(valley, start, checkpoint=tmp_path / "whole", steps=60, **options)
    assert (whole.status, int(whole.monitor)) == ("halted", 1)
    for steps in (8, 12, 24, 60):
        found = gradient_descent(valley, start, checkpoint=tmp_path / "run", steps=steps, **options)
    assert found.status == "halted"
    for a, b in zip(tree_leaves(found), tree_leaves(whole), strict=True):
        assert backend(name).to_numpy(a).tobytes() == backend(name).to_numpy(b).tobytes()
    with pytest.raises(
        ValueError, match=r"its monitor is LossMonitor.* and EarlyStopping.*expected LossMonitor"
    ):
        gradient_descent(
            valley,
            start,
            checkpoint=tmp_path / "run",
            steps=60,
            optimizer=sgd(0.1),
            monitor=LossMonitor(patience=30),
        )


# ----------------------------------------------------------------------------------------------------- several monitors
class Counted(NamedTuple):
    seen: Any
    halted: Any


class Third(NamedTuple):
    """A monitor of one's own that is a tuple: halts at the third loss."""

    init: Any = lambda like: Counted(0 * like, 0 * like > 1)
    update: Any = lambda loss, state: Counted(state.seen + 1, state.seen + 1 >= 3)


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_first_of_several_to_halt_is_told(variant: Variant, kind: Any) -> None:
    never, early, rising = LossMonitor(patience=99), EarlyStopping(patience=2), LossMonitor(patience=2)
    one = descend(variant, optimizer=sgd(0.1), steps=60, monitor=rising)
    for monitors, place in (
        ((never, rising), 1),
        ((rising, early), 0),
        ((early, rising, never), 0),
        ((rising,), -1),
        (rising, -1),
        ((never, never), -1),
        ((), -1),
        ((never, Third(), rising), 1),
    ):
        given = monitors if isinstance(monitors, LossMonitor) else kind(monitors)
        found = descend(variant, optimizer=sgd(0.1), steps=60, monitor=given)
        assert int(host(variant, found.monitor)) == place
        if place >= 0:
            assert found.status == "halted"
            assert f"monitor[{place}] halted the run after" in found.advice
        if monitors in ((rising,), rising, (never, rising)):
            assert int(host(variant, found.steps)) == int(host(variant, one.steps))
    assert "the monitor halted the run after" in one.advice


def test_monitors_that_are_none_are_refused() -> None:
    for bad in ([LossMonitor(), 3], [None], (LossMonitor,)):
        with pytest.raises(
            DTypeError, match=r"gradient_descent: monitor is .* expected one monitor .* or a list"
        ):
            gradient_descent(valley, np.ones(2), monitor=bad)
    with pytest.raises(DTypeError, match="restore_best is 1, expected True or False"):
        EarlyStopping(patience=1, restore_best=1)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------- clipping
def test_a_descent_clips_entries(variant: Variant) -> None:
    found = descend(variant, optimizer=sgd(0.1), steps=3, clip_value=0.5)
    p, scale = np.asarray([1e-6, 5.0]), np.asarray([30.0, 0.4])
    norms = []
    for _ in range(3):
        norms.append(float(np.linalg.norm(scale * p)))
        p = p - 0.1 * np.clip(scale * p, -0.5, 0.5)
    assert np.allclose(host(variant, found.params), p, rtol=64 * eps(variant))
    assert np.allclose(host(variant, found.history.grad_norm), norms, rtol=64 * eps(variant))
    with pytest.raises(ShapeError, match=r"clip_norm is 1 and clip_value 0\.5, expected one of them"):
        descend(variant, clip_norm=1.0, clip_value=0.5)


# --------------------------------------------------------------------------------------------------------------- Ctrl-C
def pressed(at: int, times: int = 1, kind: Any = None) -> Any:
    """A loss during whose `at`-th call Ctrl-C is pressed, on NumPy."""
    calls: list[int] = []

    def loss(p: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            if kind is not None:
                raise kind
        return valley(p)

    return loss


@pytest.mark.parametrize(
    ("times", "kind", "steps"),
    [(1, None, 6), (2, None, 5), (0, KeyboardInterrupt, 5)],
    ids=["once", "twice", "raised"],
)
def test_an_interrupted_descent_keeps_what_it_has(times: int, kind: Any, steps: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    options: dict[str, Any] = {"optimizer": adam(0.05), "steps": 50}
    start = np.asarray([1e-6, 5.0])
    found = gradient_descent(pressed(6, times, kind), start, **options)
    assert found.status == "interrupted"
    assert f"the run was interrupted after {steps} steps" in found.advice
    options["steps"] = steps
    plain = gradient_descent(valley, start, **options)
    found = found._replace(status_code=plain.status_code)
    for a, b in zip(tree_leaves(found), tree_leaves(plain), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_the_last_step_is_too_late_and_before_the_first_there_is_nothing() -> None:
    start = np.asarray([1e-6, 5.0])
    assert gradient_descent(pressed(4), start, steps=4).status == "steps"
    found = gradient_descent(pressed(1, 0, KeyboardInterrupt), start, steps=4)
    assert (found.status, int(found.steps), found.history.loss.shape) == ("interrupted", 0, (0,))
    assert np.array_equal(found.params, start)

    def always(p: Any) -> Any:
        raise KeyboardInterrupt

    found = gradient_descent(always, start, steps=4)
    assert found.status == "interrupted"
    assert np.isnan(found.loss)
    assert np.array_equal(found.params, start)


def test_an_interrupted_run_goes_on_from_its_checkpoint_with_the_same_bits(tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": adam(0.05), "steps": 50, "every": 20}
    start = np.asarray([1e-6, 5.0])
    whole = gradient_descent(valley, start, **options)
    # one call is that which the checkpoint knows the loss by
    found = gradient_descent(pressed(8), start, checkpoint=tmp_path / "run", **options)
    assert (found.status, int(found.steps)) == ("interrupted", 8)
    found = gradient_descent(valley, start, checkpoint=tmp_path / "run", **options)
    for a, b in zip(tree_leaves(found), tree_leaves(whole), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


@BACKENDS
@pytest.mark.parametrize("how", ["signal", "raised"])
def test_a_callback_that_is_interrupted_ends_the_run(name: str, how: str) -> None:
    def callback(step: int, metrics: Any) -> None:
        if step == 12:
            if how == "raised":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    start = named(name).asarray(np.asarray([2.0, 5.0]), "float32")
    loss = lambda p: namespace(p).sum(p * p)  # noqa: E731
    options: dict[str, Any] = {"optimizer": adam(0.05), "every": 4}
    found = gradient_descent(loss, start, steps=40, callback=callback, **options)
    assert (found.status, int(found.steps), int(found.params_step)) == ("interrupted", 12, 12)
    plain = gradient_descent(loss, start, steps=12, callback=lambda *_: None, **options)
    host = backend(name).to_numpy
    found = found._replace(status_code=plain.status_code)
    for a, b in zip(tree_leaves(found), tree_leaves(plain), strict=True):
        assert host(a).tobytes() == host(b).tobytes()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_best_come_back_from_an_interrupted_run() -> None:
    best = int(np.argmin(path_of(0.1, 40)[1]))
    found = gradient_descent(
        pressed(35), np.asarray([1e-6, 5.0]), optimizer=sgd(0.1), steps=60,
        monitor=EarlyStopping(patience=99, restore_best=True),
    )  # fmt: skip
    assert (found.status, int(found.steps), int(found.params_step)) == ("interrupted", 35, best)
    assert "the run was interrupted after 35 steps. params are the best seen" in found.advice


def test_what_runs_several_descents_ends_with_the_one_interrupted() -> None:
    with pytest.raises(KeyboardInterrupt):
        learning_rate_sweep(pressed(9), np.asarray([1e-6, 5.0]), rates=[0.01, 0.02], steps=5)


def test_handlers_of_ones_own_stay() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        mine = signal.getsignal(signal.SIGINT)
        assert gradient_descent(pressed(3), np.ones(2), optimizer=sgd(0.01), steps=9).status == "steps"
        assert signal.getsignal(signal.SIGINT) is mine
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert gradient_descent(pressed(3), np.ones(2), optimizer=sgd(0.01), steps=9).status == "steps"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_a_handler_set_meanwhile_stays_and_errors_put_the_old_one_back() -> None:
    before, mine = signal.getsignal(signal.SIGINT), lambda number, frame: None
    try:
        gradient_descent(
            valley, np.ones(2), optimizer=sgd(0.01), steps=2, every=1,
            callback=lambda *_: signal.signal(signal.SIGINT, mine) and None,
        )  # fmt: skip
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ZeroDivisionError):
        gradient_descent(lambda p: 1 / 0, np.ones(2))
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_it_runs_as_ever_and_inside_another_it_ends_with_it() -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(gradient_descent(valley, np.ones(2), optimizer=sgd(0.01), steps=3))
    )
    thread.start()
    thread.join()
    assert found[0].status == "steps"
    with interruptible() as outer, interruptible() as inner:
        assert inner is outer
    inside: list[str] = []

    def nested(step: int, metrics: Any) -> None:
        inside.append(gradient_descent(pressed(3), np.ones(2), optimizer=sgd(0.01), steps=9).status)

    found = [gradient_descent(valley, np.ones(2), optimizer=sgd(0.01), steps=9, every=2, callback=nested)]
    assert inside == ["interrupted"]
    assert (found[0].status, int(found[0].steps)) == ("interrupted", 2)


SCRIPT = """
import signal, sys, time
import numpy as np
name = sys.argv[1]
from pillars.backends import backend, namespace
from pillars.calculus import gradient_descent, sgd
def loss(p):
    if name != "jax":
        time.sleep(0.002)
    return namespace(p).sum(p * p)
def callback(step, metrics):
    print(step, flush=True)
    if name == "jax":
        time.sleep(0.05)
found = gradient_descent(
    loss, backend(name).asarray(np.ones(3, np.float32)), optimizer=sgd(1e-6), steps=10**9, every=10, callback=callback
)
n = int(found.steps)
whole = bool(found.history.loss.shape == (n,)) and bool(np.all(np.isfinite(backend(name).to_numpy(found.params))))
print(found.status, n > 0, whole, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system sends no SIGINT to one process")
@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_a_process_that_is_sent_sigint_keeps_its_descent(name: str) -> None:
    if name == "jax":
        pytest.importorskip("jax")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "interrupted True True True", err
    # and afterwards Ctrl-C ends the process as ever
    assert "KeyboardInterrupt" in err
    assert process.returncode != 0


def test_on_jax_a_program_that_is_not_looked_into_says_so_at_its_end() -> None:
    jax = pytest.importorskip("jax")
    asked: list[int] = []

    def loss(p: Any) -> Any:
        if not asked:
            # while it is traced: before the first step
            asked.append(1)
            signal.raise_signal(signal.SIGINT)
        return jax.numpy.sum(p * p)

    found = gradient_descent(loss, jax.numpy.ones(2), optimizer=sgd(0.01), steps=7)
    assert (found.status, int(found.steps)) == ("interrupted", 7)
    assert "interrupted after 7 steps" in found.advice
