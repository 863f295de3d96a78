"""The entry point: without its extras, with them, and as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pillars.cli import main

BLOCK = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(name=name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {names!r} else real(name, package)
sys.meta_path.insert(0, Missing())
from pillars.cli import main
main(['bench'])
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("names", [("typer",), ("rich",), ("typer", "rich")])
def test_without_its_extra_it_says_what_to_install(names: tuple[str, ...]) -> None:
    done = python("-c", BLOCK.format(names=names))
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr == f"pillars: the command line needs {' and '.join(names)}: pip install {' '.join(names)}\n"
    )


def test_importing_it_needs_no_extra() -> None:
    done = python(
        "-c", "import sys, pillars.cli; print(sorted({'typer', 'rich', 'jax', 'cupy'} & set(sys.modules)))"
    )
    assert done.stdout == "[]\n", done.stderr


def test_as_a_module_of_its_own() -> None:
    done = python("-m", "pillars.cli", "backends", "--backend", "numpy")
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout
    assert done.stderr == ""


def test_misuse_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["no-such-command"])
    assert stopped.value.code == 2
    assert "no-such-command" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("bench", "backends", "audit"))
    assert "Exit status" in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("command", ["backends", "audit"])
def test_a_full_disk_is_said_in_one_line(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pillars.cli", command, "--backend", "numpy", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == f"pillars {command}: the output was not written: No space left on device\n"
