"""A line through five points, and a descent on it on every backend: what the tests of a descent share."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts._variants import Variant
from pillars.calculus import Descent, gradient_descent, mean_squared_error

__all__ = ["X", "Y", "descend", "line_loss", "mapped", "value"]

X = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0])
Y = np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])


def line_loss(w: Any, x: Any, y: Any) -> Any:
    return mean_squared_error(w * x, y)


def descend(variant: Variant, loss: Any, params: Any, *data: Any, **options: Any) -> Descent:
    """On a variant: eager, or inside a jit of the caller's; parameters and data are placed there."""
    place = lambda tree: mapped(lambda a: variant.asarray(a, variant.default_float), tree)  # noqa: E731
    run = variant.compiled(lambda params, *data: gradient_descent(loss, params, *data, **options))
    return run(place(params), *(place(x) for x in data))


def mapped(f: Any, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: mapped(f, value) for key, value in tree.items()}
    return f(tree)


def value(variant: Variant, x: Any) -> Any:
    return variant.to_numpy(x)
