"""The draws that users call: they settle library, device and dtype, and hand over to the operations of `_bodies`."""

from __future__ import annotations

from typing import Any

from pillars.backends import Call, Draw, namespace, procedure
from pillars.random._bodies import draw_integers, draw_normal, draw_uniform
from pillars.random._bounds import (
    arrays_among,
    integer_bound,
    integer_bounds,
    real_bound,
    real_bounds,
    wide_name,
)
from pillars.random._key import destination
from pillars.random._threefry import shape_of, some_key

__all__ = ["integers", "normal", "uniform"]


def _shaped(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.shape(2))


def _ranged(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.shape(2), -3, 40)


@procedure(domain=_shaped)
def uniform(
    key: Any, shape: Any, *, low: Any = 0.0, high: Any = 1.0, dtype: Any = None, like: Any = None
) -> Any:
    """Uniform numbers in [low, high).

    low + (high − low)·u, where u takes every multiple of 2⁻⁵³ (float64) or 2⁻²⁴ (float32) in [0, 1) equally often: with
    the two words a, b of a counter, u = (⌊a/2⁵⌋·2²⁶ + ⌊b/2⁶⌋)·2⁻⁵³, or ⌊a/2⁸⌋·2⁻²⁴, which is the same number cut short.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    shape : tuple of ints, or one int.
    low, high : numbers, low <= high; they may be traced and differentiated.
    dtype : floating dtype or its name; None: that of `like` if floating, else the default. Half precision is a rounded
        float32 draw.
    like : array whose library and device the result has; None: the key's.

    Returns
    -------
    array of that shape. Between two libraries, bits are equal for low 0 and high 1, and where high − low is a power
    of 2; otherwise they may differ by the rounding of one multiplication.

    Raises
    ------
    DTypeError : `key` is no uint32 array; `dtype` is not floating, or not to be had; a bound is no number.
    ShapeError : `key` is not of shape (2,), `shape` is negative, low > high, or `dtype` does not hold a bound. Bounds
        that are traced, or arrays on a device, are not looked at: out of order or of reach they give NaN.
    BackendError : the key lives on another device's library than `like`, or than a bound.

    Notes
    -----
    `high` itself is never returned (but for low == high): where rounding reaches it, `low` is, whose share is then
    whole. About 8 ns a number on one core.

    References
    ----------
    Goualard (2020), Generating random floating-point numbers by dividing integers: a case study.

    Examples
    --------
    >>> from pillars import random
    >>> random.uniform(random.key(0), (2, 2), dtype="float32")
    array([[0.4184571 , 0.21629542],
           [0.9653214 , 0.5745005 ]], dtype=float32)
    """
    low, high = real_bound("low", low), real_bound("high", high)
    key, name = destination("uniform", key, dtype, like, beside=arrays_among(low=low, high=high))
    lengths = shape_of("uniform", shape)
    wide = wide_name(name)
    begin, end = real_bounds(key, low, high, name)
    drawn = draw_uniform(key, begin, end, shape=lengths, dtype=wide)
    if name == wide:
        return drawn
    xp = namespace(drawn)
    rounded, begin, end = (xp.astype(x, getattr(xp, name)) for x in (drawn, begin, end))
    return xp.where(rounded >= end, begin, rounded)


@procedure(domain=_shaped)
def normal(key: Any, shape: Any, *, dtype: Any = None, like: Any = None) -> Any:
    """Standard normal numbers, by Box and Muller's transform.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    shape : tuple of ints, or one int.
    dtype : floating dtype or its name; None: that of `like` if floating, else the default. Half precision is a rounded
        float32 draw.
    like : array whose library and device the result has; None: the key's.

    Returns
    -------
    array of that shape. Libraries agree within 8 ulp: the uniform numbers below are equal, and logarithm, sine and
    cosine are taken where they lose no digits.

    Raises
    ------
    DTypeError, ShapeError, BackendError : as in `uniform`.

    Notes
    -----
    Counter j gives elements 2j and 2j + 1, √(−2 log u)·(cos θ, sin θ): u from the first word (32 bits; in float64 64,
    32 of them from a second cipher), θ from the second. A longer draw begins with the shorter one, and a float32
    draw is the float64 one within 1e-6, but for one number in some ten thousand, near 0, within 4e-4. Nothing is
    beyond 6.77 standard deviations in float32, 9.5 in float64: one number in 10¹¹ or 10²⁰ would be. About 9 ns a number
    in float32 and 15 in float64, on one core.

    References
    ----------
    Box, Muller (1958), A note on the generation of random normal deviates.

    Examples
    --------
    >>> from pillars import random
    >>> random.normal(random.key(0), (3,)).round(6)
    array([-1.304375, -0.202402, -0.753782])
    """
    key, name = destination("normal", key, dtype, like)
    drawn = draw_normal(key, shape=shape_of("normal", shape), dtype=wide_name(name))
    return drawn if name == wide_name(name) else namespace(key).astype(drawn, getattr(namespace(key), name))


@procedure(domain=_ranged)
def integers(key: Any, shape: Any, low: Any, high: Any, *, dtype: Any = None, like: Any = None) -> Any:
    """Uniform integers in [low, high).

    low + ⌊(high − low)·r⌋ with a random fraction r of 64 bits where high − low ≤ 2³², of 128 where it is larger.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    shape : tuple of ints, or one int.
    low, high : ints, low < high, any that the dtype holds (high may be one more); or integer arrays that broadcast to
        `shape`, which may be traced.
    dtype : integer dtype or its name; None: that of `like` if integer, else the library's default.
    like : array whose library and device the result has; None: the key's.

    Returns
    -------
    array of that shape, the same on every backend, and for every dtype that holds the range.

    Raises
    ------
    DTypeError : `key` is no uint32 array, `dtype` or a bound is no integer, or the dtype is not to be had.
    ShapeError : `key` is not of shape (2,); `shape` is negative; low >= high; the dtype does not hold the range; a
        bound does not broadcast to `shape`. Bounds that are traced, or arrays on a device, are not looked at: where
        low >= high the number is then `low`, and their dtype must not go beyond the result's (DTypeError).
    BackendError : the key lives on another device's library than `like`, or than a bound.

    Notes
    -----
    No value is favoured over another by more than (high − low)/2⁶⁴ of its probability, 2⁻³² at most; beyond 2³² values
    by (high − low)/2¹²⁸. There is no rejection, so that the work is the same for every key. Array bounds of a 64-bit
    dtype always take the 128-bit fraction (0-d NumPy arrays count as ints). About 9 ns an integer on one core.

    References
    ----------
    Lemire (2019), Fast random integer generation in an interval.

    Examples
    --------
    >>> from pillars import random
    >>> random.integers(random.key(0), (8,), 1, 7)
    array([3, 2, 6, 4, 4, 3, 6, 4])
    """
    low, high = integer_bound("low", low), integer_bound("high", high)
    arrays = arrays_among(low=low, high=high)
    key, name = destination("integers", key, dtype, like, integers=True, beside=arrays)
    lengths = shape_of("integers", shape)
    first, reach = integer_bounds(key, low, high, name, lengths)
    return draw_integers(key, first, reach, shape=lengths, dtype=name)
