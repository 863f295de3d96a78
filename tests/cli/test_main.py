"""The entry point: without its extras, with them, and as a process of its own."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pillars.cli import _main as entry, main

RECORDED = Path(__file__).parents[2] / "bench" / "results" / "bench_cpu.json"
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


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    env = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | variables
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=120, check=False, env=env
    )


@pytest.mark.parametrize("names", [("typer",), ("rich",), ("typer", "rich")])
def test_without_its_extra_it_says_what_to_install(names: tuple[str, ...]) -> None:
    done = python("-c", BLOCK.format(names=names))
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == f"pillars: the command line needs {' and '.join(names)}: pip install {' '.join(names)}\n"
    )


def test_importing_it_needs_no_extra() -> None:
    done = python(
        "-c", "import sys, pillars.cli; print(sorted({'typer', 'rich', 'jax', 'cupy'} & set(sys.modules)))"
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("module", ["pillars", "pillars.cli"])
def test_as_a_module_of_its_own(module: str) -> None:
    done = python("-m", module, "backends", "--backend", "numpy")
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
@pytest.mark.parametrize(
    ("command", "options"), [("backends", ("--backend", "numpy")), ("bench", ("--from", str(RECORDED)))]
)
def test_a_full_disk_is_said_in_one_line(command: str, options: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pillars.cli", command, *options, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == f"pillars {command}: the output was not written: No space left on device\n"


@pytest.mark.parametrize(
    "options", [["backends"], ["backends", "--json"], ["backends", "--help"], ["--help"], []]
)
def test_a_reader_that_has_gone_is_no_finding(options: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "pillars.cli", *options],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(os.name != "posix", reason="this system's shell closes no streams")
@pytest.mark.parametrize("command", ["backends", "audit --json"])
def test_a_closed_output_is_said_in_one_line(command: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m pillars.cli {command} --backend numpy >&-', sys.executable],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("pillars: standard output is closed, expected")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def plain() -> subprocess.CompletedProcess[str]:
    """The table where every sign can be printed."""
    return python("-m", "pillars", "backends", "--capabilities", PYTHONIOENCODING="utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_any_encoding_is_printed_in(encoding: str, plain: subprocess.CompletedProcess[str]) -> None:
    done = python("-m", "pillars", "backends", "--capabilities", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "native: made for it" in plain.stdout
    assert [len(line) for line in done.stdout.splitlines()] == [
        len(line) for line in plain.stdout.splitlines()
    ]
    if encoding == "ascii":
        assert done.stdout == plain.stdout.translate(str.maketrans(entry.PLAIN))


def test_signs_become_plain_ones() -> None:
    codecs.register_error("pillars", entry._plain)
    assert "✔ 1.5 µs ± 3% 64×10 𝄞 ½".encode("ascii", "pillars") == b"+ 1.5 us ~ 3% 64x10 ? ?"
    assert "6.0× ≤ µ".encode("latin-1", "pillars") == "6.0× < µ".encode("latin-1")
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "pillars")


@pytest.mark.parametrize("words", [("--json", "out.json"), ("--json=out.json",)])
def test_a_file_after_json_gets_a_hint(
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--quick", *words])
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "got 'out.json', expected --json > out.json" in err
    assert not (tmp_path / "out.json").exists()


def test_options_may_follow_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["backends", "--json", "--backend", "numpy"])
    assert stopped.value.code == 0
    assert '"pillars.backends/1"' in capsys.readouterr().out


INTERRUPTED_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
from pillars.cli import main
main(['backends'])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="this system sends no signal")
@pytest.mark.parametrize("name", ["numpy", "numpy._core.multiarray", "typer"])
def test_an_interrupt_while_it_loads_is_one_line(name: str) -> None:
    done = python("-c", INTERRUPTED_IMPORT.format(name=name))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "pillars: interrupted\n")


def test_a_pipe_is_as_wide_as_columns_says_and_ends_no_line_in_blanks() -> None:
    wide = python("-m", "pillars", "backends", "--capabilities").stdout
    narrow = python("-m", "pillars", "backends", "--capabilities", COLUMNS="80").stdout
    assert 80 < max(map(len, wide.splitlines())) <= 160
    assert max(map(len, narrow.splitlines())) <= 80
    for text in (wide, narrow):
        assert [line for line in text.splitlines() if line != line.rstrip()] == []
