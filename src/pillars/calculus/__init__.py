"""Derivatives and what is built on them: gradients of plain array code, losses, optimisers, descent."""

from __future__ import annotations

from pillars.calculus._check_gradient import check_gradient
from pillars.calculus._check_rows import CheckRow, GradientCheck
from pillars.calculus._descent import gradient_descent
from pillars.calculus._descent_plan import Metrics
from pillars.calculus._descent_result import Descent, History
from pillars.calculus._losses import mean_squared_error
from pillars.calculus._optimizers import Optimizer, adam, sgd
from pillars.calculus._reverse import grad, value_and_grad, vjp
from pillars.calculus._steps import AdamState, SgdState, Step

__all__ = [
    "AdamState",
    "CheckRow",
    "Descent",
    "GradientCheck",
    "History",
    "Metrics",
    "Optimizer",
    "SgdState",
    "Step",
    "adam",
    "check_gradient",
    "grad",
    "gradient_descent",
    "mean_squared_error",
    "sgd",
    "value_and_grad",
    "vjp",
]
