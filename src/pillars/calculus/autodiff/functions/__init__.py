"""The functions that the tracing array differentiates, in chapters: rules first, then what is composed of them."""

from __future__ import annotations

from pillars.calculus.autodiff.functions import (  # noqa: F401 - they fill the tables
    _complex,
    _creation,
    _decompositions,
    _determinants,
    _differences,
    _directions,
    _einsum,
    _elementwise,
    _fft,
    _indexing,
    _inverses,
    _joining,
    _matrix_helpers,
    _more_ufuncs,
    _norms,
    _padding,
    _products,
    _rank,
    _reductions,
    _scipy_special,
    _shape,
    _sorting,
    _squares,
    _statistics,
    _table,
)
from pillars.calculus.autodiff.functions._directions import along
from pillars.calculus.autodiff.functions._scipy_special import special_rule
from pillars.calculus.autodiff.functions._table import FOURIER, FUNCTIONS, LINALG

__all__ = ["FOURIER", "FUNCTIONS", "LINALG", "along", "special_rule"]
