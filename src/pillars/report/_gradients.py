"""The gradients' table: hand-derived beside autodiff, a group of columns a backend."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from pillars.measure import GradientRow, Side
from pillars.report._console import plain_table
from pillars.report._operations import faster
from pillars.report._units import duration, error, size, times

__all__ = ["GRADIENT_LEGEND", "gradient_table"]

GRADIENT_LEGEND = {
    "error": "against autodiff in float64 on NumPy, the worst of the arguments",
    "time": "value and gradient together, median of the steady state",
    "memory": "at the peak, beside the arguments, results included",
    "faster": "hand or auto, and by how much; even: the quartiles overlap, or under 5% apart",
}


def gradient_table(rows: Sequence[GradientRow], names: Sequence[str], level: int = 0) -> Table:
    """A row an operation and size; each level leaves out more columns."""
    table = plain_table()
    table.add_column("operation", no_wrap=True)
    if level < 2:
        table.add_column("inputs", no_wrap=True, style="dim")
    for name in names:
        if level < 3:
            table.add_column(Text.assemble((name, "bold"), "\nby hand\nerror"), justify="right", no_wrap=True)
        first = Text.assemble((name, "bold"), "\nby hand\ntime") if level > 2 else "\n\ntime"
        table.add_column(first, justify="right", no_wrap=True)
        if level < 1:
            table.add_column("\n\nmemory", justify="right", no_wrap=True)
            table.add_column("\nautodiff\nerror", justify="right", no_wrap=True)
        table.add_column("\n\ntime" if level < 1 else "\nautodiff\ntime", justify="right", no_wrap=True)
        if level < 1:
            table.add_column("\n\nmemory", justify="right", no_wrap=True)
        if level < 2:
            table.add_column("\n\nfaster", no_wrap=True)
    grid: dict[tuple[str, str], dict[str, GradientRow]] = {}
    for row in rows:
        grid.setdefault((row.size, row.operation), {})[row.backend] = row
    last = ""
    for (new, operation), result in grid.items():
        if last != new:
            table.add_row(Text(new, style="dim italic"))
        last = new
        cells: list[Text | str] = [operation]
        if level < 2:
            cells.append(next(iter(result.values())).shape)
        for name in names:
            cells += _cells(result[name], level) if name in result else [""] * _columns(level)
        table.add_row(*cells)
    return table


def _columns(level: int) -> int:
    return 2 + (level < 3) + 3 * (level < 1) + (level < 2)


def _cells(row: GradientRow, level: int) -> list[Text | str]:
    best, ratio = faster({"hand": row.hand.steady, "auto": row.autodiff.steady})
    cells: list[Text | str] = [_error(row.hand)] if level < 3 else []
    cells.append(_time(row.hand, best == "hand"))
    if level < 1:
        cells += [_memory(row.hand), _error(row.autodiff)]
    cells.append(_time(row.autodiff, best == "auto"))
    if level < 1:
        cells.append(_memory(row.autodiff))
    if level < 2:
        both = row.hand.steady is not None and row.autodiff.steady is not None
        cells.append(
            Text(f"{best} {times(ratio)}", style="green")
            if best
            else Text("even" if both else "", style="dim")
        )
    return cells


def _error(side: Side) -> Text:
    if side.failure:
        return Text("failed", style="bold red")
    return Text(error(side.error), style="" if side.ok else "bold red")


def _memory(side: Side) -> str:
    return "" if side.memory is None else size(side.memory)


def _time(side: Side, best: bool) -> Text:
    if side.failure:
        return Text("failed", style="bold red")
    return Text(duration(side.steady.median if side.steady else None), style="green" if best else "")
