"""The softmax family: true to mpmath, blind to shifts, and what it states at every edge."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw
from pillars.probability import log_softmax, logsumexp, softmax
from running import ONCE, eps, on, pullback

FAMILY = pytest.mark.parametrize("f", [softmax, log_softmax, logsumexp], ids=lambda f: f.__name__)
FAMILY_WITH_TEMPERATURE = pytest.mark.parametrize("f", [softmax, log_softmax], ids=lambda f: f.__name__)
NAN, INF = float("nan"), float("inf")
EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [3, 1000])
def test_accuracy(variant: Variant, draw: Draw, dtype: str, k: int) -> None:
    if dtype not in variant.floats:
        pytest.skip("not applicable: float64 does not exist here")
    x = draw.normal(6, k) * np.asarray([[1.0], [1.0], [500.0], [500.0], [1e4], [1e4]])
    x = x.astype(dtype).astype(np.float64)
    z = x - x.max(axis=-1, keepdims=True)
    # z rounds by eps/2 of itself, exp magnifies that
    relative = eps(variant, dtype) * (np.abs(z) + 8 + np.sqrt(k))
    p, log_p = special.softmax(x, axis=-1), special.log_softmax(x, axis=-1)
    tiny = np.finfo(dtype).tiny
    got = on(variant, softmax, x, dtype=dtype)
    assert got.dtype == dtype
    assert np.all(np.abs(got - p) <= relative * p + 2 * tiny)
    assert np.all(np.abs(got.astype(np.float64).sum(axis=-1) - 1) <= 4 * np.sqrt(k) * eps(variant, dtype))
    assert np.all(np.abs(on(variant, log_softmax, x, dtype=dtype) - log_p) <= relative)
    total = special.logsumexp(x, axis=-1)
    bound = 4 * eps(variant, dtype) * (np.abs(total) + np.sqrt(k))
    assert np.all(np.abs(on(variant, logsumexp, x, dtype=dtype) - total) <= bound)


def test_true_to_mpmath(draw: Draw) -> None:
    mpmath.mp.dps = 40
    x = draw.normal(50, scale=20.0)
    total = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(v)) for v in x))
    true = np.asarray([float(mpmath.mpf(v) - total) for v in x])
    assert np.all(np.abs(log_softmax(x) - true) <= 4 * EPS * np.abs(true).max())
    assert np.all(np.abs(softmax(x) / np.exp(true) - 1) <= 200 * EPS)
    assert abs(logsumexp(x) - float(total)) <= 4 * EPS * abs(float(total))


def test_temperature_divides_the_logits(variant: Variant, draw: Draw) -> None:
    dtype = variant.default_float
    x = variant.asarray(draw.normal(4, 7), dtype)
    seen = variant.to_numpy(x).astype(np.float64)
    run = variant.compiled(lambda x, t: (softmax(x, temperature=t), log_softmax(x, temperature=t)))
    for temperature in (1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 1e3):
        z = seen / float(np.asarray(temperature, dtype))
        expected = special.log_softmax(z, axis=-1)
        bound = 8 * eps(variant) * (1 + np.abs(z).max())
        p, log_p = variant.to_numpy(run(x, temperature))
        assert np.all(np.abs(log_p - expected) <= bound)
        assert np.all(np.abs(p - np.exp(expected)) <= bound)


@FAMILY_WITH_TEMPERATURE
def test_to_either_end_of_the_temperatures(variant: Variant, f: Any) -> None:
    x = np.asarray([[1.0, -2.0, 3.0, 3.0], [0.0, -INF, 5.0, 1.0]])
    cold = np.asarray([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 0.0]])  # the largest share it
    warm = np.asarray([[0.25] * 4, [1 / 3, 0.0, 1 / 3, 1 / 3]])  # all that can be share it
    least = float(np.finfo(variant.default_float).tiny)
    for temperature, expected in ((least, cold), (1e-30, cold), (1e30, warm), (1 / least, warm)):
        y = on(variant, f, x, temperature=temperature)
        p = y if f is softmax else np.exp(y)
        assert np.allclose(p, expected, rtol=0, atol=4 * eps(variant))


@FAMILY_WITH_TEMPERATURE
def test_beyond_either_end_no_temperature_has_an_inverse(f: Any) -> None:
    for dtype, least in (("float32", 2.0**-126), ("float64", 2.0**-1022), ("float16", 2.0**-126)):
        x = np.ones(3, dtype)
        for good in (least, 1 / least):
            assert np.all(np.isfinite(f(x, temperature=good)))
        for bad in (least / 2, 2 / least):
            with pytest.raises(
                ShapeError, match=rf"neither below .* nor above .*, where {dtype} loses its digits"
            ):
                f(x, temperature=bad)


def test_sharper_when_colder(draw: Draw) -> None:
    x = draw.normal(8)
    tops = [softmax(x, temperature=t).max() for t in (50.0, 2.0, 1e-3)]
    assert tops == sorted(tops)
    assert tops[0] < 0.2
    assert tops[2] == 1.0


@FAMILY
def test_shifts(variant: Variant, draw: Draw, f: Any) -> None:
    x = np.round(draw.normal(5, 9) * 64) / 64  # so that adding 1024 is exact, in float32 too
    plain, moved = on(variant, lambda v: (f(v), f(v + 1024)), x)
    if f is logsumexp:
        assert np.all(np.abs(moved - plain - 1024.0) <= 2048 * eps(variant))
    else:
        assert np.array_equal(moved, plain)


@FAMILY
def test_the_order_of_classes_does_not_matter(variant: Variant, draw: Draw, f: Any) -> None:
    x, order = draw.normal(5, 9), np.asarray([3, 1, 4, 0, 5, 8, 2, 6, 7])
    plain, permuted = on(variant, f, x), on(variant, f, x[:, order])
    assert np.allclose(plain if f is logsumexp else plain[:, order], permuted, rtol=20 * eps(variant), atol=0)


@pytest.mark.parametrize("axis", [0, -2])
@FAMILY
def test_any_axis_is_the_last_one_moved(variant: Variant, draw: Draw, f: Any, axis: int) -> None:
    x = draw.normal(3, 4, 5)
    last = on(variant, f, np.moveaxis(x, axis, -1))
    expected = last if f is logsumexp else np.moveaxis(last, -1, axis)
    assert np.allclose(on(variant, f, x, axis=axis), expected, rtol=20 * eps(variant), atol=20 * eps(variant))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, (-1, 0)])
def test_logsumexp_over_several_axes(variant: Variant, draw: Draw, axis: Any, keepdims: bool) -> None:
    x = draw.normal(3, 4, 5)
    expected = special.logsumexp(x, axis=axis, keepdims=keepdims)
    got = on(variant, logsumexp, x, axis=axis, keepdims=keepdims)
    assert got.shape == np.shape(expected)
    assert np.allclose(got, expected, rtol=20 * eps(variant), atol=0)


def test_the_family_agrees_with_itself(variant: Variant, draw: Draw) -> None:
    x = draw.normal(6, 11, scale=3.0)
    log_p = on(variant, log_softmax, x)
    assert np.allclose(np.exp(log_p), on(variant, softmax, x), rtol=30 * eps(variant), atol=0)
    assert np.allclose(log_p, x - on(variant, logsumexp, x, keepdims=True), rtol=0, atol=100 * eps(variant))
    assert np.all(log_p <= 0)


@FAMILY_WITH_TEMPERATURE
def test_a_slice_without_an_answer_is_nan_and_alone(variant: Variant, f: Any) -> None:
    good = [0.5, -INF, 2.0]
    bad = [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [INF, INF, 0.0], [-INF, -INF, -INF], [INF, -INF, NAN]]
    got = on(variant, f, np.asarray([good, *bad, good]))
    assert np.all(np.isnan(got[1:-1]))
    assert np.array_equal(got[0], on(variant, f, np.asarray(good)))
    assert np.array_equal(got[0], got[-1])


@ONCE
def test_a_class_at_minus_infinity_has_no_probability(variant: Variant) -> None:
    x = np.asarray([0.0, -INF, 1.0])
    assert on(variant, softmax, x)[1] == 0
    assert on(variant, log_softmax, x)[1] == -INF
    assert np.allclose(
        on(variant, softmax, x)[[0, 2]], special.softmax([0.0, 1.0]), rtol=8 * eps(variant), atol=0
    )
    for f, ct in ((softmax, 0.0), (log_softmax, 1.0)):
        dx, dt, _ = pullback(variant, f, np.asarray([1.0, 1.0, 0.0]), x, temperature=2.0)
        assert np.isfinite(dt)
        assert dx[1] == pytest.approx(ct / 2)
    assert pullback(variant, logsumexp, 1.0, x)[0][1] == 0


def test_extreme_logits_decide(variant: Variant) -> None:
    extreme = np.asarray([[1e38], [1e4], [500.0]])
    x = extreme * np.asarray([-1.0, 1.0, 0.0])
    assert np.array_equal(on(variant, softmax, x, dtype="float32"), [[0.0, 1.0, 0.0]] * 3)
    log_p = on(variant, log_softmax, x, dtype="float32")
    assert np.allclose(log_p, extreme * np.asarray([-2.0, 0.0, -1.0]), rtol=1e-6, atol=0)
    assert np.array_equal(on(variant, logsumexp, x, dtype="float32"), extreme[:, 0].astype(np.float32))


@FAMILY
def test_one_class_is_certain(variant: Variant, f: Any) -> None:
    got = on(variant, f, np.asarray([[3.0], [-1e4]]))
    expected = {softmax: [[1.0], [1.0]], log_softmax: [[0.0], [0.0]], logsumexp: [3.0, -1e4]}[f]
    assert np.array_equal(got, expected)


@FAMILY
def test_no_rows(variant: Variant, f: Any) -> None:
    assert on(variant, f, np.zeros((0, 4))).shape == ((0,) if f is logsumexp else (0, 4))


@ONCE
def test_gradients_sum_to_nothing(variant: Variant, draw: Draw) -> None:
    x, g = draw.normal(5, 8, scale=3.0), draw.normal(5, 8)
    for f in (softmax, log_softmax):
        dx = pullback(variant, f, g, x)[0]
        assert np.all(np.abs(dx.sum(axis=-1)) <= 100 * eps(variant))
    dx = pullback(variant, logsumexp, np.ones(5), x)[0]
    assert np.allclose(dx, on(variant, softmax, x), rtol=10 * eps(variant), atol=0)


@ONCE
def test_gradient_of_logsumexp_keeps_its_digits_at_large_logits(variant: Variant) -> None:
    x = 1e4 + np.asarray([0.0, 1.0, 2.0])
    dx = pullback(variant, logsumexp, 1.0, x)[0]
    assert np.allclose(dx, special.softmax([0.0, 1.0, 2.0]), rtol=10 * eps(variant), atol=0)


@ONCE
def test_the_gradient_in_the_temperature(variant: Variant, draw: Draw) -> None:
    x, g, t, h = draw.normal(4, 6), draw.normal(4, 6), 1.7, 1e-5
    for f, peer in ((softmax, special.softmax), (log_softmax, special.log_softmax)):
        expected = (g * (peer(x / (t + h), axis=-1) - peer(x / (t - h), axis=-1))).sum() / (2 * h)
        got = pullback(variant, f, g, x, temperature=t)[1]
        assert got == pytest.approx(expected, rel=1e-8 + 1000 * eps(variant), abs=0)


@ONCE
def test_gradients_of_nan_slices_are_nan(variant: Variant) -> None:
    x = np.asarray([[0.0, 1.0], [NAN, 1.0]])
    for f in (softmax, log_softmax):
        dx, dt, _ = pullback(variant, f, np.ones((2, 2)), x, temperature=2.0)
        assert np.isnan(dx[1]).all()
        assert np.isfinite(dx[0]).all()
        assert np.isnan(dt)


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN, INF])
@pytest.mark.parametrize("f", [softmax, log_softmax])
def test_a_temperature_outside_its_range(f: Any, temperature: float) -> None:
    with pytest.raises(ShapeError, match=rf"{f.__name__}: temperature is .*expected a finite number above 0"):
        f(np.ones(3), temperature=temperature)


@FAMILY
def test_refusals(variant: Variant, f: Any) -> None:
    with pytest.raises(
        ShapeError, match=rf"{f.__name__}: axis is 2, expected one in \[-2, 2\): x has shape \(2, 3\)"
    ):
        on(variant, f, np.ones((2, 3)), axis=2)
    with pytest.raises(ShapeError, match=rf"{f.__name__}: x has shape \(2, 0\), expected at least one class"):
        on(variant, f, np.ones((2, 0)))
    with pytest.raises(ShapeError, match=rf"{f.__name__}: .*x has shape \(\)"):
        on(variant, f, np.asarray(1.0))
    with pytest.raises(DTypeError, match=rf"{f.__name__}: x has dtype complex64"):
        on(variant, f, np.ones(3), dtype="complex64")


def test_an_axis_named_twice() -> None:
    with pytest.raises(ShapeError, match="expected each axis once"):
        logsumexp(np.ones((2, 3)), axis=(1, -1))


@pytest.mark.parametrize("f", [softmax, log_softmax])
def test_half_precision_is_rounded_once(f: Any, draw: Draw) -> None:
    x = draw.normal(3, 2000).astype(np.float16)
    wide = f(x.astype(np.float32))
    assert np.array_equal(f(x), wide.astype(np.float16))


def test_jax_differentiates_by_the_rule_in_both_modes_and_twice() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([0.3, -1.2, 2.0])
    peers = {softmax: jax.nn.softmax, log_softmax: jax.nn.log_softmax, logsumexp: jax.nn.logsumexp}

    @jax.jit
    def derivatives(x: Any) -> Any:
        orders = (jax.jacfwd, jax.jacrev, jax.hessian)
        return [(transform(f)(x), transform(peer)(x)) for f, peer in peers.items() for transform in orders]

    for got, expected in derivatives(x):
        assert np.allclose(got, expected, atol=1e-6)
    warm = jax.grad(lambda t: softmax(x, temperature=t)[0])(2.0)
    assert np.allclose(warm, jax.grad(lambda t: jax.nn.softmax(x / t)[0])(2.0), atol=1e-6)


@pytest.mark.parametrize("f", [softmax, log_softmax])
@pytest.mark.parametrize("temperature", [1e-300, 5e-324])
def test_a_temperature_that_float32_cannot_hold_is_refused_there_alone(f, temperature):
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.exp(f(x, temperature=1e-300)).argmax(), 2)
    with pytest.raises(ShapeError, match="above 0"):
        f(x.astype(np.float32), temperature=temperature)


def test_a_temperature_on_a_device_that_is_none_has_no_answer():
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray([1.0, 2.0, 3.0])
    for bad in (-1.0, 0.0, float("nan")):
        assert bool(jnp.isnan(softmax(x, temperature=jnp.asarray(bad))).all())
    np.testing.assert_allclose(
        softmax(x, temperature=jnp.asarray(2.0)), softmax(x, temperature=2.0), rtol=1e-6
    )
