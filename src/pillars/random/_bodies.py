"""The draws as operations: key and shape in, numbers out. What users call stands in `_draws`.

Each is a function of the counter's words alone, so that it is the same everywhere, and float32 draws are the float64
ones with fewer digits.
"""

from __future__ import annotations

import math
from typing import Any

from pillars._typing import AnyArray, Array
from pillars.backends import Call, Draw, namespace, operation
from pillars.random._threefry import check_key, check_size, counters, some_key, words

__all__ = ["draw_exponential", "draw_integers", "draw_normal", "draw_uniform", "permute", "permute_each"]


def _float_draw(draw: Draw) -> Call:
    return Call.of(some_key(draw), shape=draw.shape(2), dtype="float32")


def _uniform_draw(draw: Draw) -> Call:
    return Call.of(
        some_key(draw), draw.uniform(-2, 0), draw.uniform(1, 3), shape=draw.shape(2), dtype="float32"
    )


def _integer_draw(draw: Draw) -> Call:
    reach = draw.integers(0, 2**31).astype("uint32")
    return Call.of(
        some_key(draw), draw.integers(-(2**31), 0).astype("int32"), reach, shape=draw.shape(2), dtype="int32"
    )


def _permutation_draw(draw: Draw) -> Call:
    return Call.of(some_key(draw), n=draw.size(), dtype="int32")


def _slices_draw(draw: Draw) -> Call:
    return Call.of(some_key(draw), shape=draw.shape(2), axis=draw.choice((0, 1)), dtype="int32")


@operation(domain=_uniform_draw)
def draw_uniform(
    key: AnyArray, low: Array, high: Array, /, *, shape: tuple[int, ...], dtype: str
) -> AnyArray:
    """low + (high − low)·u. With a counter's words a, b: u = (⌊a/2⁵⌋·2²⁶ + ⌊b/2⁶⌋)·2⁻⁵³, or ⌊a/2⁸⌋·2⁻²⁴."""
    xp = namespace(key)
    kind = getattr(xp, dtype)
    a, b = words(key, counters(key, math.prod(shape)))
    if dtype == "float64":
        u = (xp.astype(a >> 5, kind) * 2.0**26 + xp.astype(b >> 6, kind)) * 2.0**-53
    else:
        u = xp.astype(a >> 8, kind) * 2.0**-24
    begin, end = xp.astype(low, kind), xp.astype(high, kind)
    y = begin + xp.where(begin <= end, end - begin, xp.full_like(end, math.nan)) * u
    # Rounding reaches the upper end: 1 + (1 − 2⁻²⁴) is 2 in float32. It counts as the lower one, as on a circle, which
    # otherwise had only the half of its share that rounds down to it.
    return xp.reshape(xp.where(y >= end, begin, y), shape)


@draw_uniform.vjp
def _(
    g: Any, y: Any, key: Any, low: Any, high: Any, /, *, shape: Any, dtype: str, needs: Any
) -> tuple[Any, ...]:
    xp = namespace(y)
    u = draw_uniform(key, xp.zeros_like(low), xp.ones_like(high), shape=shape, dtype=dtype)
    u = xp.where(y == xp.astype(low, y.dtype), xp.zeros_like(u), u)  # what came round to low moves with it
    return None, xp.sum(g * (1.0 - u)) if needs.low else None, xp.sum(g * u) if needs.high else None


@operation(domain=_float_draw)
def draw_normal(key: AnyArray, /, *, shape: tuple[int, ...], dtype: str) -> AnyArray:
    """Box and Muller's pairs √(−2 log u)·(cos θ, sin θ), two numbers from each counter.

    u = (a + ½)/2³², continued in float64 by the first word of stream 1. The second word b has in its upper two bits
    which of four quadrants, and below them where in −π/4 < θ < π/4: there neither the cosine nor the sine loses digits,
    and libraries agree. Swapping the two, and the cosine's sign, make a full circle of it.
    """
    xp = namespace(key)
    kind = getattr(xp, dtype)
    # Both numbers of a pair work out its cipher: one pass of elements that compilers fuse, where interleaving two
    # arrays costs XLA seven times the whole.
    index = counters(key, math.prod(shape))
    a, b = words(key, index >> 1)
    radius = xp.astype(a, kind)
    turn = xp.astype(xp.astype(b & 0x3FFFFFFF, xp.int32) - 0x20000000, kind)
    if dtype == "float64":
        more_a, more_b = words(key, index >> 1, stream=1)
        radius = (radius * 2.0**32 + xp.astype(more_a, kind) + 0.5) * 2.0**-64
        turn = turn + (xp.astype(more_b, kind) + 0.5) * 2.0**-32
    else:
        radius = (radius + 0.5) * 2.0**-32
        turn = turn + 0.5
    angle = turn * (math.pi * 2.0**-31)
    cosine = xp.where((b >> 31) == 1, -xp.cos(angle), xp.cos(angle))
    straight = ((b >> 30) & 1) == (index & 1)
    return xp.reshape(xp.sqrt(-2.0 * xp.log(radius)) * xp.where(straight, cosine, xp.sin(angle)), shape)


@operation(domain=_float_draw)
def draw_exponential(key: AnyArray, /, *, shape: tuple[int, ...], dtype: str) -> AnyArray:
    """−log(1 − p) with p = a/2³² + (b + ½)/2⁶⁴, which keeps all its digits near 0, where races are won."""
    xp = namespace(key)
    kind = getattr(xp, dtype)
    a, b = words(key, counters(key, math.prod(shape)))
    p = xp.astype(a, kind) * 2.0**-32 + (xp.astype(b, kind) + 0.5) * 2.0**-64
    # A p that rounds to 1 would be an infinite time.
    p = xp.minimum(p, xp.full_like(p, 1.0 - xp.finfo(kind).eps / 2))
    return xp.reshape(-xp.log1p(-p), shape)


def _product(x: Any, y: Any, half: int) -> tuple[Any, Any]:
    """Upper and lower word of a product of words of 2·half bits, in words of that size."""
    mask = 2**half - 1
    x1, x0, y1, y0 = x >> half, x & mask, y >> half, y & mask
    low = x0 * y0
    middle = x1 * y0 + (low >> half)
    cross = x0 * y1 + (middle & mask)
    return x1 * y1 + (middle >> half) + (cross >> half), x * y


@operation(domain=_integer_draw)
def draw_integers(
    key: AnyArray, low: AnyArray, reach: AnyArray, /, *, shape: tuple[int, ...], dtype: str
) -> AnyArray:
    """low + ⌊(reach + 1)·r⌋, with the fraction r of two words of the dtype of `reach`: a.b in 32 bits, or in 64."""
    xp = namespace(key)
    index = counters(key, math.prod(shape))
    a, b = words(key, index)
    half = 16
    if reach.dtype == xp.uint64:
        half = 32
        more_a, more_b = words(key, index, stream=1)
        a, b, more_a, more_b = (xp.astype(word, xp.uint64) for word in (a, b, more_a, more_b))
        a, b = (a << 32) | b, (more_a << 32) | more_b
    a, b = xp.reshape(a, shape), xp.reshape(b, shape)
    # (a·2ʷ + b)·(reach + 1) without overflow: w-bit words of the sum, each with the carries of the one below it.
    upper, middle = _product(a, reach, half)
    carried, lowest = _product(b, reach, half)
    one = xp.ones_like(lowest)
    zero = xp.zeros_like(lowest)
    carry = xp.where(lowest + b < lowest, one, zero)
    for term in (carried, a, carry):
        total = middle + term
        upper = upper + xp.where(total < middle, one, zero)
        middle = total
    kind = getattr(xp, dtype)
    return xp.astype(low, kind) + xp.astype(upper, kind)


@operation(domain=_permutation_draw)
def permute(key: AnyArray, /, *, n: int, dtype: str) -> AnyArray:
    """The order that sorts 64-bit words: by the lower 32 bits, then stably by the upper ones."""
    xp = namespace(key)
    a, b = words(key, counters(key, n))
    order = xp.argsort(b, stable=True)
    order = xp.take(order, xp.argsort(xp.take(a, order), stable=True))
    return xp.astype(order, getattr(xp, dtype))


@operation(domain=_slices_draw)
def permute_each(key: AnyArray, /, *, shape: tuple[int, ...], axis: int, dtype: str) -> AnyArray:
    """For every slice along an axis the order that sorts its own words, those of its elements in C order."""
    xp = namespace(key)
    a, b = (xp.reshape(word, shape) for word in words(key, counters(key, math.prod(shape))))
    order = xp.argsort(b, axis=axis, stable=True)
    second = xp.argsort(xp.take_along_axis(a, order, axis=axis), axis=axis, stable=True)
    return xp.astype(xp.take_along_axis(order, second, axis=axis), getattr(xp, dtype))


def _check(name: str) -> Any:
    def check(key: Any, /, *, shape: Any, **options: Any) -> None:
        check_key(name, key)
        check_size(name, shape)

    return check


@draw_uniform.check
def _(key: Any, low: Any, high: Any, /, *, shape: Any, dtype: Any) -> None:
    check_key("draw_uniform", key)
    check_size("draw_uniform", shape)


for _draw in (draw_normal, draw_exponential):
    _draw.check(_check(_draw.__name__))


@draw_integers.check
def _(key: Any, low: Any, reach: Any, /, *, shape: Any, dtype: Any) -> None:
    check_key("draw_integers", key)
    check_size("draw_integers", shape)


@permute.check
def _(key: Any, /, *, n: Any, dtype: Any) -> None:
    check_key("permute", key)
    check_size("permute", (n,))


@permute_each.check
def _(key: Any, /, *, shape: Any, axis: Any, dtype: Any) -> None:
    check_key("permute_each", key)
    check_size("permute_each", shape)
