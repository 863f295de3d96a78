"""Every function that the tracing array differentiates, with drawn arguments: what the audit and the tests go through.

A rule of :mod:`pillars.calculus._rules` without a case here fails the tests.
"""

from __future__ import annotations

from pillars.measure.cases._case import Case, draw
from pillars.measure.cases._complex import COMPLEX
from pillars.measure.cases._directions import DIRECTIONS
from pillars.measure.cases._linalg import LINALG
from pillars.measure.cases._numpy import EINSUM, MASKED, NUMPY, ORDER, SAMPLES
from pillars.measure.cases._pieces import PIECES
from pillars.measure.cases._shapes import SHAPES
from pillars.measure.cases._special import NUMBERS, Special
from pillars.measure.cases._special_matrices import MATRICES
from pillars.measure.cases._standard import STANDARD

__all__ = ["CASES", "SPECIAL", "Case", "Special", "draw"]

CASES: tuple[Case, ...] = (
    *STANDARD,
    *SHAPES,
    *COMPLEX,
    *LINALG,
    *ORDER,
    *SAMPLES,
    *PIECES,
    *NUMPY,
    *MASKED,
    *EINSUM,
    *DIRECTIONS,
)

SPECIAL: tuple[Special, ...] = (*NUMBERS, *MATRICES)
