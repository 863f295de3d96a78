"""What got slower since an older bench."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pillars.measure import Change, Comparison
from pillars.report._console import plain_table, put
from pillars.report._units import duration, times

__all__ = ["busy_words", "counted", "inputs_of", "print_comparison", "ratio_of"]

_SHOWN = 12
_BOTH_WAYS = 0.05  # of the rows: fewer than these may well have changed both ways


def print_comparison(console: Console, found: Comparison) -> None:
    """The slower rows and the faster ones, the largest changes first, under what else differs between the two runs."""
    commit = f", commit {found.commit}" if found.commit else ""
    put(console)
    put(console, f"Against the bench of {found.date}{commit}", "bold")
    for line in found.differs:
        put(console, Text(f"not the same: {line}", "yellow"))
    for word, style, changes in (("slower", "red", found.slower), ("faster", "green", found.faster)):
        if changes:
            put(console, _table(word, style, changes[:_SHOWN]))
        if len(changes) > _SHOWN:
            put(console, f"and {len(changes) - _SHOWN} more that are {word}: all of them in --json", "dim")
    put(console, Text(counted(found), "bold red" if found.slower else "bold green"))
    put(console, "slower, faster: the quartiles of the two runs are over a tenth apart", "dim")
    if busy := busy_words(found):
        put(console, Text(busy, "yellow"))


def counted(found: Comparison) -> str:
    """How many rows changed, in a sentence."""
    apart = f"; {found.apart} are in one of the two alone" if found.apart else ""
    rows = "row is" if len(found.slower) == 1 else "rows are"
    return f"{len(found.slower)} {rows} slower, {len(found.faster)} faster, {found.alike} alike{apart}."


def busy_words(found: Comparison) -> str:
    """A warning where rows changed both ways; empty where they did not."""
    rows = len(found.slower) + len(found.faster) + found.alike
    if min(len(found.slower), len(found.faster)) <= _BOTH_WAYS * rows:
        return ""
    return (
        "Slower and faster at once is what a busy machine does to unchanged code: run both again on a quiet one "
        "before you believe either."
    )


def inputs_of(one: Change) -> str:
    """Shapes, and the dtype where it is another than float32."""
    return one.shape if one.dtype == "float32" else f"{one.shape} {one.dtype}"


def ratio_of(one: Change) -> float:
    """How many times slower, or faster, it became: never below 1."""
    return max(one.after / one.before, one.before / one.after)


def _table(word: str, style: str, changes: Sequence[Change]) -> Table:
    table = plain_table()
    for heading in ("operation", "what", "inputs", "backend"):
        table.add_column(heading, no_wrap=heading == "backend", overflow="fold")
    for heading in ("before", "now", word):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in changes:
        cells = (
            one.operation,
            one.what,
            inputs_of(one),
            one.backend,
            duration(one.before),
            duration(one.after),
        )
        table.add_row(*cells, Text(times(ratio_of(one)), style))
    return table
