"""Results become JSON that any parser takes."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from pillars.measure import Timing, as_json


class Row(NamedTuple):
    name: str
    error: float
    timing: Timing | None


def test_records_nest_and_odd_numbers_become_null() -> None:
    rows = (Row("a", 1e-7, Timing(1.0, 0.5, 2.0, 3, 4)), Row("é", math.nan, None), Row("c", math.inf, None))
    found = json.loads(as_json({"rows": rows, "n": 3, "flags": [True, None]}))
    assert found["rows"][0] == {
        "name": "a",
        "error": 1e-7,
        "timing": {"median": 1.0, "low": 0.5, "high": 2.0, "samples": 3, "inner": 4},
    }
    assert found["rows"][1] == {"name": "é", "error": None, "timing": None}
    assert found["rows"][2]["error"] is None
    assert (found["n"], found["flags"]) == (3, [True, None])
