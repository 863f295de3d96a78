"""The bench on a terminal: the real job, the operations, their gradients, and a verdict."""

from __future__ import annotations

from rich.console import Console, Group
from rich.text import Text

from pillars.measure import Bench
from pillars.report._console import show
from pillars.report._gradients import gradient_table
from pillars.report._job import job_note, job_table, job_title
from pillars.report._operations import operation_table
from pillars.report._summary import gradient_line, noise_line, speed_lines, verdict

__all__ = ["print_bench"]

_SHOWN = 12  # findings; when a whole backend is broken every row is one


def print_bench(console: Console, bench: Bench) -> None:
    """All of it, the verdict last. Columns that do not fit the terminal are left out, and that is said."""
    names = [state.name for state in bench.backends if state.ran]
    console.print(_header(bench))
    console.print()
    show(console, job_title(bench.job), lambda level: job_table(bench.job, level), job_note(bench.job))
    show(
        console,
        "Operations, forward, float32",
        lambda level: operation_table(bench.operations, names, level),
        "error: max |y − y64| / max |y64| against the float64 body · first: compilation included · copy: inputs from"
        " the host · time: median of the steady state, ± the distance of its quartiles",
    )
    show(
        console,
        "Value and gradient, float32: the hand-derived rule against autodiff of the body",
        lambda level: gradient_table(bench.gradients, names, level),
        "error: against autodiff in float64 on NumPy, the worst of the arguments",
    )
    for line in (*speed_lines(bench), gradient_line(bench), noise_line(bench)):
        if line:
            console.print(line)
    for finding in bench.findings[:_SHOWN]:
        console.print(Text.assemble(("✘ ", "red"), finding))
    if len(bench.findings) > _SHOWN:
        console.print(
            Text.assemble(("✘ ", "red"), f"and {len(bench.findings) - _SHOWN} more: all of them in --json")
        )
    console.print(verdict(bench))


def _header(bench: Bench) -> Group:
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
            what = f"{', '.join(state.devices)}; float32, products in {state.precision}"
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), f" {what}"))
        else:
            lines.append(Text.assemble((f"{state.name:<6}", "bold"), (" not run: ", "yellow"), state.reason))
    return Group(*lines)
