"""A bench against an older one: clear changes are named, noise is not, another version is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pillars.measure import Bench, as_json, compare, load_bench


@pytest.fixture
def saved(bench: Bench, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "old.json"
    path.write_text(as_json(bench), encoding="utf-8")
    return path, json.loads(as_json(bench))


def slowed(steady: dict[str, float], factor: float) -> None:
    for name in ("median", "low", "high"):
        steady[name] *= factor


def test_a_bench_is_like_itself(bench: Bench, saved: tuple[Path, dict[str, Any]]) -> None:
    found = compare(bench, load_bench(saved[0]))
    assert (found.slower, found.faster, found.apart, found.differs) == ((), (), 0, ())
    assert found.alike == len(bench.operations) + 2 * len(bench.gradients) == 6
    assert found.date == bench.environment.date


def test_clear_changes_are_named_the_largest_first(bench: Bench, saved: tuple[Path, dict[str, Any]]) -> None:
    path, old = saved
    first, second = old["operations"]
    slowed(first["steady"], 1 / 50)  # then it was fifty times faster
    slowed(second["steady"], 1 / 500)
    slowed(old["gradients"][0]["autodiff"]["steady"], 100)
    path.write_text(json.dumps(old), encoding="utf-8")
    found = compare(bench, load_bench(path))
    assert [(one.operation, one.what) for one in found.slower] == [
        (second["operation"], "forward"),
        (first["operation"], "forward"),
    ]
    assert found.slower[0].after / found.slower[0].before == pytest.approx(500)
    assert [(one.operation, one.what) for one in found.faster] == [
        (old["gradients"][0]["operation"], "gradient by autodiff")
    ]
    assert found.alike == 3


def test_noise_is_no_change(bench: Bench, saved: tuple[Path, dict[str, Any]]) -> None:
    path, old = saved
    new = bench.operations[0].steady
    assert new is not None
    for low, high, slower in ((new.low / 1.2, new.low / 1.05, 0), (new.low / 1.5, new.low / 1.2, 1)):
        old["operations"][0]["steady"].update(low=low, high=high, median=low)
        path.write_text(json.dumps(old), encoding="utf-8")
        assert len(compare(bench, load_bench(path)).slower) == slower


def test_rows_of_one_alone_and_another_machine_are_said(
    bench: Bench, saved: tuple[Path, dict[str, Any]]
) -> None:
    path, old = saved
    old["operations"][0]["backend"] = "cupy"
    old["environment"]["cores"] = 64
    old["environment"]["packages"]["numpy"] = "1.0"
    old["environment"]["variables"]["OPENBLAS_CORETYPE"] = "Haswell-older"
    path.write_text(json.dumps(old), encoding="utf-8")
    found = compare(bench, load_bench(path))
    assert found.apart == 2
    assert any(line.startswith("cores: 64 then") for line in found.differs)
    assert any(line.startswith("numpy: 1.0 then") for line in found.differs)
    assert any(line.startswith("OPENBLAS_CORETYPE: Haswell-older then") for line in found.differs)
