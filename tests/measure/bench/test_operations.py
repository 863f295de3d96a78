"""Workloads, parity and gradients: right results are within their bounds, planted faults are not."""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

import pillars
from pillars.backends import available, backend, tree_leaves
from pillars.backends._kernels import kernel_of
from pillars.measure.bench._gradients import autodiff_gradient, hand_gradient, measure_gradient
from pillars.measure.bench._parity import Pace, measure_operation, relative_error, to_backend
from pillars.measure.bench._workloads import Workload, number_of_workloads, workloads

BACKENDS = [name for name, state in available().items() if state.usable]
UNTIMED = Pace(rounds=0)
SOFTMAX = ("softmax", "log_softmax", "logsumexp", "cross_entropy")
ACTIVATIONS = ("relu", "leaky_relu", "gelu", "silu", "tanh")
LAYERS = ("layer_norm", "rms_norm", "embedding")
OPERATIONS = (
    *SOFTMAX,
    "sigmoid",
    "log_sigmoid",
    "linear",
    *ACTIVATIONS,
    "mean_squared_error",
    *LAYERS,
    "attention",
)
TENANTS = (*OPERATIONS, "pca", "gradient_descent")
SMALL = {load.name: load for load, _ in zip(workloads(quick=True), TENANTS, strict=False)}


@cache
def large() -> dict[tuple[str, str], Workload]:
    return {(load.name, load.dtype): load for load in workloads(quick=True) if load.size == "large"}


def test_every_tenant_at_every_size() -> None:
    every = {"float32": ("tiny", "small", "medium", "large"), "float64": ("small", "large")}
    for quick, sizes in ((True, {"float32": ("small", "large"), "float64": ("large",)}), (False, every)):
        named = [(load.name, load.size, load.dtype) for load in workloads(quick=quick)]
        assert named == [(name, size, dtype) for dtype in sizes for size in sizes[dtype] for name in TENANTS]
        assert number_of_workloads(quick=quick) == len(named)


def test_the_inputs_are_seeded_single_precision_and_as_announced() -> None:
    for one, two, other in zip(
        workloads(quick=True), workloads(quick=True), workloads(quick=True, rng=1), strict=True
    ):
        for a, b in zip(one.arrays, two.arrays, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype in (one.dtype, np.int32)
        assert not np.array_equal(one.arrays[0], other.arrays[0])
        assert one.shape.startswith("×".join(map(str, one.arrays[0].shape)))
        assert (one.inputs.cotangent is None) == (one.name == "gradient_descent")
        assert all(part.dtype == one.dtype for part in tree_leaves(one.inputs.cotangent) if part is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "dtype"), [("small", "float32"), ("large", "float32"), ("large", "float64")]
)
@pytest.mark.parametrize("name", TENANTS)
def test_results_and_gradients_are_within_bounds_that_bind(name: str, size: str, dtype: str) -> None:
    load = SMALL[name] if size == "small" else large()[name, dtype]
    for row in measure_operation(load, BACKENDS, UNTIMED):
        assert row.failure == ""
        assert row.ok, (row.error, row.bound)
        assert row.bound < (1e-3 if dtype == "float32" else 1e-11)
        assert row.dtype == dtype
        assert row.first is not None
        assert row.first > 0
        assert (row.transfer is None) == (row.backend == "numpy")
    for gradient in measure_gradient(load, BACKENDS, UNTIMED) if load.inputs.cotangent is not None else ():
        for side in (gradient.hand, gradient.autodiff):
            assert side.failure == ""
            assert side.ok, (side.error, gradient.bound)
            assert side.memory is not None
            assert side.memory >= sum(x.nbytes for x in load.arrays if x.dtype.kind == "f")  # the cotangents
        assert gradient.bound < (1e-3 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_cotangent_fits_the_result(name: str) -> None:
    load = SMALL[name]
    assert load.call(*load.arrays).shape == load.inputs.cotangent.shape


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_gradient_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    record = SMALL[name].operation.record
    rules, kernel = record.rules, kernel_of(backend("numpy"), record)
    right = rules.vjp
    if kernel is not None:  # one that gives the pullback too would be taken before the rule
        monkeypatch.setattr(kernel, "pullback", None)

    def wrong(*args: Any, **options: Any) -> Any:
        found = right(*args, **options)
        parts = found if isinstance(found, tuple) else (found,)
        return tuple(None if part is None else part * 1.001 for part in parts)

    monkeypatch.setattr(rules, "vjp", wrong)
    (row,) = measure_gradient(SMALL[name], ["numpy"], UNTIMED)
    assert not row.hand.ok
    assert row.hand.error == pytest.approx(1e-3, rel=0.01)
    assert row.autodiff.ok  # which follows the body, and never the rule


def test_autodiff_takes_no_rule_of_the_operations_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("the rule was used")

    load = SMALL["cross_entropy"]
    monkeypatch.setattr(load.operation.record.rules, "vjp", refuse)
    monkeypatch.setattr(pillars.probability.log_softmax.record.rules, "vjp", refuse)
    _, found = autodiff_gradient(load.operation, load.arrays, load.inputs.cotangent)
    assert found.shape == load.arrays[0].shape


def test_both_gradients_return_the_value_and_one_cotangent_an_array() -> None:
    load = SMALL["linear"]
    for rule in (hand_gradient, autodiff_gradient):
        y, *found = rule(load.operation, load.arrays, load.inputs.cotangent)
        np.testing.assert_allclose(y, load.operation(*load.arrays), rtol=1e-5, atol=1e-5)
        assert [part.shape for part in found] == [array.shape for array in load.arrays]


def test_a_result_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    load = SMALL["softmax"]
    module = sys.modules["pillars.measure.bench._parity"]
    monkeypatch.setattr(module, "_call", lambda load, arrays: lambda: load.call(*arrays) * np.float32(1.001))
    (row,) = measure_operation(load, ["numpy"], UNTIMED)
    assert not row.ok
    assert row.error == pytest.approx(1e-3, rel=0.01)


def test_a_backend_that_fails_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    load = SMALL["softmax"]
    module = sys.modules["pillars.measure.bench._parity"]

    def call(load: Any, arrays: Any) -> Any:
        def broken() -> Any:
            raise MemoryError("out of\nmemory")

        return broken

    monkeypatch.setattr(module, "_call", call)
    (row,) = measure_operation(load, ["numpy"], Pace(rounds=1, pause=0.0))
    assert row.failure == "MemoryError: out of memory"
    assert (row.ok, row.steady, row.first) == (False, None, None)


def test_a_backend_that_fails_while_it_is_timed_is_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["pillars.measure.bench._parity"]
    calls: list[int] = []

    def call(load: Any, arrays: Any) -> Any:
        def breaks() -> Any:
            calls.append(1)
            if len(calls) > 3:
                raise MemoryError("out of memory")
            return load.call(*arrays)

        return breaks

    monkeypatch.setattr(module, "_call", call)
    (row,) = measure_operation(SMALL["relu"], ["numpy"], Pace(rounds=2, pause=0.0))
    assert row.failure == "MemoryError: out of memory"
    assert (row.ok, row.steady) == (False, None)
    assert row.peers[0].steady is not None  # who finished the race without it


@pytest.mark.parametrize("name", TENANTS)
def test_peers_compute_the_same(name: str) -> None:
    pace = Pace(rounds=1, samples=1, min_time=0.0, pause=0.0)
    for row in measure_operation(SMALL[name], BACKENDS, pace):
        names = [peer.name for peer in row.peers]
        assert "plain" in names or (name, row.backend) == ("gelu", "numpy")  # which NumPy has no erf for
        for peer in row.peers:
            assert peer.failure == ""
            assert peer.error <= 4 * row.bound + 2e-6, peer
            assert peer.steady is not None


def test_a_peer_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arrays: Any) -> Any:
        raise RuntimeError("not\nhere")

    module = sys.modules["pillars.measure.bench._parity"]
    monkeypatch.setattr(module, "peers_of", lambda *given: {"plain": refuse})
    (row,) = measure_operation(SMALL["relu"], ["numpy"], Pace(rounds=1, samples=1, pause=0.0))
    assert (row.failure, row.ok) == ("", True)
    assert [(peer.name, peer.failure, peer.steady) for peer in row.peers] == [
        ("plain", "RuntimeError: not here", None)
    ]


def test_double_precision_is_switched_on_for_its_rows_alone() -> None:
    for row in measure_operation(large()["tanh", "float64"], BACKENDS, UNTIMED):
        assert row.error < 1e-15
    for name in BACKENDS:
        home = backend(name)
        before = str(home.asarray([1.0]).dtype)
        with home.double():
            assert str(home.asarray(np.asarray([1.0])).dtype) == "float64"
        assert str(home.asarray([1.0]).dtype) == before


@pytest.mark.parametrize("name", BACKENDS)
def test_memory_is_what_results_and_intermediates_take(name: str) -> None:
    home = backend(name)
    x = home.asarray(np.ones((256, 1024), "float32"))
    assert home.memory(home.jit(lambda x: x + 1), x) == pytest.approx(x.size * 4, rel=0.02)
    products = home.jit(lambda x: home.xp.matmul(home.xp.matmul(x, home.xp.matrix_transpose(x)), x))
    assert home.memory(products, x) == pytest.approx(256 * 256 * 4 + x.size * 4, rel=0.02)


def test_timed_rows_have_a_steady_state() -> None:
    pace = Pace(rounds=1, samples=2, min_time=0.0, pause=0.0)
    assert all(row.steady is not None for row in measure_operation(SMALL["relu"], BACKENDS, pace))
    for row in measure_gradient(SMALL["relu"], BACKENDS, pace):
        assert row.hand.steady is not None
        assert row.autodiff.steady is not None


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], math.inf),
        ([math.nan, 1.0], [1.0, 1.0], math.inf),
        ([math.inf], [math.inf], math.inf),
        ([1.0], [1.0, 1.0], math.inf),
        ([[1.0]], [1.0], math.inf),
        ([], [], 0.0),
        (-2.0, -1.0, 1.0),
    ],
)
def test_relative_error(found: Any, expected: Any, error: float) -> None:
    assert relative_error(np.asarray(found), np.asarray(expected)) == error


def test_relative_error_is_taken_in_double_precision() -> None:
    assert relative_error(np.float32(0.1), np.asarray(0.1)) == pytest.approx(1.5e-8, rel=0.01)


@pytest.mark.parametrize("name", BACKENDS)
def test_arrays_arrive_where_they_are_sent(name: str) -> None:
    given = (np.ones((2, 3), "float32"), np.arange(3, dtype="int32"))
    arrays, seconds = to_backend(name, given)
    home = pillars.backend(name)
    assert all(pillars.backend(array) is home for array in arrays)
    for before, after in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(home.to_numpy(after), before)
        assert str(after.dtype) == str(before.dtype)
    assert (seconds is None) == (name == "numpy")
