"""The linear layer: its product, its gradients, its activations, and what it says when shapes do not chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError, layers
from pillars.backends import Draw
from pillars.layers import linear
from running import ONCE, eps, on, pullback

NAMED = ("relu", "gelu", "silu", "tanh", "sigmoid")


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,), (1,)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_product(variant: Variant, draw: Draw, batch: tuple[int, ...], biased: bool) -> None:
    x, w, b = draw.normal(*batch, 7), draw.normal(7, 4), draw.normal(4)
    arrays = (x, w, b) if biased else (x, w)
    y = on(variant, linear, *arrays)
    assert y.shape == (*batch, 4)
    bound = 10 * eps(variant) * (np.abs(x) @ np.abs(w) + np.abs(b))
    assert np.all(np.abs(y - (x @ w + (b if biased else 0))) <= bound)


def test_a_batch_is_its_samples(variant: Variant, draw: Draw) -> None:
    x, w, b = draw.normal(3, 2, 6), draw.normal(6, 5), draw.normal(5)
    whole = on(variant, linear, x, w, b, activation="tanh")
    parts = [on(variant, linear, x[i, j], w, b, activation="tanh") for i in range(3) for j in range(2)]
    assert np.allclose(whole.reshape(6, 5), parts, rtol=0, atol=50 * eps(variant))


def test_linear_in_each_argument(variant: Variant, draw: Draw) -> None:
    x, z, w = draw.normal(4, 6), draw.normal(4, 6), draw.normal(6, 3)
    parts = on(
        variant, lambda *a: (linear(a[0], a[2]), linear(a[1], a[2]), linear(2 * a[0] + a[1], a[2])), x, z, w
    )
    assert np.allclose(2 * parts[0] + parts[1], parts[2], rtol=0, atol=200 * eps(variant))


@pytest.mark.parametrize("activation", NAMED)
def test_named_activations_are_the_functions(variant: Variant, draw: Draw, activation: str) -> None:
    arrays = draw.normal(4, 6), draw.normal(6, 3), draw.normal(3)
    f = getattr(layers, activation)
    named, called, written = on(
        variant,
        lambda *a: (linear(*a, activation=activation), linear(*a, activation=f), f(linear(*a))),
        *arrays,
    )
    assert np.allclose(named, written, rtol=4 * eps(variant), atol=4 * eps(variant))
    assert np.allclose(called, written, rtol=4 * eps(variant), atol=4 * eps(variant))


def test_a_callable_is_applied_to_the_result(draw: Draw) -> None:
    x, w = draw.normal(4, 6), draw.normal(6, 3)
    assert np.array_equal(linear(x, w, activation=lambda y: y + 1), linear(x, w) + 1)
    assert linear(x, w, activation=np.sum) == np.sum(linear(x, w))


@ONCE
@pytest.mark.parametrize(
    ("activation", "batch"),
    [(None, ()), (None, (2, 3)), ("tanh", ()), *((one, (5,)) for one in NAMED)],
    ids=str,
)
def test_hand_derived_gradients(
    variant: Variant, draw: Draw, activation: str | None, batch: tuple[int, ...]
) -> None:
    x, w, b, g = draw.normal(*batch, 4), draw.normal(4, 3), draw.normal(3), draw.normal(*batch, 3)
    dx, dw, db = pullback(variant, linear, g, x, w, b, activation=activation)
    z = x @ w + b
    slope: Any = np.ones_like(z)
    if activation is not None:
        f, h = getattr(layers, activation), 1e-6
        slope = (f(z + h) - f(z - h)) / (2 * h)
    dz = g * slope
    rows, features = dz.reshape(-1, 3), x.reshape(-1, 4)
    close = {"rtol": 0, "atol": 1e-7 + 200 * eps(variant)}
    assert (dx.shape, dw.shape, db.shape) == (x.shape, w.shape, b.shape)
    assert np.allclose(dx, dz @ w.T, **close)
    assert np.allclose(dw, features.T @ rows, **close)
    assert np.allclose(db, rows.sum(0), **close)


@ONCE
def test_gradients_without_bias_and_of_no_samples(variant: Variant) -> None:
    dx, dw, db = pullback(variant, linear, np.ones((0, 3)), np.ones((0, 4)), np.ones((4, 3)), None)
    assert dx.shape == (0, 4)
    assert np.array_equal(dw, np.zeros((4, 3)))
    assert db is None


def test_nan_stays_in_its_row_and_is_not_cut_by_relu(variant: Variant) -> None:
    x = np.asarray([[1.0, 2.0], [np.nan, 2.0]])
    y = on(variant, linear, x, np.ones((2, 3)), activation="relu")
    assert np.array_equal(y[0], [3.0, 3.0, 3.0])
    assert np.all(np.isnan(y[1]))


def test_half_precision_is_multiplied_wide(draw: Draw) -> None:
    x, w = (
        draw.uniform(0.0, 1.0, 3, 4000).astype(np.float16),
        draw.uniform(0.0, 1.0, 4000, 2).astype(np.float16),
    )
    y = linear(x, w)
    assert y.dtype == np.float16
    assert np.array_equal(y, linear(x.astype(np.float32), w.astype(np.float32)).astype(np.float16))


@pytest.mark.parametrize(
    ("arrays", "name", "message"),
    [
        (
            (np.ones((32, 784)), np.ones((128, 10))),
            "encoder.2.ffn",
            (
                r"^linear 'encoder\.2\.ffn': x has 784 features on axis -1 but weight \(128, 10\) takes 128\. "
                r"x has shape \(32, 784\)\. The layer before must give 128 features, or this weight take 784\."
            ),
        ),
        (
            (np.ones((32, 784)), np.ones((128, 784))),
            None,
            r"^linear: x has .*pass weight\.T, of shape \(784, 128\)",
        ),
        ((np.ones((784, 32)), np.ones((784, 10))), "head", r"'head': .*swap the last two axes of x"),
        ((np.ones((32, 28, 28)), np.ones((784, 10))), None, r"Flatten each sample of x to 784 features"),
        ((np.ones(()), np.ones((3, 2))), None, r"linear: x has shape \(\), expected \(\.\.\., 3\)"),
        ((np.ones((2, 3)), np.ones(3)), None, r"weight has shape \(3,\), expected two axes, \(in, out\)"),
        ((np.ones((2, 3)), np.ones((1, 3, 2))), None, r"weight has shape \(1, 3, 2\), expected two axes"),
        (
            (np.ones((2, 3)), np.ones((3, 4)), np.ones(3)),
            "out",
            r"linear 'out': bias has shape \(3,\) but weight \(3, 4\) gives 4 features, expected \(4,\)",
        ),
        (
            (np.ones((2, 3)), np.ones((3, 4)), np.ones((1, 4))),
            None,
            r"expected \(4,\)\. Reshape it to \(4,\)",
        ),
    ],
    ids=["names", "transposed", "swapped", "unflattened", "0-d", "vector", "stack", "bias", "row bias"],
)
def test_shapes_that_do_not_chain(variant: Variant, arrays: Any, name: str | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        on(variant, linear, *arrays, name=name)


def test_an_unknown_activation() -> None:
    with pytest.raises(
        ShapeError, match=r"linear 'mlp\.0': activation is 'rely', expected one of 'relu', 'gelu'"
    ):
        linear(np.ones((2, 3)), np.ones((3, 4)), activation="rely", name="mlp.0")


def test_complex_weights(variant: Variant) -> None:
    with pytest.raises(DTypeError, match="linear: x has dtype complex64, expected real numbers"):
        on(variant, linear, np.ones((2, 3)), np.ones((3, 2)), dtype="complex64")


def test_names_compile_nothing() -> None:
    jax = pytest.importorskip("jax")
    x, w = jax.numpy.ones((2, 3)), jax.numpy.ones((3, 4))
    linear(x, w, name="first")
    compiled = linear.record.cache["jit"]._cache_size()
    for layer in range(5):
        linear(x, w, name=f"layer.{layer}")
    assert linear.record.cache["jit"]._cache_size() == compiled
