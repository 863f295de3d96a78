"""The README's table of speed, from bench/results/speed_cpu.json: `python bench/table.py` writes it anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "speed_cpu.json"
README = ROOT / "README.md"
_BEGIN, _END = "<!-- table: bench/results/speed_cpu.json -->", "<!-- end of table -->"


def table(found: dict[str, Any]) -> str:
    """One row a case in which a ratio is asked for: our time, and how many times faster we are than each peer."""
    lines = ["| work, float32 | pillars | times faster than |", "|---|---|---|"]
    for row in found["rows"]:
        if row["asked"]:
            peers = [name for name in row["milliseconds"] if "pillars" not in name]
            ratios = ", ".join(f"{peer} {row['times_faster'][peer]:.2f}" for peer in peers)
            lines.append(f"| {row['case']} | {row['milliseconds']['pillars']:.3g} ms | {ratios} |")
    return "\n".join(lines)


def page(text: str, found: dict[str, Any]) -> str:
    """The page with the table of these results in its place."""
    shown = re.compile(f"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)
    return shown.sub(lambda _: f"{_BEGIN}\n{table(found)}\n{_END}", text)


if __name__ == "__main__":
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    README.write_text(page(README.read_text(encoding="utf-8"), results), encoding="utf-8")
