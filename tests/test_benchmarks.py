"""The benchmarks of bench/ run: a few of them here, untimed; and there is one for every case."""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from contracts._support import operations, public

ROOT = Path(__file__).parent.parent
_FEW = "small and (softmax or linear_relu or draw_normal or attention_backward or pca or eigh) and not log_softmax"


def _pytest(*arguments: str) -> str:
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "bench")
    # Another test's process may be one of several; this one is alone.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_few_run_and_agree_with_numpy_in_float64() -> None:
    counted = _pytest("--backend=numpy", "--benchmark-disable", "-k", _FEW).splitlines()[-1]
    assert " passed" in counted
    assert "skipped" not in counted


@pytest.mark.jax
def test_a_few_run_on_jax() -> None:
    counted = _pytest("--backend=jax", "--benchmark-disable", "-k", "small and mean_squared").splitlines()[-1]
    assert "2 passed" in counted


def test_a_backend_that_is_absent_is_not_run() -> None:
    from pillars import available

    if available()["cupy"].usable:
        pytest.skip("not applicable: CuPy runs here")
    assert "not run: cupy" in _pytest("--backend=cupy", "--benchmark-disable", "-k", "mean_squared")


def test_the_file_says_error_work_and_limit_and_not_whose_machine_it_was(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    quick = ("--benchmark-max-time=0.001", "--benchmark-min-rounds=2", "--benchmark-warmup=off")
    _pytest("--backend=numpy", *quick, f"--benchmark-json={saved}", "-k", "small and expm")
    text = saved.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) + os.sep not in text
    content = json.loads(text)
    assert platform.node() not in content["machine_info"].values()
    assert content["machine_info"]["packages"]["numpy"]
    assert set(content["commit_info"]) <= {"id", "time", "dirty"}
    assert [row["params"]["part"] for row in content["benchmarks"]] == ["value", "gradient"]
    for row in content["benchmarks"]:
        facts = row["extra_info"]
        assert 0 <= facts["error"] <= facts["bound"] < 1e-3
        assert facts["first_call_seconds"] > 0
        assert facts["flops"] > facts["bytes"] >= 2 * 16 * 16 * 4
        assert facts["fraction_of_limit"] == facts["least_seconds"] / row["stats"]["median"] > 0


def test_every_case_has_a_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from suite.cases import CASES

    names = [
        node.name.removeprefix("test_")
        for path in (ROOT / "bench").glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert sorted(names) == sorted(CASES)


def test_every_kernel_of_numpy_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from suite.cases import CASES, case_of

    from pillars.backends import kernel_table

    timed = {case.operation.record.name for name in CASES if (case := case_of(name, "tiny")).operation}
    # Principal components run it.
    assert set(kernel_table("numpy")) - timed == {"linalg.mean_covariance"}


def test_every_public_operation_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from suite.cases import CASES, case_of

    timed = {case.operation.record.name for name in CASES if (case := case_of(name, "tiny")).operation}
    assert {record.name for record in operations() if public(record)} <= timed
