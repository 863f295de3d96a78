"""Optimisers, schedules and clipping: pure init and update, everything that changes in a visible state."""

from __future__ import annotations

from pillars.calculus.optimizers._clipping import Clipped, clip_by_global_norm, clip_by_value, within_bound
from pillars.calculus.optimizers._float_namespace import scalars
from pillars.calculus.optimizers._init_and_update import Init, Update, refuse_rate, scheduled
from pillars.calculus.optimizers._optimizers import Optimizer, adam, adamw, sgd
from pillars.calculus.optimizers._plateau import PlateauInit, PlateauState, PlateauUpdate, reduce_on_plateau
from pillars.calculus.optimizers._schedule_course import Course
from pillars.calculus.optimizers._schedule_cycles import (
    cosine_restarts,
    join_schedules,
    one_cycle,
    piecewise,
    polynomial_decay,
)
from pillars.calculus.optimizers._schedule_formulas import Schedule
from pillars.calculus.optimizers._schedules import (
    constant,
    cosine_decay,
    exponential_decay,
    linear_warmup,
    step_decay,
    warmup_cosine,
)
from pillars.calculus.optimizers._update_rules import AdamState, Sgd, SgdState, Step

__all__ = [
    "AdamState",
    "Clipped",
    "Course",
    "Init",
    "Optimizer",
    "PlateauInit",
    "PlateauState",
    "PlateauUpdate",
    "Schedule",
    "Sgd",
    "SgdState",
    "Step",
    "Update",
    "adam",
    "adamw",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine_decay",
    "cosine_restarts",
    "exponential_decay",
    "join_schedules",
    "linear_warmup",
    "one_cycle",
    "piecewise",
    "polynomial_decay",
    "reduce_on_plateau",
    "refuse_rate",
    "scalars",
    "scheduled",
    "sgd",
    "step_decay",
    "warmup_cosine",
    "within_bound",
]
