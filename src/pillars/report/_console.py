"""Where output goes: results to standard output, all else to standard error."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["error_console", "output_console", "plain_table", "show"]

# a pipe or a file has no width: wide enough for every column, since nobody will see it wrap
_PIPE_WIDTH = 160


def output_console() -> Console:
    """Standard output: coloured on a terminal, plain and never wrapped short in a pipe."""
    # no markup: "pip install 'pillars[jax]'" is not a style
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def error_console() -> Console:
    """Standard error, for messages and progress."""
    return Console(stderr=True, highlight=False, markup=False)


def plain_table() -> Table:
    """The one style of table: no boxes, headings dim, columns two spaces apart."""
    return Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)


def show(console: Console, title: str, build: Callable[[int], Table], caption: str = "") -> None:
    """Print the fullest table that fits: `build` takes a level, 0 for all columns, 2 for the fewest."""
    for level in range(3):
        table = build(level)
        # a table's own measure is clipped to the console: ask what it would like
        wanted = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        if wanted <= console.width:
            break
    console.print(Text(title, style="bold"))
    console.print(table)
    if caption:
        console.print(Text(caption, style="dim"))
    if level:
        console.print(
            Text("Columns that do not fit are left out: a wider terminal or --json has them.", style="dim")
        )
    console.print()
