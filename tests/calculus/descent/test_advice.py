"""What is said of a descent that took all its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import random
from pillars.calculus import EarlyStopping, LossMonitor, adam, cosine_decay, gradient_descent, one_cycle, sgd
from pillars.calculus.descent._advice import advised

A = np.random.default_rng(0).standard_normal((50, 3))
B = A @ np.asarray([1.0, 2.0, 3.0])


def fit(w: Any) -> Any:
    return np.mean((A @ w - B) ** 2)


def bowl(w: Any) -> Any:
    return 0.5 * np.sum(w * w)


@pytest.mark.parametrize(
    ("loss", "start", "optimizer", "steps", "said"),
    [
        (fit, np.zeros(3), adam(50.0), 5, "It rose: lower the learning rate 50"),
        (bowl, np.ones(2), sgd(2.0), 100, "jump from one side of the minimum to the other"),
        (lambda w: -np.sum(w * w), np.ones(2), sgd(0.01), 200, "bounded below"),
        (bowl, np.zeros(2), sgd(0.1), 10, "exactly 0"),
        (fit, np.zeros(3), adam(1e-9), 100, "raise the learning rate 1e-09"),
        (fit, np.zeros(3), sgd(0.01), 50, "still falling: raise steps"),
        (fit, np.zeros(3), sgd(0.1), 2000, "hardly falls any more"),
        (fit, np.zeros(3), sgd(cosine_decay(0.01, 50)), 80, "down to 0: more steps need a longer schedule"),
        (
            fit,
            np.zeros(3),
            sgd(one_cycle(0.001, 100)),
            1000,
            "a longer schedule. It has stood there since step 100.",
        ),
        (fit, np.zeros(3), sgd(lambda step: 0.1 if step < 200 else 1e-4), 300, "hardly falls any more"),
        (
            lambda w: np.sum(np.abs(w)),
            np.asarray([1.05, 0.05]),
            sgd(lambda step: 0.1 + 0.02 * step),
            30,
            "risen",
        ),
    ],
)
def test_the_advice_follows_the_history(loss: Any, start: Any, optimizer: Any, steps: int, said: str) -> None:
    found = gradient_descent(loss, start, optimizer=optimizer, steps=steps)
    assert found.status == "steps"
    assert said in found.advice


def test_the_noise_of_batches_is_no_fall() -> None:
    draw = np.random.default_rng(0)
    noisy = B + draw.standard_normal(50)
    options = {"optimizer": sgd(0.05), "batch_size": 5, "rng": random.key(3)}
    found = gradient_descent(
        lambda w, a, b: np.mean((a @ w - b) ** 2), np.zeros(3), A, noisy, steps=400, **options
    )
    assert "hardly falls" in found.advice or "risen again" in found.advice
    early = gradient_descent(
        lambda w, a, b: np.mean((a @ w - b) ** 2), np.zeros(3), A, noisy, steps=20, **options
    )
    assert "still falling" in early.advice


def test_a_monitor_that_saw_a_batch_rise_is_told_of() -> None:
    draw = np.random.default_rng(0)
    noisy = B + draw.standard_normal(50)
    found = gradient_descent(
        lambda w, a, b: np.mean((a @ w - b) ** 2),
        np.zeros(3),
        A,
        noisy,
        steps=400,
        optimizer=sgd(0.05),
        batch_size=5,
        rng=random.key(3),
        monitor=LossMonitor(),
    )
    assert found.status == "halted"
    assert 'LossMonitor(rule="robust") looks past' in found.advice


def test_a_descent_prints_as_words() -> None:
    found = gradient_descent(fit, np.zeros(3), optimizer=sgd(0.01), steps=5)
    assert repr(found) == f"Descent(status='steps', loss={found.loss}, steps=5, params: 1 array of 3 numbers)"
    assert str(found) == f"{found!r}\n{found.advice}"
    jax = pytest.importorskip("jax")
    seen = []
    jax.jit(
        lambda w: seen.append(
            str(
                gradient_descent(
                    lambda p: bowl(p["a"]) + bowl(p["b"]), {"a": w, "b": w}, optimizer=sgd(0.1), steps=3
                )
            )
        )
    )(jax.numpy.ones(2))
    assert seen == ["Descent(params: 2 arrays of 4 numbers, traced)"]


def test_a_leap_on_the_way_is_told_and_what_it_may_have_left_behind() -> None:
    rates = [0.01, 0.5, 0.01]
    losses = [2.3, 900.0, 2.31, *[2.2] * 40]
    spike = advised([np.asarray(x) for x in (0, 2.2, 43, np.nan, np.nan)] + histories(losses, rates))
    assert "leapt to 900, at step 1: the rate was too large there, 0.01" in spike
    assert "begin again with a lower rate" in spike
    falling = [2.3, 900.0, *(2.3 - 0.02 * i for i in range(41))]
    found = advised([np.asarray(x) for x in (0, 1.4, 43, np.nan, np.nan)] + histories(falling, rates))
    assert "leapt to 900" in found
    assert "still falling" in found
    calm = [2.3, 2.4, *(2.3 - 0.02 * i for i in range(41))]
    assert "leapt" not in advised(
        [np.asarray(x) for x in (0, 1.4, 43, np.nan, np.nan)] + histories(calm, rates)
    )


def histories(losses: list[float], rates: list[float]) -> list[Any]:
    n = len(losses)
    return [np.asarray(losses), np.asarray((rates + [rates[-1]] * n)[:n]), np.ones(n)]


def test_early_stopping_far_from_the_start_is_no_place_to_go_on_from() -> None:
    risen = advised(
        [np.asarray(x) for x in (7, 50.0, 3, np.nan, np.nan)] + histories([2.0, 1.0, 30.0], [0.1])
    )
    assert "more than at the start, 2: begin again" in risen
    still = advised([np.asarray(x) for x in (7, 1.1, 3, np.nan, np.nan)] + histories([2.0, 1.0, 1.05], [0.1]))
    assert "Lower the learning rate 0.1 to go on from here" in still


def test_a_history_prints_in_one_line() -> None:
    found = gradient_descent(fit, np.zeros(3), steps=300)
    assert repr(found.history).startswith("History(300 steps, loss: ")
    assert len(repr(found.history)) < 120
    assert "shape (0,)" in repr(gradient_descent(fit, np.zeros(3), steps=0).history)


def test_with_the_best_parameters_back_it_is_still_said_why_a_monitor_halted() -> None:
    early = EarlyStopping(patience=3, min_delta=100.0, restore_best=True)
    jumping = sgd(lambda step: 0.1 if step < 2 else 3.0)
    stalled = gradient_descent(fit, np.zeros(3), optimizer=jumping, monitor=[LossMonitor(patience=9), early])
    assert int(stalled.params_step) < int(stalled.steps)
    least = f"{min(stalled.history.loss):.4g}"
    assert (
        f"the EarlyStopping monitor[1] halted the run after {int(stalled.steps)} steps: no loss has beaten {least}"
        in (stalled.advice)
    )
    rising = gradient_descent(fit, np.zeros(3), optimizer=sgd(3.0), monitor=[LossMonitor(patience=2), early])
    assert rising.status == "halted"
    assert (
        f"where the loss had gone from {rising.history.loss[0]:.4g} to {rising.history.loss[-1]:.4g}"
        in rising.advice
    )
    assert rising.advice.startswith("monitor[0] halted")
    assert "learning rate" in rising.advice


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_has_its_finder_named() -> None:
    finder = "pillars.diagnosis.find_nonfinite("
    at_once = gradient_descent(lambda w: np.sum(np.log(w)), np.zeros(2), steps=3)
    assert finder + "loss, params, *data) says where" in at_once.advice
    slope = gradient_descent(lambda w: np.sum(np.sqrt(w)), np.zeros(2), steps=3)
    assert finder + "pillars.calculus.grad(loss), params, *data) where" in slope.advice
    for monitor in (None, EarlyStopping(patience=999, restore_best=True)):
        on_the_way = gradient_descent(fit, np.zeros(3), optimizer=sgd(1e3), steps=300, monitor=monitor)
        assert on_the_way.status == "nonfinite"
        assert finder + "loss, params, *data) says where it broke" in on_the_way.advice
