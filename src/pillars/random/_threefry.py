"""The cipher behind every draw: Threefry-2x32 with twenty rounds, on uint32 arrays of any library.

Counter i of a key gives two words. They depend on the key and on i alone: not on the library, the device, the number of
threads, nor on how many more are drawn.
"""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars._typing import AnyArray
from pillars.backends import (
    Call,
    Draw,
    backend,
    dtype_kind,
    dtype_name,
    host_number,
    namespace,
    operation,
    plain_int,
    procedure,
)

__all__ = [
    "bits",
    "check_key",
    "check_size",
    "counters",
    "fold",
    "fold_in",
    "shape_of",
    "some_key",
    "split",
    "words",
]

_PARITY = 0x1BD11BDA  # the key schedule's constant, so that no key is without set bits
_TURNS = ((13, 15, 26, 6), (17, 29, 16, 24))
_WORD = 2**32 - 1


def threefry2x32(key: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """The cipher of the counters (x0, x1), all uint32, under a key of shape (2,)."""
    # Slices of length 1, not elements: NumPy warns where a uint32 scalar wraps around.
    k0, k1 = key[:1], key[1:]
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for i in range(5):
        for turn in _TURNS[i % 2]:
            x0 = x0 + x1
            x1 = ((x1 << turn) | (x1 >> (32 - turn))) ^ x0
        x0, x1 = x0 + schedule[(i + 1) % 3], x1 + (schedule[(i + 2) % 3] + (i + 1))
    return x0, x1


def counters(key: Any, n: int) -> Any:
    """0 ... n − 1 as uint32, with the key's library and device."""
    xp = namespace(key)
    return xp.arange(n, dtype=xp.uint32, device=backend(key).device_beside(key))


def words(key: Any, counter: Any, *, stream: int = 0) -> tuple[Any, Any]:
    """The two words of each counter ``stream·2³² + counter``: two uint32 arrays of its shape.

    Stream 0 is what `bits` and `split` see. Stream 1 continues its fractions where 64 bits are too few.
    """
    return threefry2x32(key, namespace(key).full_like(counter, stream), counter)


def check_key(where: str, key: Any) -> None:
    """Refuse what is no key.

    Raises
    ------
    DTypeError : no uint32 array.
    ShapeError : its shape is not (2,).
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None or dtype_name(dtype) != "uint32":
        kind = f"a {type(key).__name__}" if dtype is None else f"an array of {dtype_name(dtype)}"
        remedy = "Make one with pillars.random.key(seed)."
        if kind.startswith("an array of key"):
            remedy = "Unwrap it with jax.random.key_data."
        raise DTypeError(f"{where}: key is {kind}, expected a uint32 array of shape (2,). {remedy}")
    if key.shape != (2,):
        raise ShapeError(
            f"{where}: key has shape {tuple(key.shape)}, expected (2,). "
            "Take one row of what split gave, or map over its rows with backend.vmap."
        )


def shape_of(where: str, shape: Any, name: str = "shape") -> tuple[int, ...]:
    """A shape, or one length, as a tuple of ints that a call can fill."""
    lengths = []
    for given in shape if isinstance(shape, (tuple, list)) else (shape,):
        length = plain_int(given)
        if length is None:
            wanted = "a tuple of plain integers such as (3, 4)" if name == "shape" else "a plain integer"
            raise DTypeError(f"{where}: {name} is {shown(shape)}, expected {wanted}.")
        lengths.append(length)
    check_size(where, tuple(lengths))
    return tuple(lengths)


def check_size(where: str, lengths: tuple[int, ...]) -> None:
    """Refuse negative lengths, and more elements than a key has counters."""
    if any(n < 0 for n in lengths):
        raise ShapeError(f"{where}: shape is {lengths}, expected lengths of 0 or more.")
    if math.prod(lengths) > 2**32:
        raise ShapeError(
            f"{where}: shape {lengths} has {math.prod(lengths)} elements, expected at most 2**32 a call. "
            "Draw the parts with keys from split."
        )


def some_key(draw: Draw) -> Any:
    """A key, for the domains of the operations that take one."""
    return draw.integers(0, 2**32, 2).astype("uint32")


def _key_and_shape(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.shape(2))


def _key_and_number(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.size())


def _key_and_index(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.integers(0, 2**31))


@operation(domain=_key_and_shape)
def bits(key: AnyArray, shape: tuple[int, ...] | int, /) -> AnyArray:
    """Random bits, 32 an element: what every other draw is made from.

    Element i, in C order, is the exclusive or of the two words of Threefry-2x32 (20 rounds) at counter i. On every
    backend that is ``jax.random.bits(jax.random.wrap_key_data(key, impl="threefry2x32"), shape, "uint32")``.

    Parameters
    ----------
    key : array (2,) of uint32, from `key` or `split`.
    shape : tuple of ints, or one int. At most 2**32 elements.

    Returns
    -------
    array of that shape, uint32, with the key's library and device.

    Raises
    ------
    DTypeError : `key` is no uint32 array.
    ShapeError : `key` is not of shape (2,), or `shape` is negative or too large.

    Notes
    -----
    A longer draw begins with the shorter one. About 75 integer operations an element: 6 to 8 ns on one core, which
    two threads share from 131,072 elements on.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.

    Examples
    --------
    >>> from pillars import random
    >>> random.bits(random.key(0), (3,))
    array([4070199207, 4202968722, 1427181096], dtype=uint32)
    """
    xp = namespace(key)
    lengths = (shape,) if isinstance(shape, int) else shape
    high, low = words(key, counters(key, math.prod(lengths)))
    return xp.reshape(high ^ low, lengths)


@bits.check
def _(key: Any, shape: Any, /) -> None:
    check_key("bits", key)
    shape_of("bits", shape)


@operation(domain=_key_and_number)
def split(key: AnyArray, n: int, /) -> AnyArray:
    """Independent keys from one: a key is used once, for one draw or one split.

    Parameters
    ----------
    key : array (2,) of uint32.
    n : int, 0 or more. How many.

    Returns
    -------
    array (n, 2) of uint32: row i holds the two words of Threefry-2x32 at counter i, which is the key data of
    ``jax.random.split``. A longer split begins with the shorter one.

    Raises
    ------
    DTypeError : `key` is no uint32 array.
    ShapeError : `key` is not of shape (2,), or `n` is negative.

    Notes
    -----
    One cipher a key: about 16 ns each of many on one core, 10 µs for the call.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
    Claessen, Palka (2013), Splittable pseudorandom number generators using cryptographic hashing.

    Examples
    --------
    >>> from pillars import random
    >>> weights, noise = random.split(random.key(0), 2)
    >>> weights
    array([1797259609, 2579123966], dtype=uint32)
    """
    xp = namespace(key)
    return xp.stack(words(key, counters(key, n)), axis=-1)


@split.check
def _(key: Any, n: Any, /) -> None:
    check_key("split", key)
    check_size("split", (n,))


@procedure(domain=_key_and_index)
def fold_in(key: Any, index: Any, /) -> Any:
    """The key of step `index`: for loops whose length is not known, where `split` cannot be asked beforehand.

    Parameters
    ----------
    key : array (2,) of uint32.
    index : integer in [0, 2**64), or 0-d integer array, which may be traced.

    Returns
    -------
    array (2,) of uint32: row `index` of a split that is long enough, and, below 2**32, ``jax.random.fold_in`` of the
    same key.

    Raises
    ------
    DTypeError : `key` is no uint32 array, or `index` no integer.
    ShapeError : `key` is not of shape (2,), `index` not 0-d, negative, or 2**64 or more. An array on a device, or a
        traced one, is not looked at: a negative number is then taken as 2**64 more, the same for every width.

    Notes
    -----
    One cipher of the whole 64-bit counter, about 10 µs for the call on NumPy. Distinct indices give distinct keys.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
    Claessen, Palka (2013), Splittable pseudorandom number generators using cryptographic hashing.

    Examples
    --------
    >>> from pillars import random
    >>> bool((random.fold_in(random.key(0), 5) == random.split(random.key(0), 6)[5]).all())
    True
    """
    check_key("fold_in", key)
    number = host_number(index)
    if isinstance(number, int):
        if not 0 <= number < 2**64:
            raise ShapeError(
                f"fold_in: index is {number}, expected 0 <= index < 2**64. Count steps from 0, or hash it yourself."
            )
        host = backend("numpy")
        counter = host.asarray([number >> 32, number & _WORD], dtype=host.xp.uint32)
        owner = backend(key)
        return fold(key, owner.asarray(counter, device=owner.device_beside(key)))
    if number is not None or dtype_kind(getattr(index, "dtype", None)) != "integer":
        raise DTypeError(f"fold_in: index is {shown(index)}, expected an integer.")
    if index.shape != ():
        raise ShapeError(
            f"fold_in: index has shape {tuple(index.shape)}, expected one integer. Use vmap over several."
        )
    return fold(key, index)


@operation(domain=_key_and_index)
def fold(key: AnyArray, counter: AnyArray, /) -> AnyArray:
    """The cipher's words of one counter: a 0-d integer, or a pair of uint32, the upper 32 bits first."""
    xp = namespace(key)
    if counter.shape:
        high, low = counter[:1], counter[1:]
        return xp.concat(threefry2x32(key, high, low))
    low = xp.reshape(xp.astype(counter, xp.uint32), (1,))
    high = xp.zeros_like(low)
    name = dtype_name(counter.dtype)
    if name.endswith("64"):
        # an arithmetic shift, which gives a negative number's upper half its ones
        high = xp.reshape(xp.astype(counter >> 32, xp.uint32), (1,))
    elif name.startswith("int"):
        high = xp.where(xp.reshape(counter < 0, (1,)), xp.full_like(low, _WORD), high)
    return xp.concat(threefry2x32(key, high, low))


@fold.check
def _(key: Any, counter: Any, /) -> None:
    check_key("fold", key)
    if counter.shape not in ((), (2,)) or dtype_kind(counter.dtype) != "integer":
        raise ShapeError(
            f"fold: counter has shape {tuple(counter.shape)} and dtype {dtype_name(counter.dtype)}, expected one "
            "integer, or two words of 32 bits."
        )
