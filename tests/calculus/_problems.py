"""Drawn problems for predictions of what a descent will do: quadratics, regressions, small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pillars.layers import linear
from pillars.probability import cross_entropy

__all__ = ["KINDS", "Problem", "problems"]

KINDS = ("quadratic", "logistic", "softmax", "network")


class Problem(NamedTuple):
    """A loss with its start and data, and the seed that draws it again."""

    kind: str
    seed: int
    loss: Callable[..., Any]
    params: Any
    data: tuple[Any, ...]


def problems(number: int, *, seed: int = 0) -> Iterator[Problem]:
    """As many, the kinds in turn."""
    for i in range(number):
        kind = KINDS[i % len(KINDS)]
        yield Problem(kind, i, *_MAKE[kind](np.random.default_rng([seed, i])))


def _quadratic(draw: Any) -> Any:
    """Condition numbers from 1 to 100,000, scales over four orders of magnitude."""
    d, condition = int(draw.integers(2, 20)), 10 ** draw.uniform(0, 5)
    values = np.exp(draw.uniform(-np.log(condition), 0, d))
    values[0] = 1.0
    basis = np.linalg.qr(draw.standard_normal((d, d)))[0]
    a = basis * (values * 10 ** draw.uniform(-2, 2)) @ basis.T
    return (lambda p, a: 0.5 * np.sum(p * (a @ p))), draw.standard_normal(d), (a,)


def _logistic(draw: Any) -> Any:
    n, d = int(draw.integers(20, 100)), int(draw.integers(2, 10))
    x = draw.standard_normal((n, d)) * 10 ** draw.uniform(-1, 1, d)
    y = (draw.random(n) < 1 / (1 + np.exp(-x @ draw.standard_normal(d)))).astype(float)

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = x @ p
        return np.mean(np.logaddexp(0.0, z) - y * z) + 1e-3 * np.sum(p * p)

    return loss, draw.standard_normal(d) * draw.integers(0, 2), (x, y)


def _softmax(draw: Any) -> Any:
    n, d, k = int(draw.integers(20, 100)), int(draw.integers(2, 10)), int(draw.integers(2, 5))
    x, y = draw.standard_normal((n, d)), draw.integers(0, k, n)
    start = {"weight": draw.standard_normal((d, k)) * draw.integers(0, 2), "bias": np.zeros(k)}
    return (lambda p, x, y: cross_entropy(linear(x, p["weight"], p["bias"]), y)), start, (x, y)


def _network(draw: Any) -> Any:
    n, d, h = int(draw.integers(20, 60)), int(draw.integers(2, 6)), int(draw.integers(4, 16))
    x = draw.standard_normal((n, d))
    y = np.sin(x @ draw.standard_normal(d))
    start = {
        "inner": draw.standard_normal((d, h)) / d**0.5,
        "bias": np.zeros(h),
        "outer": draw.standard_normal(h) / h**0.5,
    }

    def loss(p: Any, x: Any, y: Any) -> Any:
        return np.mean((np.tanh(x @ p["inner"] + p["bias"]) @ p["outer"] - y) ** 2)

    return loss, start, (x, y)


_MAKE = {"quadratic": _quadratic, "logistic": _logistic, "softmax": _softmax, "network": _network}
