"""The gradient audit: a row an operation, backend and method."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pillars.measure import AuditRow, BackendState
from pillars.report._console import plain_table
from pillars.report._units import error

__all__ = ["print_audit"]


def print_audit(console: Console, rows: Sequence[AuditRow], states: Sequence[BackendState] = ()) -> None:
    """Errors by operation, a column a method; what failed and what did not apply is listed with its note."""
    methods = list(dict.fromkeys(row.method for row in rows))
    grid: dict[tuple[str, str], dict[str, AuditRow]] = {}
    for row in rows:
        grid.setdefault((row.operation, row.backend), {})[row.method] = row
    table = plain_table()
    table.add_column("operation", no_wrap=True)
    table.add_column("backend", no_wrap=True)
    for method in methods:
        table.add_column(method.replace("_", " "), justify="right", no_wrap=True)
    previous = ""
    for (operation, backend), found in grid.items():
        cells = [_cell(found.get(method)) for method in methods]
        table.add_row(Text(operation if operation != previous else "", style="bold"), backend, *cells)
        previous = operation
    console.print(table)
    note = "taylor: how far the remainder's order is below 2; the others: relative error; - does not apply"
    console.print(Text(note, style="dim"))
    failed = [row for row in rows if row.ok is False]
    skipped = [row for row in rows if row.ok is None]
    console.print()
    for row in failed:
        bound = f"error {error(row.error)}, tolerance {error(row.tolerance)}"
        console.print(
            Text.assemble(
                ("✘ ", "red"), f"{row.operation} ({row.backend}, {row.method}): {bound}. {row.note}".rstrip()
            )
        )
    checked = len(rows) - len(skipped)
    apart = f"; {len(skipped)} do not apply" if skipped else ""
    for state in states:
        if not state.ran:
            console.print(Text.assemble(state.name, (" not run: ", "yellow"), state.reason))
    if failed:
        console.print(Text(f"✘ {len(failed)} of {checked} gradient checks failed{apart}.", style="bold red"))
    else:
        console.print(Text(f"✔ All {checked} gradient checks hold{apart}.", style="bold green"))


def _cell(row: AuditRow | None) -> Text:
    if row is None or row.ok is None:
        return Text("-", style="dim")
    return Text(error(row.error), style="default" if row.ok else "bold red")
