"""What dispatch costs: microseconds on top of an operation's body on NumPy, and the time that the import takes.

The difference is that of a call through the public function and of what it ends up calling - checks, and the body in
its quiet context - on the same small array: the median over many rounds, both in each, so that they meet the same
machine. Each import is timed in fresh interpreters, in turn with NumPy's; `import pillars` alone loads no library, so
that of a first name, which does, stands beside it.

    python bench/dispatch.py [--out FILE] [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pillars
from pillars.backends import Draw, Record, records
from pillars.backends._operation import choose

LIMITS = {"positional": 1.0, "keywords": 2.0}  # microseconds
IMPORT_LIMIT = 1.3  # times `import numpy`


def operations() -> list[Record]:
    """Every public operation."""
    found = []
    for module in pkgutil.iter_modules(pillars.__path__, "pillars."):
        if module.ispkg and module.name not in {"pillars.cli", "pillars.report", "pillars.measure"}:
            importlib.import_module(module.name)
    for record in records().values():
        room = sys.modules[f"pillars.{record.name.partition('.')[0]}"]
        if record.kind == "operation" and getattr(room, record.body.__name__, None) is record.function:
            found.append(record)
    return found


def timed(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Microseconds a call of each, round by round, taken in turn."""
    # this thread's own time: what else the machine does meanwhile is not dispatch's
    timers = {name: timeit.Timer(run, timer=time.thread_time) for name, run in contenders.items()}
    number = max(1, timers[next(iter(timers))].autorange()[0] // 20)
    times: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(number) / number * 1e6)
    return times


def dispatch(record: Record, rounds: int) -> dict[str, Any]:
    """Microseconds of one operation: what it must do, and what the public function adds to that."""
    assert record.domain is not None
    for seed in range(100):
        call = record.domain(Draw(seed, scale=4))
        if all(isinstance(x, np.ndarray) for x in call.args if x is not None):
            break
    values = record.bind(call.args, call.options)
    names = {p.name for p in record.names}
    for p in record.arrays:  # what a check sees is an array by then
        if isinstance(values[p.position], int):
            values[p.position] = np.asarray(values[p.position])
    positional = [values[p.position] for p in record.positional]
    options = {p.name: values[p.position] for p in record.options}
    passed = {name: value for name, value in options.items() if name not in names}
    own = {
        p.name: np.asarray(p.default) if p.is_array and p.default is not None else p.default
        for p in record.options
    }
    own_passed = {name: value for name, value in own.items() if name not in names}
    defaults_fit = _accepts(record, positional)
    function, check, check_values = record.function, record.rules.check, record.rules.check_values

    def needed(options: dict[str, Any], passed: dict[str, Any]) -> Callable[[], Any]:
        given = [*positional, *options.values()]
        chosen, name, _ = choose(pillars.backend("numpy"), record, given)
        target = np.errstate(all="ignore")(chosen) if name == "body" else chosen

        def run() -> Any:
            if check is not None:
                check(*positional, **options)
            if check_values is not None:
                check_values(*positional, **options)
            return target(*positional, **passed)

        return run

    contenders = {
        "needed with keywords": needed(options, passed),
        "keywords": lambda: function(*positional, **options),
    }
    if defaults_fit:
        contenders["needed"] = needed(own, own_passed)
        contenders["positional"] = lambda: function(*positional)
    times = timed(contenders, rounds)

    def added(kind: str, needed: str) -> float:
        return round(statistics.median(a - b for a, b in zip(times[kind], times[needed], strict=True)), 3)

    row: dict[str, Any] = {"operation": record.name}
    row["microseconds"] = {name: round(min(found), 3) for name, found in times.items()}
    row["positional"] = added("positional", "needed") if defaults_fit else None
    row["keywords"] = added("keywords", "needed with keywords") if options else None
    return row


def _accepts(record: Record, positional: list[Any]) -> bool:
    try:
        record.function(*positional)
    except pillars.PillarsError:
        return False
    return True


def imports(rounds: int) -> dict[str, float]:
    """Median seconds of fresh interpreters that import nothing, NumPy, pillars, or one of its names."""
    programs = {
        "nothing": "pass",
        "numpy": "import numpy",
        "pillars": "import pillars",
        "softmax": "from pillars import softmax",
    }
    code = "import time; begin = time.perf_counter(); {0}; print(time.perf_counter() - begin)"
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            done = subprocess.run(
                [sys.executable, "-c", code.format(program)], capture_output=True, text=True, check=True
            )
            if turn:  # the first one fills the file cache
                times[name].append(float(done.stdout))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    rounds = 15 if arguments.quick else 60
    rows = [dispatch(record, rounds) for record in operations()]
    print(
        f"{'operation':32}{'positional':>12}{'keywords':>12}   microseconds added on NumPy {np.__version__}"
    )
    for row in rows:
        cells = "".join(f"{'-' if row[kind] is None else format(row[kind], '.2f'):>12}" for kind in LIMITS)
        over = [kind for kind, limit in LIMITS.items() if row[kind] is not None and row[kind] > limit]
        print(
            f"{row['operation']:32}{cells}   {'over the limit: ' + ', '.join(over) if over else ''}".rstrip()
        )
    seconds = imports(5 if arguments.quick else 25)
    ratio = seconds["pillars"] / seconds["numpy"]
    print(
        f"from pillars import softmax {seconds['softmax'] * 1e3:.1f} ms, "
        f"import pillars {seconds['pillars'] * 1e3:.1f} ms, import numpy {seconds['numpy'] * 1e3:.1f} ms: "
        f"{ratio:.2f} times (limit {IMPORT_LIMIT})"
    )
    if arguments.out is not None:
        result = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "limits": {**LIMITS, "import ratio": IMPORT_LIMIT},
            "dispatch": rows,
            "import seconds": seconds,
            "import ratio": ratio,
        }
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
