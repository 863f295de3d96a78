"""The operations' table: errors beside times, a group of columns a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from pillars.measure import OperationRow, PeerTime, Timing
from pillars.report._console import plain_table
from pillars.report._units import duration, error, percent, share, times

__all__ = ["OPERATION_LEGEND", "best_peer", "by_operation", "faster", "operation_table"]

OPERATION_LEGEND = {
    "error": "max |y − y64| / max |y64|, y64 the definition in float64",
    "first": "compilation included",
    "copy": "inputs from the host",
    "time": "median of the steady state",
    "±": "the distance of its quartiles",
    "limit": "how much of the machine's limit is reached; above 100%: served by the caches",
    "peer": "the fastest of what else is installed (plain: textbook array code), its time over that of pillars",
    "faster": "the fastest, and by how much; even: the quartiles overlap, or under 5% apart",
}


def operation_table(rows: Sequence[OperationRow], names: Sequence[str], level: int = 0) -> Table:
    """A row an operation and size; each level leaves out more columns."""
    table = plain_table()
    table.add_column("operation", no_wrap=True)
    if level < 2:
        table.add_column("inputs", no_wrap=True, style="dim")
    copied = {row.backend for row in rows if row.transfer is not None}
    beside = {row.backend for row in rows if row.peers}
    for name in names:
        table.add_column(Text.assemble((name, "bold"), "\nerror"), justify="right", no_wrap=True)
        if level < 1:
            table.add_column("\nfirst", justify="right", no_wrap=True, style="dim")
        if level < 1 and name in copied:
            table.add_column("\ncopy", justify="right", no_wrap=True, style="dim")
        table.add_column("\ntime", justify="right", no_wrap=True)
        if level < 2:
            table.add_column("\n±", justify="right", no_wrap=True, style="dim")
        if level < 3:
            table.add_column("\nlimit", justify="right", no_wrap=True)
        if level < 2 and name in beside:
            table.add_column("\npeer", justify="right", no_wrap=True)
    if len(names) > 1 and level < 4:
        table.add_column("\nfaster", no_wrap=True)
    size = ""
    for (new, operation), result in by_operation(rows).items():
        if size != new:
            table.add_row(Text(new, style="dim italic"))
        size = new
        best, ratio = faster({name: row.steady for name, row in result.items()})
        cells: list[Text | str] = [operation]
        if level < 2:
            cells.append(next(iter(result.values())).shape)
        for name in names:
            cells += _cells(result.get(name), name == best, name in copied, name in beside, level)
        if len(names) > 1 and level < 4:
            alone = sum(row.steady is not None for row in result.values()) < 2
            even = Text("" if alone else "even", style="dim")
            cells.append(Text(f"{best} {times(ratio)}", style="green") if best else even)
        table.add_row(*cells)
    return table


def by_operation(rows: Sequence[OperationRow]) -> dict[tuple[str, str], dict[str, OperationRow]]:
    """(size, operation) -> backend -> row, in the rows' order."""
    grid: dict[tuple[str, str], dict[str, OperationRow]] = {}
    for row in rows:
        grid.setdefault((row.size, row.operation), {})[row.backend] = row
    return grid


def best_peer(row: OperationRow) -> tuple[PeerTime, float] | None:
    """The fastest peer, and its time over ours; None where none was timed."""
    ran = [(peer.steady.median, peer) for peer in row.peers if peer.steady is not None]
    if not ran or row.steady is None:
        return None
    median, peer = min(ran, key=lambda one: one[0])
    return peer, median / row.steady.median


def faster(timings: Mapping[str, Timing | None]) -> tuple[str, float]:
    """The fastest, and by how much; ("", 1.0) where the two best overlap in their quartiles, or one ran alone."""
    ran = sorted((timing.median, name, timing) for name, timing in timings.items() if timing is not None)
    if len(ran) < 2:
        return "", 1.0
    (first, name, ours), (second, _, theirs) = ran[:2]
    if ours.high >= theirs.low or second < 1.05 * first:
        return "", 1.0
    return name, second / first


def _cells(row: OperationRow | None, best: bool, copied: bool, beside: bool, level: int) -> list[Text | str]:
    if row is None or row.failure:
        mark = Text("-", style="dim") if row is None else Text("failed", style="bold red")
        more = (level < 1) + (level < 1 and copied) + (level < 2) + (level < 3) + (level < 2 and beside)
        return [mark, *[""] * (1 + more)]
    cells: list[Text | str] = [Text(error(row.error), style="" if row.ok else "bold red")]
    if level < 1:
        cells.append(duration(row.first))
    if level < 1 and copied:
        cells.append(duration(row.transfer))
    cells.append(Text(duration(row.steady.median if row.steady else None), style="green" if best else ""))
    if level < 2:
        cells.append(percent(row.steady.spread) if row.steady else "")
    if level < 3:
        cells.append(share(row.reached) if row.reached is not None else "")
    if level < 2 and beside:
        other = best_peer(row)
        cells.append(f"{other[0].name} {times(other[1])}" if other else "")
    return cells
