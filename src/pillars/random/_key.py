"""Keys: where they come from, and which library, device and dtype a draw has."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError, shown
from pillars.backends import (
    backend,
    chosen,
    common_backend,
    dtype_kind,
    dtype_name,
    plain_int,
    procedure,
    refuse_narrowing,
)
from pillars.random._threefry import check_key

__all__ = ["as_key", "destination", "key", "key_beside"]


def _make(high: int, low: int, like: Any) -> Any:
    choice = chosen()
    owner = backend(choice.backend if like is None else like)
    device = choice.device if like is None else owner.device_beside(like)
    return owner.asarray([high, low], dtype=owner.xp.uint32, device=device)


@procedure()
def key(seed: int, /, *, like: Any = None) -> Any:
    """The key of a seed: two words that name one stream of random numbers, the same on every backend.

    Parameters
    ----------
    seed : int in [0, 2**64).
    like : array whose library and device the key has; None: the chosen default's.

    Returns
    -------
    array (2,) of uint32: the seed's upper and lower 32 bits. For seeds below 2**32 it is
    ``jax.random.key_data(jax.random.key(seed))``; from there on too, where JAX has 64-bit integers enabled.

    Raises
    ------
    DTypeError : `seed` is no integer. A traced seed is none: pass keys into compiled functions, or use `fold_in`.
    ShapeError : `seed` is negative or 2**64 or more. Taken modulo something, two seeds would be one.

    Notes
    -----
    Nothing is computed: it is the cipher, later, that turns neighbouring seeds into unrelated streams.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.

    Examples
    --------
    >>> from pillars import random
    >>> random.key(42)
    array([ 0, 42], dtype=uint32)
    """
    value = plain_int(seed)
    if value is None:
        raise DTypeError(
            f"key: seed is {shown(seed)}, expected an integer known before anything is traced. "
            "Pass a key into the compiled function, or derive one there with fold_in(key, index)."
        )
    if not 0 <= value < 2**64:
        raise ShapeError(
            f"key: seed is {value}, expected 0 <= seed < 2**64. Hash it, or reduce it, yourself."
        )
    return _make(value >> 32, value & 0xFFFFFFFF, like)


def as_key(rng: Any = None, *, like: Any = None) -> Any:
    """What users pass as ``rng=``, as a key.

    Parameters
    ----------
    rng : None: fresh entropy of the operating system. An int: ``key(rng)``. A key: itself. A NumPy Generator: the next
        64 bits that it draws, so that two calls get two keys.
    like : array whose library and device the key has; None: that of the key given, else the chosen default's.

    Returns
    -------
    array (2,) of uint32.

    Raises
    ------
    DTypeError : none of these. ShapeError : an int outside [0, 2**64). BackendError : a key of another device's
    library than `like`.

    Notes
    -----
    No more than what it converts costs. Only None and a Generator give another key the next time.

    Examples
    --------
    >>> as_key(7)
    array([0, 7], dtype=uint32)
    """
    if rng is None:
        return _make(secrets.randbits(32), secrets.randbits(32), like)
    if hasattr(rng, "bit_generator"):
        value = int(rng.integers(0, 2**64, dtype="uint64"))
        return _make(value >> 32, value & 0xFFFFFFFF, like)
    if hasattr(rng, "dtype") and (getattr(rng, "ndim", 0) > 0 or dtype_kind(rng.dtype) == "other"):
        check_key("rng", rng)
        return key_beside("rng", rng, like)
    if hasattr(rng, "__index__"):
        return key(rng, like=like)
    raise DTypeError(
        f"rng: got {shown(rng)}, expected an int seed, a key of pillars.random.key, a NumPy Generator, or None."
    )


def key_beside(where: str, key: Any, like: Any) -> Any:
    """The key where `like` is, library and device: eight bytes, which never go from a device back to the host."""
    if like is None:
        return key
    source, target = backend(key), backend(like)
    place = target.device_beside(like)
    if source is target and (place is None or source.device_of(key) in (None, place)):
        return key
    if source is not target and not source.host:
        raise BackendError(
            f"{where}: got a key on {source.name} and like on {target.name}, expected one library. "
            "Convert the key with pillars.move."
        )
    return target.asarray(key, dtype=target.xp.uint32, device=place)


_SIGNED = ("int8", "int16", "int32", "int64")
_INTEGERS = (*_SIGNED, *("u" + name for name in _SIGNED))
_FLOATS = ("float32", "float64", "float16", "bfloat16")


def destination(
    where: str,
    key: Any,
    dtype: Any,
    like: Any,
    *,
    integers: bool = False,
    beside: Mapping[str, Any] | None = None,
) -> tuple[Any, str]:
    """The key in its library, and the name of the dtype to draw; `beside` are the arrays that it is to meet, by name.

    The dtype is the one asked for, else that of `like` where it is of the right kind, else the chosen or the library's
    default.

    Raises
    ------
    DTypeError, ShapeError : `key` is none, or `dtype` is of the wrong kind or not to be had.
    BackendError : the key is in another library than `like`, or than what stands beside it.
    """
    check_key(where, key)
    key = key_beside(where, key, like)
    owner = common_backend(where, key=key, **beside) if beside else backend(key)
    if owner is not backend(key):  # a host key inside somebody's trace
        key = owner.asarray(key, dtype=owner.xp.uint32)
    known = _INTEGERS if integers else _FLOATS
    if dtype is None and like is not None and dtype_name(like.dtype) in known:
        dtype = like.dtype
    if dtype is None and not integers:
        choice = chosen()
        mine = choice.backend == owner.name and choice.dtype is not None
        dtype = choice.dtype if mine else owner.default_float
    if dtype is None:
        dtype = owner.xp.asarray(0).dtype
    if isinstance(dtype, type):  # scalar types (np.float32, jnp.float32) pass for dtypes
        dtype = dtype.__name__
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    if name not in known:
        kind = "an integer" if integers else "a floating"
        raise DTypeError(f"{where}: dtype is {name}, expected {kind} dtype such as {known[0]!r}.")
    if name.endswith("64"):
        refuse_narrowing(where, owner, name)
    if dtype_kind(name) == "half" and not hasattr(owner.xp, name):
        raise DTypeError(f"{where}: dtype is {name}, which {owner.name} does not have. Ask for float32.")
    return key, name
