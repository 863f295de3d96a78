"""Spectral methods: eigenvalues, functions of symmetric matrices, leading singular values, principal components.

Products and solvers are planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.linalg._components import PrincipalComponents
from pillars.linalg._eigh import Eigh, eigh
from pillars.linalg._lanczos import Lanczos, lanczos
from pillars.linalg._matrix_function import expm, inv_sqrtm, logm, matrix_function, sqrtm
from pillars.linalg._pca import pca
from pillars.linalg._repeated import (
    inverse_gaps as inverse_gaps,
    rounding as rounding,
    shared as shared,
    used_along as used_along,
)
from pillars.linalg._svd import SVD, randomized_svd

__all__ = [
    "SVD",
    "Eigh",
    "Lanczos",
    "PrincipalComponents",
    "eigh",
    "expm",
    "inv_sqrtm",
    "lanczos",
    "logm",
    "matrix_function",
    "pca",
    "randomized_svd",
    "sqrtm",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
