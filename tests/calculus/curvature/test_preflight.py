"""Sharpness and verdicts: closed forms, dense Hessians, and what runs then do."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from calculus._problems import Problem, problems
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.backends import available, backend
from pillars.calculus import (
    adam,
    adamw,
    constant,
    gradient_descent,
    linear_warmup,
    preflight,
    sgd,
    sharpness,
    stable_learning_rate,
    warmup_cosine,
)
from pillars.calculus.optimizers._optimizers import Optimizer

X, Y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
EVERYWHERE = pytest.mark.parametrize("name", [name for name, state in available().items() if state.usable])
OPTIMIZERS: dict[str, Any] = {
    "plain": sgd,
    "heavy ball": lambda rate: sgd(rate, momentum=0.9),
    "Nesterov": lambda rate: sgd(rate, momentum=0.9, nesterov=True),
    "decay": lambda rate: sgd(rate, weight_decay=0.5),
}


def line(w: Any, x: Any, y: Any) -> Any:
    return np.mean((w * x - y) ** 2)


def bowl(p: Any, a: Any) -> Any:
    return 0.5 * (p * a * p).sum()


@EVERYWHERE
def test_the_worked_example(name: str) -> None:
    """Curvature 22, limit 0.0909: 0.1 diverges although its loss after 50 steps is finite."""
    home = backend(name)

    def loss(w: Any, x: Any, y: Any) -> Any:
        return ((w * x - y) ** 2).mean()

    x, y, start = (home.asarray(part) for part in (X, Y, np.asarray(0.0)))
    rtol = 1e-6 if x.dtype == np.float64 else 1e-4
    assert sharpness(loss, start, x, y).value == pytest.approx(22.0, rel=rtol)
    assert stable_learning_rate(loss, start, x, y).limit == pytest.approx(2 / 22, rel=rtol)
    found = preflight(loss, start, x, y, optimizer=sgd(0.1))
    assert (found.verdict, found.quadratic) == ("diverges", True)
    assert found.learning_rate == pytest.approx(0.1)
    assert "Use at most 0.082" in found.advice
    run = gradient_descent(loss, start, x, y, optimizer=sgd(0.1), steps=50)
    assert run.status == "diverged"
    assert math.isfinite(float(run.loss))


@pytest.mark.parametrize("seed", range(4))
def test_sharpness_is_the_dense_hessians(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.standard_normal((30, 6)), draw.integers(0, 2, 30).astype(float)
    p = draw.standard_normal(6)

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = x @ p
        return np.mean(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z)

    s = 1 / (1 + np.exp(-x @ p))
    hessian = (x * (s * (1 - s))[:, None]).T @ x / 30
    found = sharpness(loss, p, x, y)
    assert found.value == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-6)
    assert found.value <= np.linalg.eigvalsh(x.T @ x / 30)[-1] / 4  # the logistic Hessian's bound
    assert 0 <= found.residual <= 1e-6 * found.value


@pytest.mark.parametrize(
    "optimizer",
    [adamw(0.097), adamw(1.0), adamw(warmup_cosine(0.5, 10, 100)), sgd(0.5), sgd(0.9, momentum=0.9)],
    ids=["adamw", "adamw 1", "warm-up", "sgd", "momentum"],
)
def test_the_advice_is_below_what_is_refused(optimizer: Any) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(256, 8))
    y = np.sin(x[:, :1])
    params = [draw.normal(size=(8, 32)) / 3, np.zeros(32), draw.normal(size=(32, 1)) / 6]

    def loss(p: Any, x: Any, y: Any) -> Any:
        return np.mean((np.tanh(x @ p[0] + p[1]) @ p[2] - y) ** 2)

    found = preflight(loss, params, x, y, optimizer=optimizer)
    assert found.verdict in ("catapult", "diverges")
    (advised,) = re.findall(r"at most ([\d.e-]+?)(?:,|\.?$)", found.advice)
    assert float(advised) < min(found.learning_rate, found.ahead or found.limit, found.limit)
    scheduled = optimizer.update.schedule is not None  # which warms up already
    assert ("warm up" in found.advice) is (found.verdict == "catapult" and not scheduled)


def test_curvature_downwards_alone_has_no_limit() -> None:
    found = stable_learning_rate(lambda p: -(p**2).sum(), np.ones(3))
    assert found.sharpness.value == pytest.approx(-2.0, rel=1e-6)
    assert found.limit == math.inf
    verdict = preflight(lambda p: -(p**2).sum(), np.ones(3), optimizer=sgd(1.0))
    assert "curves upwards nowhere" in verdict.advice
    assert "has no minimum" in verdict.advice


@pytest.mark.parametrize(
    ("optimizer", "limit", "low", "formula"),
    [
        (sgd(1.0), 2 / 5, 2 / 5, "2/λ"),
        (sgd(1.0, momentum=0.8), 3.6 / 5, 0.4 / 5, "2(1+β)/λ"),
        (sgd(1.0, momentum=0.8, nesterov=True), 3.6 / (2.6 * 5), 0.4 / 5, "(2+2β)/((1+2β)λ)"),
        (sgd(1.0, weight_decay=3.0), 2 / 8, 2 / 8, "2/(λ+decay)"),
        (adam(1.0), 38 / 5, 2 / 5, "2(1+β₁)/((1−β₁)λ_P)"),
        (adamw(1.0, weight_decay=0.1), 38 / 5, 2 / 5, "2(1+β₁)/((1−β₁)λ_P)"),
    ],
)
def test_limits_are_their_formulas(optimizer: Optimizer, limit: float, low: float, formula: str) -> None:
    # where the gradient is ±1 everywhere, Adam's preconditioner is 1
    a = np.asarray([5.0, 1.0, 0.5])
    found = stable_learning_rate(bowl, 1 / a, a, optimizer=optimizer)
    assert found.limit == pytest.approx(limit, rel=1e-6)
    assert found.low == pytest.approx(low, rel=1e-6)
    assert found.formula == formula


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_on_quadratics_the_verdict_is_right_two_percent_from_the_limit(name: str) -> None:
    """Every time: 40 condition numbers and scales."""
    make = OPTIMIZERS[name]
    for problem in (one for one in problems(160, seed=1) if one.kind == "quadratic"):
        limit = stable_learning_rate(problem.loss, problem.params, *problem.data, optimizer=make(1.0)).limit
        for part, expected in ((0.98, "stable"), (1.02, "diverges")):
            optimizer = make(part * limit)
            found = preflight(problem.loss, problem.params, *problem.data, optimizer=optimizer)
            run = gradient_descent(
                problem.loss, problem.params, *problem.data, optimizer=optimizer, steps=500
            )
            grew = run.status in ("diverged", "nonfinite")
            assert found.quadratic
            assert found.verdict == expected, (problem.seed, part, found)
            assert grew == (expected == "diverges"), (problem.seed, part, run.status)


def test_stable_runs_do_not_diverge_and_far_above_the_limit_nothing_is_called_stable() -> None:
    """The whole table, with more problems, is bench/stability.py's."""
    names = list(OPTIMIZERS)[:3]
    wrong, stable = [], 0
    for problem in problems(48, seed=2):
        make = OPTIMIZERS[names[problem.seed // 4 % 3]]
        start: Any = (problem.loss, problem.params, *problem.data)
        limit = stable_learning_rate(*start, optimizer=make(1.0)).limit
        if preflight(*start, optimizer=make(0.9 * limit)).verdict == "stable":
            stable += 1
            run = gradient_descent(*start, optimizer=make(0.9 * limit), steps=500)
            wrong += [problem.seed] if run.status in ("diverged", "nonfinite") else []
        assert preflight(*start, optimizer=make(3 * limit)).verdict != "stable", problem.seed
    assert stable > 24
    assert len(wrong) <= 0.02 * 48, wrong


def test_schedules_count_by_their_largest_rate() -> None:
    a = np.asarray([1.0, 0.5])
    for optimizer, rate in (
        (sgd(constant(0.5)), 0.5),
        (sgd(linear_warmup(1.5, 10)), 1.5),
        (sgd(warmup_cosine(1.75, 5, 100)), 1.75),
    ):
        found = preflight(bowl, np.ones(2), a, optimizer=optimizer)
        assert found.learning_rate == pytest.approx(rate, rel=1e-6)
        assert found.verdict == "stable"
        assert "all rows in every step: with small batches the limit" in found.advice


@pytest.mark.parametrize(("peak", "verdict"), [(2.1, "catapult"), (3.0, "diverges")])
def test_a_schedule_that_comes_down_again_is_judged_by_its_whole_course(peak: float, verdict: str) -> None:
    """Above the limit of 2 the parameters grow, below it they shrink: a thousandfold loss on the way is too much."""
    a, optimizer = np.asarray([1.0, 0.5]), sgd(warmup_cosine(peak, 5, 100))
    assert preflight(bowl, np.ones(2), a, optimizer=optimizer).verdict == verdict
    params, highest = np.ones(2), 0.0
    state = optimizer.init(params)
    for _ in range(100):
        params, state, *_ = optimizer.update(a * params, state, params)
        highest = max(highest, float(bowl(params, a)) / float(bowl(np.ones(2), a)))
    assert (highest > 1e3) == (verdict == "diverges"), highest


def test_adams_verdicts() -> None:
    a = np.asarray([5.0, 1.0, 0.5])
    found = preflight(bowl, 1 / a, a, optimizer=adam(0.01))
    assert (found.verdict, found.quadratic) == ("stable", False)
    assert preflight(bowl, 1 / a, a, optimizer=adam(10.0)).verdict in ("catapult", "diverges")


@EVERYWHERE
def test_float32_and_trees(name: str) -> None:
    home = backend(name)
    given = {"a": home.asarray(np.ones(3, "float32")), "b": [home.asarray(np.ones((2, 2), "float32"))]}
    found = sharpness(lambda p: 2 * (p["a"] ** 2).sum() + 0.5 * (p["b"][0] ** 2).sum(), given)
    assert found.value == pytest.approx(4.0, rel=1e-4)


class Other:
    """An optimizer that is nobody's."""

    init = staticmethod(lambda params: None)
    update = staticmethod(lambda grads, state, params: None)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: sharpness(lambda p: p, np.ones(2)), ShapeError, "0-d|one number|scalar"),
        (lambda: sharpness(lambda p: p.sum(), np.ones(2, int)), DTypeError, "float"),
        (lambda: sharpness(lambda p: p.sum(), np.zeros(0)), ShapeError, "sharpness: params has no entries"),
        (
            lambda: stable_learning_rate(bowl, np.ones(2), np.ones(2), optimizer=Other()),
            CapabilityError,
            "no formula",
        ),
        (
            lambda: preflight(bowl, np.ones(2), np.ones(2), optimizer=0.1),
            CapabilityError,
            "expected one of pillars",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_a_loss_that_is_not_finite_is_nan_not_a_verdict() -> None:
    found = sharpness(lambda p: (p * np.nan).sum() ** 2, np.ones(2))
    assert math.isnan(found.value)
    assert math.isnan(sharpness(lambda p: (p * np.nan).sum(), np.ones(2)).value)  # whose Hessian is 0
    with pytest.raises(ShapeError, match="not finite"):
        preflight(lambda p: (p * np.nan).sum() ** 2, np.ones(2), optimizer=sgd(0.1))
    with np.errstate(invalid="ignore"), pytest.raises(ShapeError, match=r"preflight.*not finite at params"):
        # whose derivatives are finite
        preflight(lambda p: np.sum(np.log(-p)), np.ones(2), optimizer=sgd(0.1))
    with pytest.raises(ShapeError, match=r"stable_learning_rate.*not finite at params"):
        stable_learning_rate(lambda p: (p * np.nan).sum() ** 2, np.ones(2))


def test_inside_jit_it_is_refused() -> None:
    jax = pytest.importorskip("jax")
    home = backend("jax")
    with pytest.raises(CapabilityError, match="Call it outside"):
        jax.jit(lambda p: sharpness(lambda q: (q**2).sum(), p).value)(home.asarray(np.ones(2)))


def test_predictions_do_not_change_what_they_look_at() -> None:
    problem: Problem = next(iter(problems(4)))
    kept = problem.params.copy()
    preflight(problem.loss, problem.params, *problem.data, optimizer=sgd(0.1))
    np.testing.assert_array_equal(problem.params, kept)


def test_what_is_found_prints_as_words() -> None:
    loss, upside_down = (lambda w, x, y: np.mean((w * x - y) ** 2)), lambda w: -np.sum(w**2)
    assert re.fullmatch(
        r"largest eigenvalue of the Hessian 22 ± \d\.\de-\d+", str(sharpness(loss, 0.0, X, Y))
    )
    limit = stable_learning_rate(loss, 0.0, X, Y, optimizer=sgd(1.0, momentum=0.9))
    first, second, third = str(limit).split("\n")
    assert first == "stable below the learning rate 0.1727"
    assert second.startswith("2(1+β)/λ with λ = 22 ± ")
    assert third == "with small batches it may sink to 0.009091"
    assert "no learning rate is too large here" in str(stable_learning_rate(upside_down, np.ones(2)))
    found = preflight(loss, 0.0, X, Y, optimizer=sgd(0.1))
    said = "diverges: learning rate 0.1, limit 0.09091, exact on this quadratic"
    assert str(found) == f"{said}\n{found.advice}"
    assert str(preflight(upside_down, np.ones(2), optimizer=sgd(1.0))).startswith(
        "stable: learning rate 1, no limit\n"
    )
    untold = preflight(np.linalg.norm, np.zeros(2), optimizer=sgd(1.0))
    assert str(untold).startswith("cannot be told: learning rate 1\n")
    well = preflight(lambda w: np.sum(w**4 / 4 - w**2 / 2), np.asarray([0.1]), optimizer=sgd(0.99))
    assert f"no limit, {well.ahead:.4g} on the way of the first 64 steps\n" in str(well)
    with np.errstate(over="ignore"):
        steep = preflight(lambda w: np.sum(w**2 / 2 + 20 * w**4), np.asarray([0.01]), optimizer=sgd(1.99))
    assert "; in its first 64 steps the loss grows a thousandfold\n" in str(steep)
    # and as records they are what they were
    assert repr(found).startswith("Preflight(verdict='diverges', limit=0.0909")
