"""The commands, and what they share: options, exit status, how errors are told."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, ParamSpec

import typer

from pillars._errors import PillarsError
from pillars.backends import available, capabilities

__all__ = ["app"]

FINDINGS, FAILED, INTERRUPTED = 1, 2, 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


P = ParamSpec("P")


def _told(command: Callable[P, None]) -> Callable[P, None]:
    """Errors of pillars become one message; any other is a bug, shown whole. Neither exits as findings do."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except PillarsError as error:
            typer.echo(f"pillars {command.__name__}: {error}", err=True)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            typer.echo(f"pillars {command.__name__}: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                typer.echo(
                    f"pillars {command.__name__}: the output was not written: {error.strerror}", err=True
                )
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is buffered goes nowhere at exit
            else:
                traceback.print_exc()
            raise typer.Exit(FAILED) from None

    return run


app = typer.Typer(
    help="The mathematics under machine learning, on NumPy, CuPy and JAX. "
    "Exit status: 0 nothing found, 1 findings, 2 it failed or was misused.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="JSON to standard output, and nothing else there.")]
OneBackend = Annotated[str | None, typer.Option("--backend", help="This backend alone.", metavar="NAME")]
Backends = Annotated[
    str | None, typer.Option("--backends", help="Comma-separated: numpy,jax,cupy.", metavar="NAMES")
]


@app.callback()
def _pillars() -> None:
    """Keeps `pillars COMMAND` a group while there are few commands."""


@app.command()
@_told
def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer repeats, smaller sizes: about ten seconds.")
    ] = False,
    backends: Backends = None,
    backend: OneBackend = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="CSV, .npy or Parquet instead of the bundled digits.", metavar="FILE"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="The target's column: name, or number from 0. Default: target, label, class, y, or the last.",
            metavar="COL",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether the backends agree, which is faster, and what a hand-derived gradient saves.

    Softmax regression on real data; then every operation: error against
    float64, first call, transfer, steady state; then gradients.

    Exits with 1 where a result is further from the float64 reference than
    rounding explains.
    """
    from pillars import measure, report

    if target is not None and data is None:
        raise typer.BadParameter("names a column of --data FILE, and there is none", param_hint="--target")
    problem = measure.load_table(data, target) if data is not None else measure.load_digits()
    with report.progress_bar() as progress:
        found = measure.run_bench(problem, _names(backends, backend), quick=quick, progress=progress)
    if as_json:
        typer.echo(measure.as_json(found))
    else:
        report.print_bench(report.output_console(), found)
    if found.findings:
        raise typer.Exit(FINDINGS)


@app.command()
@_told
def backends(
    show_capabilities: Annotated[
        bool, typer.Option("--capabilities", help="What each operation can do on each backend.")
    ] = False,
    backend: OneBackend = None,
    as_json: AsJson = False,
) -> None:
    """What is usable here, and why the rest is not. Exits with 1 where the backend asked for is not usable."""
    from pillars import report

    states = available()
    wanted = _known(backend, states)
    states = {name: states[name] for name in wanted}
    console = report.output_console()
    if show_capabilities:
        rows = [row for row in _capabilities() if row.backend in wanted]
        if as_json:
            typer.echo(json.dumps([row._asdict() for row in rows], indent=1))
        else:
            report.print_capabilities(console, rows)
    elif as_json:
        typer.echo(json.dumps({name: state._asdict() for name, state in states.items()}, indent=1))
    else:
        report.print_backends(console, states)
    if backend is not None and not states[backend].usable:
        raise typer.Exit(FINDINGS)


@app.command()
@_told
def audit(backends: Backends = None, backend: OneBackend = None, as_json: AsJson = False) -> None:
    """Hand-derived gradients against autodiff, complex step and finite differences. Exits with 1 where one is off."""
    from pillars import measure, report

    states = measure.backend_states(_names(backends, backend))
    rows = measure.audit([state.name for state in states if state.ran])
    if as_json:
        typer.echo(measure.as_json({"backends": states, "rows": rows}))
    else:
        report.print_audit(report.output_console(), rows, states)
    if any(row.ok is False for row in rows):
        raise typer.Exit(FINDINGS)


def _names(several: str | None, one: str | None) -> list[str] | None:
    if several is not None and one is not None:
        raise typer.BadParameter("give --backend or --backends, not both", param_hint="--backend")
    given = several if several is not None else one
    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("names no backend", param_hint="--backends")
    return names


def _known(one: str | None, states: dict[str, Any]) -> list[str]:
    if one is None:
        return list(states)
    if one not in states:
        raise typer.BadParameter(f"got {one!r}, expected one of {', '.join(states)}", param_hint="--backend")
    return [one]


def _capabilities() -> list[Any]:
    # the table lists the records of rooms that have been imported
    for room in iter_modules([str(Path(__file__).parents[1])]):
        if room.ispkg and room.name not in ("cli", "report", "measure"):
            import_module(f"pillars.{room.name}")
    return list(capabilities())
