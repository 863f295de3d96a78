"""Threefry-2x32 on NumPy: blocks that stay in cache, uint32 arithmetic in place, the blocks spread over the pool.

A word takes 113 passes over its block, each far below a nanosecond an element while the block is in cache, and so 6 to
8 ns on one core; the portable body, which sends whole arrays through memory, takes three times that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._threads import pool_map

__all__ = [
    "bits",
    "draw_exponential",
    "draw_integers",
    "draw_normal",
    "draw_uniform",
    "fold",
    "permute",
    "split",
]

_MASK = 0xFFFFFFFF
_PARITY = 0x1BD11BDA
_TURNS = ((13, 15, 26, 6), (17, 29, 16, 24))
# 0-d arrays: a Python integer would be converted anew in each of the eighty shifts.
_SHIFTS = tuple(
    tuple((np.array(r, np.uint32), np.array(32 - r, np.uint32)) for r in turns) for turns in _TURNS
)
_BLOCK = 65536  # words: smaller blocks pay the calls, larger ones leave the second-level cache
_SPAN = 2 * _BLOCK  # one task: about a millisecond
_COUNT = np.arange(_BLOCK, dtype=np.uint32)
_FEW = 6  # words that Python's own integers do faster than 113 calls

Words = list[np.ndarray[Any, Any]]
Finish = Callable[[slice, Words], None]


def _schedule(key: Any) -> list[tuple[int, int]]:
    """What is added to the two words after each group of four rounds, the first pair before them."""
    k = (int(key[0]), int(key[1]), int(key[0]) ^ int(key[1]) ^ _PARITY)
    return [(k[i % 3], (k[(i + 1) % 3] + i) & _MASK) for i in range(6)]


def _one(schedule: list[tuple[int, int]], high: int, low: int) -> tuple[int, int]:
    """The cipher of one counter."""
    x0, x1 = (high + schedule[0][0]) & _MASK, (low + schedule[0][1]) & _MASK
    for i in range(5):
        for turn in _TURNS[i % 2]:
            x0 = (x0 + x1) & _MASK
            x1 = ((x1 << turn | x1 >> 32 - turn) & _MASK) ^ x0
        x0, x1 = (x0 + schedule[i + 1][0]) & _MASK, (x1 + schedule[i + 1][1]) & _MASK
    return x0, x1


def _block(schedule: list[tuple[int, int]], high: int, low: int, x0: Any, x1: Any, t: Any) -> None:
    """The cipher of the counters (high, low), (high, low + 1), ... into x0 and x1."""
    np.add(_COUNT[: x1.size], np.uint32((low + schedule[0][1]) & _MASK), out=x1)
    np.add(x1, np.uint32((high + schedule[0][0]) & _MASK), out=x0)  # with the first round's addition
    first = True
    for i in range(5):
        for left, right in _SHIFTS[i % 2]:
            if not first:
                np.add(x0, x1, out=x0)
            first = False
            np.left_shift(x1, left, out=t)
            np.right_shift(x1, right, out=x1)
            np.bitwise_or(t, x1, out=x1)
            np.bitwise_xor(x1, x0, out=x1)
        np.add(x0, np.uint32(schedule[i + 1][0]), out=x0)
        np.add(x1, np.uint32(schedule[i + 1][1]), out=x1)


def _run(key: Any, n: int, finish: Finish, streams: int = 1) -> None:
    """Give `finish` the words of counters 0 ... n - 1: two arrays a stream, its to overwrite, block by block."""
    schedule = _schedule(key)
    if n <= _FEW:
        pairs = [[_one(schedule, high, low) for low in range(n)] for high in range(streams)]
        words = [np.array([pair[i] for pair in stream], dtype=np.uint32) for stream in pairs for i in (0, 1)]
        finish(slice(0, n), words)
        return
    size = min(n, _BLOCK // streams)

    def span(begin: int) -> None:
        scratch = np.empty((2 * streams + 1, size), dtype=np.uint32)
        end = min(begin + _SPAN, n)
        for low in range(begin, end, size):
            words = [row[: min(size, end - low)] for row in scratch]
            for high in range(streams):
                _block(schedule, high, low, words[2 * high], words[2 * high + 1], words[-1])
            finish(slice(low, low + words[0].size), words[:-1])

    pool_map(span, range(0, n, _SPAN))


def _lengths(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else shape


@kernel()
def bits(key: Any, shape: int | tuple[int, ...], /) -> Any:
    """Random words: the two of the cipher, combined."""
    out = np.empty(_lengths(shape), dtype=np.uint32)
    flat = out.reshape(-1)

    def finish(at: slice, words: Words) -> None:
        np.bitwise_xor(words[0], words[1], out=flat[at])

    _run(key, flat.size, finish)
    return out


@kernel()
def split(key: Any, n: int, /) -> Any:
    """The cipher's two words are a new key."""
    out = np.empty((n, 2), dtype=np.uint32)

    def finish(at: slice, words: Words) -> None:
        out[at, 0], out[at, 1] = words

    _run(key, n, finish)
    return out


@kernel()
def fold(key: Any, counter: Any, /) -> Any:
    """The cipher of one counter, on Python's integers."""
    if counter.ndim:
        high, low = (int(word) & _MASK for word in counter)
    else:
        high, low = int(counter) >> 32 & _MASK, int(counter) & _MASK
    return np.array(_one(_schedule(key), high, low), dtype=np.uint32)


@kernel()
def draw_uniform(key: Any, low: Any, high: Any, /, *, shape: tuple[int, ...], dtype: str) -> Any:
    """53 bits of a float64, 24 of a float32, scaled in place."""
    out = np.empty(shape, dtype=dtype)
    flat = out.reshape(-1)
    kind = out.dtype.type
    begin, end = kind(low), kind(high)
    with np.errstate(all="ignore"):
        width = end - begin if begin <= end else kind(np.nan)
    scaled = begin != 0 or end != 1

    def finish(at: slice, words: Words) -> None:
        high_word, low_word = words
        u = flat[at]
        if u.itemsize == 8:
            np.right_shift(high_word, 5, out=high_word)
            np.right_shift(low_word, 6, out=low_word)
            np.multiply(high_word, 2.0**26, out=u)
            np.add(u, low_word, out=u)
            np.multiply(u, 2.0**-53, out=u)
        else:
            np.right_shift(high_word, 8, out=high_word)
            np.copyto(u, high_word, casting="unsafe")
            np.multiply(u, 2.0**-24, out=u)
        if scaled:
            with np.errstate(all="ignore"):
                np.multiply(u, width, out=u)
                np.add(u, begin, out=u)
                np.copyto(u, begin, where=u >= end)

    _run(key, flat.size, finish)
    return out


# fdlibm's polynomials for |x| <= pi/4 (Sun Microsystems, 1993), highest power first.
_SINE = (1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
         -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01)  # fmt: skip
_COSINE = (-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
           2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], z: Any) -> Any:
    y = z * coefficients[0]
    for coefficient in coefficients[1:-1]:
        y += coefficient
        y *= z
    y += coefficients[-1]
    return y


def _sine_cosine(x: Any) -> tuple[Any, Any]:
    """Both for float64 |x| <= pi/4, within 1 ulp: NumPy's own take 8 ns an element each, these 2."""
    z = x * x
    sine = _polynomial(_SINE, z)
    sine *= z
    sine *= x
    sine += x
    cosine = _polynomial(_COSINE, z)
    cosine *= z
    cosine -= 0.5
    cosine *= z
    cosine += 1.0
    return sine, cosine


@kernel()
def draw_normal(key: Any, /, *, shape: tuple[int, ...], dtype: str) -> Any:
    """Box and Muller's pairs: the radius from one word, the angle from the other; in float64 both continued."""
    n = math.prod(shape)
    kind = np.dtype(dtype).type
    out = np.empty((n + 1) // 2 * 2, dtype=kind)
    pairs = out.reshape(-1, 2)
    wide = out.itemsize == 8

    def finish(at: slice, words: Words) -> None:
        a, b = words[:2]
        swap = (b >> 30 & 1).astype(np.bool_)
        sign = b & 0x80000000
        np.bitwise_and(b, 0x3FFFFFFF, out=b)
        radius, angle = a.astype(kind), (b.view(np.int32) - 0x20000000).astype(kind)
        if wide:
            radius *= 2.0**32
            radius += words[2]
            angle += (words[3] + 0.5) * 2.0**-32
        else:
            angle += kind(0.5)
        radius += kind(0.5)
        radius *= kind(2.0**-64 if wide else 2.0**-32)
        np.log(radius, out=radius)
        radius *= kind(-2.0)
        np.sqrt(radius, out=radius)
        angle *= kind(math.pi * 2.0**-31)
        sine, cosine = _sine_cosine(angle) if wide else (np.sin(angle), np.cos(angle))
        sine *= radius
        cosine *= radius
        # The sign is the uppermost bit: a masked negation costs thirty times this.
        bits_of = cosine.view(np.uint64 if wide else np.uint32)
        bits_of ^= sign.astype(np.uint64) << 32 if wide else sign
        pairs[at, 0] = np.where(swap, sine, cosine)
        pairs[at, 1] = np.where(swap, cosine, sine)

    _run(key, len(pairs), finish, streams=2 if wide else 1)
    return out[:n].reshape(shape)


@kernel()
def draw_exponential(key: Any, /, *, shape: tuple[int, ...], dtype: str) -> Any:
    """Minus log1p of minus a uniform number that keeps its digits near 0."""
    out = np.empty(shape, dtype=dtype)
    flat = out.reshape(-1)
    kind = out.dtype.type
    top = kind(1.0 - np.finfo(kind).eps / 2)

    def finish(at: slice, words: Words) -> None:
        p, rest = flat[at], words[1].astype(kind)
        np.copyto(p, words[0], casting="unsafe")
        p *= kind(2.0**-32)
        rest += kind(0.5)
        rest *= kind(2.0**-64)
        p += rest
        np.minimum(p, top, out=p)
        np.negative(p, out=p)
        np.log1p(p, out=p)
        np.negative(p, out=p)

    _run(key, flat.size, finish)
    return out


def _scalar_range(key: Any, low: Any, reach: Any, /, *, shape: tuple[int, ...], dtype: str) -> str | None:
    if low.ndim or reach.ndim:
        return "the bounds are arrays"
    return None if reach.itemsize == 4 else "the range takes more than 32 bits"


@kernel(eligible=_scalar_range)
def draw_integers(key: Any, low: Any, reach: Any, /, *, shape: tuple[int, ...], dtype: str) -> Any:
    """The top word of a 64-bit fraction times the number of values, in 64-bit arithmetic."""
    out = np.empty(shape, dtype=dtype)
    flat = out.reshape(-1)
    values = np.uint64(int(reach) + 1)
    begin = low.astype(flat.dtype)

    def finish(at: slice, words: Words) -> None:
        product = np.multiply(words[0], values, dtype=np.uint64)
        rest = np.multiply(words[1], values, dtype=np.uint64)
        np.right_shift(rest, 32, out=rest)
        product += rest
        np.right_shift(product, 32, out=product)
        np.copyto(flat[at], product, casting="unsafe")
        np.add(flat[at], begin, out=flat[at])

    _run(key, flat.size, finish)
    return out


@kernel()
def permute(key: Any, /, *, n: int, dtype: str) -> Any:
    """Sort 64-bit words: unstably, which is faster, and again where two were equal."""
    words64 = np.empty(n, dtype=np.uint64)

    def finish(at: slice, words: Words) -> None:
        here = words64[at]
        np.copyto(here, words[0])
        np.left_shift(here, 32, out=here)
        np.bitwise_or(here, words[1], out=here)

    _run(key, n, finish)
    order = np.argsort(words64)
    ranked = words64[order]
    if np.any(ranked[1:] == ranked[:-1]):
        order = np.argsort(words64, stable=True)
    return order.astype(dtype, copy=False)
