"""Where output goes: results to standard output, all else to standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

__all__ = ["error_console", "headings", "legend_of", "output_console", "plain_table", "put", "show", "wanted"]

# a pipe or a file has no width: wide enough for every column, since nobody will see it wrap
_PIPE_WIDTH = 160
_PROSE_WIDTH = 110
_FOLDED_WIDTH = 60  # below it, the columns beside a folded one would be cut
_LEVELS = 5


def output_console() -> Console:
    """Standard output: coloured on a terminal, plain in a pipe, which is wide unless COLUMNS says how wide."""
    # no markup: "pip install 'pillars[jax]'" is not a style
    console = Console(highlight=False, markup=False)
    asked = os.environ.get("COLUMNS", "")
    if console.is_terminal or (asked.isdigit() and int(asked) > 0):
        return console
    return Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def error_console() -> Console:
    """Standard error, for messages and progress."""
    return Console(stderr=True, highlight=False, markup=False)


def plain_table() -> Table:
    """The one style of table: no boxes, headings dim, columns two spaces apart."""
    return Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)


def put(console: Console, what: RenderableType = "", style: str = "") -> None:
    """Print without blanks at the ends of lines; a table too wide is printed whole, prose wraps."""
    width = console.width
    if isinstance(what, Table):
        folds = not all(column.no_wrap for column in what.columns)
        width = max(width, min(wanted(console, what), _FOLDED_WIDTH) if folds else wanted(console, what))
    else:
        what = Text(what, style) if isinstance(what, str) else what
        width = min(width, _PROSE_WIDTH)
    lines = console.render_lines(what, console.options.update(width=width), pad=False)
    segments = [segment for line in lines for segment in (*_trimmed(line), Segment.line())]
    console.print(Segments(segments), end="", crop=False, no_wrap=True, overflow="ignore")


def show(
    console: Console, title: str, build: Callable[[int], Table], legend: Mapping[str, str], note: str = ""
) -> None:
    """Print the fullest table that fits: `build` takes a level, 0 for all columns, more for fewer.

    `legend` explains headings; those of columns that are left out are left out too.
    """
    full = build(0)
    table = full
    for level in range(1, _LEVELS):
        if wanted(console, table) <= console.width:
            break
        table = build(level)
    put(console, title, "bold")
    put(console, table)
    put(console, legend_of(legend, headings(table)), "dim")
    if note:
        put(console, note, "dim")
    if len(table.columns) < len(full.columns):
        put(console, "Columns that do not fit are left out: a wider terminal or --json has them.", "dim")
    put(console)


def headings(table: Table) -> set[str]:
    """The lines of all headings."""
    return {line for column in table.columns for line in str(column.header).splitlines()}


def legend_of(legend: Mapping[str, str], shown: Iterable[str]) -> str:
    """The entries for what is shown; "a, b" explains two headings at once, and a key of "" is always told."""
    shown = set(shown)
    parts = []
    for names, meaning in legend.items():
        kept = [name for name in names.split(", ") if name in shown]
        if kept or not names:
            parts.append(f"{', '.join(kept)}: {meaning}" if kept else meaning)
    return " · ".join(parts)


def wanted(console: Console, table: Table) -> int:
    """How wide a table is where nothing holds it back."""
    # a table's own measure is clipped to the console: ask what it would like
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


def _trimmed(line: list[Segment]) -> list[Segment]:
    while line and not line[-1].text.strip():
        line = line[:-1]
    if line:
        line = [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)]
    return line
