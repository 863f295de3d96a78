"""gradient_descent: the worked examples, every status and its advice, options, compilation, and what it refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from calculus.descent._line import X, Y, descend, line_loss, value
from contracts._variants import Variant, variant as named
from pillars.backends import backend, namespace, tree_leaves
from pillars.calculus import (
    EarlyStopping,
    Optimizer,
    adam,
    gradient_descent,
    mean_squared_error,
    sgd,
)
from running import eps


def line_gradient(w: Any, x: Any, y: Any) -> Any:
    return 2 * namespace(x).mean(x * (w * x - y))


# ------------------------------------------------------------------------------------------------- worked examples
@pytest.mark.parametrize(
    ("rate", "w", "loss", "status", "gradient"),
    [
        (0.0001, 0.2089, 35.45, "steps", line_gradient),
        (0.001, 1.3448, 4.796, "steps", line_gradient),
        (0.01, 2.0036, 0.021855, "steps", line_gradient),
        (0.01, 2.0036, 0.021855, "steps", None),
        (0.1, -18231.97, 3.66e9, "diverged", line_gradient),  # often said to converge to 2.0000
        (0.1, -18231.97, 3.66e9, "diverged", None),
        (1.0, -2.587e66, 7.361e133, "diverged", line_gradient),  # finite, and often said to be NaN
    ],
)
def test_learning_rates(
    variant: Variant, rate: float, w: float, loss: float, status: str, gradient: Any
) -> None:
    if rate == 1.0 and not variant.wide:
        w, loss, status = None, None, "nonfinite"  # float32 ends at 3e38
    found = descend(
        variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(rate), steps=50, gradient=gradient
    )
    assert found.status == status
    if w is not None:
        assert np.isclose(float(value(variant, found.params)), w, rtol=3e-4)
        assert np.isclose(float(value(variant, found.loss)), loss, rtol=5e-3)
    assert np.isclose(float(value(variant, found.history.loss)[0]), 44.182, rtol=1e-6)
    assert np.isclose(float(value(variant, found.history.grad_norm)[0]), 44.08, rtol=1e-6)
    if status != "steps":
        assert np.isclose(float(value(variant, found.limit)), 2 / 22, rtol=1e-3)
        assert np.isclose(float(value(variant, found.sharpness)), 22, rtol=1e-3)
        assert "0.0909" in found.advice


def test_the_minimum_is_that_of_the_closed_form(variant: Variant) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=200)
    w = float(np.sum(X * Y) / np.sum(X * X))
    assert round(w, 4) == 2.0036
    assert np.isclose(float(value(variant, found.params)), w, rtol=8 * eps(variant))
    assert np.isclose(float(value(variant, found.loss)), 0.021855, rtol=1e-4)


def test_regression_of_the_article(variant: Variant) -> None:
    random = np.random.RandomState(42)
    x = random.randn(100, 3)
    y = x @ np.asarray([2.5, -1.3, 0.8]) + 0.5 * random.randn(100)

    def loss(w: Any, x: Any, y: Any) -> Any:
        return mean_squared_error(x @ w, y)

    found = descend(variant, loss, np.zeros(3), x, y, optimizer=sgd(0.01), steps=500)
    w = value(variant, found.params)
    assert np.array_equal(np.round(w.astype(np.float64), 3), [2.465, -1.335, 0.748])
    r2 = 1 - np.sum((y - x @ w) ** 2) / np.sum((y - np.mean(y)) ** 2)
    assert round(float(r2), 4) == 0.9714


# ---------------------------------------------------------------------------------------------------------- results
class Weights(NamedTuple):
    slope: Any
    offset: Any


def test_params_are_any_tree_and_come_back_as_one(variant: Variant) -> None:
    def loss(p: Any, x: Any, y: Any) -> Any:
        return mean_squared_error(p["line"].slope * x + p["line"].offset, y)

    start = {"line": Weights(variant.asarray(0.0, "float32"), variant.asarray(0.0, "float32"))}
    x, y = variant.asarray(X, "float32"), variant.asarray(Y, "float32")
    run = variant.compiled(lambda p: gradient_descent(loss, p, x, y, optimizer=sgd(0.05), steps=800))
    found = run(start).params["line"]
    slope, offset = np.polyfit(X, Y, 1)
    assert isinstance(found, Weights)
    assert np.isclose(float(value(variant, found.slope)), slope, atol=1e-4)
    assert np.isclose(float(value(variant, found.offset)), offset, atol=1e-3)
    for leaf in tree_leaves(found):
        assert backend(leaf).name == variant.library
        assert str(leaf.dtype).endswith("float32")


def test_history_has_one_entry_a_step(variant: Variant) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=7)
    assert int(value(variant, found.steps)) == 7
    loss, rate, norm = (value(variant, x) for x in found.history)
    assert loss.shape == rate.shape == norm.shape == (7,)
    w = 0.0
    for t in range(7):
        assert np.isclose(loss[t], np.mean((w * X - Y) ** 2), rtol=32 * eps(variant))
        g = 2 * np.mean(X * (w * X - Y))
        assert np.isclose(norm[t], abs(g), rtol=64 * eps(variant))
        w -= 0.01 * g
    assert np.all(rate == rate.dtype.type(0.01))
    assert np.isclose(float(value(variant, found.loss)), np.mean((w * X - Y) ** 2), rtol=64 * eps(variant))


@pytest.mark.parametrize(
    "optimizer", [sgd(0.02, momentum=0.9, nesterov=True), adam(0.1)], ids=["nesterov", "adam"]
)
def test_the_loop_is_the_optimizer_step_after_step(variant: Variant, optimizer: Optimizer) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=optimizer, steps=30)
    w = np.asarray(0.0)
    state = optimizer.init(w)
    for _ in range(30):
        step = optimizer.update(np.asarray(line_gradient(w, X, Y)), state, w)
        w, state = step.params, step.state
    assert np.isclose(float(value(variant, found.params)), float(w), rtol=1e4 * eps(variant))


def test_inputs_are_not_written_and_results_are_not_views() -> None:
    w, x, y = np.zeros(()), X.copy(), Y.copy()
    for array in (w, x, y):
        array.flags.writeable = False
    gradient_descent(line_loss, w, x, y, steps=3)
    free = np.zeros(())
    found = gradient_descent(line_loss, free, x, y, steps=0)
    assert found.params is not free
    assert w == 0.0


def test_no_steps_give_the_start(variant: Variant) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, steps=0)
    assert found.status == "steps"
    assert float(value(variant, found.params)) == 0.0
    assert np.isclose(float(value(variant, found.loss)), 44.182, rtol=1e-6)
    assert value(variant, found.history.loss).shape == (0,)
    assert "no step was asked for" in found.advice


def test_lists_and_floats_follow_the_arrays() -> None:
    found = gradient_descent(line_loss, 0.0, X.tolist(), Y.astype(np.float32))
    assert found.params.dtype == np.float32
    assert abs(float(found.params) - 2.0036) < 1e-3
    plain = gradient_descent(lambda p, x: (p[0] * x[0] + p[1] - 1.0) ** 2, [0.0, 0.5], [1.0, 2.0], steps=5)
    assert all(leaf.shape == () and isinstance(leaf, np.ndarray) for leaf in plain.params)


# --------------------------------------------------------------------------------------------- status and what stops
def test_a_tolerance_stops_where_the_gradient_is_small(variant: Variant) -> None:
    options = {"optimizer": sgd(0.02), "steps": 500, "tolerance": 1e-2}
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, **options)
    assert found.status == "converged"
    n = int(value(variant, found.steps))
    norms = value(variant, found.history.grad_norm)
    assert 1 < n < 100
    assert np.all(norms[:n] > 1e-2)
    assert norms.shape[0] == (500 if variant.jit else n)
    assert np.all(np.isnan(norms[n:]))
    w = float(value(variant, found.params))
    assert abs(line_gradient(w, X, Y)) <= 1.01e-2
    assert "below the tolerance" in found.advice


def test_the_tolerance_is_looked_at_after_the_last_step_too(variant: Variant) -> None:
    # curvature 22 and rate 1/22: one step lands on the minimum
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(1 / 22), steps=1, tolerance=1e-2)
    assert found.status == "converged"
    assert int(value(variant, found.steps)) == 1


def test_clipping_bounds_the_step_and_reports_the_norm_before(variant: Variant) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.5), steps=1, clip_norm=1.0)
    assert np.isclose(float(value(variant, found.params)), 0.5, rtol=4 * eps(variant))
    assert np.isclose(float(value(variant, found.history.grad_norm)[0]), 44.08, rtol=1e-6)
    loose = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=5, clip_norm=100.0)
    plain = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=5)
    assert float(value(variant, loose.params)) == float(value(variant, plain.params))


def test_a_run_that_overflows_keeps_what_was_finite(variant: Variant) -> None:
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(10.0), steps=200)
    n = int(value(variant, found.steps))
    losses = value(variant, found.history.loss)
    assert found.status == "nonfinite"
    assert 5 < n < 200
    assert np.isfinite(float(value(variant, found.params)))
    assert np.all(np.isfinite(losses[:n]))
    assert float(value(variant, found.loss)) == losses[n - 1]
    assert f"step {n} gave a loss or parameters that are not finite" in found.advice
    assert "limit of 0.0909" in found.advice


def test_a_start_that_is_not_finite_is_told_apart(variant: Variant) -> None:
    found = descend(
        variant, lambda w, x: namespace(x).log(w) * namespace(x).sum(x), np.asarray(0.0), X, steps=5
    )
    assert found.status == "nonfinite"
    assert int(value(variant, found.steps)) == 0
    assert "before any step" in found.advice


def test_a_gradient_that_is_not_finite_is_told_apart(variant: Variant) -> None:
    def bad(w: Any, x: Any, y: Any) -> Any:
        return line_gradient(w, x, y) / namespace(x).where(w > 1.0, 0 * w, 0 * w + 1)

    found = descend(variant, line_loss, np.asarray(0.0), X, Y, steps=50, gradient=bad)
    assert found.status == "nonfinite"
    assert float(value(variant, found.params)) > 1.0
    assert np.isfinite(float(value(variant, found.loss)))
    assert "its gradient is not finite" in found.advice


def test_parameters_that_leave_the_loss_untouched_are_watched_too(variant: Variant) -> None:
    # the loss does not see w, so that only w itself tells
    huge = 3e38 if not variant.wide else 1.7e308
    found = descend(
        variant,
        lambda w: 0 * w[1],
        np.asarray([huge, 0.0]),
        optimizer=sgd(1.0),
        steps=5,
        gradient=lambda w: -w / 2,
    )
    assert found.status == "nonfinite"
    assert np.all(np.isfinite(value(variant, found.params)))


@pytest.mark.parametrize(
    ("losses", "status"),
    [
        ([1.0, 2.0, 3.0, 4.0], "diverged"),
        ([5.0, 2.0, 3.0, 4.0, 6.0], "diverged"),
        ([1.0, 2.0, 3.0], "steps"),  # too short to tell
        ([1.0, 2.0, 3.0, 4.0, 3.9], "steps"),
        ([1.0, 3.0, 2.0, 4.0, 5.0], "steps"),  # two rises, not three
        ([9.0, 1.0, 2.0, 3.0, 4.0], "steps"),  # still below where it began
        ([1.0, 9.0, 2.0, 3.0, 4.0], "steps"),  # and below where it has been
    ],
)
def test_diverged_is_three_rises_to_the_highest_loss_of_all(losses: list[float], status: str) -> None:
    given = iter(losses)
    found = gradient_descent(
        lambda w: np.asarray(next(given)), np.asarray(0.0), steps=len(losses) - 1, gradient=lambda w: w
    )
    assert found.status == status


@pytest.mark.parametrize(
    ("optimizer", "limit"),
    [
        (sgd(1.0), 2.0),
        (sgd(1.0, momentum=0.5), 2 * 1.5),
        (sgd(1.0, momentum=0.5, nesterov=True), (2 + 1.0) / (1 + 1.0)),
    ],
    ids=["plain", "heavy-ball", "nesterov"],
)
def test_growth_tells_the_limit_of_each_form_of_descent(optimizer: Optimizer, limit: float) -> None:
    curvature = 5.0  # rate 1.0 is beyond every limit here
    found = gradient_descent(lambda w: 0.5 * curvature * w**2 + 3.0, 1.0, optimizer=optimizer, steps=40)
    assert found.status == "diverged"
    assert np.isclose(float(found.sharpness), curvature, rtol=1e-6)
    assert np.isclose(float(found.limit), limit / curvature, rtol=1e-6)
    near = Optimizer(optimizer.init, optimizer.update)
    for factor, status in ((0.98, "steps"), (1.02, "diverged")):
        state = near.init(np.asarray(1.0))._replace(learning_rate=np.asarray(factor * limit / curvature))
        tuned = Optimizer(lambda params, state=state: state, near.update)
        assert (
            gradient_descent(lambda w: 0.5 * curvature * w**2, 1.0, optimizer=tuned, steps=300).status
            == status
        )


def test_adam_claims_no_curvature() -> None:
    found = gradient_descent(lambda w: -(w**2), 1.0, optimizer=adam(0.5), steps=20)
    assert found.status == "steps"
    assert np.isnan(found.limit)
    wrong = gradient_descent(lambda w: w**2, 1.0, optimizer=adam(0.5), steps=20, gradient=lambda w: -2 * w)
    assert wrong.status == "diverged"
    assert np.isnan(wrong.limit)
    assert "check_gradient" in wrong.advice


# ------------------------------------------------------------------------------------------------ batches, callbacks
def noisy_line() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.standard_normal(64)
    return x, 3.0 * x + 0.01 * random.standard_normal(64)


def test_batches_reach_the_minimum_and_are_the_same_everywhere(variant: Variant) -> None:
    x, y = noisy_line()
    found = descend(
        variant, line_loss, np.asarray(0.0), x, y, optimizer=sgd(0.1), steps=60, batch_size=10, rng=3
    )
    assert abs(float(value(variant, found.params)) - 3.0) < 0.02
    reference = gradient_descent(line_loss, 0.0, x, y, optimizer=sgd(0.1), steps=60, batch_size=10, rng=3)
    assert np.allclose(value(variant, found.history.loss), reference.history.loss, rtol=1e-3, atol=1e-5)
    other = gradient_descent(line_loss, 0.0, x, y, optimizer=sgd(0.1), steps=60, batch_size=10, rng=4)
    assert not np.allclose(other.history.loss, reference.history.loss, rtol=1e-2)
    w = float(value(variant, found.params))
    assert np.isclose(float(value(variant, found.loss)), np.mean((w * x - y) ** 2), rtol=1e-3)  # on all data


def test_an_epoch_sees_every_row_once() -> None:
    seen: list[Any] = []

    def loss(w: Any, rows: Any) -> Any:
        seen.append(np.asarray(rows).tolist())
        return 0 * w

    rows = np.arange(12)
    gradient_descent(loss, 0.0, rows, steps=8, batch_size=3, gradient=lambda w, rows: 0.0)
    batches = seen[:8]
    epochs = [[row for batch in part for row in batch] for part in (batches[:4], batches[4:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert batches[:4] != batches[4:]


def test_batches_leave_scalars_and_trees_alone() -> None:
    x, y = noisy_line()

    def loss(w: Any, data: Any, weight: Any) -> Any:
        assert data["x"].shape == (16,)
        return weight * mean_squared_error(w * data["x"], data["y"])

    def whole(w: Any, data: Any, weight: Any) -> Any:
        return weight * mean_squared_error(w * data["x"], data["y"])

    plan = {"optimizer": sgd(0.1), "steps": 40, "batch_size": 16}
    found = gradient_descent(whole, 0.0, {"x": x, "y": y}, 2.0, **plan)
    assert abs(float(found.params) - 3.0) < 0.05
    with pytest.raises(AssertionError):
        gradient_descent(loss, 0.0, {"x": x, "y": y}, 2.0, **plan)  # the loss at the end is on all rows


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
def test_a_callback_that_returns_true_ends_the_run(name: str) -> None:
    where = named(name)
    options: dict[str, Any] = {"optimizer": sgd(0.01), "steps": 25, "every": 5}
    start = np.asarray(0.0)
    found = descend(where, line_loss, start, X, Y, callback=lambda step, metrics: step >= 8, **options)
    assert (found.status, int(found.steps)) == ("halted", 10)
    assert "the callback ended the run after 10 steps" in found.advice
    plain = descend(where, line_loss, start, X, Y, optimizer=sgd(0.01), steps=10)
    assert np.isclose(
        float(where.to_numpy(found.params)), float(where.to_numpy(plain.params)), rtol=8 * eps(where)
    )
    watch = EarlyStopping(patience=1)
    states = [watch.init(where.asarray(start))]

    def halted(step: int, metrics: Any) -> Any:
        states.append(watch.update(metrics.loss, states[-1]))
        return states[-1].halted  # an array of the library

    plan = {**options, "optimizer": sgd(0.5), "every": 1}
    assert descend(where, line_loss, start, X, Y, callback=halted, **plan).status == "halted"
    assert len(states) == 3
    # what a callback happens to return is no wish to stop
    other = descend(where, line_loss, start, X, Y, callback=lambda step, metrics: 1, **options)
    assert other.status == "steps"


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_gradient_of_the_wrong_sign_is_told_from_a_rate_that_is_too_large(name: str, sign: float) -> None:
    where = named(name)
    options: dict[str, Any] = {"optimizer": sgd(0.1), "steps": 20}
    found = descend(
        where,
        line_loss,
        np.asarray(0.0),
        X,
        Y,
        gradient=lambda w, x, y: sign * line_gradient(w, x, y),
        **options,
    )
    assert found.status == "diverged"
    assert ("points uphill" in found.advice) == (sign < 0)
    assert np.isnan(float(where.to_numpy(found.limit))) == (sign < 0)


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
def test_callbacks_come_every_so_many_steps(name: str) -> None:
    where = named(name)
    seen: list[Any] = []
    found = descend(
        where,
        line_loss,
        np.asarray(0.0),
        X,
        Y,
        optimizer=sgd(0.01),
        steps=25,
        callback=lambda step, metrics: seen.append((step, metrics)),
        every=10,
    )
    assert [step for step, _ in seen] == [10, 20]
    losses = where.to_numpy(found.history.loss)
    assert losses.shape == (25,)
    assert [metrics.loss for _, metrics in seen] == [losses[9], losses[19]]
    assert all(type(x) is float for _, metrics in seen for x in metrics[:3])
    after_ten = descend(where, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=10).params
    shown = float(where.to_numpy(seen[0][1].params))
    assert np.isclose(shown, float(where.to_numpy(after_ten)), rtol=8 * eps(where))  # not written since
    plain = descend(where, line_loss, np.asarray(0.0), X, Y, optimizer=sgd(0.01), steps=25)
    assert np.isclose(
        float(where.to_numpy(found.params)), float(where.to_numpy(plain.params)), rtol=8 * eps(where)
    )


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_callbacks_end_with_the_run(name: str) -> None:
    seen: list[int] = []
    found = descend(
        named(name), line_loss, np.asarray(0.0), X, Y,
        optimizer=sgd(1e4), steps=500, callback=lambda step, metrics: seen.append(step), every=2,
    )  # fmt: skip
    n = int(found.steps)
    assert found.status == "nonfinite"
    assert seen == list(range(2, n + 1, 2))
    assert found.history.loss.shape == (n,)
