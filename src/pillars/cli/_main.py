"""The entry point. It imports nothing that is not in the base install, so that it can say what is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 nothing found, 1 findings, 2 it failed or was misused.

    Parameters
    ----------
    arguments : without the program's name; None: the process's own.
    """
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"pillars: the command line needs {' and '.join(missing)}: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from pillars.cli._app import app

    app(None if arguments is None else list(arguments), prog_name="pillars")
