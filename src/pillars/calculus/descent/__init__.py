"""Gradient descent: its loops, monitors, checkpoints, and the verdict on a run."""

from __future__ import annotations

from pillars.calculus.descent._gradient_descent import gradient_descent
from pillars.calculus.descent._interrupt import passed_on
from pillars.calculus.descent._monitors import (
    EarlyStopping,
    LossMonitor,
    RisingState,
    RobustState,
    StoppingState,
)
from pillars.calculus.descent._plan import Metrics
from pillars.calculus.descent._result import Descent, History

__all__ = [
    "Descent",
    "EarlyStopping",
    "History",
    "LossMonitor",
    "Metrics",
    "RisingState",
    "RobustState",
    "StoppingState",
    "gradient_descent",
    "passed_on",
]
