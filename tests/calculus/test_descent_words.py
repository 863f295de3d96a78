"""What is said of a descent that took all its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars.calculus import adam, gradient_descent, sgd

A = np.random.default_rng(0).standard_normal((50, 3))
B = A @ np.asarray([1.0, 2.0, 3.0])


def fit(w: Any) -> Any:
    return np.mean((A @ w - B) ** 2)


def bowl(w: Any) -> Any:
    return 0.5 * np.sum(w * w)


@pytest.mark.parametrize(
    ("loss", "start", "optimizer", "steps", "said"),
    [
        (fit, np.zeros(3), adam(50.0), 5, "It rose: lower the learning rate 50"),
        (bowl, np.ones(2), sgd(2.0), 100, "jump from one side of the minimum to the other"),
        (lambda w: -np.sum(w * w), np.ones(2), sgd(0.01), 200, "bounded below"),
        (bowl, np.zeros(2), sgd(0.1), 10, "exactly 0"),
        (fit, np.zeros(3), adam(1e-9), 100, "raise the learning rate 1e-09"),
        (fit, np.zeros(3), sgd(0.01), 50, "still falling: raise steps"),
        (fit, np.zeros(3), sgd(0.1), 2000, "no longer falls to speak of"),
        (
            lambda w: np.sum(np.abs(w)),
            np.asarray([1.05, 0.05]),
            sgd(lambda step: 0.1 + 0.02 * step),
            30,
            "risen",
        ),
    ],
)
def test_the_advice_follows_the_history(loss: Any, start: Any, optimizer: Any, steps: int, said: str) -> None:
    found = gradient_descent(loss, start, optimizer=optimizer, steps=steps)
    assert found.status == "steps"
    assert said in found.advice
