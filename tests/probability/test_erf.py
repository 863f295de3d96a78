from __future__ import annotations

import functools
from typing import Any

import mpmath
import numpy as np
import pytest

from pillars.backends import forward_and_pullback
from pillars.probability import erf, ndtr

FUNCTIONS = {"erf": erf, "ndtr": ndtr}
EXACT = {"erf": mpmath.erf, "ndtr": mpmath.ncdf}
SLOPES = {
    "erf": lambda x: 2 * mpmath.exp(-x * x) / mpmath.sqrt(mpmath.pi),
    "ndtr": lambda x: mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi),
}
ULPS = {"erf": 1.5, "ndtr": 5.0}  # what the docstrings promise
# where one form gives way to the other or to a constant, and where exp or the result underflows
SEAMS = {
    ("erf", "float32"): (0.0, 1.0, 3.92, 4.0),
    ("erf", "float64"): (0.0, 1.0, 5.92, 6.0),
    ("ndtr", "float32"): (0.0, -1.75, -12.9),
    ("ndtr", "float64"): (0.0, -3.5, -37.5),
}
NAMES = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest, variant: Any) -> str:
    if request.param not in variant.floats:
        pytest.skip("not applicable: JAX computes in 32 bits in this run")
    return str(request.param)


@functools.cache
def points(name: str, dtype: str) -> Any:
    """Drawn evenly, down every decade, and densely beside the seams; both signs.

    From 16 times the smallest normal number: XLA on a CPU flushes what is smaller, a correction to x included.
    """
    rng = np.random.default_rng(20)
    info = np.finfo(dtype)
    last = max(abs(seam) for seam in SEAMS[name, dtype])
    decades = np.arange(np.log10(16 * float(info.tiny)), 0.0, 0.25 if dtype == "float32" else 1.0)
    beside = [
        seam + np.outer(rng.uniform(-1, 1, 20), (1e-1, 1e-3, 16 * info.eps)).ravel()
        for seam in SEAMS[name, dtype]
    ]
    x = np.concatenate(
        [rng.uniform(0, last, 400), rng.uniform(0, 2, 400), 10**decades, np.abs(beside).ravel()]
    )
    return np.concatenate([x, -x]).astype(dtype)


@functools.cache
def exactly(function: Any, x: bytes, dtype: str) -> tuple[Any, Any]:
    """The value at each float, 60 digits, as a float64 and what it leaves out."""
    with mpmath.workdps(60):
        values = [function(mpmath.mpf(float(v))) for v in np.frombuffer(x, dtype)]
        leading = [float(v) for v in values]
        return np.asarray(leading), np.asarray([float(v - w) for v, w in zip(values, leading, strict=True)])


def ulps(got: Any, function: Any, x: Any) -> Any:
    """Distance from the exact value in units of its last place; normal results alone, as XLA flushes the others."""
    leading, rest = exactly(function, x.tobytes(), x.dtype.name)
    unit = np.spacing(np.abs(leading).astype(x.dtype)).astype(np.float64)
    normal = np.abs(leading) >= np.finfo(x.dtype).tiny
    return np.where(normal, np.abs((got.astype(np.float64) - leading) - rest) / unit, 0.0)


def worst(errors: Any, x: Any) -> str:
    at = int(np.argmax(errors))
    return f"{errors[at]:.2f} ulp at {x[at]!r}"


@NAMES
def test_within_the_promised_ulps(name: str, variant: Any, dtype: str) -> None:
    x = points(name, dtype)
    got = variant.to_numpy(variant.compiled(FUNCTIONS[name])(variant.asarray(x, dtype)))
    assert got.dtype == x.dtype
    errors = ulps(got, EXACT[name], x)
    assert errors.max() <= ULPS[name], worst(errors, x)


@NAMES
@pytest.mark.parametrize("rule", ["vjp", "jvp"])
def test_slope_keeps_its_digits_in_the_tails(name: str, rule: str, variant: Any, dtype: str) -> None:
    x, record = points(name, dtype), FUNCTIONS[name].record
    given = variant.asarray(x, dtype)
    one = variant.xp.ones_like(given)
    if rule == "vjp":
        found = forward_and_pullback(record, [given])[1](one)[0]
    else:
        found = record.rules.jvp(record.needs(x=one), None, given)
    got = variant.to_numpy(found)
    assert got.dtype == x.dtype
    errors = ulps(got, SLOPES[name], x)
    assert errors.max() <= 4.0, worst(errors, x)


def test_edges(variant: Any, dtype: str) -> None:
    x = variant.asarray([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30, -1e30], dtype)
    y = variant.to_numpy(variant.compiled(erf)(x))
    np.testing.assert_array_equal(y, np.asarray([1.0, -1.0, np.nan, 0.0, -0.0, 1.0, -1.0], dtype))
    assert not np.signbit(y[3])
    assert np.signbit(y[4])
    phi = variant.to_numpy(variant.compiled(ndtr)(x))
    np.testing.assert_array_equal(phi, np.asarray([1.0, 0.0, np.nan, 0.5, 0.5, 1.0, 0.0], dtype))
    for f in (erf, ndtr):
        _, pullback = forward_and_pullback(f.record, [x])
        slope = variant.to_numpy(pullback(variant.xp.ones_like(x))[0])
        np.testing.assert_array_equal(slope[[0, 1, 2, 5, 6]], np.asarray([0, 0, np.nan, 0, 0], dtype))


def test_symmetries(variant: Any, dtype: str) -> None:
    x = variant.asarray(points("ndtr", dtype), dtype)
    odd, minus = variant.to_numpy((erf(x), erf(-x)))
    np.testing.assert_array_equal(odd, -minus)
    left, right = variant.to_numpy((ndtr(x), ndtr(-x)))
    # both come from one tail, so that only the difference from 1 rounds
    np.testing.assert_allclose(left + right, 1.0, rtol=0, atol=float(np.finfo(dtype).eps))
    assert odd.min() == -1.0
    assert odd.max() == 1.0
    assert left.min() >= 0.0
    assert left.max() == 1.0


def test_the_two_are_one_function(variant: Any, dtype: str) -> None:
    x = variant.asarray(points("erf", dtype), dtype)
    phi, y = variant.to_numpy((ndtr(x), erf(x * 0.5**0.5)))
    np.testing.assert_allclose(phi, (1 + y) / 2, rtol=0, atol=4 * float(np.finfo(dtype).eps))


@NAMES
def test_rises_across_the_seams(name: str, variant: Any, dtype: str) -> None:
    # steps of 16 eps move the result by more than twice its error while the slope is above a tenth
    steps = 16 * float(np.finfo(dtype).eps) * np.arange(-200, 201)
    for seam in (s for s in SEAMS[name, dtype] if abs(s) < 2):
        for side in (1.0, -1.0):
            x = (side * seam + steps).astype(dtype)
            y = variant.to_numpy(FUNCTIONS[name](variant.asarray(x, dtype)))
            assert (np.diff(y) > 0).all(), f"falls near {side * seam}"


def test_underflow_is_gradual() -> None:
    # on NumPy alone: XLA on a CPU and some GPUs flush subnormal numbers to zero
    for dtype, low, end in (("float32", -12.9, -14.2), ("float64", -37.5, -38.5)):
        smallest = np.finfo(dtype).smallest_subnormal
        x = np.linspace(low, end, 200).astype(dtype)
        with mpmath.workdps(60):
            exact = [mpmath.ncdf(mpmath.mpf(float(v))) / mpmath.mpf(float(smallest)) for v in x]
        got = [mpmath.mpf(float(v)) / mpmath.mpf(float(smallest)) for v in ndtr(x)]
        # one unit where the result has no digits, the promised ulps where it still has some
        assert all(abs(g - e) <= 1 + 5 * 2.0**-20 * e for g, e in zip(got, exact, strict=True))
        tiny = (smallest * np.arange(1, 50)).astype(dtype)
        np.testing.assert_array_equal(erf(tiny), np.rint(np.arange(1, 50) * 1.1283791670955126) * smallest)
        np.testing.assert_array_equal(erf(-tiny), -erf(tiny))


@NAMES
@pytest.mark.parametrize("source", ["rule", "body"])
def test_jax_differentiates_it_cleanly(name: str, source: str) -> None:
    jax = pytest.importorskip("jax")
    f = FUNCTIONS[name] if source == "rule" else FUNCTIONS[name].record.body
    x = np.asarray([0.0, -0.0, 1.0, -1.0, 1e-20, 3.0, -3.0, 50.0, -50.0, np.inf, -np.inf], np.float32)
    expected = [float(SLOPES[name](mpmath.mpf(float(v)))) for v in x]

    @jax.jit
    def derivatives(x: Any) -> Any:
        slope = jax.grad(f)
        return (
            jax.vmap(slope)(x),
            jax.jvp(f, (x,), (jax.numpy.ones_like(x),))[1],
            jax.vmap(jax.grad(slope))(x),
        )

    reverse, forward, second = (np.asarray(y) for y in derivatives(x))
    # the body's own derivative is as good as its fit: absolutely, not in the tails, which is why there is a rule
    close = {"rtol": 5e-7, "atol": 0.0} if source == "rule" else {"rtol": 1e-5, "atol": 1e-7}
    np.testing.assert_allclose(reverse, expected, **close)
    np.testing.assert_allclose(forward, expected, **close)
    bend = [-v * slope * (2 if name == "erf" else 1) for v, slope in zip(x[:9], expected[:9], strict=True)]
    np.testing.assert_allclose(second[:9], bend, rtol=2e-3, atol=1e-4)
    assert not np.isnan(second).any()
