"""What can be used here, and what each operation can do on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pillars.measure import CapabilityRow, CapabilityTable
from pillars.report._console import legend_of, plain_table, put, wanted

__all__ = ["print_backends", "print_capabilities"]

_STYLES = {"native": "green", "generic": "default", "no": "yellow"}

_Cells = dict[str, dict[tuple[str, str], CapabilityRow]]  # operation -> (backend, feature) -> cell


class _Group(NamedTuple):
    """Features of a backend that go equally far on each operation, and whether that is equally far on all."""

    backend: str
    features: tuple[str, ...]
    alike: bool


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
    put(console, table)
    usable = [name for name, state in found.items() if state.usable]
    put(console)
    put(console, f"{len(usable)} of {len(found)} backends usable here: {', '.join(usable) or 'none'}.")


def print_capabilities(console: Console, table: CapabilityTable) -> None:
    """A row an operation, columns by backend for what differs between operations; what does not, in words."""
    rows = [row for row in table.rows if row.public]
    cells: _Cells = {}
    for row in rows:
        cells.setdefault(row.operation, {})[row.backend, row.feature] = row
    groups = [group for name in table.backends for group in _groups(cells, name)]
    for part in _fitting(console, cells, [group for group in groups if not group.alike]):
        put(console, part)
    put(console)
    for name, state in table.backends.items():
        said = [f"not usable here ({state.reason})"] if not state.usable else []
        alike = [_in_words(cells, group) for group in groups if group.alike and group.backend == name]
        said += [f"on every operation {', '.join(alike)}"] if alike else []
        if said:
            put(console, Text.assemble((name, "bold"), f": {'; '.join(said)}"))
    _put_reasons(console, cells, groups)
    put(console)
    levels = {level: sum(row.level == level for row in rows) for level in _STYLES}
    for words, shown in (
        (table.levels, {row.level for row in rows}),
        (table.features, {r.feature for r in rows}),
    ):
        put(console, legend_of(words, shown), "dim")
    inner = len({row.operation for row in table.rows if not row.public})
    apart = f"; {inner} inner steps that no room exports are in --json alone" if inner else ""
    counted = ", ".join(f"{number} {level}" for level, number in levels.items())
    put(console, f"{len(cells)} operations: {counted}{apart}.")


def _groups(cells: _Cells, backend: str) -> list[_Group]:
    features = dict.fromkeys(
        feature for result in cells.values() for name, feature in result if name == backend
    )
    together: dict[tuple[str, ...], list[str]] = {}
    for feature in features:
        together.setdefault(tuple(result[backend, feature].level for result in cells.values()), []).append(
            feature
        )
    return [_Group(backend, tuple(named), len(set(levels)) == 1) for levels, named in together.items()]


def _fitting(console: Console, cells: _Cells, groups: list[_Group]) -> list[Table]:
    """One table, or one a backend where that is too wide."""
    whole = _capability_table(cells, groups)
    if wanted(console, whole) <= console.width:
        return [whole]
    names = dict.fromkeys(group.backend for group in groups)
    return [_capability_table(cells, [one for one in groups if one.backend == name]) for name in names]


def _capability_table(cells: _Cells, groups: list[_Group]) -> Table:
    table = plain_table()
    table.add_column("operation", no_wrap=True)
    tallest = max((len(group.features) for group in groups), default=0)
    previous = ""
    for group in groups:
        name = group.backend if group.backend != previous else ""
        table.add_column(
            Text.assemble(
                (name, "bold"), "\n" * (1 + tallest - len(group.features)), ",\n".join(group.features)
            ),
            no_wrap=True,
        )
        previous = group.backend
    for operation, result in cells.items():
        levels = [result[group.backend, group.features[0]].level for group in groups]
        table.add_row(operation, *[Text(level, style=_STYLES.get(level, "")) for level in levels])
    return table


def _in_words(cells: _Cells, group: _Group) -> str:
    said = [result[group.backend, feature] for result in cells.values() for feature in group.features]
    reasons = {cell.reason for cell in said}
    why = f" ({reasons.pop()})" if len(reasons) == 1 else ""
    return f"{' and '.join(group.features)} {said[0].level}{why}"


def _put_reasons(console: Console, cells: _Cells, groups: list[_Group]) -> None:
    """Why not, for each "no" that `_in_words` has not explained."""
    places: dict[str, dict[str, list[str]]] = {}
    for group in groups:
        for operation, result in cells.items() if not group.alike else ():
            for cell in (result[group.backend, feature] for feature in group.features):
                if cell.level == "no":
                    places.setdefault(cell.reason, {}).setdefault(
                        f"{cell.feature} of {operation}", []
                    ).append(cell.backend)
    for reason, where in places.items():
        listed = [f"{what} ({', '.join(names)})" for what, names in where.items()]
        shown = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
        put(console, Text.assemble(("no: ", "yellow"), f"{shown}: {reason}"))
