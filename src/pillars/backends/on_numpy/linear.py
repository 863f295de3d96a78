"""The linear layer: BLAS on all of its threads, then bias and activation in place, block by block, on the pool's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends.on_numpy._blocks import by_blocks

__all__ = ["linear"]

_BLOCK = 2**16  # elements: gelu and the sigmoids make several temporaries of that size
_HOMES = {"relu": "layers.relu", "tanh": "layers.tanh", "sigmoid": "probability.sigmoid"}


def _more_than_a_product(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> str | None:
    return "a product alone is BLAS's" if bias is None and activation is None else None


@kernel(eligible=_more_than_a_product)
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
            z[...] = records()[_HOMES.get(activation, f"layers.{activation}")].function(z)

    by_blocks(rows.shape[0], length, work, block=_BLOCK)
    return y
