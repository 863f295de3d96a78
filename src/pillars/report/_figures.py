"""Pictures as SVG text for a page: colours for light and dark, words in the page's own colour. Needs matplotlib."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from pillars.measure import Ceiling, OperationRow

__all__ = ["COLOURS", "roofline_figure", "time_figure"]

# told apart by the colour-blind, on black and white
COLOURS = {"numpy": "#3987c9", "jax": "#d9711c", "cupy": "#2a9d6f"}
_MARKERS = {"numpy": "o", "jax": "s", "cupy": "D"}
_APART, _LINE = 1.35, 1.75  # factors between two numbers on a line, and between two lines
_INK = "#010203"  # stands for the page's text colour
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}
_numbers = itertools.count()


def time_figure(operation: str, rows: Sequence[OperationRow]) -> str:
    """Time against the bytes that must move, a line a backend with its quartiles, and the machine's limit dashed."""
    with _figure(3.5, 2.7) as (axes, kept):
        for name in dict.fromkeys(row.backend for row in rows):
            points = sorted(
                (row.bytes, row.steady) for row in rows if row.backend == name and row.steady and row.bytes
            )
            if not points:
                continue
            sizes, times = [size for size, _ in points], [time for _, time in points]
            colour = COLOURS.get(name, _INK)
            line = {"color": colour, "marker": _MARKERS.get(name, "o"), "markersize": 4, "linewidth": 1.5}
            axes.plot(sizes, [time.median for time in times], label=name, **line)
            axes.fill_between(
                sizes, [t.low for t in times], [t.high for t in times], color=colour, alpha=0.25, linewidth=0
            )
        least = sorted({(row.bytes, row.least) for row in rows if row.least and row.bytes})
        if least:
            axes.plot(*zip(*least, strict=True), color=_INK, linestyle="--", linewidth=1, label="limit")
        axes.set(xscale="log", yscale="log", xlabel="bytes that must move", ylabel="seconds", title=operation)
        if axes.lines:
            axes.legend(fontsize=8)
    return str(kept["svg"])


def roofline_figure(
    ceilings: Sequence[Ceiling],
    rows: Sequence[OperationRow],
    devices: Mapping[str, str],
    numbers: Mapping[str, int],
) -> str:
    """Operations a second against operations a byte, under each device's roof; operations are numbered.

    Parameters
    ----------
    devices : backend -> the device whose ceiling holds for it.
    numbers : operation -> what marks it.
    """
    with _figure(7.2, 4.6) as (axes, kept):
        marked = [row for row in rows if row.steady and row.bytes and row.flops]
        ratios = [row.flops / row.bytes for row in marked if row.flops and row.bytes] or [1.0]
        low, high = min(ratios) / 3, max(ratios) * 3
        for one in ceilings:
            knee = one.rate / one.bandwidth
            edge = max(high, 3 * knee)
            places = [low, *([knee] if low < knee < edge else []), edge]
            roof = [min(place * one.bandwidth, one.rate) for place in places]
            axes.plot(
                places, roof, color=_INK, linewidth=1.2, linestyle="-", label=f"{one.device}: its limit"
            )
        for name in dict.fromkeys(row.backend for row in marked):
            mine = [row for row in marked if row.backend == name]
            x = [row.flops / row.bytes for row in mine if row.flops and row.bytes]
            y = [row.flops / row.steady.median for row in mine if row.flops and row.steady]
            marker = {"marker": _MARKERS.get(name, "o"), "s": 26, "alpha": 0.85, "linewidths": 0}
            axes.scatter(x, y, color=COLOURS.get(name, _INK), label=f"{name} on {devices[name]}", **marker)
        _mark(axes, marked, numbers)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="floating operations for each byte",
            ylabel="floating operations a second",
        )
        if axes.lines or axes.collections:
            axes.legend(fontsize=8, loc="upper left")
    return str(kept["svg"])


def _mark(axes: Any, rows: Sequence[OperationRow], numbers: Mapping[str, int]) -> None:
    """Each operation's number under its points, on a thin line: on the highest line of text where there is room."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.flops and row.bytes and row.steady:
            points.setdefault(row.operation, []).append(
                (row.flops / row.bytes, row.flops / row.steady.median)
            )
    floor = min((rate for result in points.values() for _, rate in result), default=1.0)
    taken: list[float] = []  # the last number's place on each line
    for name, result in sorted(points.items(), key=lambda item: item[1][0][0]):
        place = result[0][0]
        line = next((i for i, last in enumerate(taken) if place > _APART * last), len(taken))
        taken[line : line + 1] = [place]
        below = floor / _LINE ** (line + 2)
        reach = [below * 1.35, max(rate for _, rate in result)]
        axes.plot([place, place], reach, color=_INK, alpha=0.25, linewidth=0.6)
        axes.annotate(str(numbers[name]), (place, below), ha="center", va="center", fontsize=8)


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, dict[str, str]]]:
    kept: dict[str, str] = {}
    number = next(_numbers)
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "pillars"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.add_subplot(), kept
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    kept["svg"] = _for_a_page(text.getvalue(), number)


def _for_a_page(svg: str, number: int) -> str:
    """The element alone, its size left to the page, its ids told apart from other pictures' by a number."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'((?: id="|href="#|url\(#))', rf"\g<1>p{number}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(_INK, "currentColor").replace("<svg ", '<svg role="img" ', 1)
