"""The activations' kernels: what their bodies give, to the sign of a zero, however they are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.backends.on_numpy import _blocks, activations
from pillars.calculus import grad, vjp
from pillars.layers import gelu, leaky_relu, relu, silu
from pillars.probability import sigmoid

EACH = pytest.mark.parametrize(
    ("f", "options"),
    [
        (sigmoid, {}),
        (silu, {}),
        (gelu, {"approximate": True}),
        (leaky_relu, {"negative_slope": 0.01}),
        (leaky_relu, {"negative_slope": 1.0}),
    ],
    ids=lambda x: x.record.name if hasattr(x, "record") else str(x),
)
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e38, -1e38, 1e-45, -1e-45, 88.0, -88.0, -104.0, 710.0, -745.0]


def numbers(draw: Draw, n: int, dtype: str) -> Any:
    x = draw.normal(n, scale=30.0)
    x[:: n // len(EDGES)][: len(EDGES)] = EDGES
    return x.astype(dtype)


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_body(draw: Draw, f: Any, options: dict[str, Any], dtype: str, order: str) -> None:
    x = np.asarray(numbers(draw, 2**15 + 16, dtype).reshape(16, -1), order=order)
    kept = x.copy()
    assert explain(f, x, **options).kernel == f"on_numpy.activations:{f.__name__}"
    got, expected = f(x, **options), f.reference(x, **options)
    assert got.dtype == dtype
    assert got.flags.c_contiguous is (order == "C")
    # three roundings more or fewer; in gelu what 2u is off by, times 2u, which is 104 (or 745) before all is 0
    eps = np.finfo(dtype).eps * (4 if f is not gelu else 4 * (104 if dtype == "float32" else 745))
    tiny = float(np.finfo(dtype).smallest_subnormal)
    assert np.allclose(got, expected, rtol=eps, atol=2 * tiny, equal_nan=True)
    zero = (got == 0) & (expected == 0)
    assert np.array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))
    assert np.array_equal(x, kept, equal_nan=True)


@EACH
def test_threads_change_nothing(
    draw: Draw, f: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = numbers(draw, 40_009, "float32")
    once = f(x, **options)
    monkeypatch.setattr(_blocks, "_THREADED", 1)
    for block, threads in ((1000, "1"), (1003, "2"), (7, "3")):
        monkeypatch.setattr(_blocks, "BLOCK", block)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(f(x, **options), once, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "f", [relu, leaky_relu, lambda x: leaky_relu(x, negative_slope=0.3)], ids=["relu", "leaky", "0.3"]
)
@pytest.mark.parametrize("order", ["C", "F", "turned", "wide", "broadcast"])
def test_a_pullback_by_bits_is_the_rule(draw: Draw, f: Any, dtype: str, order: str) -> None:
    """The traced body decides: NaN and infinite cotangents too, and whatever they look like in memory."""
    x = numbers(draw, 2**15 + 16, dtype).reshape(16, -1)
    g = numbers(draw, x.size, dtype)[::-1].reshape(x.shape)
    if order == "F":
        x = np.asarray(x, order="F")
    elif order == "turned":
        g = np.asarray(g, order="F")
    elif order == "wide":
        g = np.repeat(g, 2, axis=1)[:, ::2]
    elif order == "broadcast":
        g = np.broadcast_to(g[:1], x.shape)
    keep = ~(x <= 0) if f is relu else x > 0
    slope = 0.0 if f is relu else 0.01 if f is leaky_relu else 0.3
    expected = np.where(keep, g, (np.zeros_like(g) if f is relu else np.asarray(slope, dtype) * g))
    before = x.copy(), g.copy()
    y, pullback = vjp(f, x)
    (got,) = pullback(g)
    assert np.array_equal(y, f(x), equal_nan=True)
    assert got.dtype == dtype
    assert np.array_equal(got, expected, equal_nan=True)
    assert np.array_equal(np.signbit(got), np.signbit(expected))
    assert np.array_equal(x, before[0], equal_nan=True)
    assert np.array_equal(g, before[1], equal_nan=True)


@pytest.mark.parametrize("f", [relu, leaky_relu])
def test_a_pullback_has_a_gradient_of_its_own(draw: Draw, f: Any) -> None:
    """It is linear in the cotangent, which may itself be traced: the kernel then gives way to the rule."""
    x, g, weights = draw.normal(2**15), draw.normal(2**15), draw.normal(2**15)
    _, pullback = vjp(f, x)
    turned = grad(lambda g: np.sum(pullback(g)[0] * weights))(g)
    assert np.array_equal(turned, pullback(weights)[0])


def test_what_the_kernels_leave_to_the_body(draw: Draw) -> None:
    x = draw.normal(2**16)
    for slope in (0.0, -0.5, 1.5, np.nan):
        assert "negative_slope" in explain(leaky_relu, x, negative_slope=slope).reason
    assert np.array_equal(leaky_relu(x, negative_slope=1.5), np.where(x > 0, x, 1.5 * x))
    assert "contiguous" in explain(sigmoid, x[::2]).reason
    assert explain(sigmoid, x[:10]).kernel == "body"
    assert x[::2].size >= activations._SIZE
