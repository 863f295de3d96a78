"""Losses of regression."""

from __future__ import annotations

from pillars.calculus.losses._least_squares import LeastSquaresLoss, Quadratic
from pillars.calculus.losses._regression import huber, mean_absolute_error, mean_squared_error

__all__ = ["LeastSquaresLoss", "Quadratic", "huber", "mean_absolute_error", "mean_squared_error"]
