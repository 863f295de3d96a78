"""The pages' tables and samples, from what is recorded in bench/results: `python bench/table.py` writes them anew."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from pillars.measure import load_bench
from pillars.report import print_bench

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"
OUTPUT = ROOT / "docs" / "bench_output.md"
_END = "<!-- end of table -->"


def speed(found: dict[str, Any]) -> str:
    """One row a case in which a ratio is asked for: our time, and how many times faster we are than each peer."""
    lines = ["| work, float32 | pillars | times faster than |", "|---|---|---|"]
    for row in found["rows"]:
        if row["asked"]:
            peers = [name for name in row["milliseconds"] if "pillars" not in name]
            ratios = ", ".join(f"{peer} {row['times_faster'][peer]:.2f}" for peer in peers)
            lines.append(f"| {row['case']} | {row['milliseconds']['pillars']:.3g} ms | {ratios} |")
    return "\n".join(lines)


def checkers(found: dict[str, Any]) -> str:
    """One row a checker and dtype: the faults that it missed, and the right gradients that it called wrong."""
    lines = ["| checker | dtype | faults missed | right ones accused | left open |", "|---|---|---|---|---|"]
    for row in found["totals"]:
        missed, accused = f"{row['missed']} of {row['faults']}", f"{row['accused']} of {row['right']}"
        lines.append(f"| {row['checker']} | {row['dtype']} | {missed} | {accused} | {row['open']} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"speed_cpu": speed, "checkers": checkers}


def page(text: str, results: Path = RESULTS) -> str:
    """The page with the tables of these results in their places."""
    for name, table in TABLES.items():
        begin = f"<!-- table: bench/results/{name}.json -->"
        shown = re.compile(f"{re.escape(begin)}\n.*?{re.escape(_END)}", re.DOTALL)
        made = table(json.loads((results / f"{name}.json").read_text(encoding="utf-8")))
        text = shown.sub(lambda _, begin=begin, made=made: f"{begin}\n{made}\n{_END}", text)
    return text


def sample(text: str, results: Path = RESULTS) -> str:
    """The page with what `pillars bench` and `pillars bench --long` print of the recorded run, 110 columns wide."""
    bench = load_bench(results / "bench_cpu.json")
    for command, long in (("pillars bench", False), ("pillars bench --long", True)):
        console = Console(file=io.StringIO(), width=110, highlight=False, markup=False, color_system=None)
        print_bench(console, bench, long=long)
        begin, end = f"<!-- sample: {command} -->", "<!-- end of sample -->"
        shown = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        fence = f"{begin}\n```text\n{console.file.getvalue().rstrip()}\n```\n{end}"  # type: ignore[attr-defined]
        text = shown.sub(lambda _, fence=fence: fence, text)
    return text


if __name__ == "__main__":
    OUTPUT.write_text(sample(OUTPUT.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")
