"""The real job's table: accuracy with its interval, distance from the reference, time."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from pillars.measure import Job, Proportion
from pillars.report._console import plain_table
from pillars.report._units import duration, error, percent

__all__ = ["JOB_LEGEND", "job_model", "job_note", "job_table", "job_title", "reduction_line"]

JOB_LEGEND = {
    "held out": "the rows not trained on that were classified right",
    "95% interval": "of that share, Wilson's",
    "loss": "on the rows trained on, after the last step",
    "loss off": "distance from float64 on the same scores, under what rounding allows (≤)",
    "weights off": "relative distance of all weights from float64's, likewise",
    "first": "the whole descent, compilation included",
    "time": "the whole descent again, median",
    "±": "the distance of its quartiles",
}


def job_table(job: Job, level: int = 0) -> Table:
    """A row a backend and gradient, under the reference; each level leaves out more columns."""
    table = plain_table()
    # (heading, the level from which it is left out, the reference's cell)
    right = job.reference.accuracy
    widest = max(run.loss_bound for run in job.runs), max(run.parameter_bound for run in job.runs)
    bounds = [f"≤ {error(bound)}" for bound in widest]
    columns = [
        ("backend", 9, "float64"),
        ("gradient", 9, "reference"),
        ("held out", 9, _share(right)),
        ("95% interval", 3, _interval(right)),
        ("loss", 1, f"{job.reference.loss:.6f}"),
        ("loss off", 2, bounds[0]),
        ("weights off", 4, bounds[1]),
        ("first", 1, ""),
        ("time", 9, ""),
        ("±", 2, ""),
    ]
    kept = [i for i, (_, last, _) in enumerate(columns) if level < last]
    for i in kept:
        table.add_column(columns[i][0], justify="left" if i < 2 else "right", no_wrap=True)
    table.add_row(*[Text(columns[i][2], style="dim") for i in kept])
    fastest = min((run.steady.median for run in job.runs if run.steady is not None), default=None)
    previous = ""
    for run in job.runs:
        name = Text(run.backend if run.backend != previous else "", style="bold")
        previous = run.backend
        if run.error or run.accuracy is None:
            table.add_row(name, run.gradient, Text("failed", style="bold red"))
            continue
        style = "" if run.ok else "bold red"
        again = run.steady.median if run.steady is not None else None
        cells = [
            name,
            Text(run.gradient),
            Text(_share(run.accuracy)),
            Text(_interval(run.accuracy)),
            Text(f"{run.loss:.6f}"),
            Text(error(run.loss_error), style=style),
            Text(error(run.parameter_error), style=style),
            Text(duration(run.first), style="dim"),
            Text(duration(again), style="green" if again == fastest else ""),
            Text(percent(run.steady.spread) if run.steady is not None else "", style="dim"),
        ]
        table.add_row(*[cells[i] for i in kept])
    return table


def job_title(job: Job) -> str:
    """What was trained on what."""
    return (
        f"{job.data}: standardised, {job_model(job)}"
        f" ({job.train} rows to train, {job.held_out} held out, {job.features} features, {job.classes} classes)"
    )


def job_model(job: Job) -> str:
    """What is fitted."""
    reduced = f"{job.components} principal components ({100 * job.explained:.0f}% of the variance), "
    return f"{reduced if job.components else ''}softmax regression by {job.steps} steps of gradient descent"


def reduction_line(job: Job) -> str:
    """How far each backend's components are from float64's, and how long they took."""
    parts = []
    for row in job.reductions:
        if row.failure:
            parts.append(f"{row.backend} failed: {row.failure}")
            continue
        again = f", again {duration(row.steady.median).strip()}" if row.steady is not None else ""
        off = f"variances off by {error(row.error)} (allowed {error(row.bound)}), the space they span by"
        off += f" {error(row.angle)} (allowed {error(row.angle_bound)})"
        parts.append(f"{row.backend} {off}, in {duration(row.first).strip()}{again}")
    return f"Principal components against float64: {'; '.join(parts)}." if parts else ""


def job_note(job: Job, *, long: bool) -> str:
    """Where the rate comes from, which features are constant, and whether the runs agree; long: the components."""
    result = reduction_line(job) if long else ""
    parts = [f"Learning rate {job.learning_rate:.3g} = 1/L, L = λmax(ZᵀZ/n)/2 = {job.smoothness:.3g}"]
    if job.constant:
        few = ", ".join(job.constant[:4]) + (", ..." if len(job.constant) > 4 else "")
        number = "1 feature is" if len(job.constant) == 1 else f"{len(job.constant)} features are"
        parts.append(f"{number} the same on every row and without effect ({few})")
    different = max((run.disagreements for run in job.runs), default=0)
    if any(run.error for run in job.runs):
        parts.append("some runs failed")
    elif different:
        parts.append(f"up to {different} held-out predictions of a run differ from float64's")
    else:
        parts.append("all runs agree with float64 on every held-out row")
    return " ".join(filter(None, [result, "; ".join(parts)]))


def _share(found: Proportion) -> str:
    return f"{found.successes}/{found.n} = {100 * found.estimate:.1f}%"


def _interval(found: Proportion) -> str:
    return f"{100 * found.low:.1f} – {100 * found.high:.1f}%"
