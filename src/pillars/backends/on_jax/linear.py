"""The linear layer on the CPU, of rows that stay the same in every turn of a loop.

The weight's gradient is xᵀ·dz, and XLA's product reads both along their long axis: two thirds of a small model's step.
Of x transposed before the loop, once, the same product takes half the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._kernels import kernel
from pillars.backends._registry import load
from pillars.backends._tree import tree_leaves

__all__ = ["held", "linear"]

_MOST = 2**22  # elements that are laid out a second time: sixteen megabytes in float32

# array, its transpose
_held: ContextVar[tuple[tuple[Any, Any], ...]] = ContextVar("pillars_held", default=())


@contextmanager
def held(tree: Any) -> Iterator[None]:
    """While this lasts, the tree's matrices are known to stay the same in every turn of a loop that is traced."""
    kept = [x for x in tree_leaves(tree) if _is_worth_it(x)] if jax.default_backend() == "cpu" else []
    token = _held.set(tuple((x, jnp.matrix_transpose(x)) for x in kept))
    try:
        yield
    finally:
        _held.reset(token)


def _is_worth_it(x: Any) -> bool:
    return isinstance(x, jax.core.Tracer) and len(x.shape) == 2 and prod(x.shape) <= _MOST


def _transpose_of(x: Any) -> Any:
    return next((transpose for one, transpose in _held.get() if one is x), None)


def _rows_held(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> str | None:
    return "x is not known to be the same in every turn of a loop" if _transpose_of(x) is None else None


@kernel(eligible=_rows_held, traceable=True)
def linear(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> Any:
    """The body, its product's derivative by the transpose."""
    z = _product(x, _transpose_of(x), weight)
    z = z if bias is None else z + bias
    return z if activation is None else load("pillars.layers._activations:ACTIVATIONS")[activation](z)


def _matmul(x: Any, xt: Any, weight: Any) -> Any:
    return jnp.matmul(x, weight)


def _tangent(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x, xt, weight), (dx, _, dweight) = primals, tangents
    # linear in dweight, and transposed xt·dz; as a product of its own it is never computed in reverse mode
    along = jax.lax.dot_general(xt, dweight, (((0,), (0,)), ((), ())))
    return _product(x, xt, weight), along + jnp.matmul(dx, weight)


_product = jax.custom_jvp(_matmul)
_product.defjvp(_tangent)
