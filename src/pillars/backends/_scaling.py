"""Powers of two that bring numbers near 1, so that their squares neither overflow nor vanish; they cost no digit."""

from __future__ import annotations

from typing import Any

from pillars.backends._dtypes import dtype_name
from pillars.backends._registry import backend_of_type, namespace

__all__ = ["binary_scale", "binary_scale_by_comparison"]

_Axis = int | tuple[int, ...] | None


def binary_scale(x: Any, axis: _Axis = None, *, keepdims: bool = False) -> Any:
    """The power of two that brings the largest |entry| of a floating array near 1: between 1/16 and 16.

    1 where that is 0 or not finite. For each slice along `axis`, or of all. Its derivative is 0.
    """
    owner = backend_of_type(type(x))
    if owner is None:
        return binary_scale_by_comparison(namespace(x), x, axis, keepdims)
    return owner.binary_scale(x, axis, keepdims=keepdims)


def binary_scale_by_comparison(xp: Any, x: Any, axis: _Axis, keepdims: bool) -> Any:
    """The same by comparing alone, which every library has and tracing does not follow."""
    wide = dtype_name(x.dtype) == "float64"
    powers = (512, 256, 128, 64, 32, 16, 8, 4) if wide else (64, 32, 16, 8, 4)
    size = xp.max(xp.abs(x), axis=axis, keepdims=keepdims)
    scale = one = xp.ones_like(size)
    for power in powers:
        less = scale * 2.0**-power
        scale = xp.where(size * less >= 1.0, less, scale)
    for power in powers:
        more = scale * 2.0**power
        scale = xp.where(size * more < 16.0, more, scale)
    return xp.where((size > 0) & xp.isfinite(size), scale, one)
