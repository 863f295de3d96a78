"""The bench on a terminal: the real job, the operations, their gradients, and a verdict."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pillars.measure import Bench
from pillars.report._console import put, show
from pillars.report._gradients import GRADIENT_LEGEND, gradient_table
from pillars.report._job import JOB_LEGEND, job_note, job_table, job_title
from pillars.report._operations import OPERATION_LEGEND, operation_table
from pillars.report._summary import few_words, verdict, words
from pillars.report._units import rate

__all__ = ["print_bench"]

# a table of every size would not fit a screen
_SIZES = ("small", "large")
# findings; when a whole backend is broken every row is one
_SHOWN = 12
_REST = (
    "More, such as small sizes, other libraries, memory and float64: pillars bench --long. To measure only once: "
    "pillars bench --json > FILE, then pillars bench --long --from FILE."
)


def print_bench(console: Console, bench: Bench, *, long: bool = False) -> None:
    """Two screens, or all of it, the verdict last. Columns that do not fit the terminal are left out; that is said.

    The short form has the large sizes alone, fewer words, and every finding.
    """
    sizes = _SIZES if long else _SIZES[-1:]
    names = [state.name for state in bench.backends if state.ran]
    for line in _header(bench):
        put(console, line)
    put(console)
    job = bench.job
    single = [row for row in bench.operations if row.dtype == "float32"]
    shown = [row for row in single if row.size in sizes]
    slopes = [row for row in bench.gradients if row.dtype == "float32" and row.size in sizes]
    show(console, job_title(job), lambda level: job_table(job, level), JOB_LEGEND, job_note(job, long=long))
    show(
        console,
        "The main functions, forward, float32",
        lambda level: operation_table(shown, names, level),
        OPERATION_LEGEND,
        "Other sizes and float64 are in --json and --html." if long else "",
    )
    show(
        console,
        "Value and gradient, float32: derived by hand against autodiff of the function's definition",
        lambda level: gradient_table(slopes, names, level),
        GRADIENT_LEGEND,
    )
    for said in words(bench) if long else few_words(bench):
        put(console, said)
    for finding in bench.findings[:_SHOWN]:
        put(console, Text.assemble(("✘ ", "red"), finding))
    if len(bench.findings) > _SHOWN:
        more = f"and {len(bench.findings) - _SHOWN} more: all of them in --json"
        put(console, Text.assemble(("✘ ", "red"), more))
    if not long:
        put(console, _REST, "dim")
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
            what = f"{', '.join(state.devices)}; multiplies float32 matrices in {state.precision}"
            what += "" if state.double else "; 64 bits are off, switched on only for the float64 rows"
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), f" {what}"))
        else:
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), (" not run: ", "yellow"), state.reason))
    for device in dict.fromkeys(limit.device for limit in bench.ceilings):
        limits = [limit for limit in bench.ceilings if limit.device == device]
        copies = f"copies {rate(limits[0].bandwidth, 'B')} (by {limits[0].bandwidth_by})"
        each = [f"{limit.dtype} at {rate(limit.rate, 'FLOP')} (by {limit.rate_by})" for limit in limits]
        best = f" its limit, measured here: {copies}, multiplies {', '.join(each)}"
        lines.append(Text.assemble((f"{device:<6}", "bold"), best))
    return lines
