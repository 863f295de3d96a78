"""Derivatives and what is built on them: gradients of plain array code, losses, optimisers, descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.calculus._check_gradient import check_gradient
from pillars.calculus._check_rows import CheckRow, GradientCheck
from pillars.calculus._clipping import Clipped, clip_by_global_norm, clip_by_value
from pillars.calculus._curvature import Sharpness, sharpness
from pillars.calculus._descent import gradient_descent
from pillars.calculus._descent_plan import Metrics
from pillars.calculus._descent_result import Descent, History
from pillars.calculus._hessian import hessian
from pillars.calculus._hvp import hvp
from pillars.calculus._jacobian import jacobian
from pillars.calculus._least_squares import LeastSquaresLoss, Quadratic
from pillars.calculus._losses import huber, mean_absolute_error, mean_squared_error
from pillars.calculus._monitors import EarlyStopping, LossMonitor, RisingState, RobustState, StoppingState
from pillars.calculus._optimizers import Optimizer, adam, adamw, sgd
from pillars.calculus._plateau import PlateauState, reduce_on_plateau
from pillars.calculus._reverse import grad, value_and_grad, vjp
from pillars.calculus._schedule_cycles import (
    cosine_restarts,
    join_schedules,
    one_cycle,
    piecewise,
    polynomial_decay,
)
from pillars.calculus._schedules import (
    constant,
    cosine_decay,
    exponential_decay,
    linear_warmup,
    step_decay,
    warmup_cosine,
)
from pillars.calculus._stability import preflight, stable_learning_rate
from pillars.calculus._stability_result import Preflight, StabilityLimit
from pillars.calculus._steps import AdamState, SgdState, Step
from pillars.calculus._sweep import ImpliedSharpness, SweepRow, implied_sharpness, learning_rate_sweep

__all__ = [
    "AdamState",
    "CheckRow",
    "Clipped",
    "Descent",
    "EarlyStopping",
    "GradientCheck",
    "History",
    "ImpliedSharpness",
    "LeastSquaresLoss",
    "LossMonitor",
    "Metrics",
    "Optimizer",
    "PlateauState",
    "Preflight",
    "Quadratic",
    "RisingState",
    "RobustState",
    "SgdState",
    "Sharpness",
    "StabilityLimit",
    "Step",
    "StoppingState",
    "SweepRow",
    "adam",
    "adamw",
    "check_gradient",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine_decay",
    "cosine_restarts",
    "exponential_decay",
    "grad",
    "gradient_descent",
    "hessian",
    "huber",
    "hvp",
    "implied_sharpness",
    "jacobian",
    "join_schedules",
    "learning_rate_sweep",
    "linear_warmup",
    "mean_absolute_error",
    "mean_squared_error",
    "one_cycle",
    "piecewise",
    "polynomial_decay",
    "preflight",
    "reduce_on_plateau",
    "sgd",
    "sharpness",
    "stable_learning_rate",
    "step_decay",
    "value_and_grad",
    "vjp",
    "warmup_cosine",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
