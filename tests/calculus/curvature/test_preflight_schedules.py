"""preflight over the whole run: every kind of schedule, the step that reaches the limit, and what cannot be told."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from pillars import ShapeError
from pillars.backends import available, backend, namespace
from pillars.calculus import (
    LeastSquaresLoss,
    adam,
    check_gradient,
    gradient_descent,
    hvp,
    jacobian,
    learning_rate_sweep,
    linear_warmup,
    one_cycle,
    piecewise,
    preflight,
    reduce_on_plateau,
    sgd,
    sharpness,
    stable_learning_rate,
    step_decay,
    warmup_cosine,
)

EVERYWHERE = pytest.mark.parametrize(
    "name", [*(name for name, state in available().items() if state.usable), "strict"]
)
CURVATURES = np.asarray([1.0, 0.5])  # the limit is 2
RATES = [0.1] * 500 + [3.0] * 10
LATE = (0.1, 0.1, 3.0)


def bowl(p: Any, a: Any) -> Any:
    return 0.5 * (p * a * p).sum()


def step_of(advice: str) -> int:
    (step,) = re.findall(r"at step (\d+)", advice)
    return int(step)


def test_a_warm_up_is_looked_at_to_its_end() -> None:
    x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])

    def line(w: Any, x: Any, y: Any) -> Any:  # whose curvature is 22
        return np.mean((w * x - y) ** 2)

    optimizer = sgd(linear_warmup(0.5, 10_000))
    found = preflight(line, 0.0, x, y, optimizer=optimizer)
    assert (found.verdict, found.learning_rate) == ("diverges", pytest.approx(0.5))
    assert step_of(found.advice) == math.ceil(10_000 * (2 / 22) / 0.5)
    run = gradient_descent(line, 0.0, x, y, optimizer=optimizer, steps=4000)
    assert run.status in ("nonfinite", "diverged")
    assert int(run.steps) > step_of(found.advice)
    # a run that ends before is told so
    short = preflight(line, 0.0, x, y, optimizer=optimizer, steps=1000)
    assert short.verdict == "stable"
    assert short.learning_rate == pytest.approx(0.5 * 999 / 10_000, rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "step"),
    [
        # of one step at a time
        (lambda step: 11.0 * min(step / 10_000, 1.0), 1819),
        # of arrays too
        (lambda step: 11.0 * np.minimum(step / 10_000, 1.0), 1819),
        # a table, which ends
        (lambda step: RATES[step], 500),
        (lambda step: np.asarray(RATES)[step], 500),
        (lambda step: LATE[int(step >= 40_000) + int(step >= 300_000)], 300_000),
        (lambda step: 3.0 if 700_000 <= step < 720_000 else 0.1, 700_000),
        # of 0-d arrays alone, as an optimiser hands them over
        (lambda step: step.astype(float) * 1e-4, 20_000),
        (warmup_cosine(2.5, 5_000_000, 10_000_000), 4_000_000),
        (lambda step: 2.0 * np.cos(2 * np.pi * step / 50_000) ** 2 + 1e-9, 0),
    ],
)
def test_the_step_is_named_for_any_function_of_it(schedule: Any, step: int) -> None:
    found = preflight(bowl, np.ones(2), CURVATURES * 1.000001, optimizer=sgd(schedule))
    # touching the limit for a few steps is made up for by those below it
    assert found.verdict == ("diverges" if step else "catapult")
    # the limit is known to some parts in a million
    assert step_of(found.advice) == pytest.approx(step, abs=1 + 5e-6 * step)


def test_a_peak_between_the_steps_looked_at_is_found() -> None:
    peak = 123_457

    def triangle(step: Any) -> Any:
        return 1.9 * max(0.0, 1.0 - abs(step - peak) / 20_000)

    found = preflight(bowl, np.ones(2), CURVATURES, optimizer=sgd(triangle))
    assert found.verdict == "stable"
    assert found.learning_rate == 1.9


def test_what_only_falls_counts_by_its_start() -> None:
    found = preflight(bowl, np.ones(2), CURVATURES, optimizer=sgd(step_decay(1.9, [10, 20_000])))
    assert (found.verdict, found.learning_rate) == ("stable", 1.9)


def test_a_rate_that_waits_for_the_loss_counts_as_not_lowered() -> None:
    def plateau(inner: Any) -> Any:
        return preflight(
            bowl, np.ones(2), CURVATURES, optimizer=reduce_on_plateau(inner, factor=0.5, patience=2)
        )

    assert plateau(sgd(1.9)).verdict == "stable"
    assert plateau(sgd(2.1)).verdict == "diverges"
    assert step_of(plateau(sgd(linear_warmup(11.0, 10_000))).advice) == 1819
    assert plateau(adam(0.01)).verdict == "stable"
    limit = stable_learning_rate(
        bowl, np.ones(2), CURVATURES, optimizer=reduce_on_plateau(adam(0.1), factor=0.5, patience=2)
    ).limit
    assert limit == stable_learning_rate(bowl, np.ones(2), CURVATURES, optimizer=adam(0.1)).limit


def test_rates_below_zero_or_nan_are_refused_wherever_they_are() -> None:
    for schedule in (lambda step: 0.1 - 1e-5 * step, lambda step: 0.1 if step < 20_000 else math.nan):
        with pytest.raises(ShapeError, match="a schedule, returned"):
            preflight(bowl, np.ones(2), CURVATURES, optimizer=sgd(schedule))
    with pytest.raises(ShapeError, match="preflight: steps is 0"):
        preflight(bowl, np.ones(2), CURVATURES, optimizer=sgd(0.1), steps=0)


# ------------------------------------------------------------------------------------------------ what cannot be told
def cusp(p: Any) -> Any:
    xp = namespace(p)
    return xp.sum(xp.abs(p) ** 1.5)


@EVERYWHERE
def test_a_hessian_that_is_nan_is_never_called_stable(name: str) -> None:
    home = backend(name)
    at = home.asarray(np.zeros(2))
    found = preflight(cusp, at, optimizer=sgd(0.1))
    assert found.verdict == "cannot be told"
    assert math.isnan(found.limit)
    assert "no second derivative" in found.advice
    assert math.isnan(sharpness(cusp, at).value)
    with pytest.raises(ShapeError, match="Hessian is NaN at params"):
        stable_learning_rate(cusp, at)


def test_nor_one_that_becomes_nan_on_the_way() -> None:
    """From 1 a step of 2/3 arrives at 0 exactly, where the curvature of |p|^1.5 has no value."""
    found = preflight(cusp, np.ones(2), optimizer=sgd(2 / 3))
    assert found.verdict == "cannot be told"
    assert "rehearsal" in found.advice


# ---------------------------------------------------------------------------------------- data beside the parameters
@EVERYWHERE
def test_every_procedure_takes_what_grad_takes(name: str) -> None:
    """Data in front of a traced array: some libraries' operators refuse a stranger there, if it is captured."""
    home = backend(name)
    draw = np.random.default_rng(0)
    x, y = home.asarray(draw.normal(size=(6, 3))), home.asarray(draw.normal(size=6))
    w, v = home.asarray(np.full(3, 0.1)), home.asarray(np.ones(3))

    def loss(w: Any, x: Any, y: Any) -> Any:
        return namespace(w).mean((x @ w - y) ** 2)

    hessian = 2 * np.asarray(home.to_numpy(x)).T @ np.asarray(home.to_numpy(x)) / 6
    rtol = 1e-6 if home.default_float == home.xp.float64 else 1e-3
    largest = np.linalg.eigvalsh(hessian)[-1]
    assert sharpness(loss, w, x, y).value == pytest.approx(largest, rel=rtol)
    assert sharpness(LeastSquaresLoss(x, y), w).value == pytest.approx(largest, rel=rtol)
    assert sharpness(lambda w, d: loss(w, d["x"], d["y"]), w, {"x": x, "y": y}).value == pytest.approx(
        largest, rel=rtol
    )
    for optimizer in (sgd(0.1), adam(0.1), sgd(linear_warmup(0.1, 10))):
        assert stable_learning_rate(loss, w, x, y, optimizer=optimizer).limit > 0.1
        assert preflight(loss, w, x, y, optimizer=optimizer).verdict == "stable"
    np.testing.assert_allclose(home.to_numpy(hvp(loss, w, v, x, y)), hessian @ np.ones(3), rtol=10 * rtol)
    np.testing.assert_allclose(home.to_numpy(jacobian(lambda w, x: x @ w, w, x)), home.to_numpy(x), rtol=rtol)
    assert check_gradient(loss, w, x, y).ok is True
    (row,) = learning_rate_sweep(loss, w, x, y, rates=[0.1], steps=3, batch_size=2)
    assert row.status == "steps"


@pytest.mark.parametrize(
    ("optimizer", "verdict"),
    [
        (sgd(piecewise([0.1, 1.1, 0.1], [0, 5, 6])), "catapult"),
        (sgd(one_cycle(1.05, 200)), "catapult"),
        (sgd(one_cycle(3.0, 200)), "diverges"),
        (sgd(piecewise([0.1, 3.3, 0.1], [0, 5, 9]), momentum=0.9), "diverges"),
        (sgd(piecewise([0.1, 2.0, 0.1], [0, 5, 6]), momentum=0.9), "catapult"),
    ],
)
def test_a_short_peak_above_the_limit_of_a_quadratic_is_not_the_end(optimizer: Any, verdict: str) -> None:
    def loss(p: Any) -> Any:
        return np.sum(p**2)

    assert preflight(loss, np.ones(2), optimizer=optimizer, steps=1000).verdict == verdict
    run = gradient_descent(loss, np.ones(2), optimizer=optimizer, steps=1000)
    rose = float(np.max(run.history.loss)) > 1e3 * float(run.history.loss[0])
    assert rose == (verdict == "diverges")
