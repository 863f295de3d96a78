"""The activations: their closed forms, their corners, and what they do with NaN and infinities."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError
from pillars.backends import Draw
from pillars.layers import gelu, leaky_relu, relu, sigmoid, silu, tanh
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
C = mpmath.sqrt(2 / mpmath.pi)


def approximate_gelu(x: Any) -> Any:
    return gelu(x, approximate=True)


def _sigma(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _phi(x: Any) -> Any:
    return x * mpmath.ncdf(x)


# name -> the function, its value and its derivative in mpmath
SMOOTH: dict[str, tuple[Any, Any, Any]] = {
    "tanh": (tanh, mpmath.tanh, lambda x: mpmath.sech(x) ** 2),
    "sigmoid": (sigmoid, _sigma, lambda x: _sigma(x) * _sigma(-x)),
    "silu": (silu, lambda x: x * _sigma(x), lambda x: _sigma(x) * (1 + x * _sigma(-x))),
    "gelu": (gelu, _phi, lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x)),
    "gelu, approximate": (
        approximate_gelu,
        lambda x: x * _sigma(2 * C * (x + mpmath.mpf("0.044715") * x**3)),
        lambda x: mpmath.diff(lambda v: v * _sigma(2 * C * (v + mpmath.mpf("0.044715") * v**3)), x),
    ),
}
# the exponent's own rounding enters as |exponent|·eps, and gelu's exponents are squares and cubes
RELATIVE = {"tanh": 4, "sigmoid": 5, "silu": 6, "gelu": 8, "gelu, approximate": 60}


def points(variant: Variant, draw: Draw) -> Any:
    x = np.concatenate([draw.normal(60, scale=2.0), [0.0, -5.0, 5.0, 1e-6, -1e-6, -40.0, 40.0, -80.0]])
    return x.astype(variant.default_float).astype(np.float64)


def exactly(f: Any, x: Any) -> Any:
    with mpmath.workdps(40):
        return np.asarray([float(f(mpmath.mpf(float(v)))) for v in x])


@ONCE
@pytest.mark.parametrize("name", SMOOTH)
def test_closed_form_and_hand_derived_gradient(variant: Variant, draw: Draw, name: str) -> None:
    f, value, slope = SMOOTH[name]
    x = points(variant, draw)
    expected, unit = exactly(value, x), eps(variant)
    tiny = 100 * np.finfo(variant.default_float).tiny
    assert np.all(np.abs(on(variant, f, x) - expected) <= RELATIVE[name] * unit * np.abs(expected) + tiny)
    options = {"approximate": True} if f is approximate_gelu else {}
    dx = pullback(variant, gelu if options else f, np.full(x.shape, 2.0), x, **options)[0]
    assert np.all(np.abs(dx / 2 - exactly(slope, x)) <= (4 + RELATIVE[name]) * unit)


def test_relu_and_leaky_relu(variant: Variant, draw: Draw) -> None:
    x = draw.normal(4, 5).astype(variant.default_float)
    assert np.array_equal(on(variant, relu, x), np.where(x > 0, x, 0))
    slope = np.asarray(0.2, variant.default_float)
    assert np.array_equal(on(variant, leaky_relu, x, negative_slope=0.2), np.where(x > 0, x, slope * x))
    assert np.array_equal(on(variant, leaky_relu, x, negative_slope=0.0), on(variant, relu, x))
    assert np.array_equal(on(variant, leaky_relu, x, negative_slope=1.0), x)


@ONCE
def test_conventions_at_the_corner(variant: Variant) -> None:
    x, g = np.asarray([-1.0, -0.0, 0.0, 1.0]), np.full(4, 3.0)
    assert np.array_equal(on(variant, relu, x), [0, 0, 0, 1])
    assert np.array_equal(pullback(variant, relu, g, x)[0], [0, 0, 0, 3])
    dx, dslope = pullback(variant, leaky_relu, g, x, negative_slope=0.5)
    assert np.array_equal(dx, [1.5, 1.5, 1.5, 3])
    assert dslope == -3.0
    if variant.library == "jax":
        import jax

        z = variant.asarray(x, variant.default_float)
        assert np.array_equal(
            jax.grad(lambda v: leaky_relu(v, negative_slope=0.5).sum())(z), [0.5, 0.5, 0.5, 1]
        )
        assert np.array_equal(jax.jacfwd(relu)(z), np.diag([0.0, 0, 0, 1]))


# what each gives, and its derivative, at −inf and +inf
LIMITS = {
    relu: ([0.0, INF], [0.0, 1.0]),
    leaky_relu: ([-INF, INF], [0.01, 1.0]),
    gelu: ([-0.0, INF], [0.0, 1.0]),
    approximate_gelu: ([-0.0, INF], [0.0, 1.0]),
    silu: ([-0.0, INF], [0.0, 1.0]),
    tanh: ([-1.0, 1.0], [0.0, 0.0]),
    sigmoid: ([0.0, 1.0], [0.0, 0.0]),
}


@ONCE
@pytest.mark.parametrize("f", LIMITS, ids=lambda f: f.__name__)
def test_infinities_and_nan(variant: Variant, f: Any) -> None:
    x = np.asarray([-INF, INF, -3e38, 3e38, NAN])
    values, slopes = LIMITS[f]
    y = on(variant, f, x)
    options = {"approximate": True} if f is approximate_gelu else {}
    dx = pullback(variant, gelu if options else f, np.ones(5), x, **options)[0]
    assert np.array_equal(y[:2], values)
    assert np.allclose(dx[:4], slopes * 2, rtol=eps(variant), atol=0)
    assert np.isnan(y[4])
    assert f is relu or f is leaky_relu or np.isnan(dx[4])
    assert np.all(np.isfinite(y[2:4]))
    if f in (gelu, approximate_gelu, silu):
        assert np.signbit(y[0])
        assert y[2] == 0
        assert y[3] == x.astype(variant.default_float)[3]


@pytest.mark.parametrize("f", [gelu, silu], ids=lambda f: f.__name__)
def test_an_odd_function_and_half_the_input(variant: Variant, draw: Draw, f: Any) -> None:
    x = draw.normal(100, scale=3.0).astype(variant.default_float)
    up, down = on(variant, lambda v: (f(v), f(-v)), x)
    assert np.all(np.abs(up - down - x) <= 10 * eps(variant) * (1 + np.abs(x)))  # f(x) − f(−x) = x


def test_gelu_keeps_its_tail(variant: Variant) -> None:
    x = np.asarray([-4.0, -8.0, -12.0])
    expected = exactly(_phi, x)
    assert np.all(np.abs(on(variant, gelu, x) / expected - 1) <= 10 * eps(variant))


def test_the_two_forms_of_gelu_are_as_far_apart_as_stated() -> None:
    x = np.linspace(-8, 8, 100_001)
    furthest = np.abs(gelu(x) - approximate_gelu(x)).max()
    assert 4.7e-4 < furthest <= 4.8e-4


def test_the_least_value_of_silu() -> None:
    x = np.linspace(-2, 0, 200_001)
    assert silu(x).min() == pytest.approx(-0.2785, abs=5e-5)
    assert x[silu(x).argmin()] == pytest.approx(-1.2785, abs=5e-5)


@pytest.mark.parametrize("f", LIMITS, ids=lambda f: f.__name__)
def test_half_precision_and_integers(f: Any, draw: Draw) -> None:
    x = draw.normal(500, scale=3.0).astype(np.float16)
    y = f(x)
    assert y.dtype == np.float16
    assert np.array_equal(y, f(x.astype(np.float32)).astype(np.float16))
    assert np.array_equal(f(np.asarray([-2, 0, 3])), f(np.asarray([-2.0, 0.0, 3.0])))


@pytest.mark.parametrize("f", [relu, leaky_relu, gelu, silu, tanh], ids=lambda f: f.__name__)
def test_complex_numbers_are_refused(variant: Variant, f: Any) -> None:
    with pytest.raises(DTypeError, match=f"{f.__name__}: x has dtype complex64, expected real numbers"):
        on(variant, f, np.ones(3), dtype="complex64")


def test_jax_has_second_derivatives_right_at_zero() -> None:
    jax = pytest.importorskip("jax")

    @jax.jit
    def second(x: float) -> list[Any]:
        return [jax.grad(jax.grad(f))(x) for f in (tanh, sigmoid, silu, gelu, approximate_gelu)]

    assert np.allclose(second(0.0), [0, 0, 0.5, 2 / np.sqrt(2 * np.pi), 2 / np.sqrt(2 * np.pi)], atol=1e-6)
    for f in (gelu, silu):
        assert np.allclose(jax.vmap(jax.grad(f))(jax.numpy.asarray([-INF, INF])), [0.0, 1.0])
