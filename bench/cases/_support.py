"""What the cases share: inputs, errors, peers that may be missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["jax_ways", "relative_to", "torch_ways"]


def relative_to(true: Any) -> Callable[[Any], float]:
    """result -> the largest |result - true| over the largest |true|, in float64."""
    wide = np.asarray(true, dtype=np.float64)
    scale = max(float(np.abs(wide).max()), 1e-300)
    return lambda got: float(np.abs(np.asarray(got, dtype=np.float64) - wide).max()) / scale


def torch_ways(make: Callable[[Any], dict[str, Callable[[], Any]]]) -> dict[str, Callable[[], Any]]:
    """``make(torch)``, or nothing where torch is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    return make(torch)


def jax_ways(make: Callable[[Any], dict[str, Callable[[], Any]]]) -> dict[str, Callable[[], Any]]:
    """``make(jax)``, or nothing where JAX is not installed."""
    try:
        import jax
    except ImportError:
        return {}
    return make(jax)
