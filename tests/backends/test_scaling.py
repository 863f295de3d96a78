"""The power of two that brings numbers near 1: exact, over all exponents, and of no interest to derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars.backends import binary_scale
from pillars.calculus import grad


def test_numbers_come_near_1_and_scale_and_inverse_are_normal(variant: Variant) -> None:
    for dtype in variant.floats:
        info = np.finfo(dtype)
        for exponent in range(info.minexp + 1, info.maxexp, 37 if dtype == "float64" else 5):
            x = np.ldexp(np.asarray([0.3, -1.7], dtype), exponent)
            scale = variant.to_numpy(variant.compiled(binary_scale)(variant.asarray(x, dtype)))
            assert scale.dtype == dtype
            assert scale.shape == ()
            mantissa, _ = np.frexp(scale)
            assert mantissa == 0.5
            assert 2.0**-4 <= 1.7 * 2.0**exponent * float(scale) <= 2.0**4
            assert min(scale, 1 / scale) >= info.tiny


def test_slices_zeros_and_what_is_not_finite(variant: Variant) -> None:
    x = np.asarray([[2.0**20, 0.0], [0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0]])
    given = variant.asarray(x)
    scales = variant.to_numpy(binary_scale(given, 1, keepdims=True))
    assert scales.shape == (4, 1)
    assert 2.0**-25 < scales[0, 0] < 2.0**-15
    assert np.array_equal(scales[1:, 0], np.ones(3))
    assert binary_scale(given, (0, 1)).shape == ()


def test_derivatives_take_it_for_a_constant() -> None:
    def scaled(x: Any) -> Any:
        return (x * binary_scale(x)).sum()

    slope = grad(scaled)(np.full(3, 100.0))
    assert np.all(slope == slope[0])
    assert 1 / 16 <= 100.0 * slope[0] <= 16
    assert np.frexp(slope[0])[0] == 0.5
    jax = pytest.importorskip("jax")
    slope = np.asarray(jax.grad(scaled)(jax.numpy.full(3, 100.0)))
    assert np.array_equal(slope, np.full(3, float(binary_scale(jax.numpy.full(3, 100.0)))))
