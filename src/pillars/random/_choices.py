"""Draws from what is there: orders, and items with or without replacement."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import (
    Call,
    Draw,
    asarray,
    backend,
    dtype_kind,
    dtype_name,
    dtype_range,
    namespace,
    plain_int,
    procedure,
)
from pillars.random._bodies import permute, permute_each
from pillars.random._categorical import categorical
from pillars.random._draws import integers
from pillars.random._key import destination, key_beside
from pillars.random._threefry import check_key, check_size, shape_of, some_key

__all__ = ["choice", "permutation"]

_LIKE_ITSELF = "{}: got dtype or like with an array, expected neither: the result is like the array."


def _permuted(draw: Draw) -> Call:
    return Call.of(some_key(draw), draw.size())


@procedure(domain=_permuted)
def permutation(
    key: Any, x: Any, *, axis: int = 0, independent: bool = False, dtype: Any = None, like: Any = None
) -> Any:
    """A random order of 0 ... n − 1, or an array in random order along an axis.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    x : int n, 0 or more, for the numbers 0 ... n − 1; or an array to shuffle, or a list or tuple of numbers, which
        becomes one in the key's library.
    axis : the axis of the array along which it is shuffled.
    independent : every slice along `axis` gets an order of its own. False: all get the same one: rows stay rows.
    dtype : integer dtype or its name, of the numbers; None: that of `like` if integer, else the library's default.
    like : array whose library and device the numbers have; None: the key's.

    Returns
    -------
    array (n,), the order that sorts the 64-bit words of the counters 0 ... n − 1, ties keeping their place; or an array
    like `x`, ``xp.take(x, permutation(key, n), axis=axis)``. Independent slices are each sorted by the words of their
    own elements, counted in C order; of a single slice that is the same order. The same on every backend.

    Raises
    ------
    DTypeError, ShapeError, BackendError : as in `integers`; a dtype too small for n − 1; an axis that `x` lacks; a list
        of what is no number.

    Notes
    -----
    Ties make the orders uneven by n²/2⁶⁵ at most (total variation); jax.random's, which sorts by 32 bits, differ.
    O(n log n), about 100 ns an element at 10⁶.

    References
    ----------
    Knuth (1997), The Art of Computer Programming, volume 2, 3.4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars import random
    >>> random.permutation(random.key(0), 6)
    array([1, 5, 0, 4, 3, 2])
    >>> random.permutation(random.key(0), np.arange(8).reshape(2, 4), axis=1, independent=True)
    array([[1, 0, 3, 2],
           [5, 4, 7, 6]])
    """
    _require_bool("permutation", "independent", independent)
    x = _listed("permutation", key, x)
    if not hasattr(x, "shape") or x.shape == ():
        _numbers_axis("permutation", axis)
        return _order(key, x, dtype, like)
    axis = _axis("permutation", x, axis)
    if dtype is not None or like is not None:
        raise DTypeError(_LIKE_ITSELF.format("permutation"))
    key = _key_beside("permutation", key, x)
    if independent:
        key, name = destination("permutation", key, None, None, integers=True)
        check_size("permutation", tuple(x.shape))
        order = permute_each(key, shape=tuple(x.shape), axis=axis, dtype=name)
    else:
        order = _order(key, x.shape[axis], None, None)
    xp = namespace(x)
    with backend(x).device_scope((x,)):
        return xp.take_along_axis(x, order, axis=axis) if independent else xp.take(x, order, axis=axis)


@procedure(domain=_permuted)
def choice(
    key: Any,
    x: Any,
    shape: Any = (),
    *,
    p: Any = None,
    replace: bool = True,
    axis: int = 0,
    dtype: Any = None,
    like: Any = None,
) -> Any:
    """Items drawn at random, with or without replacement, equally likely or by weight.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    x : int n, for the numbers 0 ... n − 1; or an array, for its entries along an axis, or a list or tuple of numbers,
        which becomes one in the key's library. Of words draw places: ``choice(key, len(words), ...)``.
    shape : tuple of ints, or one int: how many items are drawn.
    p : array (n,) or list of weights, 0 or more, that need not add up to 1. None: all alike. Weight 0: never drawn.
    replace : False draws every item at most once, each time among those that are left, in proportion to their weights.
    axis : the axis of the array `x` that is drawn from.
    dtype : integer dtype or its name, of the numbers; None: that of `like` if integer, else the library's default.
    like : array whose library and device the numbers have; None: the key's.

    Returns
    -------
    array of that shape; for an array `x`, its entries, with `shape` in place of the axis. The same on every backend,
    but for races by weight that are closer than rounding (see `categorical`).

    Raises
    ------
    DTypeError, BackendError : as in `integers`; weights that are no real numbers; a list of what is no number.
    ShapeError : nothing to draw from, weights that are not one for each item, more items than there are without
        replacement; weights that are negative, not finite, all 0, or fewer above 0 than are asked for.

    Notes
    -----
    Weights that are traced, or on a device, are not looked at: where there is no item to draw, numbers are −1 and
    floating entries NaN (entries of other dtypes are refused there: they have no NaN). By weight, `categorical` draws:
    n numbers in all without replacement, and as many for each item with it.

    References
    ----------
    Efraimidis, Spirakis (2006), Weighted random sampling with a reservoir.

    Examples
    --------
    >>> from pillars import random
    >>> random.choice(random.key(0), 5, 3, replace=False)
    array([1, 0, 4])
    >>> random.choice(random.key(0), 5, 3, replace=False, p=[0.0, 1.0, 1.0, 0.0, 8.0])
    array([4, 1, 2])
    """
    x = _listed("choice", key, x)
    whole = hasattr(x, "shape") and x.shape != ()
    lengths = shape_of("choice", shape)
    _require_bool("choice", "replace", replace)
    if not whole:
        _numbers_axis("choice", axis)
        (n,) = shape_of("choice", x, "x")
        key, name = destination("choice", key, dtype, like, integers=True)
        _check_draws(n, lengths, replace)
        return _positions(key, n, lengths, p, replace, name)[0]
    axis = _axis("choice", x, axis)
    if dtype is not None or like is not None:
        raise DTypeError(_LIKE_ITSELF.format("choice"))
    key, name = destination("choice", _key_beside("choice", key, x), None, None, integers=True)
    n = x.shape[axis]
    _check_draws(n, lengths, replace)
    with backend(x).device_scope((x,)):
        places, certain = _positions(key, n, lengths, p, replace, name)
        return _taken(x, places, axis, certain=certain)


def _require_bool(where: str, option: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise DTypeError(f"{where}: {option} is {shown(value)}, expected True or False.")


def _listed(where: str, key: Any, x: Any) -> Any:
    """Lists of numbers as arrays beside the key; anything else as it is."""
    if not isinstance(x, (list, tuple, range)):
        return x
    check_key(where, key)
    try:
        asarray(x, backend="numpy")
    except (DTypeError, ShapeError) as error:
        raise type(error)(
            f"{where}: x is {shown(x)}, expected an array, numbers in rows of equal length, or how many numbers. Of "
            f"anything else draw places, {where}(key, {len(x)}), and take the items at them."
        ) from None
    # of the key's own library, whose default dtype lists of floats get
    owner = backend(key)
    beside = asarray(x, backend=owner.name)
    return owner.asarray(beside, dtype=beside.dtype, device=owner.device_beside(key))


def _taken(x: Any, places: Any, axis: int, *, certain: bool) -> Any:
    """The entries of an array at places along an axis; NaN where there is none, unless it is certain that there is."""
    xp = namespace(x)
    if not certain and dtype_kind(x.dtype) not in ("float", "half", "complex"):
        raise DTypeError(
            f"choice: x has dtype {dtype_name(x.dtype)}, which has no NaN, and p, on a device or traced, is not looked "
            "at: expected weights on the host. Or draw numbers, choice(key, n, p=p), and look for -1 among them."
        )
    flat = xp.reshape(places, (-1,))
    known = flat >= 0
    drawn = xp.take(x, flat if certain else xp.where(known, flat, xp.zeros_like(flat)), axis=axis)
    if not certain:
        known = xp.reshape(known, (-1,) + (1,) * (drawn.ndim - axis - 1))
        drawn = xp.where(known, drawn, xp.full_like(drawn, math.nan))
    return xp.reshape(drawn, (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))


def _check_draws(n: int, lengths: tuple[int, ...], replace: bool) -> None:
    """Refuse to draw from nothing, or more items than there are."""
    m = math.prod(lengths)
    if m and not n:
        raise ShapeError(f"choice: x has no items, expected some: {m} are to be drawn.")
    if not replace and m > n:
        raise ShapeError(
            f"choice: shape {lengths} asks for {m} items, expected at most {n}, which there are: replace is False. "
            "Draw fewer, or with replacement."
        )


def _positions(
    key: Any, n: int, lengths: tuple[int, ...], p: Any, replace: bool, dtype: str
) -> tuple[Any, bool]:
    """Numbers in [0, n), and whether it is known that none of them is −1."""
    m = math.prod(lengths)
    if m == 0 or (p is None and replace):
        return integers(key, lengths, 0, max(n, 1), dtype=dtype), True
    xp = namespace(key)
    if p is None:
        return xp.reshape(_order(key, n, dtype, None)[:m], lengths), True
    logits, certain = _logs(key, p, n, 1 if replace else m)
    drawn = xp.reshape(categorical(key, logits, n=m, replace=replace), lengths)
    return xp.astype(drawn, getattr(xp, dtype)), certain


def _logs(key: Any, p: Any, n: int, least: int) -> tuple[Any, bool]:
    """The logarithms of weights beside the key, and whether the weights were looked at."""
    host = backend("numpy")
    owner = backend(key)
    array = p if hasattr(p, "shape") else host.asarray(p)
    if dtype_kind(array.dtype) not in ("float", "half", "integer"):
        raise DTypeError(f"choice: p is {shown(p)}, expected real numbers.")
    if tuple(array.shape) != (n,):
        raise ShapeError(
            f"choice: p has shape {tuple(array.shape)}, expected ({n},): a weight for each item."
        )
    certain = host.owns(type(array))
    if certain:
        wrong = ~(array >= 0) | ~host.xp.isfinite(array)
        if wrong.any():
            place = int(host.xp.argmax(wrong))
            raise ShapeError(f"choice: p[{place}] is {array[place]}, expected finite weights of 0 or more.")
        items = int(host.xp.count_nonzero(array))
        if items < least:
            raise ShapeError(
                f"choice: p has {items} weights above 0, expected at least {least}, as many as are drawn. "
                "Draw fewer, or with replacement."
            )
        with host.quiet():  # taken on the host, so that no weight is too small for another library's floats
            logs = host.xp.log(array.astype(host.default_float))
        return owner.asarray(logs, dtype=owner.default_float, device=owner.device_beside(key)), True
    if backend(array) is not owner:
        destination("choice", key, None, None, beside={"p": array})  # which says where each is
    xp = owner.xp
    kind = dtype_kind(array.dtype)
    if kind != "float":
        array = xp.astype(array, owner.default_float if kind == "integer" else xp.float32)
    with owner.quiet():
        return xp.where(array == 0, xp.full_like(array, -math.inf), xp.log(array)), False


def _key_beside(where: str, key: Any, x: Any) -> Any:
    """The key where an array is; what is traced leaves it where it stands."""
    check_key(where, key)
    here, there = backend(key), backend(x)
    return key if here is not there and here.name == there.name else key_beside(where, key, x)


def _numbers_axis(where: str, axis: Any) -> None:
    """Refuse another axis than the one that numbers have."""
    if plain_int(axis) not in (0, -1):
        raise ShapeError(
            f"{where}: axis is {shown(axis)}, expected 0: x is how many numbers, which have one axis."
        )


def _axis(where: str, x: Any, axis: Any) -> int:
    """An axis of `x`, counted from its first."""
    place = plain_int(axis)
    if place is None or not -x.ndim <= place < x.ndim:
        raise ShapeError(
            f"{where}: axis is {shown(axis)}, expected one of the {x.ndim} axes of shape {tuple(x.shape)}."
        )
    return place % int(x.ndim)


def _order(key: Any, n: Any, dtype: Any, like: Any) -> Any:
    """A random order of n numbers."""
    if plain_int(n) is None and hasattr(n, "__len__"):
        raise DTypeError(
            f"permutation: x is a {type(n).__name__}, expected an array, or a plain integer: how many numbers to put "
            "in order. Convert a list with pillars.asarray; a length cannot be traced."
        )
    key, name = destination("permutation", key, dtype, like, integers=True)
    (length,) = shape_of("permutation", n, "n")
    if length - 1 > dtype_range(name)[1]:
        raise ShapeError(f"permutation: n is {length}, more than {name} can number. Ask for a wider dtype.")
    return permute(key, n=length, dtype=name)
