"""One counter-based generator: the same draws on every backend, from the keys and bits of ``jax.random``.

`key`, `bits`, `split` and `fold_in` give what JAX's Threefry gives (partitionable layout); what is made of the bits
(`uniform`, `normal`, ...) is our own, and need not equal JAX's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.random._categorical import categorical
from pillars.random._choices import choice, permutation
from pillars.random._draws import integers, normal, uniform
from pillars.random._key import as_key, key
from pillars.random._threefry import bits, fold_in, split

__all__ = [
    "as_key",
    "bits",
    "categorical",
    "choice",
    "fold_in",
    "integers",
    "key",
    "normal",
    "permutation",
    "split",
    "uniform",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
