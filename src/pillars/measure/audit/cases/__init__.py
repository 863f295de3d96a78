"""Every function that the tracing array differentiates, with drawn arguments: what the audit and the tests go through.

A rule of :mod:`pillars.calculus.autodiff._rule` without a case here fails the tests.
"""

from __future__ import annotations

from pillars.measure.audit.cases._case import Case, draw
from pillars.measure.audit.cases._complex import COMPLEX
from pillars.measure.audit.cases._directions import DIRECTIONS
from pillars.measure.audit.cases._linalg import LINALG
from pillars.measure.audit.cases._numpy import EINSUM, MASKED, NUMPY, ORDER, SAMPLES
from pillars.measure.audit.cases._pieces import PIECES
from pillars.measure.audit.cases._shapes import SHAPES
from pillars.measure.audit.cases._special import NUMBERS, Special
from pillars.measure.audit.cases._special_matrices import MATRICES
from pillars.measure.audit.cases._standard import STANDARD

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
