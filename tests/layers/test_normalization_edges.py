"""Gradients of layer_norm and rms_norm where the numbers are large and alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars.layers import layer_norm, rms_norm
from running import ONCE, eps, on, pullback


@ONCE
@pytest.mark.parametrize("size", [1.0, 2.0**47, 2.0**49, 2.0**100, 3e38])
def test_a_constant_slice_has_the_gradient_that_epsilon_gives(variant: Variant, size: float) -> None:
    x, g = np.full((2, 4), size), np.asarray([[1.0, 2.0, 3.0, 5.0], [-1.0, 0.5, 0.0, 7.0]])
    [dx, *_] = pullback(variant, layer_norm, g, x, epsilon=1e-5)
    truth = (g - g.mean(axis=1, keepdims=True)) / np.sqrt(1e-5)
    np.testing.assert_allclose(dx, truth, rtol=16 * eps(variant))


@ONCE
@pytest.mark.parametrize("size", [2.0**50, 2.0**110])
def test_large_numbers_that_differ_are_scaled_as_before(variant: Variant, size: float) -> None:
    x, g = np.asarray([[1.0, 1.5, 0.0, -2.0]]), np.asarray([[1.0, 2.0, 3.0, 5.0]])
    for f in (layer_norm, rms_norm):
        [dx, *_] = pullback(variant, f, g, x * size, epsilon=0.0)
        [plain, *_] = pullback(variant, f, g, x, epsilon=0.0)
        np.testing.assert_allclose(dx * size, plain, rtol=64 * eps(variant), atol=64 * eps(variant))
        np.testing.assert_allclose(
            on(variant, f, x * size),
            on(variant, f, x, epsilon=0.0),
            rtol=16 * eps(variant),
            atol=16 * eps(variant),
        )


def test_a_slice_alike_beside_one_that_is_not(variant: Variant) -> None:
    x = np.asarray([[2.0**60] * 3, [2.0**60, 0.0, -(2.0**60)], [1.0, 2.0, 3.0]])
    y: Any = on(variant, layer_norm, x)
    np.testing.assert_allclose(y[0], 0.0)
    np.testing.assert_allclose(
        y[1:], np.sqrt(1.5) * np.asarray([[1, 0, -1], [-1, 0, 1]]), rtol=1e-4, atol=1e-6
    )
