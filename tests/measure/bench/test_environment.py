"""What a measurement says of where it was taken."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import pillars
from pillars.measure import environment
from pillars.measure.bench import _environment as module


def test_it_names_versions_threads_and_date() -> None:
    found = environment()
    assert found.packages["numpy"] == np.__version__
    assert found.packages["pillars"] == pillars.__version__
    assert found.threads == pillars.backends.num_threads() >= 1
    assert found.cores >= 1
    assert found.cpu
    products = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    assert len(found.blas) == len(products)
    for said, pool in zip(found.blas, products, strict=True):
        assert said.startswith(f"{pool['internal_api']} {pool['version']}")
        assert f", {pool['num_threads']} thread" in said
    assert found.load is None or found.load >= 0
    assert datetime.fromisoformat(found.date).tzinfo is not None


def test_only_variables_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = environment()
    assert found.variables["PILLARS_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in found.variables
    assert found.threads == 1


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_of_the_tree_that_holds_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "_environment.py"
    copy.write_text("one", encoding="utf-8")
    monkeypatch.setattr(module, "__file__", str(copy))
    assert environment().commit is None  # no tree
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "zero")
    assert environment().commit is None  # a tree that does not know the file, as around an installed copy
    git(tmp_path, "add", copy.name)
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert environment().commit == commit
    copy.write_text("two", encoding="utf-8")
    assert environment().commit == commit + "+"


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment().commit is None
