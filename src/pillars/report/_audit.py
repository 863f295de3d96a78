"""The gradient audit: a row an operation and backend, a column a method."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pillars.measure import Audit, AuditRow
from pillars.report._console import legend_of, plain_table, put
from pillars.report._units import error

__all__ = ["audit_verdict", "failures", "grid_of", "print_audit", "reasons"]

_LEGEND = {
    "autodiff, complex step, central": "the gradient's distance from that method, relative",
    "second order": "that of the gradient's own gradient",
    "special points": "both derivatives' distance from a closed form at 0, ties, singular matrices; NaN is allowed",
    "taylor": "how far the remainder's order is below 2",
    "-": "does not apply, for the reasons below; each figure is held against a tolerance of its own (--json, --html)",
}


def print_audit(console: Console, audit: Audit) -> None:
    """Errors by operation, a column a method; what failed and why the rest did not apply is listed."""
    rows = audit.rows
    methods = list(dict.fromkeys(row.method for row in rows))
    put(console, _table(rows, methods))
    shown = [method.replace("_", " ") for method in methods]
    put(console, legend_of(_LEGEND, [*shown, "-"]), "dim")
    put(console)
    for row in failures(audit):
        bound = f"error {error(row.error)}, tolerance {error(row.tolerance)}"
        words = f"{row.operation} ({row.backend}, {row.method}): {bound}. {row.note}".rstrip()
        put(console, Text.assemble(("✘ ", "red"), words))
    for reason in reasons(audit):
        put(console, Text.assemble(("does not apply: ", "yellow"), reason))
    for state in audit.backends:
        if state.ran:
            put(console, f"{state.name}: checked in {state.dtype}")
        else:
            put(console, Text.assemble(state.name, (" not run: ", "yellow"), state.reason))
    put(console, audit_verdict(audit), "bold red" if failures(audit) else "bold green")


def failures(audit: Audit) -> list[AuditRow]:
    """What does not hold."""
    return [row for row in audit.rows if row.ok is False]


def audit_verdict(audit: Audit) -> str:
    """One line: how many checks hold."""
    skipped = sum(row.ok is None for row in audit.rows)
    checked, failed = len(audit.rows) - skipped, len(failures(audit))
    apart = f"; {skipped} do not apply" if skipped else ""
    if failed:
        return f"✘ {failed} of {checked} gradient checks failed{apart}."
    return f"✔ All {checked} gradient checks hold{apart}."


def grid_of(rows: Sequence[AuditRow]) -> dict[tuple[str, str], dict[str, AuditRow]]:
    """(operation, backend) -> method -> row."""
    grid: dict[tuple[str, str], dict[str, AuditRow]] = {}
    for row in rows:
        grid.setdefault((row.operation, row.backend), {})[row.method] = row
    return grid


def _table(rows: Sequence[AuditRow], methods: Sequence[str]) -> Table:
    table = plain_table()
    table.add_column("operation", no_wrap=True)
    table.add_column("backend", no_wrap=True)
    for method in methods:
        table.add_column(method.replace("_", " "), justify="right", no_wrap=True)
    previous = ""
    for (operation, backend), result in grid_of(rows).items():
        cells = [_cell(result.get(method)) for method in methods]
        table.add_row(Text(operation if operation != previous else "", style="bold"), backend, *cells)
        previous = operation
    return table


def reasons(audit: Audit) -> list[str]:
    """Why methods did not apply, the most frequent first: what follows a note's colon is one operation's own."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in audit.rows:
        if row.ok is not None:
            continue
        told = row.method.replace("_", " "), row.note.partition(":")[0]
        places.setdefault(told, []).append(row.operation)
    said = []
    for (method, reason), operations in sorted(places.items(), key=lambda item: -len(item[1])):
        named = list(dict.fromkeys(operations))
        few = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        said.append(f"{len(operations)} × {method}: {reason} ({few})")
    return said


def _cell(row: AuditRow | None) -> Text:
    if row is None or row.ok is None:
        return Text("-", style="dim")
    return Text(error(row.error), style="default" if row.ok else "bold red")
