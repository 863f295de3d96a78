"""The job gives one answer everywhere, and a planted fault does not pass for it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pillars.backends import available
from pillars.measure import Dataset, Job, load_digits, run_job
from pillars.measure.bench._job import hand_gradient, loss, rounding_bound
from pillars.measure.bench._prepare import prepare

BACKENDS = [name for name, state in available().items() if state.usable]
module = sys.modules["pillars.measure.bench._job"]


@pytest.fixture(scope="module")
def job() -> Job:
    return run_job(load_digits(), BACKENDS, steps=100, rounds=1, pause=0.0)


def test_every_backend_and_both_gradients_agree(job: Job) -> None:
    assert [(run.backend, run.gradient) for run in job.runs] == [
        (name, way) for name in BACKENDS for way in ("hand-derived", "autodiff")
    ]
    for run in job.runs:
        assert run.error == ""
        assert run.ok
        assert run.dtype == "float32"
        assert run.parameter_error <= run.parameter_bound
        assert run.loss_error <= run.loss_bound
        assert run.first > 0
        assert run.steady is not None


def test_the_bounds_would_notice(job: Job) -> None:
    """Derived, and yet far below what a wrong constant in a gradient does."""
    assert all(0 < run.parameter_bound < 1e-3 and 0 < run.loss_bound < 1e-3 for run in job.runs)


def test_the_accuracy_is_what_this_model_reaches(job: Job) -> None:
    for run in job.runs:
        assert run.accuracy is not None
        assert run.accuracy.n == job.held_out == 450
        assert run.accuracy.estimate > 0.95
        assert run.accuracy.low < run.accuracy.estimate < run.accuracy.high
        assert run.disagreements <= 1


def test_the_job_states_what_it_did(job: Job) -> None:
    assert (job.data, job.rows, job.features, job.classes) == ("optical digits", 1797, 64, 10)
    assert {"pixel 0,0", "pixel 4,0", "pixel 4,7"} <= set(job.constant)
    assert job.learning_rate == pytest.approx(1 / job.smoothness)
    assert (job.steps, job.reference.steps) == (100, 100)


def test_principal_components_agree_and_their_bounds_bind(job: Job) -> None:
    assert 30 < job.components < 61
    assert 0.95 <= job.explained < 0.97
    assert [row.backend for row in job.reductions] == BACKENDS
    for row in job.reductions:
        assert row.ok, row
        assert 0 < row.error < row.bound < 1e-4
        assert 0 < row.angle < row.angle_bound < 0.05
        assert row.steady is not None


@pytest.mark.parametrize("fault", ["scaled", "turned"])
def test_wrong_components_are_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    reduction = sys.modules["pillars.measure.bench._reduction"]
    right = reduction.pca

    def wrong(x, *args, **options):
        found = right(x, *args, **options)
        if x.dtype == np.float64:
            return found  # the reference stays right
        if fault == "scaled":
            return found._replace(explained_variance=found.explained_variance * np.float32(1.001))
        turned = found.components.copy()
        turned[-1] = np.roll(turned[-1], 1)
        return found._replace(components=turned)

    monkeypatch.setattr(reduction, "pca", wrong)
    (row,) = run_job(load_digits(), ["numpy"], steps=5, rounds=0).reductions
    assert not row.ok
    assert (row.error > row.bound) == (fault == "scaled")
    assert (row.angle > row.angle_bound) == (fault == "turned")


def test_a_backend_without_components_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args):
        raise MemoryError("no\nmemory")

    monkeypatch.setattr(module, "reduce_on", broken)
    found = run_job(small(), ["numpy"], steps=5, rounds=1, pause=0.0)
    assert found.reductions[0].failure == "MemoryError: no memory"
    assert all(run.error == "no principal components to work on" for run in found.runs)


def test_components_are_left_out_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["pillars.measure.bench._reduction"], "_LARGEST", 3)
    found = run_job(small(), ["numpy"], steps=5, rounds=0)
    assert (found.components, found.explained, found.reductions) == (0, 0.0, ())
    assert all(run.ok for run in found.runs)


def small() -> Dataset:
    draw = np.random.default_rng(5)
    y = np.arange(60) % 3
    x = draw.normal(size=(60, 4)) + y[:, None]
    return Dataset("small", x, y, tuple("abcd"), ("0", "1", "2"))


def test_the_hand_gradient_is_the_losss() -> None:
    draw = np.random.default_rng(0)
    x, labels = draw.normal(size=(7, 3)), np.array([0, 1, 2, 3, 0, 1, 2])
    params = {"weight": draw.normal(size=(3, 4)), "bias": draw.normal(size=4)}
    data = (x, labels, np.eye(4)[labels])
    found = hand_gradient(params, *data)
    step = 1e-6
    for name, value in params.items():
        for place in np.ndindex(value.shape):
            moved = []
            for sign in (1, -1):
                other = value.copy()
                other[place] += sign * step
                moved.append(float(loss({**params, name: other}, *data)))
            assert found[name][place] == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("fault", ["scaled", "transposed mean", "no bias"])
def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def wrong(params, x, labels, targets):
        found = hand_gradient(params, x, labels, targets)
        if x.dtype == np.float64:
            return found  # the reference stays right
        if fault == "scaled":
            return {name: part * (len(labels) / (len(labels) - 1)) for name, part in found.items()}
        if fault == "no bias":
            return {**found, "bias": 0 * found["bias"]}
        return {**found, "weight": found["weight"] + found["bias"] * 1e-2}

    monkeypatch.setitem(module.GRADIENTS, "hand-derived", wrong)
    runs = {run.gradient: run for run in run_job(small(), ["numpy"], steps=50, rounds=0).runs}
    assert not runs["hand-derived"].ok
    assert runs["autodiff"].ok


def test_a_backend_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(params, x, labels, targets):
        if x.dtype == np.float32:
            raise RuntimeError("no\nmemory")
        return hand_gradient(params, x, labels, targets)

    monkeypatch.setitem(module.GRADIENTS, "hand-derived", broken)
    first, second = run_job(small(), ["numpy"], steps=5, rounds=1, pause=0.0).runs
    assert first.error == "RuntimeError: no memory"
    assert (first.ok, first.steady, first.accuracy) == (False, None, None)
    assert second.ok


def test_the_bound_grows_with_steps_and_roundoff() -> None:
    problem = prepare(small())
    weights = np.ones((5, 3))
    one = rounding_bound(problem, weights, 0.1, 100, 2**-24)
    assert rounding_bound(problem, weights, 0.1, 400, 2**-24).parameters == pytest.approx(2 * one.parameters)
    assert rounding_bound(problem, weights, 0.1, 100, 2**-53).parameters == pytest.approx(
        one.parameters * 2.0**-29
    )
    assert rounding_bound(problem, weights, 0.2, 100, 2**-24).loss > one.loss


def test_it_says_what_it_is_doing() -> None:
    said: list[str] = []
    run_job(small(), ["numpy"], steps=2, rounds=0, progress=said.append)
    assert said == [
        "small: numpy, principal components",
        "small: numpy, hand-derived",
        "small: numpy, autodiff",
        "small: timing",
    ]
