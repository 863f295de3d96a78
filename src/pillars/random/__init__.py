"""One counter-based generator: the same bits on every backend, and the same as ``jax.random``."""

from __future__ import annotations

from pillars.random._draws import categorical, integers, normal, permutation, uniform
from pillars.random._key import as_key, key
from pillars.random._threefry import bits, fold_in, split

__all__ = [
    "as_key",
    "bits",
    "categorical",
    "fold_in",
    "integers",
    "key",
    "normal",
    "permutation",
    "split",
    "uniform",
]
