"""Public operations that `pillars bench` does not time: sized inputs, and how far rounding may carry the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from contracts._tolerance import bound, conditioning
from pillars.measure.bench._bench_cases import Inputs, Lengths, Source, by
from pillars.measure.bench._precision import SINGLE
from pillars.measure.bench._workloads import workload

__all__ = ["OPERATIONS", "UNKNOWN", "Make", "condition_of"]

# The condition of what nobody has bounded by hand: `condition_of` computes it.
UNKNOWN = math.nan

Make = Callable[[Source, str, Lengths], Inputs]


def condition_of(f: Callable[[list[Any]], list[Any]], inputs: list[Any]) -> float:
    """The contracts' tolerance of `f` in float32, in units of roundoff of each array's largest entry: the loosest.

    Parameters
    ----------
    f : float64 arrays -> the arrays of a result in float64.
    inputs : what it is called on.
    """
    size = sum(x.size for x in inputs)
    pairs = zip(f(inputs), conditioning(f, inputs), strict=True)
    return max(bound(np.float32, size, y, kappa) / (SINGLE * float(np.abs(y).max())) for y, kappa in pairs)


def _inputs(arrays: tuple[Any, ...], condition: float, gradient_condition: float) -> Inputs:
    return Inputs(by(arrays[0].shape), arrays, None, condition, gradient_condition)


def _attention(number: int) -> Make:
    """The first arrays of attention, whose bound is that of its weights."""

    def make(source: Source, size: str, lengths: Lengths) -> Inputs:
        inputs = workload("attention", size).inputs
        return inputs._replace(arrays=inputs.arrays[:number], cotangent=None)

    return make


def _apart(source: Source, size: str, lengths: Lengths) -> Inputs:
    """Differences away from 0 and from 1, where an absolute value or Huber's loss has its kink."""
    target = source.normal(lengths.rows, lengths.columns)
    near = source.normal(lengths.rows, lengths.columns)
    # by 0.1 to 0.9, or by 1.1 and more
    far = np.where(abs(near) < 0.5, 0.1 + 1.6 * abs(near), 0.6 + abs(near))
    arrays = (target + np.copysign(far, near).astype(target.dtype), target)
    # as for the mean of the squares
    return _inputs(arrays, 8 + target.size**0.5, 16.0)


def _eigenvalues_apart(source: Source, size: str, lengths: Lengths) -> Inputs:
    """Eigenvalues near 1, 2, 3, ..., and eigenvectors with one entry that is the largest in every precision.

    An eigenvalue is off by some roundings of the norm, an eigenvector by that over its gap (Davis and Kahan 1970), and
    a gradient is that of a few such, as for principal components.
    """
    d = lengths.features
    noise = source.normal(d, d, scale=0.1)
    x = np.diag(np.arange(1, d + 1)).astype(noise.dtype) + noise + noise.T
    values = np.linalg.eigvalsh(x)
    off = (8 + d**0.5) * float(abs(values).max() / np.diff(values).min())
    return _inputs((x,), off, 3 * off)


def _definite(source: Source, size: str, lengths: Lengths) -> Inputs:
    """Eigenvalues between 1 and 9."""
    d = lengths.features
    factor = source.normal(d, 2 * d, scale=(2 * d) ** -0.5)
    return _inputs((np.eye(d, dtype=factor.dtype) + 2 * (factor @ factor.T),), UNKNOWN, UNKNOWN)


# name -> the operation, its inputs and its options
OPERATIONS: Mapping[str, tuple[str, Make, dict[str, Any]]] = MappingProxyType(
    {
        "attention_weights": ("algorithms.attention_weights", _attention(2), {}),
        "attention_logsumexp": ("algorithms.attention_logsumexp", _attention(3), {}),
        "mean_absolute_error": ("calculus.mean_absolute_error", _apart, {}),
        "huber": ("calculus.huber", _apart, {}),
        "eigh": ("linalg.eigh", _eigenvalues_apart, {}),
        "expm": ("linalg.expm", _definite, {}),
        "logm": ("linalg.logm", _definite, {}),
        "sqrtm": ("linalg.sqrtm", _definite, {}),
        "inv_sqrtm": ("linalg.inv_sqrtm", _definite, {}),
        "matrix_function": ("linalg.matrix_function", _definite, {"f": "cos"}),
    }
)
