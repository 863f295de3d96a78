"""Spectral methods: eigenvalues, leading singular values, principal components. Products and solvers are planned."""

from __future__ import annotations

from pillars.linalg._components import PrincipalComponents
from pillars.linalg._eigh import Eigh, eigh
from pillars.linalg._lanczos import Lanczos, lanczos
from pillars.linalg._pca import pca
from pillars.linalg._svd import SVD, randomized_svd

__all__ = ["SVD", "Eigh", "Lanczos", "PrincipalComponents", "eigh", "lanczos", "pca", "randomized_svd"]
