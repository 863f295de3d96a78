"""The bench and the audit as self-contained pages: words, pictures, tables that sort. Needs jinja2; matplotlib too."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from pillars.measure import Audit, Bench, Comparison, Environment
from pillars.report._units import duration, error, percent, rate, share, size, times

__all__ = ["audit_page", "bench_page", "page_needs"]


def page_needs(*, pictures: bool = True) -> list[str]:
    """The libraries that a page needs and that are not installed."""
    needed = ("jinja2", "matplotlib") if pictures else ("jinja2",)
    return [name for name in needed if find_spec(name) is None]


def _template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pillars.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        duration=lambda seconds: duration(seconds).strip(),
        error=error,
        percent=percent,
        rate=rate,
        share=share,
        size=size,
        times=times,
    )
    return environment.get_template(name)


def audit_page(audit: Audit, environment: Environment) -> str:
    """One HTML document of an audit and the machine it ran on, as :func:`bench_page` is one."""
    from pillars.report._audit import audit_verdict, failures, grid_of, reasons

    return str(
        _template("audit.html").render(
            audit=audit,
            environment=environment,
            verdict=audit_verdict(audit),
            failed=failures(audit),
            reasons=reasons(audit),
            methods=list(dict.fromkeys(row.method for row in audit.rows)),
            operations=grid_of([row for row in audit.rows if not row.traced]),
            functions=grid_of([row for row in audit.rows if row.traced]),
        )
    )


def bench_page(bench: Bench, comparison: Comparison | None = None) -> str:
    """One HTML document: no network, nothing beside it; light and dark, wide and narrow."""
    from markupsafe import Markup

    from pillars.report._compare import busy_words, counted, inputs_of, ratio_of
    from pillars.report._figures import COLOURS, roofline_figure, time_figure
    from pillars.report._job import job_model, reduction_line
    from pillars.report._operations import best_peer
    from pillars.report._summary import verdict, words

    operations = list(dict.fromkeys(row.operation for row in bench.operations))
    numbers = {name: number for number, name in enumerate(operations, 1)}
    devices = {state.name: state.device for state in bench.backends}
    single = [row for row in bench.operations if row.dtype == "float32"]
    large = [row for row in single if row.size == "large"]
    roofs = [limit for limit in bench.ceilings if limit.dtype == "float32"]
    return str(
        _template("bench.html").render(
            bench=bench,
            verdict=verdict(bench).plain,
            lines=[line.plain for line in words(bench)],
            colours=COLOURS,
            numbers=numbers,
            roofline=Markup(roofline_figure(roofs, large, devices, numbers)),  # noqa: S704
            times_of=[
                Markup(time_figure(name, [row for row in single if row.operation == name]))  # noqa: S704
                for name in operations
            ],
            ratio=_ratio,
            peer=best_peer,
            model=job_model(bench.job),
            components=reduction_line(bench.job),
            comparison=comparison,
            counted=counted,
            busy=busy_words,
            inputs=inputs_of,
            change=ratio_of,
        )
    )


def _ratio(row: Any) -> float | None:
    """How many times faster the hand-derived gradient is."""
    hand, auto = row.hand.steady, row.autodiff.steady
    return auto.median / hand.median if hand is not None and auto is not None else None
