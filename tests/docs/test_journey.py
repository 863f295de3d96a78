"""The page of how a call travels shows what calls do now, and a page that does not is noticed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import pillars

DOCS = Path(__file__).parents[2] / "docs"


def script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the first call is only first where no test called before."""
    command = [sys.executable, str(folder / "journey.py"), *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PILLARS_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("journey.py", "how_a_call_travels.md"):
        shutil.copy(DOCS / name, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def journey() -> ModuleType:
    spec = importlib.util.spec_from_file_location("journey", DOCS / "journey.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["journey"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_calls_do() -> None:
    done = script(DOCS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("shown", "planted"),
    [(r"\d+ moves", "1234 moves"), (r"\n1\. .*", ""), (r"    return softmax", "    return None")],
)
def test_a_stale_page_is_noticed_and_written_anew(folder: Path, shown: str, planted: str) -> None:
    page = folder / "how_a_call_travels.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(shown, planted, text, count=1), encoding="utf-8")
    assert page.read_text(encoding="utf-8") != text
    refused = script(folder)
    assert refused.returncode == 1
    assert "python docs/journey.py --write" in refused.stderr
    assert script(folder, "--write").returncode == 0
    assert page.read_text(encoding="utf-8") == text


def test_a_page_without_a_place_for_a_list_is_refused(folder: Path) -> None:
    page = folder / "how_a_call_travels.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<!-- journey: grad, second call -->", ""), encoding="utf-8")
    refused = script(folder, "--write")
    assert refused.returncode == 1
    assert "there is no <!-- journey: grad, second call -->" in refused.stderr


def test_only_the_lists_name_files() -> None:
    """Files move; the prose around the lists would not move with them."""
    text = (DOCS / "how_a_call_travels.md").read_text(encoding="utf-8")
    prose = re.sub(r"<!-- journey: .*?<!-- end of journey -->", "", text, flags=re.DOTALL)
    assert re.findall(r"\w+\.py", prose) == ["journey.py"]


def test_a_journey_counts_files_of_the_package_alone(journey: ModuleType) -> None:
    assert journey.travel(lambda: np.median([1.0, 2.0])) == ({}, 0)
    x = np.ones(3)
    pillars.softmax(x)
    first, second = journey.travel(lambda: pillars.softmax(x)), journey.travel(lambda: pillars.softmax(x))
    assert first == second
    assert first.moves >= len(first.stops) - 1 > 0
