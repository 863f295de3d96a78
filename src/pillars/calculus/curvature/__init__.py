"""The curvature of a loss, and what it says of a learning rate before, and after, a descent."""

from __future__ import annotations

from pillars.calculus.curvature._preflight import preflight, stable_learning_rate
from pillars.calculus.curvature._preflight_result import Preflight, StabilityLimit
from pillars.calculus.curvature._sharpness import Sharpness, sharpness
from pillars.calculus.curvature._sweep import (
    ImpliedSharpness,
    SweepRow,
    implied_sharpness,
    learning_rate_sweep,
)

__all__ = [
    "ImpliedSharpness",
    "Preflight",
    "Sharpness",
    "StabilityLimit",
    "SweepRow",
    "implied_sharpness",
    "learning_rate_sweep",
    "preflight",
    "sharpness",
    "stable_learning_rate",
]
