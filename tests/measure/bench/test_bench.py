"""The bench as a whole: which backends, what counts as wrong, and that it all becomes JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from pillars import BackendError, DTypeError
from pillars.backends import Availability, available
from pillars.measure import Dataset, as_json, backend_states, run_bench
from pillars.measure.bench._workloads import Workload, workloads

module = sys.modules["pillars.measure.bench._bench"]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = [load._replace(size="large") for load, _ in zip(workloads(quick=True), range(2), strict=False)]
    monkeypatch.setattr(module, "workloads", lambda **options: iter(loads))


def small() -> Dataset:
    draw = np.random.default_rng(5)
    y = np.arange(60) % 3
    return Dataset("small", draw.normal(size=(60, 4)) + y[:, None], y, tuple("abcd"), ("0", "1", "2"))


@pytest.mark.usefixtures("two")
def test_everything_is_there_and_becomes_json() -> None:
    steps: list[tuple[str, float]] = []
    found = run_bench(small(), ["numpy"], quick=True, progress=lambda what, done: steps.append((what, done)))
    assert found.findings == ()
    assert [row.operation for row in found.operations] == [row.operation for row in found.gradients]
    assert found.job.data == "small"
    assert found.seconds > 0
    plain = json.loads(as_json(found))
    assert plain["operations"][0]["steady"]["median"] > 0
    assert plain["schema"] == "pillars.bench/3"
    assert "cpu" in {limit["device"] for limit in plain["ceilings"]}
    assert all(row["least"] > 0 for row in plain["operations"])
    assert plain["units"]["median"].startswith("seconds")
    assert plain["environment"]["date"] == found.environment.date
    fractions = [done for _, done in steps]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] <= 1


@pytest.mark.usefixtures("two")
def test_what_is_wrong_is_listed() -> None:
    right = run_bench(small(), ["numpy"], quick=True)
    run, row, gradient = right.job.runs[0], right.operations[0], right.gradients[0]
    reduction = right.job.reductions[0]
    job = right.job._replace(
        reductions=(reduction._replace(ok=False, error=0.25), reduction._replace(failure="Error: none")),
        runs=(run._replace(ok=False, parameter_error=0.5), run._replace(error="RuntimeError: no")),
    )
    rows = [
        row._replace(ok=False, error=0.5),
        row._replace(ok=False, error=float("inf")),
        row._replace(failure="Error: x"),
    ]
    off = gradient._replace(hand=gradient.hand._replace(ok=False, error=0.25))
    listed = module.findings(job, rows, [gradient, off])
    assert len(listed) == 8
    assert f"principal components: variances 2.5e-01 off (bound {reduction.bound:.1e})" in listed[0]
    assert listed[1].endswith("principal components: Error: none")
    del listed[:2]
    assert "small, numpy, hand-derived: parameters 5.0e-01 from the float64 run" in listed[0]
    assert listed[1].endswith("RuntimeError: no")
    assert f"softmax 64×10 float32, numpy: 5.0e-01 off (bound {row.bound:.1e})" in listed[2]
    assert "not finite" in listed[3]
    assert listed[4].endswith("Error: x")
    assert "gradient of softmax 64×10 float32, numpy, hand-derived: 2.5e-01 off" in listed[5]


@pytest.mark.usefixtures("two")
def test_a_librarys_own_autodiff_that_is_off_is_a_remark_and_ours_a_finding() -> None:
    right = run_bench(small(), ["numpy"], quick=True)
    assert right.remarks == ()
    gradient = right.gradients[0]
    lost = gradient._replace(autodiff=gradient.autodiff._replace(ok=False, error=float("inf")))
    assert "numpy, autodiff: not finite" in "".join(module.findings(right.job, (), [lost]))
    assert module.remarks([lost]) == []
    pytest.importorskip("jax")
    lost = lost._replace(backend="jax")
    assert module.findings(right.job, (), [lost]) == []
    assert "jax's own autodiff is not finite or of another shape (bound" in module.remarks([lost])[0]
    both = lost._replace(hand=gradient.hand._replace(ok=False, error=0.5))
    assert len(module.findings(right.job, (), [both])) == 2


def test_states_of_what_is_asked_for() -> None:
    assert [state.name for state in backend_states()] == list(available())
    assert [state.name for state in backend_states(["numpy", "numpy"])] == ["numpy"]
    with pytest.raises(BackendError, match="got 'torch', expected some of 'numpy', 'cupy', 'jax'"):
        backend_states(["numpy", "torch"])
    for odd in (3, "numpy"):
        with pytest.raises(DTypeError, match="expected a list of names"):
            backend_states(odd)


def test_what_cannot_run_is_reported_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "CUDARuntimeError: cudaErrorInsufficientDriver"
    states = {**available(), "cupy": Availability(False, "14.2.0", (), reason)}
    monkeypatch.setattr(module, "available", lambda: states)
    found = {state.name: state for state in backend_states(["numpy", "cupy"])}
    assert found["numpy"].ran
    assert (found["cupy"].ran, found["cupy"].reason, found["cupy"].version) == (False, reason, "14.2.0")
    with pytest.raises(BackendError, match="cudaErrorInsufficientDriver"):
        backend_states(["cupy"])


def test_what_was_measured_before_an_interrupt_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(**options: object) -> Iterator[Workload]:
        yield next(iter(workloads(quick=True)))._replace(size="large")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "workloads", stopped)
    found = run_bench(small(), ["numpy"], quick=True)
    assert found.interrupted
    assert (
        [row.operation for row in found.operations]
        == ["softmax"]
        == [row.operation for row in found.gradients]
    )
    assert found.findings == ()
