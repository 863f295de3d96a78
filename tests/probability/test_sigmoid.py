"""The logistic function: its digits on both sides of zero, its symmetries, its derivatives at 0."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, layers
from pillars.backends import Draw
from pillars.probability import log_sigmoid, sigmoid
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
GRID = np.concatenate([np.linspace(-87, 87, 349), np.linspace(-1, 1, 41), [-1e-30, 1e-30]])


def _true(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with mpmath.workdps(60):  # enough that 1 + exp(-87) keeps what is added
        exact = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in x]
        return np.asarray([float(p) for p in exact]), np.asarray([float(mpmath.log(p)) for p in exact])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy_on_both_sides(variant: Variant, dtype: str) -> None:
    if dtype not in variant.floats:
        pytest.skip("not applicable: float64 does not exist here")
    x = GRID.astype(dtype)
    p, log_p = _true(x)
    got, log_got = on(variant, lambda v: (sigmoid(v), log_sigmoid(v)), x, dtype=dtype)
    ulps = 3 if variant.library != "jax" else 5  # XLA's exp is right to 2 units, not to 1
    assert got.dtype == log_got.dtype == dtype
    assert np.abs(got / p - 1).max() <= ulps * eps(variant, dtype)
    assert np.abs(log_got / log_p - 1).max() <= ulps * eps(variant, dtype)


def test_far_out(variant: Variant) -> None:
    x = np.asarray([-1e38, -1e4, -500.0, 500.0, 1e4, 1e38])
    p, log_p = on(variant, lambda v: (sigmoid(v), log_sigmoid(v)), x)
    small = np.exp(-500.0) if variant.default_float == "float64" else 0.0
    assert np.allclose(p, [0, 0, small, 1, 1, 1], rtol=1e-13, atol=0)
    assert np.allclose(log_p, [-1e38, -1e4, -500.0, -small, 0.0, 0.0], rtol=1e-7, atol=0)


@ONCE
def test_edges(variant: Variant) -> None:
    x = np.asarray([-INF, INF, NAN, 0.0, -0.0])
    p, log_p = on(variant, lambda v: (sigmoid(v), log_sigmoid(v)), x)
    assert np.array_equal(p, [0.0, 1.0, NAN, 0.5, 0.5], equal_nan=True)
    assert np.array_equal(log_p[:3], [-INF, 0.0, NAN], equal_nan=True)
    assert np.allclose(log_p[3:], -np.log(2), rtol=2 * eps(variant), atol=0)
    assert np.array_equal(
        pullback(variant, sigmoid, np.ones(5), x)[0], [0, 0, NAN, 0.25, 0.25], equal_nan=True
    )
    assert np.array_equal(
        pullback(variant, log_sigmoid, np.ones(5), x)[0], [1, 0, NAN, 0.5, 0.5], equal_nan=True
    )


def test_symmetries(variant: Variant, draw: Draw) -> None:
    x = draw.normal(200, scale=20.0)
    p, q, log_p, log_q = on(variant, lambda v: (sigmoid(v), sigmoid(-v), log_sigmoid(v), log_sigmoid(-v)), x)
    seen = x.astype(variant.default_float)
    assert np.abs(p + q - 1).max() <= 2 * eps(variant)
    assert np.all(np.abs(log_p - log_q - seen) <= 4 * eps(variant) * (1 + np.abs(seen)))
    assert np.all(np.diff(p[np.argsort(seen)]) >= 0)


@ONCE
def test_hand_derived_gradients_keep_their_digits(variant: Variant) -> None:
    x = GRID.astype(variant.default_float)
    p, q = _true(x)[0], _true(-x)[0]
    exact = 12 * eps(variant)
    assert np.all(np.abs(pullback(variant, sigmoid, np.ones(x.size), x)[0] - p * q) <= exact * p * q)
    assert np.all(np.abs(pullback(variant, log_sigmoid, np.ones(x.size), x)[0] - q) <= exact * q)


def test_jax_has_all_orders_right_at_zero() -> None:
    jax = pytest.importorskip("jax")

    @jax.jit
    def orders(x: float) -> list[object]:
        first, second = jax.grad(sigmoid), jax.grad(jax.grad(sigmoid))
        logs = jax.grad(log_sigmoid), jax.grad(jax.grad(log_sigmoid)), jax.jacfwd(jax.jacrev(log_sigmoid))
        return [first(x), second(x), jax.grad(second)(x), *(f(x) for f in logs)]

    assert np.allclose(orders(0.0), [0.25, 0.0, -0.125, 0.5, -0.25, -0.25], atol=1e-7)
    assert np.allclose(orders(200.0), 0.0)


def test_layers_export_the_same_function() -> None:
    assert layers.sigmoid is sigmoid


def test_half_precision_is_rounded_once(draw: Draw) -> None:
    x = draw.normal(1000, scale=5.0).astype(np.float16)
    assert np.array_equal(sigmoid(x), sigmoid(x.astype(np.float32)).astype(np.float16))
    assert sigmoid(x).dtype == np.float16


def test_complex_numbers_are_refused(variant: Variant) -> None:
    with pytest.raises(DTypeError, match="sigmoid: x has dtype complex64, expected real numbers"):
        on(variant, sigmoid, np.ones(3), dtype="complex64")
