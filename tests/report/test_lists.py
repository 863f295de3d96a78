"""The shorter tables: backends, capabilities, the audit; and where output goes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from pillars.backends import Availability, Capability
from pillars.measure import AuditRow, BackendState
from pillars.report import _progress as progress
from pillars.report import output_console, print_audit, print_backends, print_capabilities, progress_bar


def test_backends(printed: Callable[..., str]) -> None:
    states = {
        "numpy": Availability(True, "2.4.6", ("cpu",), ""),
        "jax": Availability(False, None, (), "jax is not installed: pip install jax"),
    }
    lines = printed(print_backends, states).splitlines()
    assert lines[1].split() == ["numpy", "usable", "2.4.6", "cpu"]
    assert "not usable" in lines[2]
    assert "pip install jax" in lines[2]
    assert lines[-1] == "1 of 2 backends usable here: numpy."


def test_capabilities(printed: Callable[..., str]) -> None:
    rows = [
        Capability("probability.softmax", "numpy", "eager", "native", "kernel"),
        Capability("probability.softmax", "numpy", "jit", "no", "numpy compiles nothing"),
        Capability("random.bits", "numpy", "eager", "generic", "the body"),
        Capability("random.bits", "numpy", "jit", "no", "numpy compiles nothing"),
    ]
    text = printed(print_capabilities, rows)
    assert text.splitlines()[0].split() == ["operation", "backend", "eager", "jit"]
    assert text.splitlines()[1].split() == ["probability.softmax", "numpy", "native", "no"]
    assert "no: numpy compiles nothing: probability.softmax (numpy, jit), random.bits (numpy, jit)" in text
    assert text.splitlines()[-1] == "2 operations: 1 native, 1 generic, 2 no."


def test_audit(printed: Callable[..., str]) -> None:
    rows = [
        AuditRow("probability.softmax", "numpy", "autodiff", 1e-15, 1e-12, True, ""),
        AuditRow("probability.softmax", "numpy", "central", 0.25, 1e-6, False, "argument x"),
        AuditRow("layers.relu", "numpy", "autodiff", 0.0, 1e-12, True, ""),
    ]
    text = printed(print_audit, rows)
    assert text.splitlines()[0].split() == ["operation", "backend", "autodiff", "central"]
    assert text.splitlines()[2].split() == ["layers.relu", "numpy", "0", "-"]
    assert "✘ probability.softmax (numpy, central): error 2.5e-01, tolerance 1.0e-06. argument x" in text
    assert text.splitlines()[-1] == "✘ 1 of 3 gradient checks failed."
    absent = BackendState("jax", False, None, (), "jax is not installed: pip install jax", "")
    aside = printed(print_audit, [rows[0], rows[2]._replace(ok=None, note="no")], [absent])
    assert "jax not run: jax is not installed: pip install jax" in aside
    assert aside.splitlines()[-1] == "✔ All 1 gradient checks hold; 1 do not apply."
    assert "✔ All 2 gradient checks hold" in printed(print_audit, [rows[0], rows[2]])


def test_a_pipe_is_plain_and_wide(capsys: pytest.CaptureFixture[str]) -> None:
    output_console().print("[jax]" * 30, style="bold red")
    assert capsys.readouterr().out == "[jax]" * 30 + "\n"


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as step:
        step("something", 0.5)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(progress, "error_console", lambda: terminal)
    with progress_bar() as step:
        step("softmax 64×10", 0.5)
    text = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "softmax 64×10" in text
    assert "50%" in text
