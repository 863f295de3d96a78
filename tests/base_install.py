"""The base install alone: `nox` runs this by name where neither JAX nor any extra is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

EXTRAS = ("jax", "cupy", "typer", "rich", "pyarrow", "matplotlib", "jinja2")


@pytest.mark.parametrize("name", EXTRAS)
def test_this_environment_is_bare(name: str) -> None:
    assert importlib.util.find_spec(name) is None


def test_it_imports_and_computes() -> None:
    import pillars

    expected = np.exp([2.0, 1.0, 0.0]) / np.sum(np.exp([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(
        pillars.softmax(np.array([2.0, 1.0, 0.0])), expected, rtol=4 * np.finfo(float).eps
    )


def test_it_differentiates() -> None:
    import pillars

    gradient = pillars.grad(lambda w: np.sum(np.tanh(w)))(np.array([0.0, 1.0]))
    np.testing.assert_allclose(gradient, 1 - np.tanh([0.0, 1.0]) ** 2, rtol=1e-14)


def test_what_is_missing_is_reported_with_what_to_install() -> None:
    import pillars

    found = pillars.available()
    assert found["numpy"].usable
    assert not found["jax"].usable
    assert "pip install jax" in found["jax"].reason


def test_a_backend_that_is_not_installed_says_what_to_install() -> None:
    import pillars

    with pytest.raises(pillars.BackendError, match=r"pip install jax"):
        pillars.use("jax")


def test_the_command_says_what_to_install() -> None:
    command = Path(sysconfig.get_path("scripts")) / "pillars"
    done = subprocess.run([str(command), "bench"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "pip install typer rich" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_it_loads_nothing_more_than_the_base() -> None:
    code = "import sys, pillars; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert "'pillars'" in done.stdout
    assert not any(f"'{name}'" in done.stdout for name in EXTRAS)
