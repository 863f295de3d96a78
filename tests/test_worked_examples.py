"""The worked examples that teach the four pillars, with the figures that their programs truly give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant, variant as named
from pillars.algorithms import attention, attention_weights
from pillars.calculus import LossMonitor, adam, gradient_descent, linear_warmup, mean_squared_error, sgd
from pillars.layers import linear
from pillars.linalg import pca
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


CUSTOMERS = [(35, 75000, 24), (28, 52000, 12), (42, 98000, 36), (31, 61000, 18), (55, 120000, 48)]


@pytest.mark.parametrize("solver", ["covariance", "full", "randomized"])
def test_the_principal_components_of_customers(variant: Variant, solver: str) -> None:
    x = np.asarray(CUSTOMERS, dtype=np.float64)
    found = on(variant, pca, (x - x.mean(axis=0)) / x.std(axis=0), solver=solver)
    assert_prints(found.explained_variance_ratio, [0.994, 0.006, 0.000])  # often printed as .963 .037 0
    assert_prints(found.components[0], [0.576, 0.578, 0.578])


def test_a_layer_of_customers(variant: Variant) -> None:
    weights = np.random.RandomState(42).randn(3, 2)
    y = on(variant, linear, np.asarray(CUSTOMERS, dtype=np.float64), weights, np.asarray([0.5, -0.3]))
    assert y.shape == (5, 2)
    figures = np.asarray([48588.906, 114216.481])  # often printed as -108.684, -64.489
    if variant.wide:
        assert_prints(y[0], figures)
    else:
        assert np.allclose(y[0], figures, rtol=4 * np.finfo(np.float32).eps, atol=0)


def test_attention_of_four_tokens(variant: Variant) -> None:
    random = np.random.RandomState(42)
    q, k, v = (random.randn(4, 8) for _ in range(3))
    weights = on(variant, attention_weights, q, k)
    figures = [
        [0.084, 0.255, 0.515, 0.145],
        [0.641, 0.133, 0.017, 0.209],
        [0.470, 0.088, 0.111, 0.331],
        [0.178, 0.492, 0.201, 0.130],
    ]
    assert_prints(weights, figures)
    mixed = on(variant, attention, q, k, v)
    assert np.allclose(mixed, weights @ v, rtol=0, atol=32 * np.finfo(mixed.dtype).eps)


# The incident: a loss that goes from 2.4 to 1e15 within 10 steps, and weights that are lost two steps later, because
# the configuration says 1.0 where 0.001 was meant. Two layers and float32: past some size each step cubes the error.
def incident(variant: Variant) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(3)
    x = 0.7 * random.standard_normal((64, 8))
    y = x @ random.standard_normal(8)
    y *= np.sqrt(2.4) / np.std(y)
    params = {"first": 0.1 * random.standard_normal((8, 4)), "second": 0.1 * random.standard_normal(4)}
    return (
        {key: variant.asarray(w, "float32") for key, w in params.items()},
        variant.asarray(x, "float32"),
        variant.asarray(y, "float32"),
    )


def two_layers(params: Any, x: Any, y: Any) -> Any:
    return mean_squared_error(x @ params["first"] @ params["second"], y)


def test_the_incident(variant: Variant) -> None:
    run = variant.compiled(lambda *given: gradient_descent(two_layers, *given, optimizer=sgd(1.0), steps=30))
    found = run(*incident(variant))
    losses = variant.to_numpy(found.history.loss)
    n = int(variant.to_numpy(found.steps))
    assert found.status == "nonfinite"
    assert n <= 12
    assert round(float(losses[0]), 1) == 2.4
    assert 1e14 < np.max(losses[:n]) < 1e17
    assert all(np.all(np.isfinite(w)) for w in variant.to_numpy(found.params).values())  # the last that were
    assert "Lower the learning rate 1 tenfold, warm it up, or pass clip_norm=1.0" in found.advice
    assert np.all(variant.to_numpy(found.history.learning_rate)[:n] == 1.0)  # the log says which rate it was


def test_the_incident_is_halted_after_three_rising_checkpoints(variant: Variant) -> None:
    run = variant.compiled(
        lambda *given: gradient_descent(
            two_layers, *given, optimizer=sgd(1.0), steps=30, monitor=LossMonitor(patience=3)
        )
    )
    found = run(*incident(variant))
    assert found.status == "halted"
    assert float(variant.to_numpy(found.loss)) < 1e6  # nine orders of magnitude before it is lost


@pytest.mark.parametrize("name", ["numpy", "jax", "jax-jit"])
def test_the_incident_mended(name: str) -> None:
    variant = named(name)
    optimizer = adam(linear_warmup(0.001, 1000, start=1e-7))
    run = variant.compiled(
        lambda *given: gradient_descent(
            two_layers,
            *given,
            optimizer=optimizer,
            steps=1300,
            clip_norm=1.0,
            monitor=LossMonitor(patience=3),
        )
    )
    found = run(*incident(variant))
    assert found.status == "steps"
    assert float(variant.to_numpy(found.loss)) < 1e-3
    rates = variant.to_numpy(found.history.learning_rate)
    assert rates.shape == (1300,)
    assert np.allclose(rates[:1000], 1e-7 + (1e-3 - 1e-7) * np.arange(1000) / 1000, rtol=1e-6)
    assert np.all(rates[1000:] == np.float32(0.001))
