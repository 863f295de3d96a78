"""What can be used here, and what each operation can do on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from pillars.report._console import plain_table

__all__ = ["print_backends", "print_capabilities"]

_LEVELS = {"native": ("native", "green"), "generic": ("generic", "default"), "no": ("no", "yellow")}


def print_backends(console: Console, found: Mapping[str, Any]) -> None:
    """A row a backend: usable or not, version, devices or the reason."""
    table = plain_table()
    for heading in ("backend", "", "version"):
        table.add_column(heading, no_wrap=True)
    table.add_column("devices, or why not", overflow="fold")
    for name, state in found.items():
        mark = Text("usable", style="green") if state.usable else Text("not usable", style="yellow")
        where = ", ".join(state.devices) if state.usable else state.reason
        table.add_row(Text(name, style="bold"), mark, state.version or "-", Text(where))
    console.print(table)
    usable = [name for name, state in found.items() if state.usable]
    console.print()
    console.print(f"{len(usable)} of {len(found)} backends usable here: {', '.join(usable) or 'none'}.")


def print_capabilities(console: Console, rows: Sequence[Any]) -> None:
    """A row an operation and backend, a column a feature; every "no" has its reason underneath."""
    features = list(dict.fromkeys(row.feature for row in rows))
    levels: dict[tuple[str, str], dict[str, str]] = {}
    reasons: dict[str, list[str]] = {}
    for row in rows:
        levels.setdefault((row.operation, row.backend), {})[row.feature] = row.level
        if row.level == "no" and row.reason:
            reasons.setdefault(row.reason, []).append(f"{row.operation} ({row.backend}, {row.feature})")
    table = plain_table()
    for heading in ("operation", "backend", *features):
        table.add_column(heading, no_wrap=True)
    previous = ""
    for (operation, backend), found in levels.items():
        cells = [
            Text(*_LEVELS.get(found.get(feature, ""), (found.get(feature, "-"), "dim")))
            for feature in features
        ]
        table.add_row(Text(operation if operation != previous else "", style="bold"), backend, *cells)
        previous = operation
    console.print(table)
    if reasons:
        console.print()
    for reason, places in reasons.items():
        shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        console.print(Text.assemble(("no: ", "yellow"), f"{reason}: {shown}"))
    counts = {level: sum(row.level == level for row in rows) for level in _LEVELS}
    console.print()
    console.print(
        f"{len({row.operation for row in rows})} operations: "
        + ", ".join(f"{number} {level}" for level, number in counts.items())
        + "."
    )
