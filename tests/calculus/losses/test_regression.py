"""The losses of regression: their values, their edges and kinks, their gradients for every argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw, backend
from pillars.calculus import grad, huber, mean_absolute_error, mean_squared_error
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


@pytest.mark.parametrize("loss", [mean_squared_error, mean_absolute_error, huber], ids=lambda f: f.__name__)
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
def test_shapes_must_be_equal(variant: Variant, shapes: Any, remedy: str, loss: Any) -> None:
    with pytest.raises(ShapeError, match=f"{loss.__name__}: .*{remedy}"):
        on(variant, loss, np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("loss", [mean_squared_error, mean_absolute_error, huber], ids=lambda f: f.__name__)
def test_a_mean_of_nothing_is_refused(variant: Variant, loss: Any) -> None:
    with pytest.raises(ShapeError, match=f"{loss.__name__}: .*at least one entry"):
        on(variant, loss, np.zeros((0, 3)), np.zeros((0, 3)))


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(DTypeError, match="prediction has dtype complex128"):
        mean_squared_error(np.ones(2, complex), np.ones(2))


def test_nan_and_overflow_are_stated_values(variant: Variant) -> None:
    assert np.isnan(on(variant, mean_squared_error, np.asarray([np.nan, 1.0]), np.ones(2)))
    huge = np.asarray([1e30, 1.0])
    assert np.isinf(on(variant, mean_squared_error, huge, np.zeros(2), dtype="float32"))


# ------------------------------------------------------------------------------------------- absolute and Huber's loss
def test_the_absolute_loss_is_the_mean_of_magnitudes(variant: Variant, draw: Draw) -> None:
    assert on(variant, mean_absolute_error, np.asarray([1.0, 2.0]), np.asarray([1.0, 5.0])) == 1.5
    p, t = draw.normal(7, 3), draw.normal(7, 3)
    got = on(variant, mean_absolute_error, p, t)
    assert np.allclose(got, np.mean(np.abs(p - t)), rtol=16 * eps(variant), atol=0)


def test_huber_is_halved_squares_inside_and_lines_outside(variant: Variant, draw: Draw) -> None:
    got = on(variant, huber, np.asarray([0.5, -3.0, 2.0]), np.zeros(3), delta=2.0)
    assert np.isclose(got, (0.125 + 2.0 * (3.0 - 1.0) + 2.0) / 3, rtol=4 * eps(variant))
    p, t = draw.normal(50), draw.normal(50)
    squares, lines = np.mean((p - t) ** 2), np.mean(np.abs(p - t))
    assert np.isclose(on(variant, huber, p, t, delta=100.0), squares / 2, rtol=16 * eps(variant))
    small = 1e-8 * float(np.min(np.abs(p - t)))
    assert np.isclose(on(variant, huber, p, t, delta=small), small * lines, rtol=1e-6)


def test_huber_is_torch_s_and_optax_s(draw: Draw) -> None:
    p, t, delta = draw.normal(40), draw.normal(40), draw.number(0.3, 2.0)
    ours = float(huber(p, t, delta=delta))
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.huber_loss(torch.tensor(p), torch.tensor(t), delta=delta)
    assert np.isclose(ours, float(theirs), rtol=1e-14)
    optax = pytest.importorskip("optax")
    assert np.isclose(ours, float(optax.losses.huber_loss(p, t, delta=delta).mean()), rtol=1e-5)


@ONCE
def test_the_gradients_at_and_around_the_kinks(variant: Variant) -> None:
    p, t = np.asarray([-2.0, 0.5, 0.5, 1.0, 1.5]), np.asarray([0.0, 0.5, 0.0, 0.0, 0.0])
    for_p, for_t = pullback(variant, mean_absolute_error, 5.0, p, t)
    assert np.array_equal(for_p, [-1.0, 0.0, 1.0, 1.0, 1.0])
    assert np.array_equal(for_t, -for_p)
    for_p, for_t, for_delta = pullback(variant, huber, 5.0, p, t, delta=variant.asarray(1.0))
    assert np.array_equal(for_p, [-1.0, 0.0, 0.5, 1.0, 1.0])
    assert np.array_equal(for_t, -for_p)
    assert for_delta == 1.5  # 1 beyond, 0, 0, at the width, 0.5 beyond


@pytest.mark.parametrize("loss", [mean_absolute_error, huber], ids=lambda f: f.__name__)
def test_automatic_derivatives_are_zero_at_the_target(variant: Variant, loss: Any) -> None:
    found = variant.compiled(lambda p: backend(p).grad(lambda q: loss(q, 0 * q))(p))(
        variant.asarray(np.zeros(3), variant.default_float)
    )
    assert np.array_equal(variant.to_numpy(found), np.zeros(3))
    assert np.array_equal(grad(lambda q: loss(q, np.zeros(3)))(np.zeros(3)), np.zeros(3))


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf"), 1e-310])
def test_widths_out_of_range_are_refused(delta: float) -> None:
    with pytest.raises(ShapeError, match=r"huber: delta is .* expected a number above 0"):
        huber(np.ones(2), np.zeros(2), delta=delta)


def test_a_width_that_cannot_be_looked_at_gives_nan() -> None:
    jax = pytest.importorskip("jax")
    run = jax.jit(lambda delta: huber(jax.numpy.ones(2), jax.numpy.zeros(2), delta=delta))
    assert float(run(2.0)) == 0.5
    assert np.isnan(float(run(-1.0)))


def test_their_edges_are_stated_values(variant: Variant) -> None:
    huge = np.asarray([1e30, 1.0])
    assert np.isfinite(on(variant, huber, huge, np.zeros(2), dtype="float32"))
    for loss in (mean_absolute_error, huber):
        assert np.isnan(on(variant, loss, np.asarray([np.nan, 1.0]), np.ones(2)))
        assert on(variant, loss, np.asarray([np.inf, 1.0]), np.ones(2)) == np.inf
