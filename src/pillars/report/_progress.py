"""A progress bar on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pillars.report._console import error_console

__all__ = ["progress_bar"]


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A function of what comes next and the fraction done; it draws nothing where nobody watches."""
    console = error_console()
    if not console.is_terminal:
        yield lambda what, fraction: None
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:3.0f}%"), TimeElapsedColumn())
    # drawn between measurements only: a thread that redraws would take time from what is being timed
    with Progress(
        *columns, TextColumn("{task.description}"), console=console, transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=1.0)

        def step(what: str, fraction: float) -> None:
            bar.update(task, description=what, completed=fraction, refresh=True)

        yield step
