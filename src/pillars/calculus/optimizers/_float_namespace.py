"""The array functions that small formulas use, on Python's numbers.

Schedules and monitors are written once, for arrays, so that they compile. In a loop in Python a 0-d array costs some
20 times a float: there they run on these.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

__all__ = ["scalars"]


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


scalars: Any = SimpleNamespace(
    abs=abs,
    exp=math.exp,
    full_like=lambda x, value: value,
    isfinite=math.isfinite,
    maximum=max,
    minimum=min,
    sin=math.sin,
    where=_where,
)
