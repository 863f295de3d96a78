"""check_gradient of functions that return Python's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.calculus import check_gradient


def test_a_loss_may_return_a_float() -> None:
    def loss(w: Any) -> float:
        return float(np.sum(w**3))

    x = np.asarray([1.0, 2.0])
    assert check_gradient(loss, x, gradient=lambda w: 3 * w**2).ok
    assert not check_gradient(loss, x, gradient=lambda w: 3.1 * w**2).ok
