"""Sums and means for bodies: as accurate along one axis as along another, on every backend."""

from __future__ import annotations

from math import prod
from typing import Any

from pillars.backends._registry import backend_of_type, namespace

__all__ = ["averaged", "summed", "unbroadcast"]


def summed(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """Σ of a floating array along one axis, several, or all: :meth:`Backend.sum`; while traced, the namespace's own."""
    owner = backend_of_type(type(x))
    if owner is None:
        return namespace(x).sum(x, axis=axis, keepdims=keepdims)
    return owner.sum(x, axis, keepdims=keepdims)


def averaged(x: Any, axis: int | tuple[int, ...], *, keepdims: bool = False) -> Any:
    """The mean, likewise; NaN where there is nothing to average."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return summed(x, axis, keepdims=keepdims) / float(prod(x.shape[one] for one in axes))


def unbroadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """The cotangent of what was broadcast from `shape`: sums over the axes that were repeated."""
    full = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(axis for axis, (n, m) in enumerate(zip(full, x.shape, strict=True)) if n == 1 != m)
    if axes:
        x = summed(x, axes, keepdims=True)
    return x if tuple(x.shape) == shape else namespace(x).reshape(x, shape)
