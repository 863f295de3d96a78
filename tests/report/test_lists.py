"""The shorter tables: backends, capabilities, the audit; and where output goes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from pillars.backends import Availability
from pillars.measure import Audit, AuditRow, AuditState, CapabilityRow, CapabilityTable, capability_table
from pillars.measure._capabilities import FEATURES, LEVELS
from pillars.report import (
    _progress as progress,
    output_console,
    print_audit,
    print_backends,
    print_capabilities,
    progress_bar,
)


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


NONE = "numpy compiles nothing"
STATES = {
    "numpy": Availability(True, "2.4.6", ("cpu",), ""),
    "cupy": Availability(False, None, (), "cupy is not installed"),
}


def capabilities(**levels: str) -> CapabilityTable:
    """Two operations and an inner step, on two backends; `levels` changes cells of random.bits on numpy."""
    names = {"probability.softmax": True, "random.bits": True, "random.draw": False}
    usual = {"eager": "native", "jit": "no", "grad": "generic", "float32": "native"}
    rows = [
        CapabilityRow(name, public, home, feature, level, NONE if level == "no" else "the body")
        for name, public in names.items()
        for home in STATES
        for feature, level in (usual | levels if (name, home) == ("random.bits", "numpy") else usual).items()
    ]
    return CapabilityTable("pillars.capabilities/1", FEATURES, LEVELS, STATES, tuple(rows))


def test_capabilities(printed: Callable[..., str]) -> None:
    lines = printed(print_capabilities, capabilities(eager="generic", float32="generic")).splitlines()
    # one column for what differs between operations, whatever goes as far together; the rest in words
    assert lines[0].split() == ["numpy"]
    assert [lines[1].split(), lines[2].split()] == [["eager,"], ["operation", "float32"]]
    assert [line.split() for line in lines[3:5]] == [
        ["probability.softmax", "native"],
        ["random.bits", "generic"],
    ]
    assert f"numpy: on every operation jit no ({NONE}), grad generic (the body)" in lines
    cupy = next(line for line in lines if line.startswith("cupy: "))
    assert cupy.startswith(
        "cupy: not usable here (cupy is not installed); on every operation eager and float32 native"
    )
    flat = " ".join(lines)
    assert all(f"{word}: {meaning}" in flat for word, meaning in LEVELS.items())
    assert all((f"{word}: {meaning}" in flat) == (word != "vmap") for word, meaning in FEATURES.items())
    assert lines[-1] == (
        "2 operations: 6 native, 6 generic, 4 no; 1 inner steps that no room exports are in --json alone."
    )


def test_a_no_that_is_not_everywhere_has_its_place_and_reason(printed: Callable[..., str]) -> None:
    text = printed(print_capabilities, capabilities(grad="no"))
    assert f"no: grad of random.bits (numpy): {NONE}" in text.splitlines()
    assert "probability.softmax  generic" in text


def test_what_is_printed_is_the_table(printed: Callable[..., str]) -> None:
    """Every public cell of the real table can be read off the page."""
    table = capability_table()
    page = printed(print_capabilities, table, width=120)
    grid, alike = page.split("\n\n")[:2]
    head = [line for line in grid.splitlines() if "." not in line]
    rows = {line.split()[0]: line.split()[1:] for line in grid.splitlines() if "." in line}
    home, shown = "", []
    for at in sorted({m.start() for line in head for m in re.finditer(r"\S+", line)} - {0}):
        column = [line[at:].split()[0].rstrip(",") for line in head if line[at : at + 1].strip()]
        home = column[0] if column[0] in table.backends else home
        shown.append((home, [word for word in column if word in table.features]))
    parts = re.split(rf"\b({'|'.join(table.backends)}): ", " ".join(alike.split()))
    words = dict(zip(parts[1::2], parts[2::2], strict=True))
    for row in table.rows:
        if not row.public:
            continue
        at = [
            i for i, (home, features) in enumerate(shown) if home == row.backend and row.feature in features
        ]
        if at:
            assert rows[row.operation][at[0]] == row.level, row
        else:
            said = re.search(rf"\b{row.feature}\b(?: and \w+)* (native|generic|no)\b", words[row.backend])
            assert said is not None, row
            assert said.group(1) == row.level, row


def test_where_it_is_too_wide_each_backend_has_a_table_of_its_own(printed: Callable[..., str]) -> None:
    page = printed(print_capabilities, capability_table(), width=80)
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if line.startswith("probability.softmax ")]
    assert len(rows) == sum(line.split() == [name] for line in lines for name in ("numpy", "cupy", "jax"))
    assert len(rows) == 3
    assert all(set(line.split()[1:]) <= {"native", "generic", "no"} for line in rows)


def audit(*rows: AuditRow, states: tuple[AuditState, ...] = ()) -> Audit:
    return Audit("pillars.audit/1", {}, states, rows)


def test_audit(printed: Callable[..., str]) -> None:
    rows = [
        AuditRow("probability.softmax", "numpy", "autodiff", 1e-15, 1e-12, True, ""),
        AuditRow("probability.softmax", "numpy", "central", 0.25, 1e-6, False, "argument x"),
        AuditRow("layers.relu", "numpy", "autodiff", 0.0, 1e-12, True, ""),
    ]
    text = printed(print_audit, audit(*rows))
    assert text.splitlines()[0].split() == ["operation", "backend", "autodiff", "central"]
    assert text.splitlines()[2].split() == ["layers.relu", "numpy", "0", "-"]
    assert "✘ probability.softmax (numpy, central): error 2.5e-01, tolerance 1.0e-06. argument x" in text
    assert text.splitlines()[-1] == "✘ 1 of 3 gradient checks failed."
    absent = AuditState("jax", False, None, (), "jax is not installed: pip install jax", "")
    ran = AuditState("numpy", True, "2.4.6", ("cpu",), "", "float64")
    aside = printed(print_audit, audit(rows[0], rows[2]._replace(ok=None, note="no"), states=(ran, absent)))
    assert "jax not run: jax is not installed: pip install jax" in aside
    assert "numpy: checked in float64" in aside
    assert aside.splitlines()[-1] == "✔ All 1 gradient checks hold; 1 do not apply."
    assert "✔ All 2 gradient checks hold" in printed(print_audit, audit(rows[0], rows[2]))


def test_what_does_not_apply_is_counted_by_reason(printed: Callable[..., str]) -> None:
    refused = [
        AuditRow(f"layers.{name}", "numpy", "complex_step", math.nan, math.nan, None, f"it refuses: {name}")
        for name in ("relu", "gelu", "silu", "tanh")
    ]
    other = AuditRow("layers.relu", "numpy", "taylor", math.nan, math.nan, None, "a kink")
    lines = printed(print_audit, audit(other, *refused)).splitlines()
    assert (
        "does not apply: 4 × complex step: it refuses (layers.relu, layers.gelu, layers.silu and 1 more)"
        in lines
    )
    assert "does not apply: 1 × taylor: a kink (layers.relu)" in lines


def test_a_pipe_is_plain_and_wide(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output_console().print("[jax]" * 30, style="bold red")
    assert capsys.readouterr().out == "[jax]" * 30 + "\n"


@pytest.mark.parametrize(
    ("columns", "width"), [("80", 80), ("57", 57), ("", 160), ("0", 160), ("-3", 160), ("wide", 160)]
)
def test_a_pipe_obeys_columns(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output_console().width == width


def test_no_line_ends_in_blanks_and_no_figure_is_cut(printed: Callable[..., str]) -> None:
    states = {"a": Availability(True, "1", ("cpu",), ""), "b": Availability(False, None, (), "why not " * 30)}
    rows = [
        AuditRow("an.operation", "numpy", method, 9.3e-7, 1.0, True, "") for method in ("autodiff", "central")
    ]
    for width in (20, 40, 80, 160):
        for show, found in ((print_backends, states), (print_audit, audit(*rows))):
            text = printed(show, found, width=width)
            assert [line for line in text.splitlines() if line != line.rstrip()] == []
            assert "…" not in text
        assert text.count("9.3e-07") == 2


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
