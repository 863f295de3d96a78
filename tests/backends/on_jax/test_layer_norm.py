"""The normalisation kernels on JAX: the fused form where it is right, and the body where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.layers import layer_norm, rms_norm

jax = pytest.importorskip("jax")
BOTH = pytest.mark.parametrize("f", [layer_norm, rms_norm], ids=lambda f: f.__name__)
EPS = float(np.finfo(np.float32).eps)


def compared(f: Any, x: Any, *given: Any, **options: Any) -> None:
    """Eager, jitted and mapped over the first axis, with the body on NumPy in float64."""
    x = np.asarray(x, np.float32)
    true = f.reference(x.astype(np.float64), *(w.astype(np.float64) for w in given), **options)
    arrays = [jax.numpy.asarray(a) for a in (x, *(w.astype(np.float32) for w in given))]

    def one(*a: Any) -> Any:
        return f(*a, **options)

    ways = [one, jax.jit(one), jax.vmap(one, (0, *[None] * len(given)))]
    wide = np.where(np.isfinite(x), x, 0.0).astype(np.float64)
    growth = 1 + np.abs(wide.mean(-1, keepdims=True)) / (wide.std(-1, keepdims=True) + 1e-3)
    for way in ways:
        got = np.asarray(way(*arrays), np.float64)
        known = np.isfinite(true)
        assert np.array_equal(got[~known], true[~known], equal_nan=True)
        bound = (8 + x.shape[-1] ** 0.5) * EPS * growth * (1 + np.abs(true))
        assert np.all(np.abs(got[known] - true[known]) <= bound[known])


@BOTH
@pytest.mark.parametrize("scale", [1.0, 1e17, 1e20, 1e37])
def test_one_row_beyond_what_squares_can_hold(draw: Draw, f: Any, scale: float) -> None:
    x, w = draw.normal(6, 12), draw.normal(12)
    x[3] *= scale
    compared(f, x, w)
    if f is layer_norm:
        compared(f, x, w, draw.normal(12))


@BOTH
def test_rows_that_look_like_overflow(draw: Draw, f: Any) -> None:
    x = draw.normal(5, 8)
    x[1], x[2] = 0.0, np.nan
    x[4, 3] = np.inf
    compared(f, x)
    compared(f, x * 1e30)
    x[2] = 1e30
    x[2, 0] = -1e30
    compared(f, x)


@BOTH
def test_derivatives_go_through(draw: Draw, f: Any) -> None:
    x = draw.normal(3, 8).astype(np.float32)
    x[1] *= 1e37

    def total(v: Any) -> Any:
        return jax.numpy.sum(f(v) ** 3)

    slope, jitted = jax.grad(total)(x), jax.jit(jax.grad(total))(x)
    assert np.all(np.isfinite(slope))
    assert np.allclose(slope, jitted, rtol=1e-4, atol=1e-4)
    forward = jax.jvp(total, (x,), (x,))[1]  # along x itself hardly anything changes
    assert abs(float(forward)) <= 1e-3


@BOTH
def test_explained(f: Any) -> None:
    assert explain(f, jax.numpy.ones((2, 3))).kernel == f"on_jax.layer_norm:{f.__name__}"
    traced: list[str] = []

    def look(x: Any) -> Any:
        traced.append(explain(f, x).kernel)
        return x

    jax.jit(look)(jax.numpy.ones((2, 3)))
    assert traced == [f"on_jax.layer_norm:{f.__name__}"]
