"""The pages keep their word: examples run, links resolve, the README's commands are the ones that CI runs."""

from __future__ import annotations

import importlib.util
import json
import os
import pydoc
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    place: str
    code: str


def blocks(page: str, language: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [m for m in FENCE.finditer(text) if m["language"] == language]
    return [Block(f"{page}, line {text.count(chr(10), 0, m.start()) + 1}", m["code"]) for m in found]


PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")),
)
EXAMPLES = [block for page in PAGES for block in blocks(page, "python")]
BENCH, TEST = (block.code.strip() for block in blocks("README.md", "sh"))


def execute(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one block as a reader would: alone, in a fresh process, so that no example leans on another."""
    examples = ["-m", "doctest", "-o", "ELLIPSIS", "-o", "NORMALIZE_WHITESPACE"]
    options = examples if ">>>" in code else []  # of a module: those of its docstrings
    path = folder / ("block.txt" if code.startswith(">>>") else "block.py")
    path.write_text(code, encoding="utf-8")
    env = {**os.environ, "JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env)


def test_there_are_examples() -> None:
    """A fence that the pattern misses must not turn the next test into an empty one."""
    fences = sum((ROOT / page).read_text(encoding="utf-8").count("```python") for page in PAGES)
    assert len(EXAMPLES) == fences > 3


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_example_runs_and_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    done = execute(block.code, tmp_path)
    assert done.returncode == 0, f"{block.place}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "planted", [">>> 1 + 1\n3\n", "assert 1 + 1 == 3\n", ">>> import nothing_of_that_name\n"]
)
def test_a_wrong_example_is_caught(planted: str, tmp_path: Path) -> None:
    assert execute(planted, tmp_path).returncode != 0


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == [TEST, ".venv/bin/nox -s matrix"]


def test_ci_runs_from_the_repository_and_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_the_first_command_installs_everything_and_runs_the_bench() -> None:
    *_, install, bench = BENCH.split(" && ")
    assert install.endswith("'.[all]'")
    assert bench.endswith("/pillars bench")


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_resolve(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_a_reader_of_the_readme_sees_a_call_on_the_first_screen() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert any("pillars.softmax(" in line for line in lines[:40])


def test_the_glossary_names_what_there_is() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(pillars(?:\.\w+)+)`", text))
    assert len(names) > 10
    for name in names:
        assert pydoc.locate(name) is not None, f"the glossary names {name}, which is not there"
    paths = set(re.findall(r"`((?:src|tests|bench|docs)/[^`]*)`", text))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def the_table_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", ROOT / "bench" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sample_is_what_the_bench_prints_of_the_recorded_run() -> None:
    """`python bench/table.py` writes it anew; the README has some of its lines."""
    module = the_table_script()
    text = module.OUTPUT.read_text(encoding="utf-8")
    short, long = (block.code for block in blocks("docs/bench_output.md", "text"))
    assert module.sample(text) == text
    assert module.sample(text.replace(long, "")) == text
    assert module.sample(text.replace("held out", "held in")) != text.replace("held out", "held in")
    [some] = [block.code for block in blocks("README.md", "text") if "held out" in block.code]
    telling = [line for line in some.splitlines() if line != "…"]
    assert 8 <= len(telling) <= 15
    assert [line for line in telling if line not in short.splitlines()] == []


def test_the_tables_are_those_of_the_recorded_results(tmp_path: Path) -> None:
    module = the_table_script()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "times faster than" in text
    assert "faults missed" in text
    assert module.page(text) == text
    for name in module.TABLES:
        shutil.copy(module.RESULTS / f"{name}.json", tmp_path)
    speed = json.loads((tmp_path / "speed_cpu.json").read_text(encoding="utf-8"))
    shown = next(row for row in speed["rows"] if row["asked"])
    shown["milliseconds"]["pillars"] *= 2
    (tmp_path / "speed_cpu.json").write_text(json.dumps(speed), encoding="utf-8")
    assert module.page(text, tmp_path) != text
