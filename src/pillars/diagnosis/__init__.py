"""What judges anyone's training: where the first value that is not finite was made, what a function costs, its shapes.

Run logs, findings and rules are planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.diagnosis._cost import FunctionCost, OperationCost, OperationShapes, cost, shapes
from pillars.diagnosis._nonfinite import Origin, Range, find_nonfinite

__all__ = [
    "FunctionCost",
    "OperationCost",
    "OperationShapes",
    "Origin",
    "Range",
    "cost",
    "find_nonfinite",
    "shapes",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
