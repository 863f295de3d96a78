"""Curvature from a history of losses, and sweeps of rates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError, DTypeError, ShapeError
from pillars.calculus import (
    SweepRow,
    adam,
    check_gradient,
    gradient_descent,
    implied_sharpness,
    learning_rate_sweep,
    preflight,
    sgd,
    sharpness,
)
from pillars.measure import capability_table


def test_the_known_case() -> None:
    """1 to 1e15 in ten steps at a rate of 1."""
    found = implied_sharpness([10.0 ** (1.5 * step) for step in range(11)], 1.0)
    assert found.value == pytest.approx(1 + 10**0.75, rel=1e-9)
    assert found.limit == pytest.approx(2 / (1 + 10**0.75), rel=1e-9)
    assert found.steady
    assert found.steps == 10


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_it_is_the_curvature_of_the_quadratic_that_diverged(momentum: float, offset: float) -> None:
    a = np.asarray([7.0, 2.0, 0.1])
    rate = 1.3 * 2 * (1 + momentum) / 7
    run = gradient_descent(
        lambda p, a: 0.5 * np.sum(p * a * p) + offset,
        np.ones(3),
        a,
        optimizer=sgd(rate, momentum=momentum),
        steps=60,
    )
    found = implied_sharpness(run.history.loss, rate, momentum=momentum)
    assert found.steady
    assert found.value == pytest.approx(7.0, rel=1e-3)
    assert found.limit == pytest.approx(2 * (1 + momentum) / 7, rel=1e-3)


def test_what_does_not_rise_or_is_not_steady() -> None:
    falling = implied_sharpness([3.0, 2.0, 1.0], 0.1)
    assert math.isnan(falling.value)
    assert (falling.steady, falling.steps) == (False, 0)
    wild = implied_sharpness([1.0, 2.0, 1e6], 0.1)
    assert not wild.steady
    assert wild.value > 10
    cut = implied_sharpness([1.0, 4.0, 16.0, 64.0, 256.0, math.inf, math.nan], 0.5)
    assert (cut.steady, cut.steps) == (True, 4)
    assert cut.value == pytest.approx(3 / 0.5)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: implied_sharpness([1.0], 0.1), ShapeError, "n of at least 2"),
        (lambda: implied_sharpness([[1.0, 2.0]], 0.1), ShapeError, "one loss a step"),
        (lambda: implied_sharpness(["a", "b"], 0.1), DTypeError, "real numbers"),
        (lambda: implied_sharpness([1.0, 2.0], 0.0), ShapeError, "learning_rate is 0"),
        (lambda: implied_sharpness([1.0, 2.0], 0.1, momentum=1.0), ShapeError, "momentum is 1"),
        (lambda: learning_rate_sweep(lambda p: p**2, 1.0, rates=()), ShapeError, "no rates"),
        (lambda: learning_rate_sweep(lambda p: p**2, 1.0, rates=(0.1, -1.0)), ShapeError, "a rate is -1"),
        (lambda: learning_rate_sweep(lambda p: p**2, 1.0, rates=(math.nan,)), ShapeError, "a rate is nan"),
    ],
)
def test_refusals(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_a_sweep_is_as_many_descents() -> None:
    def loss(p: Any) -> Any:
        return np.sum(p**2)

    rows = learning_rate_sweep(loss, np.ones(2), rates=(0.1, 0.9, 1.1), steps=20)
    assert [row.status for row in rows] == ["steps", "steps", "diverged"]
    for row in rows:
        assert row.loss == float(
            gradient_descent(loss, np.ones(2), optimizer=sgd(row.learning_rate), steps=20).loss
        )
    [one] = learning_rate_sweep(loss, np.ones(2), rates=[0.1], steps=5, optimizer=adam)
    assert one.loss == float(gradient_descent(loss, np.ones(2), optimizer=adam(0.1), steps=5).loss)


@pytest.mark.parametrize("inside", ["jit", "vmap", "grad"])
def test_what_answers_in_words_is_refused_inside_traces(inside: str) -> None:
    jax = pytest.importorskip("jax")
    xp = jax.numpy

    def loss(w: Any) -> Any:
        return xp.sum(w**4)

    calls = {
        "check_gradient": lambda w: check_gradient(loss, w),
        "implied_sharpness": lambda w: implied_sharpness(w, 0.1),
        "learning_rate_sweep": lambda w: learning_rate_sweep(loss, w, rates=[0.1]),
        "preflight": lambda w: preflight(loss, w, optimizer=sgd(0.1)),
        "sharpness": lambda w: sharpness(loss, w),
    }
    table = {(row.operation, row.feature): row.level for row in capability_table(["jax"]).rows}
    at = xp.ones(()) if inside == "grad" else xp.ones((3, 3))
    for name, call in calls.items():
        assert table[f"calculus.{name}", inside] == "no"
        with pytest.raises(CapabilityError, match=f"{name}: got arrays inside jit, vmap or grad"):
            getattr(jax, inside)(lambda w, call=call: (call(w), xp.sum(w))[1])(at)


def test_a_descents_history_is_its_losses() -> None:
    fit = gradient_descent(lambda w: 11 * np.sum(w**2), np.ones(2), optimizer=sgd(0.1), steps=20)
    assert implied_sharpness(fit.history, 0.1) == implied_sharpness(fit.history.loss, 0.1)
    assert implied_sharpness(fit.history, 0.1).value == pytest.approx(22.0)


def test_a_finished_optimizer_is_no_maker_of_one() -> None:
    with pytest.raises(
        DTypeError, match=r"learning_rate_sweep: optimizer is Optimizer.*of a rate: adam, sgd"
    ):
        learning_rate_sweep(lambda w: np.sum(w**2), np.ones(2), rates=[0.1], optimizer=sgd(0.1))


def test_one_rate_is_no_sweep() -> None:
    with pytest.raises(DTypeError, match=r"rates is 0\.1, expected several numbers"):
        learning_rate_sweep(lambda w: np.sum(w**2), np.ones(2), rates=0.1)  # type: ignore[arg-type]


def test_a_descent_is_its_own_history() -> None:
    found = gradient_descent(lambda w: 11.0 * w**2, np.asarray(1.0), optimizer=sgd(0.1), steps=30)
    of_history = implied_sharpness(found.history, 0.1)
    assert implied_sharpness(found, 0.1) == of_history
    assert of_history.value == pytest.approx(22.0)


def test_rows_and_curvatures_print_as_words() -> None:
    assert str(SweepRow(0.01, 0.021851, "steps")) == "learning rate 0.01      loss 0.02185     steps"
    assert "the loss does not rise" in str(implied_sharpness([3.0, 2.0, 1.0], 0.1))
    steady = str(implied_sharpness([10.0 ** (1.5 * step) for step in range(11)], 1.0)).split("\n")
    assert steady == [
        "curvature 6.623, from the growth of the last 10 steps, which is steady",
        "a run diverges there above the learning rate 0.302",
    ]
    assert "not steady: an order of magnitude" in str(implied_sharpness([1.0, 2.0, 3.0], 0.1))
