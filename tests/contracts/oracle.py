"""The body says what the world says: each operation in float64 against an external reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._support import draw, expected, invoke, no_error, rounded
from contracts._variants import Variant
from oracles import ORACLES
from pillars.backends import Record

__all__ = ["RUNS_ON", "check", "truth"]

RUNS_ON = ("numpy",)


def truth(record: Record, values: list[Any]) -> list[Any]:
    """What the oracle says of a call in parameter order."""
    assert record.name in ORACLES, f"{record.name}: no oracle; add one line to tests/oracles.py"
    found = invoke(record, values, ORACLES[record.name])
    return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]


def check(record: Record, where: Variant, seed: int) -> None:
    values = rounded(record, draw(record, seed), "float64")
    with no_error(record.name):
        body = expected(record, values, "float64")
    what = f"{record.name} against its oracle, seed {seed}"
    body._replace(arrays=truth(record, values)).agree(body.arrays, "float64", what)
