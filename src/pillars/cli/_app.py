"""The commands, and what they share: options, exit status, how errors are told."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from pillars._errors import BackendError, PillarsError
from pillars._version import __version__
from pillars.backends import available

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
            typer.echo(f"pillars {command.__name__}: {str(error).removeprefix('bench: ')}", err=True)
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
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backends",
        "--backend",
        help="Some of numpy,cupy,jax: with commas, or the option again. Default: all.",
        metavar="NAMES",
    ),
]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pillars {__version__}")
        raise typer.Exit


@app.callback()
def _pillars(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="The version, and nothing else.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keeps `pillars COMMAND` a group while there are few commands."""


@app.command()
@_told
def bench(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer repeats and sizes: about a minute; without, about five."),
    ] = False,
    backends: Backends = None,
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
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Also one page with pictures, self-contained.", metavar="FILE"),
    ] = None,
    saved: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Show this --json of an earlier run, or of bench/gpu.py: nothing is measured.",
            metavar="JSON",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            help="What got slower since this --json of an older run; the exit status does not change.",
            metavar="OLD.json",
        ),
    ] = None,
    long: Annotated[
        bool,
        typer.Option(
            "--long",
            help="Print all of it: small sizes, where the faster one changes, peers, memory, float64. With --from "
            "nothing is measured again.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Whether the backends agree, which is faster, how far from the machine's limit, and what a gradient by hand saves.

    Softmax regression on real data; then the main operations: error against
    float64, first call, transfer, steady state, the share of what the machine
    copies and multiplies at best; then their gradients.

    Exits with 1 where a result is further from the float64 reference than
    rounding explains.
    """
    from pillars import measure, report

    if target is not None and data is None:
        raise typer.BadParameter("names a column of --data FILE, which is not given", param_hint="--target")
    if saved is not None and (quick or backends or data is not None):
        raise typer.BadParameter(
            "shows what was measured: it goes without --quick, --backends and --data", param_hint="--from"
        )
    if html is not None:
        _check_page(html)
    older = measure.load_bench(against) if against is not None else None
    if saved is not None:
        result = measure.load_bench(saved)
    else:
        problem = measure.load_table(data, target) if data is not None else measure.load_digits()
        with report.progress_bar() as progress:
            result = measure.run_bench(problem, _names(backends), quick=quick, progress=progress)
    comparison = measure.compare(result, older) if older is not None else None
    if as_json:
        typer.echo(
            measure.as_json(result if comparison is None else {**result._asdict(), "comparison": comparison})
        )
    else:
        report.print_bench(report.output_console(), result, long=long)
        if comparison is not None:
            report.print_comparison(report.output_console(), comparison)
    if html is not None:
        html.write_text(report.bench_page(result, comparison), encoding="utf-8")
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.findings:
        raise typer.Exit(FINDINGS)


@app.command()
@_told
def backends(
    show_capabilities: Annotated[
        bool, typer.Option("--capabilities", help="What each operation can do on each backend.")
    ] = False,
    backends: Backends = None,
    as_json: AsJson = False,
) -> None:
    """What is usable here, and why the rest is not. Exits with 1 where a backend asked for is not usable."""
    from pillars import measure, report

    asked = _names(backends)
    states = available()
    for name in asked or ():
        if name not in states:
            hint = f"got {name!r}, expected some of {', '.join(states)}"
            raise typer.BadParameter(hint, param_hint="--backends")
    states = {name: states[name] for name in asked or states}
    console = report.output_console()
    if show_capabilities:
        table = measure.capability_table(list(states))
        if as_json:
            typer.echo(measure.as_json(table))
        else:
            report.print_capabilities(console, table)
    elif as_json:
        typer.echo(measure.as_json({"schema": measure.BACKENDS, "backends": states}))
    else:
        report.print_backends(console, states)
    if asked is not None and not all(state.usable for state in states.values()):
        raise typer.Exit(FINDINGS)


@app.command()
@_told
def audit(
    backends: Backends = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also one page, self-contained.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every gradient against autodiff, complex step and finite differences. Exits with 1 where one is off.

    Those that are derived by hand, of every operation; and the rules of
    pillars.grad, a function at a time.
    """
    from pillars import measure, report

    if html is not None:
        _check_page(html, pictures=False)
    result = measure.run_audit(_names(backends))
    if as_json:
        typer.echo(measure.as_json(result))
    else:
        report.print_audit(report.output_console(), result)
    if html is not None:
        html.write_text(report.audit_page(result, measure.environment()), encoding="utf-8")
    if any(row.ok is False for row in result.rows):
        raise typer.Exit(FINDINGS)


def _check_page(path: Path, *, pictures: bool = True) -> None:
    """What would fail after a minute of measuring fails before it."""
    from pillars import report

    missing = report.page_needs(pictures=pictures)
    if missing:
        raise BackendError(f"--html needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    if path.is_dir():
        raise typer.BadParameter(f"got {path}, which is a folder, expected a file in it", param_hint="--html")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"got {path}, expected a file in a folder that exists", param_hint="--html")


def _names(given: list[str] | None) -> list[str] | None:
    if not given:
        return None
    names = [name.strip() for part in given for name in part.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("names no backend", param_hint="--backends")
    return names
