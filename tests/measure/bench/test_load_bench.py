"""A bench comes back from its JSON as it was; what is none is refused in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pillars.measure import Bench, DataError, as_json, load_bench


@pytest.fixture
def broken(bench: Bench) -> Bench:
    """One of its operations failed."""
    row = bench.operations[1]._replace(error=math.nan, ok=False, steady=None, first=None, failure="Error: x")
    return bench._replace(operations=(bench.operations[0], row), findings=("broken",))


def test_it_comes_back_as_it_was(broken: Bench, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(as_json(broken), encoding="utf-8")
    found = load_bench(path)
    assert as_json(found) == as_json(broken)
    assert found.operations[0] == broken.operations[0]
    assert math.isnan(found.operations[1].error)
    assert (found.job, found.environment, found.ceilings) == (broken.job, broken.environment, broken.ceilings)


def test_a_report_of_a_machine_has_one_inside(broken: Bench, tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    whole = {"schema": 1, "status": "passed", "bench": {"exit": 0, "result": json.loads(as_json(broken))}}
    path.write_text(json.dumps(whole), encoding="utf-8")
    assert as_json(load_bench(path)) == as_json(broken)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("operations", 0, "bytes"), "many"),
        (("operations", 0, "ok"), 1),
        (("operations", 0, "steady"), [1.0]),
        (("job", "runs"), {}),
        (("environment", "cores"), None),
        (("seconds",), True),
    ],
)
def test_what_is_of_another_type_is_refused(
    broken: Bench, tmp_path: Path, place: tuple[Any, ...], value: Any
) -> None:
    whole = json.loads(as_json(broken))
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(DataError, match="lacks parts of a bench") as refused:
        load_bench(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("[1, 2]", "is no bench of pillars"),
        ('{"schema": "pillars.bench/2"}', "has schema 'pillars.bench/2', expected 'pillars.bench/3'"),
        ('{"schema": "pillars.bench/3"}', "lacks parts of a bench .*no quick, environment"),
        (
            '{"schema": 1, "status": "not run", "reason": "no\\nGPU"}',
            "holds no bench, not run: no GPU. Run bench/gpu.py",
        ),
        ('{"bench": {"exit": 124, "error": "no answer"}}', "reports a bench that printed no JSON"),
        (
            '{"schema": "pillars.bench/3", "operations": 3, "gradients": [], "environment": {}}',
            "lacks parts of a bench",
        ),
    ],
)
def test_what_is_no_bench_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load_bench(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(DataError, match="cannot read"):
            load_bench(path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="it is no text"):
        load_bench(tmp_path / "bytes")
