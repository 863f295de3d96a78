"""What `preflight` says before the first step, against what then happens: the whole table, failures included.

    python bench/stability.py                200 drawn problems, into bench/results/stability.json
    python bench/stability.py 40 --out FILE  fewer, elsewhere

Problems are those of the tests (quadratics of condition numbers up to 1e5, logistic and softmax regression, small
networks), the optimizer is plain, heavy-ball or Nesterov in turn. Each runs 500 steps at parts of the limit from 0.2 to
5. "grew" means that the descent's status is "diverged" or "nonfinite".
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from pillars.calculus import gradient_descent, preflight, sgd, stable_learning_rate
from pillars.measure import environment

HERE = Path(__file__).parent
PARTS = (0.2, 0.5, 0.9, 0.98, 1.02, 1.5, 3.0, 5.0)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "heavy ball": {"momentum": 0.9},
    "Nesterov": {"momentum": 0.9, "nesterov": True},
}


def outcomes(number: int, seed: int, steps: int) -> Counter[tuple[str, str, float, str, str]]:
    """(kind, optimizer, part of the limit, verdict, what happened) -> how often."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    problems = importlib.import_module("calculus._problems").problems
    found: Counter[tuple[str, str, float, str, str]] = Counter()
    names = list(OPTIMIZERS)
    for problem in problems(number, seed=seed):
        name = names[problem.seed // 4 % len(names)]
        start: Any = (problem.loss, problem.params, *problem.data)
        limit = stable_learning_rate(*start, optimizer=sgd(1.0, **OPTIMIZERS[name])).limit
        for part in PARTS:
            optimizer = sgd(part * limit, **OPTIMIZERS[name])
            verdict = preflight(*start, optimizer=optimizer).verdict
            status = gradient_descent(*start, optimizer=optimizer, steps=steps).status
            grew = "grew" if status in ("diverged", "nonfinite") else "did not grow"
            found[problem.kind, name, part, verdict, grew] += 1
    return found


def summary(found: Counter[tuple[str, str, float, str, str]], number: int) -> dict[str, Any]:
    """The figures that are asked for."""

    def count(**wanted: Any) -> int:
        fields = ("kind", "optimizer", "part", "verdict", "happened")
        return sum(
            times
            for key, times in found.items()
            if all(dict(zip(fields, key, strict=True))[name] == value for name, value in wanted.items())
        )

    near = {part: count(kind="quadratic", part=part) for part in (0.98, 1.02)}
    right = count(kind="quadratic", part=0.98, verdict="stable", happened="did not grow")
    right += count(kind="quadratic", part=1.02, verdict="diverges", happened="grew")
    return {
        "problems": number,
        "quadratics right at 0.98 and 1.02 of the limit": f"{right} of {sum(near.values())}",
        "called stable at 0.9 of the limit": count(part=0.9, verdict="stable"),
        "of these grew within the steps": count(part=0.9, verdict="stable", happened="grew"),
        "as a part of all problems": count(part=0.9, verdict="stable", happened="grew") / number,
        "called stable at 3 times the limit": count(part=3.0, verdict="stable"),
    }


def main() -> int:
    """Draw, predict, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("number", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "stability.json")
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what grows overflows
        found = outcomes(options.number, options.seed, options.steps)
    told = summary(found, options.number)
    fields = ("kind", "optimizer", "part", "verdict", "happened", "times")
    rows = [dict(zip(fields, (*key, times), strict=True)) for key, times in sorted(found.items())]
    document = {"summary": told, "seed": options.seed, "steps": options.steps, "rows": rows}
    document["environment"] = environment()._asdict()
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, value in told.items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
