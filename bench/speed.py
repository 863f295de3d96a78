"""What users would otherwise pick, timed beside pillars in the same process: ratios, with the error beside the time.

    python bench/speed.py                     every case of bench/cases
    python bench/speed.py attention pca       cases whose name contains one of these; the others' rows in the file stay
    python bench/speed.py --out FILE          elsewhere than bench/results/speed_cpu.json

Each case runs in a process of its own, where its candidates take turns (`pillars.measure.race`). A ratio is a peer's
median over ours: above 1 pillars is faster. What a case asks for stands beside what it reached; nothing is asserted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "speed_cpu.json"


class Contest(NamedTuple):
    """The candidates of one case, made once.

    Attributes
    ----------
    ways : name -> call without arguments; "pillars" is ours. What is transferred or compiled is so before.
    error : result -> distance from the truth, computed wide; what it is relative to is said in `measure`.
    measure : what `error` gives, in words.
    synchronize : waits for a result; None for what is done when it returns.
    facts : figures that are no times, such as {"pillars: peak extra MB": 12.1}.
    """

    ways: Mapping[str, Callable[[], Any]]
    error: Callable[[Any], float]
    measure: str
    synchronize: Callable[[Any], Any] | None = None
    facts: Mapping[str, float] = {}


class Case(NamedTuple):
    """One line of the table: its name, the ratios asked for (peer, or "fastest" -> ratio), and what makes it."""

    name: str
    asked: Mapping[str, float]
    make: Callable[[], Contest]
    rounds: int = 5
    samples: int = 5


def cases() -> Iterator[Case]:
    """Every case of every module in bench/cases, in the order of their names."""
    sys.path.insert(0, str(HERE))
    for path in sorted((HERE / "cases").glob("[!_]*.py")):
        yield from importlib.import_module(f"cases.{path.stem}").CASES


def run_case(case: Case) -> dict[str, Any]:
    """Time one case here: medians, spread, errors and ratios."""
    from pillars.measure import Candidate, environment, race

    contest = case.make()
    wait = contest.synchronize or (lambda result: result)
    errors = {name: float(contest.error(wait(call()))) for name, call in contest.ways.items()}
    candidates = {name: Candidate(call, wait) for name, call in contest.ways.items()}
    times = race(candidates, rounds=case.rounds, samples=case.samples)
    ours = times["pillars"].median
    ratios = {name: timing.median / ours for name, timing in times.items() if name != "pillars"}
    ratios = {"fastest": min(ratios.values(), default=float("nan")), **ratios}
    return {
        "case": case.name,
        "milliseconds": {name: round(1e3 * timing.median, 5) for name, timing in times.items()},
        "spread": {name: round(timing.spread, 3) for name, timing in times.items()},
        "error": {name: float(f"{error:.3g}") for name, error in errors.items()},
        "error_is": contest.measure,
        "times_faster": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "asked": dict(case.asked),
        "reached": {name: ratios[name] >= asked for name, asked in case.asked.items() if name in ratios},
        "facts": dict(contest.facts),
        "environment": environment()._asdict(),
    }


def _apart(case: Case) -> dict[str, Any] | None:
    """The row of one case, from a process of its own; None where it failed."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", case.name], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        print(f"{case.name}: failed (exit status {done.returncode})", file=sys.stderr)
        return None
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _merged(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The file's document with these rows in the place of older ones; environments are kept once each."""
    before: dict[str, Any] = {"environments": {}, "rows": []}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
    places = dict(before["environments"])
    for row in rows:
        place = row.pop("environment")
        row["measured"] = place["date"]
        places[place["date"]] = place
    named = {row["case"] for row in rows}
    kept = [row for row in before["rows"] if row["case"] not in named]
    every = sorted([*rows, *kept], key=lambda row: str(row["case"]))
    used = {row["measured"] for row in every}
    return {"environments": {date: places[date] for date in sorted(used)}, "rows": every}


def main() -> int:
    """Run what is named, print a line each, and write the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="parts of cases' names; none: all of them")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(run_case(next(case for case in cases() if case.name == options.one))))
        return 0
    wanted = [
        case for case in cases() if not options.names or any(part in case.name for part in options.names)
    ]
    rows = []
    for case in wanted:
        row = _apart(case)
        if row is None:
            continue
        rows.append(row)
        print(f"{case.name}\n    ms {row['milliseconds']}\n    error {row['error']}")
        print(f"    times faster {row['times_faster']}, asked {row['asked']} {row['facts'] or ''}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(_merged(options.out, rows), indent=1) + "\n", encoding="utf-8")
    return 0 if len(rows) == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
