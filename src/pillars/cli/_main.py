"""The entry point. It imports nothing that is not in the base install, so that it can say what is missing."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

INTERRUPTED = 130
BROKEN_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ends
# what is printed here and many an encoding lacks; one character for one, so that columns stay where they are
PLAIN = dict(zip("×±µ·…–−≤∞λᵀ⁻²√∂‖✔✘’“”", "x~u|.--<ILT-2Rd|+x'\"\"", strict=True))  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    The status: 0 nothing found, 1 findings, 2 it failed or was misused, 130 interrupted,
    141 nobody read on.

    Parameters
    ----------
    arguments : without the program's name; None: the process's own.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(given)
    except KeyboardInterrupt:  # while NumPy or typer loads: a command tells its own
        print("pillars: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as stopped:
        # click and rich both end with 1 where the reader has gone (`| head`): here that means findings
        if isinstance(stopped.__context__, BrokenPipeError):
            raise SystemExit(BROKEN_PIPE) from None
        raise


def _run(given: list[str]) -> None:
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"pillars: the command line needs {' and '.join(missing)}: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        raise SystemExit(2)
    if sys.stdout is None:
        # Not run for its status alone: the first file that is opened would become standard output.
        print(
            "pillars: standard output is closed, expected somewhere to write. Send it to /dev/null instead.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    name = _file_after_json(given)
    if name:
        print(
            f"pillars: --json takes no file, it prints to standard output: got {name!r}, expected --json > {name}",
            file=sys.stderr,
        )
        raise SystemExit(2)
    _print_in_any_encoding()
    from pillars.cli._app import app

    app(given, prog_name="pillars")


def _file_after_json(given: Sequence[str]) -> str:
    for word, following in zip(given, [*given, ""][1:], strict=True):
        if word == "--json" and not following.startswith("-"):
            return following
        if word.startswith("--json="):
            return word.removeprefix("--json=")
    return ""


def _print_in_any_encoding() -> None:
    """An output that cannot take a sign (cp1252, Latin-1, ASCII) gets a plain one for it, and no traceback."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):  # closed, or somebody's own
        return
    if out.errors == "strict" or not out.encoding.lower().startswith("utf"):
        codecs.register_error("pillars", _plain)
        out.reconfigure(errors="pillars")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end
