"""What a machine allows: measured for real, held against rows, one ceiling for backends that share a device."""

from __future__ import annotations

import math

import pytest

from pillars.backends import Cost, available
from pillars.measure import Ceiling, measure_ceilings
from pillars.measure.bench._ceiling import ceiling_of, device_name
from pillars.measure.bench._parity import Pace, measure_operation
from pillars.measure.bench._workloads import workloads

HERE = [name for name, state in available().items() if state.usable]


def test_every_device_and_dtype_once() -> None:
    found = measure_ceilings(HERE, ("float32", "float64"), quick=True)
    places = [(one.device, one.dtype) for one in found]
    assert len(set(places)) == len(places)
    assert {device for device, _ in places} == {device_name(name) for name in HERE}
    for one in found:
        # a memory of today and of some years to come
        assert 1e9 < one.bandwidth < 1e14
        assert 1e8 < one.rate < 1e16
        assert {one.bandwidth_by, one.rate_by} <= set(HERE)
    host = {one.dtype: one for one in found if one.device == "cpu"}
    assert host["float32"].bandwidth == host["float64"].bandwidth


def test_the_best_backend_of_a_device_is_its_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    from pillars.measure.bench import _ceiling

    if "jax" not in HERE or device_name("jax") != "cpu":
        pytest.skip("one backend alone on the CPU")
    monkeypatch.setattr(_ceiling, "_fastest", lambda call, name: 1.0 if name == "numpy" else 0.5)
    [found] = measure_ceilings(["numpy", "jax"], quick=True)
    assert (found.device, found.bandwidth_by, found.rate_by) == ("cpu", "jax", "jax")
    assert found.bandwidth == 2 * 2**26 / 0.5
    assert found.rate == 2 * 1024**3 / 0.5


def test_the_larger_of_the_two_times() -> None:
    ceiling = Ceiling("cpu", "float32", 100.0, 10.0, "numpy", "numpy")
    assert ceiling.seconds(Cost(200.0, 5.0)) == 2.0
    assert ceiling.seconds(Cost(200.0, 50.0)) == 5.0
    assert ceiling_of([ceiling], "numpy", "float32") is ceiling
    assert ceiling_of([ceiling], "numpy", "float64") is None


def test_a_row_is_held_against_it() -> None:
    load = next(load for load in workloads(quick=True) if load.name == "linear")
    ceiling = Ceiling("cpu", "float32", math.inf, 1e9, "numpy", "numpy")
    [row] = measure_operation(load, ["numpy"], Pace(rounds=0), [ceiling])
    (n, i), o = load.arrays[0].shape, load.arrays[1].shape[1]
    assert row.flops == 2 * n * i * o + n * o
    assert row.bytes == 4 * (n * i + i * o + o + n * o)
    assert row.least == row.flops / 1e9
    [bare] = measure_operation(load, ["numpy"], Pace(rounds=0))
    assert bare.least is None
