"""Activations in place, in blocks that stay in cache: what costs in their bodies is the memory of their temporaries."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends.on_numpy._blocks import by_blocks
from pillars.backends.on_numpy.elementwise import contiguous
from pillars.backends.on_numpy.normal import exact_gelu

__all__ = ["gelu", "leaky_relu", "relu", "sigmoid", "silu", "unless_negative"]

_THREADED = 2**19  # elements below which one pass is as fast whole
_SELECTED = 2**15  # elements below which one np.where is as fast
_SIZE = 2**15  # elements below which a temporary costs next to nothing
_FAR = -1e4  # times a sigmoid that is 0 long before, where −inf would give NaN


def _in_blocks(x: Any, work: Callable[[Any, Any, Any], None]) -> Any:
    """``work(block of x, its place in the result, scratch)`` for all blocks."""
    y = np.empty_like(x)  # keeps Fortran order, so that both ravel to a view
    given, made = x.ravel(order="K"), y.ravel(order="K")

    def block(part: slice, scratch: Any) -> None:
        work(given[part], made[part], scratch.reshape(-1))

    with np.errstate(all="ignore"):
        by_blocks(given.size, 1, block, scratch=x.dtype)
    return y


def _sigmoid(x: Any, y: Any, scratch: Any) -> None:
    """σ(x) = e/(1 + e), e = exp(x), into `y`, which may be no part of `x`.

    A left tail keeps its digits, since there e is small beside 1; right of `limit` e would overflow, and σ is 1.
    """
    limit = 88.0 if x.dtype == np.float32 else 709.0
    y.fill(limit)
    np.minimum(x, y, out=y)  # of two arrays: NumPy takes four times as long for an array and a number
    np.exp(y, out=y)
    np.add(y, 1.0, out=scratch)
    np.divide(y, scratch, out=y)


def _times(x: Any, y: Any, scratch: Any) -> None:
    scratch.fill(_FAR)
    np.maximum(x, scratch, out=scratch)
    np.multiply(y, scratch, out=y)


@kernel(minimum_size=_SIZE, eligible=contiguous)
def sigmoid(x: Any, /) -> Any:
    """σ(x)."""
    return _in_blocks(x, _sigmoid)


@kernel(minimum_size=_SIZE, eligible=contiguous)
def silu(x: Any, /) -> Any:
    """x·σ(x)."""

    def work(x: Any, y: Any, scratch: Any) -> None:
        _sigmoid(x, y, scratch)
        _times(x, y, scratch)

    return _in_blocks(x, work)


@kernel(minimum_size=_SIZE, eligible=lambda x, /, *, approximate: contiguous(x))
def gelu(x: Any, /, *, approximate: bool) -> Any:
    """x·Φ(x); or x·σ(2u), u = √(2/π)·(x + 0.044715·x³)."""
    if not approximate:
        return exact_gelu(x)

    def work(x: Any, y: Any, scratch: Any) -> None:
        twice_u = np.multiply(x, x)
        np.multiply(twice_u, x, out=twice_u)
        np.multiply(twice_u, 0.044715, out=twice_u)
        np.add(twice_u, x, out=twice_u)
        np.multiply(twice_u, sqrt(8 / pi), out=twice_u)
        _sigmoid(twice_u, y, scratch)
        _times(x, y, scratch)

    return _in_blocks(x, work)


def _relu(x: Any) -> Any:
    def work(x: Any, y: Any, scratch: Any) -> None:
        y.fill(0.0)
        np.maximum(x, y, out=y)

    return _in_blocks(x, work)


def _selected(g: Any, x: Any, work: Callable[[Any, Any, Any, Any], None]) -> Any:
    """``work(bits of g, of its place in the result, a block of x, scratch of such bits)`` for all blocks.

    What np.where takes for numbers of either sign is mostly branches guessed wrong: bits and a mask have none.
    """
    made = np.empty_like(x)  # in the memory's order of x, so that all ravel to a view
    if g.strides != x.strides or g.dtype != x.dtype:
        made[...] = g
        g = made
    bits = f"i{x.dtype.itemsize}"
    cotangents, result = g.ravel(order="K").view(bits), made.ravel(order="K").view(bits)
    values = x.ravel(order="K")

    def block(part: slice, scratch: Any) -> None:
        work(cotangents[part], result[part], values[part], scratch.reshape(-1))

    by_blocks(values.size, 1, block, scratch=bits)
    return made


def unless_negative(g: Any, x: Any) -> Any:
    """g, and 0 where x <= 0, to the bit; x is contiguous."""
    if x.size < _SELECTED:
        return np.where(x <= 0, np.zeros_like(g), g)

    def work(g: Any, dx: Any, x: Any, mask: Any) -> None:
        np.subtract((x <= 0).view(np.int8), 1, out=mask)
        np.bitwise_and(g, mask, out=dx)

    return _selected(g, x, work)


@kernel(minimum_size=_SELECTED)
def relu_and_pullback(x: Any, /, *, needs: Any) -> Any:
    """relu, and its pullback: the cotangent where x is positive or NaN."""
    if contiguous(x):
        return None
    y = _relu(x) if x.size >= _THREADED else np.maximum(x, 0.0)
    return y, lambda g: (unless_negative(g, x),)


@kernel(minimum_size=_THREADED, eligible=contiguous, pullback=relu_and_pullback)
def relu(x: Any, /) -> Any:
    """The larger of x and 0."""
    return _relu(x)


def _leaks(x: Any, /, *, negative_slope: Any) -> str | None:
    if not 0.0 < negative_slope <= 1.0:
        return f"negative_slope is {negative_slope}, not in (0, 1]"
    return contiguous(x)


def _leaky(x: Any, negative_slope: Any) -> Any:
    def work(x: Any, y: Any, scratch: Any) -> None:
        np.multiply(x, negative_slope, out=y)
        np.maximum(x, y, out=y)

    return _in_blocks(x, work)


@kernel(minimum_size=_SIZE)
def leaky_relu_and_pullback(x: Any, /, *, negative_slope: Any, needs: Any) -> Any:
    """Leaky relu, and its pullback: the cotangent where x is positive, slope times it elsewhere."""
    if _leaks(x, negative_slope=negative_slope) or needs.negative_slope:
        return None
    dtype = x.dtype
    one, slope = np.asarray([1.0, negative_slope], dtype).view(f"i{dtype.itemsize}")

    def work(g: Any, dx: Any, x: Any, factor: Any) -> None:
        np.negative((x > 0).view(np.int8), out=factor)
        np.bitwise_and(factor, one ^ slope, out=factor)
        np.bitwise_xor(factor, slope, out=factor)
        np.multiply(g.view(dtype), factor.view(dtype), out=dx.view(dtype))

    return _leaky(x, negative_slope), lambda g: (_selected(g, x, work), None)


@kernel(minimum_size=_SIZE, eligible=_leaks, pullback=leaky_relu_and_pullback)
def leaky_relu(x: Any, /, *, negative_slope: Any) -> Any:
    """The larger of x and slope·x."""
    return _leaky(x, negative_slope)
