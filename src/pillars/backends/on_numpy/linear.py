"""The linear layer: BLAS on all of its threads, then bias and activation in place, block by block, on the pool's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._registry import load
from pillars.backends.on_numpy._blocks import by_blocks
from pillars.backends.on_numpy._sums import tree_sum
from pillars.backends.on_numpy.activations import unless_negative

__all__ = ["linear", "linear_and_pullback"]

_BLOCK = 2**16  # elements: gelu and the sigmoids make several temporaries of that size


def _more_than_a_product(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> str | None:
    return "a product alone is BLAS's" if bias is None and activation is None else None


@kernel()
def linear_and_pullback(x: Any, weight: Any, bias: Any, /, *, activation: str | None, needs: Any) -> Any:
    """The map with bias and relu in place, and its pullback; None where another activation follows."""
    if activation not in (None, "relu"):
        return None
    y = np.asarray(np.matmul(x, weight))
    if bias is not None:
        np.add(y, bias, y)
    if activation is not None:
        np.maximum(y, 0.0, out=y)
    features, made = weight.shape

    def pullback(g: Any) -> Any:
        if activation is not None:
            g = unless_negative(g, y)
        rows = g.reshape(-1, made)
        return (
            np.matmul(g, weight.T) if needs.x else None,
            np.matmul(x.reshape(-1, features).T, rows) if needs.weight else None,
            tree_sum(rows, 0) if needs.bias else None,
        )

    return y, pullback


@kernel(minimum_size=2**19, eligible=_more_than_a_product, pullback=linear_and_pullback)
def linear(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> Any:
    """Bias and activation where the product stands."""
    y = np.matmul(x, weight)
    length = y.shape[-1]
    rows = y.reshape(prod(y.shape[:-1]), length)

    def work(part: slice, scratch: Any) -> None:
        z = rows[part]
        if bias is not None:
            np.add(z, bias, out=z)
        if activation == "relu":
            np.maximum(z, 0.0, out=z)
        elif activation == "tanh":
            np.tanh(z, out=z)
        elif activation is not None:
            z[...] = load("pillars.layers._activations:ACTIVATIONS")[activation](z)

    by_blocks(rows.shape[0], length, work, block=_BLOCK)
    return y
