"""The worked examples that teach the four pillars, with the figures that their programs truly give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars.layers import linear
from pillars.probability import cross_entropy, sigmoid, softmax
from running import on


def assert_prints(got: Any, figures: Any, decimals: int = 3) -> None:
    """The figures as they are printed: half a unit of the last decimal, and what float32 rounds."""
    assert np.shape(got) == np.shape(figures)
    assert np.all(np.abs(np.asarray(got, dtype=np.float64) - figures) <= 0.5 * 10.0**-decimals * (1 + 1e-3))


@pytest.mark.parametrize(
    ("temperature", "figures"),
    [
        (1.0, [0.659, 0.242, 0.099]),
        (0.5, [0.864, 0.117, 0.019]),  # often printed as .867 .116 .018
        (2.0, [0.502, 0.304, 0.194]),
        (5.0, [0.400, 0.327, 0.273]),
    ],
)
def test_softmax_and_temperature(variant: Variant, temperature: float, figures: list[float]) -> None:
    assert_prints(on(variant, softmax, np.asarray([2.0, 1.0, 0.1]), temperature=temperature), figures)


def test_softmax_near_freezing(variant: Variant) -> None:
    p = on(variant, softmax, np.asarray([2.0, 1.0, 0.1]), temperature=0.1)
    assert_prints(p, [1.0, 0.0, 0.0])
    assert np.allclose(p[1:], np.exp([-10.0, -19.0]), rtol=1e-4)


def test_cross_entropy_of_three_predictions(variant: Variant) -> None:
    p = np.asarray([[0.9, 0.05, 0.05], [0.1, 0.6, 0.3], [0.4, 0.3, 0.3]])
    got = on(variant, cross_entropy, np.log(p), np.asarray([0, 0, 0]), reduction="none")
    assert_prints(got, [0.105, 2.303, 0.916])


def test_sigmoid_of_small_integers(variant: Variant) -> None:
    assert_prints(on(variant, sigmoid, np.asarray([-2, -1, 0, 1, 2])), [0.119, 0.269, 0.5, 0.731, 0.881])


def test_a_layer_of_customers(variant: Variant) -> None:
    customers = [(35, 75000, 24), (28, 52000, 12), (42, 98000, 36), (31, 61000, 18), (55, 120000, 48)]
    weights = np.random.RandomState(42).randn(3, 2)
    y = on(variant, linear, np.asarray(customers, dtype=np.float64), weights, np.asarray([0.5, -0.3]))
    assert y.shape == (5, 2)
    figures = np.asarray([48588.906, 114216.481])  # often printed as -108.684, -64.489
    if variant.wide:
        assert_prints(y[0], figures)
    else:
        assert np.allclose(y[0], figures, rtol=4 * np.finfo(np.float32).eps, atol=0)
