"""Checkpoints and callbacks: what was interrupted ends with the same bits, and what is another run's is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from contracts._variants import variant as named
from pillars import CapabilityError, CheckpointError, DTypeError
from pillars.backends import Draw, backend, namespace, tree_leaves
from pillars.calculus import (
    Descent,
    EarlyStopping,
    LeastSquaresLoss,
    LossMonitor,
    Optimizer,
    adam,
    adamw,
    grad,
    gradient_descent,
    linear_warmup,
    sgd,
)
from pillars.random import key

BACKENDS = pytest.mark.parametrize("name", ["numpy", "strict", "jax"])


class StopError(Exception):
    """What a test interrupts a descent with."""


class Weights(NamedTuple):
    w: Any
    b: Any


def loss(p: Any, x: Any, y: Any) -> Any:
    xp = namespace(x)
    return xp.mean((x @ p["layer"].w + p["layer"].b - y) ** 2)


def problem(name: str, seed: int = 0) -> tuple[Any, tuple[Any, Any]]:
    draw, put = Draw(seed), lambda a: named(name).asarray(a, "float32")
    x = draw.normal(60, 4)
    params = {"layer": Weights(put(draw.normal(4)), put(np.zeros(())))}
    return params, (put(x), put(x @ draw.normal(4) + 0.1 * draw.normal(60)))


def own_rate(step: Any) -> Any:
    return 0.05 / (1 + namespace(step).astype(step, namespace(step).float32))


PLANS: dict[str, dict[str, Any]] = {
    "plain": {"optimizer": sgd(0.05)},
    "adam in batches": {"optimizer": adam(0.05), "batch_size": 16, "rng": 3},
    "nesterov, clipped, watched": {
        "optimizer": sgd(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
        "clip_norm": 0.5,
        "monitor": LossMonitor(rule="robust"),
    },
    "warm adamw in batches, watched": {
        "optimizer": adamw(linear_warmup(0.05, 30)),
        "batch_size": 7,
        "monitor": EarlyStopping(patience=25),
    },
    "a rate of its own": {"optimizer": sgd(own_rate), "tolerance": 1e-3},
    "halts": {"optimizer": sgd(3.0), "monitor": LossMonitor(patience=8)},
    "breaks": {"optimizer": sgd(500.0)},
}


def same_bits(a: Descent, b: Descent, name: str) -> bool:
    host = backend(name).to_numpy
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return a.status == b.status and all(host(x).tobytes() == host(y).tobytes() for x, y in pairs)


def interrupted(at: int, *args: Any, **options: Any) -> None:
    """Run until a step, and be stopped there."""

    def stop(step: int, metrics: Any) -> None:
        if step >= at:
            raise StopError

    with pytest.raises(StopError):
        gradient_descent(*args, callback=stop, **options)


# ----------------------------------------------------------------------------------------------------------- resumption
@pytest.mark.slow
@BACKENDS
@pytest.mark.parametrize("plan", PLANS)
def test_an_interrupted_run_ends_with_the_same_bits(name: str, plan: str, tmp_path: Path) -> None:
    params, data = problem(name)
    options = {"steps": 40, "every": 3, **PLANS[plan]}
    whole = gradient_descent(loss, params, *data, checkpoint=tmp_path / "whole", **options)
    stops = [3] if plan in ("halts", "breaks") else sorted({3, *Draw(11).integers(4, 33, 2).tolist()})
    for at in stops:  # again and again, in the same file
        interrupted(at, loss, params, *data, checkpoint=tmp_path / "run", **options)
    found = gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", **options)
    assert same_bits(found, whole, name)
    assert found.status == {"halts": "halted", "breaks": "nonfinite"}.get(plan, "steps")
    again = gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", **options)
    assert same_bits(again, whole, name)


@BACKENDS
def test_a_checkpoint_changes_nothing(name: str, tmp_path: Path) -> None:
    params, data = problem(name)
    options = {"steps": 40, "every": 7, **PLANS["adam in batches"]}
    found = gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", **options)
    seen: list[int] = []
    plain = gradient_descent(loss, params, *data, callback=lambda step, _: seen.append(step), **options)
    assert same_bits(found, plain, name)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_half_precision_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    """NumPy's own finfo does not know bfloat16, by which the loss at the start is compared."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        options: dict[str, Any] = {"optimizer": sgd(0.01), "every": 2}
        start = np.arange(3).astype(dtype)
        whole = gradient_descent(lambda w: np.sum(w * w), start, steps=8, **options)
        path = tmp_path / np.dtype(dtype).name
        gradient_descent(lambda w: np.sum(w * w), start, steps=4, checkpoint=path, **options)
        found = gradient_descent(lambda w: np.sum(w * w), start, steps=8, checkpoint=path, **options)
        assert same_bits(found, whole, "numpy")


def test_a_step_that_breaks_right_after_a_resumption_gives_the_parameters_before(tmp_path: Path) -> None:
    # every step is written, so that the step before the last one comes from the file
    params, data = problem("numpy")
    options: dict[str, Any] = {"steps": 40, "every": 1, "optimizer": sgd(500.0)}
    whole = gradient_descent(loss, params, *data, **options)
    n = int(whole.steps)
    assert 3 < n < 40
    for at in range(1, n + 1):
        path = tmp_path / str(at)
        interrupted(at, loss, params, *data, checkpoint=path, **options)
        assert same_bits(gradient_descent(loss, params, *data, checkpoint=path, **options), whole, "numpy")


@BACKENDS
def test_more_steps_go_on_from_the_end(name: str, tmp_path: Path) -> None:
    params, data = problem(name)
    options = {"every": 10, **PLANS["adam in batches"]}
    whole = gradient_descent(loss, params, *data, checkpoint=tmp_path / "whole", steps=50, **options)
    gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", steps=20, **options)
    seen: list[int] = []
    found = gradient_descent(
        loss, params, *data, checkpoint=tmp_path / "run", steps=50,
        callback=lambda step, _: seen.append(step), **options,
    )  # fmt: skip
    assert same_bits(found, whole, name)
    assert seen == [30, 40, 50]


@pytest.mark.parametrize("rng", [None, "generator"])
def test_an_order_that_was_drawn_anew_is_taken_from_the_file(rng: Any, tmp_path: Path) -> None:
    params, data = problem("numpy")
    options = {"optimizer": adam(0.05), "batch_size": 16, "steps": 30, "every": 4}
    path = tmp_path / "run"

    def drawn() -> Any:
        return None if rng is None else np.random.default_rng()

    interrupted(8, loss, params, *data, checkpoint=path, rng=drawn(), **options)
    from pillars.calculus.descent._safetensors import read

    mine = read(path)[0]["key"]
    found = gradient_descent(loss, params, *data, checkpoint=path, rng=drawn(), **options)
    assert same_bits(found, gradient_descent(loss, params, *data, rng=mine.copy(), **options), "numpy")


def test_optimizers_and_monitors_of_ones_own_are_resumed(tmp_path: Path) -> None:
    class State(NamedTuple):
        least: Any
        halted: Any

    class Own:
        def init(self, like: Any) -> State:
            return State(np.asarray(np.inf), np.asarray(False))

        def update(self, value: Any, state: State) -> State:
            return State(np.minimum(value, state.least), value > 10 * state.least)

    made = adam(0.05)
    params, data = problem("numpy")
    options: dict[str, Any] = {
        "optimizer": Optimizer(made.init, lambda g, s, p: made.update(grads=g, state=s, params=p)),
        "monitor": Own(),
        "steps": 30,
        "every": 5,
    }
    whole = gradient_descent(loss, params, *data, **options)
    interrupted(15, loss, params, *data, checkpoint=tmp_path / "run", **options)
    found = gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", **options)
    assert same_bits(found, whole, "numpy")


def test_least_squares_are_resumed_and_known_by_their_rows(tmp_path: Path) -> None:
    draw = Draw(5)
    x, y = draw.normal(50, 3), draw.normal(50)
    options: dict[str, Any] = {"optimizer": sgd(0.1, momentum=0.5), "steps": 60, "every": 7}
    whole = gradient_descent(LeastSquaresLoss(x, y), np.zeros(3), **options)
    interrupted(21, LeastSquaresLoss(x, y), np.zeros(3), checkpoint=tmp_path / "run", **options)
    found = gradient_descent(LeastSquaresLoss(x, y), np.zeros(3), checkpoint=tmp_path / "run", **options)
    assert same_bits(found, whole, "numpy")
    with pytest.raises(CheckpointError, match="its data is"):
        gradient_descent(LeastSquaresLoss(x, y + 1), np.zeros(3), checkpoint=tmp_path / "run", **options)


def test_the_parameters_can_be_read_by_their_names(tmp_path: Path) -> None:
    from pillars.calculus.descent._safetensors import read

    params, data = problem("numpy")
    found = gradient_descent(loss, params, *data, checkpoint=str(tmp_path / "run"), steps=5)
    arrays, _ = read(tmp_path / "run")
    assert np.array_equal(arrays["params['layer'].w"], found.params["layer"].w)
    assert arrays["history"].shape == (5, 3)


# ------------------------------------------------------------------------------------------------------------- killed
CHILD = """
import os, signal, sys
import numpy as np
import pillars
from pillars.backends import namespace, tree_leaves
from pillars.calculus import LossMonitor, adam, gradient_descent

name, path, end, dies = sys.argv[1:]
draw = np.random.default_rng(0)
put = lambda a: pillars.asarray(a.astype(np.float32), backend=name)
x = draw.standard_normal((64, 8))
params = {"w": put(draw.standard_normal(8)), "b": put(np.zeros(()))}
data = put(x), put(x @ draw.standard_normal(8))
if dies != "never":  # in the middle of a write
    call, count = getattr(os, dies.partition(" ")[0]), int(dies.partition(" ")[2])
    def dying(*args, **options):
        global count
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    setattr(os, dies.partition(" ")[0], dying)
print("ready", flush=True)
found = gradient_descent(
    lambda p, x, y: namespace(x).mean((x @ p["w"] + p["b"] - y) ** 2), params, *data,
    optimizer=adam(0.01), batch_size=10, monitor=LossMonitor(rule="robust"), steps=600, every=5, checkpoint=path,
)
host = [np.asarray(leaf) for leaf in tree_leaves(found)]
with open(end, "wb") as file:
    for leaf in host:
        file.write(leaf.tobytes())
"""


def start(*words: Any) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, words)], stdout=subprocess.PIPE, text=True, env=env
    )


def finish(child: subprocess.Popen[str]) -> int:
    child.communicate(timeout=120)
    return child.returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("numpy", 8), ("jax", 2)])
def test_a_process_killed_at_any_moment_loses_nothing(
    name: str, kills: int, tmp_path: Path, draw: Draw
) -> None:
    if name == "jax":
        pytest.importorskip("jax")
    began = start(name, tmp_path / "whole", tmp_path / "expected", "never")
    assert began.stdout is not None
    assert began.stdout.readline() == "ready\n"
    clock = time.perf_counter()
    assert finish(began) == 0
    lasts, steps = time.perf_counter() - clock, []
    for _ in range(kills):
        child = start(name, tmp_path / "run", tmp_path / "found", "never")
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(draw.number(0.0, lasts / 3))
        child.kill()
        finish(child)
        steps.append(at(tmp_path / "run"))
    assert steps == sorted(steps)  # what was reached is never lost
    assert finish(start(name, tmp_path / "run", tmp_path / "found", "never")) == 0
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    assert steps[-1] > 0, "no kill came after the first checkpoint: nothing was tested"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.slow
def test_a_process_killed_while_it_writes_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert finish(start("numpy", tmp_path / "whole", tmp_path / "expected", "never")) == 0
    # each checkpoint is forced to the disk twice, file and folder, and takes its name in between
    for dies in ("fsync 1", "fsync 2", "fsync 7", "rename 1", "rename 4", "replace 1", "replace 5"):
        before = at(path)
        assert finish(start("numpy", path, tmp_path / "found", dies)) in (0, -signal.SIGKILL)
        assert at(path) >= before
    assert finish(start("numpy", path, tmp_path / "found", "never")) == 0
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()


def at(path: Path) -> int:
    """The step that a file has, which can always be read."""
    from pillars.calculus.descent._safetensors import read

    return int(read(path)[0]["step"]) if path.exists() else 0


# ------------------------------------------------------------------------------------------------------------ refused
def other_runs() -> dict[str, Any]:
    params, (x, y) = problem("numpy")
    moved = {"layer": params["layer"]._replace(b=np.float32(0.5) + params["layer"].b)}
    wide = {"layer": Weights(*(a.astype(np.float64) for a in params["layer"]))}
    base: dict[str, Any] = {"optimizer": adam(0.05), "batch_size": 16, "rng": 3, "steps": 12, "every": 3}
    late = y.copy()
    late[-1] += 1
    return {
        "its start is": (loss, moved, (x, y), base),
        "its parameters is": (loss, wide, (x, y), base),
        "its data is": (loss, params, (x, late), base),
        "its optimizer is": (loss, params, (x, y), {**base, "optimizer": adam(0.06)}),
        r"its optimizer is .*beta1=0.9": (loss, params, (x, y), {**base, "optimizer": adam(0.05, beta1=0.8)}),
        "its batch_size is 16, expected 15": (loss, params, (x, y), {**base, "batch_size": 15}),
        "its rng is": (loss, params, (x, y), {**base, "rng": 4}),
        "its rng is .* expected drawn anew": (loss, params, (x, y), {**base, "rng": None}),
        "its monitor is None, expected LossMonitor": (
            loss,
            params,
            (x, y),
            {**base, "monitor": LossMonitor()},
        ),
        "its clip_norm is None, expected 1.0": (loss, params, (x, y), {**base, "clip_norm": 1.0}),
        "its tolerance is": (loss, params, (x, y), {**base, "tolerance": 1e-9}),
        "its gradient is by autodiff, expected given": (
            loss,
            params,
            (x, y),
            {**base, "gradient": grad(loss)},
        ),
        "its loss began at": (lambda p, x, y: 1.001 * loss(p, x, y), params, (x, y), base),
        "of step 12, expected at most steps=11": (loss, params, (x, y), {**base, "steps": 11}),
    }


@pytest.mark.parametrize("words", other_runs())
def test_a_checkpoint_of_another_run_is_refused_and_left(words: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    params, data = problem("numpy")
    base = {"optimizer": adam(0.05), "batch_size": 16, "rng": 3, "steps": 12, "every": 3}
    gradient_descent(loss, params, *data, checkpoint=path, **base)
    before = path.read_bytes()
    f, params, data, options = other_runs()[words]
    with pytest.raises(CheckpointError, match=f"{words}.*") as caught:
        gradient_descent(f, params, *data, checkpoint=path, **options)
    assert "run" in str(caught.value)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_backend_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    for name in ("numpy", "jax"):
        params, data = problem(name)
        if name == "numpy":
            gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", steps=4)
    with pytest.raises(CheckpointError, match="its backend is numpy, expected jax"):
        gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", steps=4)


@BACKENDS
def test_a_truncated_checkpoint_is_refused_and_left(name: str, tmp_path: Path, draw: Draw) -> None:
    path = tmp_path / "run"
    params, data = problem(name)
    gradient_descent(loss, params, *data, checkpoint=path, steps=4, every=2)
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="move it away to begin anew"):
            gradient_descent(loss, params, *data, checkpoint=path, steps=8, every=2)
        assert path.read_bytes() == whole[:length]
    path.write_bytes(whole)
    assert int(gradient_descent(loss, params, *data, checkpoint=path, steps=8, every=2).steps) == 8


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    params, data = problem("numpy")
    with pytest.raises(CheckpointError, match="is a folder"):
        gradient_descent(loss, params, *data, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="in a folder that is not there"):
        gradient_descent(loss, params, *data, checkpoint=tmp_path / "none" / "run")
    for bad in (3, True, b"run"):
        with pytest.raises(DTypeError, match="expected a path"):
            gradient_descent(loss, params, *data, checkpoint=bad)
    with pytest.raises(CheckpointError, match="without NUL"):
        gradient_descent(loss, params, *data, checkpoint="a\0b")
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_inside_a_jit_is_refused(tmp_path: Path) -> None:
    jax = pytest.importorskip("jax")
    params, data = problem("jax")
    run = jax.jit(lambda p: gradient_descent(loss, p, *data, checkpoint=tmp_path / "run", steps=3).params)
    with pytest.raises(CapabilityError, match="a checkpoint inside a compiled function"):
        run(params)


# ---------------------------------------------------------------------------------------------------------- callbacks
@BACKENDS
@pytest.mark.parametrize("kind", [ValueError, StopIteration, SystemExit])
def test_what_a_callback_raises_carries_what_was_reached(name: str, kind: Any) -> None:
    params, data = problem(name)

    def callback(step: int, metrics: Any) -> None:
        if step == 12:
            raise kind("enough")

    options: dict[str, Any] = {"optimizer": adam(0.05), "every": 4}
    with pytest.raises(kind, match="enough") as caught:
        gradient_descent(loss, params, *data, steps=40, callback=callback, **options)
    found = caught.value.descent  # type: ignore[attr-defined]
    assert "the callback raised this after step 12" in caught.value.__notes__[0]
    assert found.status == "running"
    assert "interrupted after 12 steps" in found.advice
    plain = gradient_descent(loss, params, *data, steps=12, callback=lambda *_: None, **options)
    assert same_bits(found._replace(status_code=plain.status_code), plain, name)


class ClosedError(Exception):
    """An exception that takes no attribute."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("__"):
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_an_exception_that_can_carry_nothing_comes_as_it_is() -> None:
    params, data = problem("numpy")

    def callback(step: int, metrics: Any) -> None:
        raise ClosedError("enough")

    with pytest.raises(ClosedError, match="enough") as caught:
        gradient_descent(loss, params, *data, steps=4, every=1, callback=callback)
    assert "Pass checkpoint=" in caught.value.__notes__[0]


@BACKENDS
def test_a_callback_that_stops_comes_after_the_checkpoint(name: str, tmp_path: Path) -> None:
    params, data = problem(name)
    interrupted(10, loss, params, *data, checkpoint=tmp_path / "run", steps=30, every=5)
    assert at(tmp_path / "run") == 10


@BACKENDS
def test_a_checkpoint_that_cannot_be_written_carries_what_was_reached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = problem(name)
    written: list[int] = []
    fsync = os.fsync

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        gradient_descent(loss, params, *data, checkpoint=tmp_path / "run", steps=30, every=5)
    assert "writing the checkpoint raised this after step 15" in caught.value.__notes__[0]
    assert int(caught.value.descent.steps) == 15  # type: ignore[attr-defined]
    assert at(tmp_path / "run") == 10


def test_equal_keys_are_one_run(tmp_path: Path) -> None:
    params, data = problem("numpy")
    options: dict[str, Any] = {"batch_size": 8, "steps": 6, "every": 2, "checkpoint": tmp_path / "run"}
    first = gradient_descent(loss, params, *data, rng=5, **options)
    assert same_bits(first, gradient_descent(loss, params, *data, rng=key(5), **options), "numpy")
