"""Gradient checks: four independent methods, tolerances from measured rounding, kinks told apart."""

from __future__ import annotations

from pillars.calculus.gradient_check._check_gradient import check_gradient
from pillars.calculus.gradient_check._flat_function import LONGEST, Subject
from pillars.calculus.gradient_check._methods import CheckRow
from pillars.calculus.gradient_check._verdict import METHODS, GradientCheck, check_subject

__all__ = ["LONGEST", "METHODS", "CheckRow", "GradientCheck", "Subject", "check_gradient", "check_subject"]
