"""The README's tables, from what is recorded in bench/results: `python bench/table.py` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"
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


if __name__ == "__main__":
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")
