"""The benchmarks of bench/ run: a few of them here, untimed; and there is one for every case."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_FEW = "small and (softmax or linear_relu or draw_normal or attention_backward or pca) and not log_softmax"


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
