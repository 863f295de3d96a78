"""mean_squared_error: its value, its edges, its gradient for both arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw
from pillars.calculus import mean_squared_error
from running import ONCE, eps, on, pullback


def test_it_is_the_mean_of_squares_and_not_halved(variant: Variant) -> None:
    got = on(variant, mean_squared_error, np.asarray([1.0, 2.0]), np.asarray([1.0, 5.0]))
    assert got.shape == ()
    assert got == 4.5


def test_it_averages_over_every_entry(variant: Variant, draw: Draw) -> None:
    p, t = draw.normal(7, 3), draw.normal(7, 3)
    got = on(variant, mean_squared_error, p, t)
    assert np.allclose(got, np.mean((p - t) ** 2), rtol=16 * eps(variant), atol=0)


def test_translation_changes_nothing_and_scale_squares(variant: Variant, draw: Draw) -> None:
    p, t = draw.integers(-9, 9, 12).astype(float), draw.integers(-9, 9, 12).astype(float)
    base = on(variant, mean_squared_error, p, t)
    assert on(variant, mean_squared_error, p + 4.0, t + 4.0) == base
    assert on(variant, mean_squared_error, 4.0 * p, 4.0 * t) == 16.0 * base


def test_a_single_number(variant: Variant) -> None:
    assert on(variant, mean_squared_error, np.asarray(3.0), np.asarray(1.0)) == 4.0


@ONCE
def test_the_gradient_is_twice_the_difference_over_n(variant: Variant, draw: Draw) -> None:
    p, t = draw.normal(4, 3), draw.normal(4, 3)
    for_p, for_t = pullback(variant, mean_squared_error, 3.0, p, t)
    expected = 3.0 * 2.0 * (p - t) / 12
    assert np.allclose(for_p, expected, rtol=16 * eps(variant), atol=16 * eps(variant))
    assert np.array_equal(for_t, -for_p)


@pytest.mark.parametrize(
    ("shapes", "remedy"),
    [
        (((5,), (5, 1)), "every prediction with every target"),
        (((5, 1), (5,)), r"reshape the prediction to \(5,\)"),
        (((2, 3), (3, 2)), "transpose"),
        (((2, 3), (3,)), "Nothing is broadcast"),
        (((2, 3), ()), "Nothing is broadcast"),
    ],
)
def test_shapes_must_be_equal(variant: Variant, shapes: Any, remedy: str) -> None:
    with pytest.raises(ShapeError, match=remedy):
        on(variant, mean_squared_error, np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_a_mean_of_nothing_is_refused(variant: Variant) -> None:
    with pytest.raises(ShapeError, match="at least one entry"):
        on(variant, mean_squared_error, np.zeros((0, 3)), np.zeros((0, 3)))


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(DTypeError, match="prediction has dtype complex128"):
        mean_squared_error(np.ones(2, complex), np.ones(2))


def test_nan_and_overflow_are_stated_values(variant: Variant) -> None:
    assert np.isnan(on(variant, mean_squared_error, np.asarray([np.nan, 1.0]), np.ones(2)))
    huge = np.asarray([1e30, 1.0])
    assert np.isinf(on(variant, mean_squared_error, huge, np.zeros(2), dtype="float32"))
