"""The bench on a terminal: the real job, the operations, their gradients, and a verdict."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pillars.measure import Bench
from pillars.report._console import put, show
from pillars.report._gradients import GRADIENT_LEGEND, gradient_table
from pillars.report._job import JOB_LEGEND, job_note, job_table, job_title
from pillars.report._operations import OPERATION_LEGEND, operation_table
from pillars.report._summary import verdict, words
from pillars.report._units import rate

__all__ = ["print_bench"]

_SIZES = ("small", "large")  # a table of all of them would not fit a screen
_SHOWN = 12  # findings; when a whole backend is broken every row is one


def print_bench(console: Console, bench: Bench) -> None:
    """All of it, the verdict last. Columns that do not fit the terminal are left out, and that is said."""
    names = [state.name for state in bench.backends if state.ran]
    for line in _header(bench):
        put(console, line)
    put(console)
    job = bench.job
    single = [row for row in bench.operations if row.dtype == "float32"]
    shown = [row for row in single if row.size in _SIZES]
    slopes = [row for row in bench.gradients if row.dtype == "float32"]
    show(console, job_title(job), lambda level: job_table(job, level), JOB_LEGEND, job_note(job))
    show(
        console,
        "The main functions, forward, float32",
        lambda level: operation_table(shown, names, level),
        OPERATION_LEGEND,
        "Other sizes and float64 are in --json and --html.",
    )
    show(
        console,
        "Value and gradient, float32: the hand-derived rule against autodiff of the body",
        lambda level: gradient_table(slopes, names, level),
        GRADIENT_LEGEND,
    )
    for said in words(bench):
        put(console, said)
    for finding in bench.findings[:_SHOWN]:
        put(console, Text.assemble(("✘ ", "red"), finding))
    if len(bench.findings) > _SHOWN:
        more = f"and {len(bench.findings) - _SHOWN} more: all of them in --json"
        put(console, Text.assemble(("✘ ", "red"), more))
    put(console, verdict(bench))


def _header(bench: Bench) -> list[Text]:
    where = bench.environment
    versions = ", ".join(f"{name} {version}" for name, version in where.packages.items())
    lines = [
        Text.assemble(("pillars bench", "bold"), " --quick" if bench.quick else "", f" · {where.date}")
        + Text(f" · commit {where.commit}" if where.commit else ""),
        Text(
            f"{where.cpu}, {where.cores} cores, {where.threads} threads · {where.system} · Python {where.python}",
            "dim",
        ),
        Text(versions, "dim"),
    ]
    if where.variables:
        lines.append(Text(", ".join(f"{name}={value}" for name, value in where.variables.items()), "dim"))
    for state in bench.backends:
        if state.ran:
            what = f"{', '.join(state.devices)}; float32 products in {state.precision}"
            what += "" if state.double else "; x64 is off, and on for the float64 rows alone"
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), f" {what}"))
        else:
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), (" not run: ", "yellow"), state.reason))
    for device in dict.fromkeys(limit.device for limit in bench.ceilings):
        limits = [limit for limit in bench.ceilings if limit.device == device]
        copies = f"copies {rate(limits[0].bandwidth, 'B')} ({limits[0].bandwidth_by})"
        each = [f"{limit.dtype} at {rate(limit.rate, 'FLOP')} ({limit.rate_by})" for limit in limits]
        best = f" at its best {copies}, multiplies {', '.join(each)}"
        lines.append(Text.assemble((f"{device:<6}", "bold"), best))
    return lines
