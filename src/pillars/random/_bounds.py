"""The bounds of `uniform` and `integers`: judged where their numbers are at hand, else left to the draw.

What Python or NumPy holds is compared as Python's numbers, exactly. What is traced, or sits on a device, is never
waited for.
"""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import backend, dtype_kind, dtype_name, dtype_range, host_number, namespace

__all__ = ["arrays_among", "integer_bound", "integer_bounds", "real_bound", "real_bounds", "wide_name"]


def wide_name(name: str) -> str:
    """The dtype that a draw of dtype `name` is computed in."""
    return "float32" if dtype_kind(name) == "half" else name


def real_bound(name: str, value: Any) -> Any:
    """A bound of `uniform`: a Python number, or the array that it is."""
    number = host_number(value)
    if number is None and dtype_kind(getattr(value, "dtype", None)) not in ("float", "half", "integer"):
        raise DTypeError(f"uniform: {name} is {shown(value)}, expected a real number.")
    if number is None and value.shape != ():
        raise ShapeError(
            f"uniform: {name} has shape {tuple(value.shape)}, expected one number. "
            "Draw between 0 and 1, and scale by arrays."
        )
    return value if number is None else number


def integer_bound(name: str, value: Any) -> Any:
    """A bound of `integers`: a Python int, or the array that it is."""
    number = host_number(value)
    if isinstance(number, int):
        return number
    if number is not None or dtype_kind(getattr(value, "dtype", None)) != "integer":
        raise DTypeError(f"integers: {name} is {shown(value)}, expected an integer or an array of integers.")
    return value


def arrays_among(**bounds: Any) -> dict[str, Any]:
    """The bounds that are arrays, by name."""
    return {name: bound for name, bound in bounds.items() if not isinstance(bound, (int, float))}


def real_bounds(key: Any, low: Any, high: Any, dtype: str) -> tuple[Any, Any]:
    """Two 0-d arrays beside the key, in the dtype that a draw of `dtype` is computed in."""
    wide = wide_name(dtype)
    edge, reach = dtype_range(dtype)[1], dtype_range(wide)[1]
    arrays = arrays_among(low=low, high=high)
    if not arrays and low > high:
        raise ShapeError(f"uniform: got low {low} and high {high}, expected low <= high. Swap them.")
    for name, bound in (("low", low), ("high", high)):
        if name not in arrays and not abs(bound) <= edge:  # which NaN fails too
            raise ShapeError(
                f"uniform: {name} is {bound}, expected a finite number that {dtype} holds, {edge:.6g} at most. "
                "Draw on a smaller interval, and scale."
            )
    if not arrays and high - low > reach:
        raise ShapeError(
            f"uniform: got low {low} and high {high}, expected finite numbers whose distance {wide} holds. "
            "Draw on a smaller interval, and scale."
        )
    begin, end = (_placed(key, bound, wide) for bound in (low, high))
    if arrays:
        xp = namespace(begin, end)
        fits = (xp.abs(begin) <= edge) & (xp.abs(end) <= edge) & (end - begin <= reach)
        begin = xp.where(fits, begin, xp.full_like(begin, math.nan))
    return begin, end


def integer_bounds(key: Any, low: Any, high: Any, dtype: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """`low`, and high − 1 − low as unsigned words: of 64 bits where 32 may be too few."""
    least, most = dtype_range(dtype)
    for name, bound, top in (("low", low, most), ("high", high, most + 1)):
        _check_reach(name, bound, least, top, dtype)
        _check_shape(name, bound, shape)
    _check_order(low, high)
    if not arrays_among(low=low, high=high):
        reach = high - 1 - low
        return _placed(key, low, dtype), _placed(key, reach, "uint32" if reach < 2**32 else "uint64")
    with backend(key).quiet():
        first = _placed(key, low, dtype)
        last = _placed(key, high - 1, dtype) if isinstance(high, int) else _placed(key, high, dtype) - 1
        xp = namespace(first, last)
        empty = last < first
        if not isinstance(high, int) and _ends(high) is None:
            # one less than the lowest number wraps around
            empty = empty | (_placed(key, high, dtype) == int(least))
        # Both to unsigned first: there the difference is right even where it overflows the signed type.
        unsigned = "uint64" if dtype.endswith("64") else "uint32"
        reach = _placed(key, last, unsigned) - _placed(key, first, unsigned)
        return first, xp.where(empty, xp.zeros_like(reach), reach)


def _ends(bound: Any) -> tuple[int, int] | None:
    """The lowest and highest value of a bound whose numbers are at hand."""
    if isinstance(bound, int):
        return bound, bound
    if not backend("numpy").owns(type(bound)):
        return None
    if bound.size == 0:
        return 0, 0
    return int(bound.min()), int(bound.max())


def _check_reach(name: str, bound: Any, least: float, most: float, dtype: str) -> None:
    ends = _ends(bound)
    if ends is None:
        name_of = dtype_name(bound.dtype)
        from_, to = dtype_range(name_of)
        if not (least <= from_ and to <= most):
            raise DTypeError(
                f"integers: {name} has dtype {name_of}, not all of whose numbers {dtype} reaches, and they are traced, "
                f"or on a device, and not looked at. Ask for a dtype that holds them, or convert {name} first."
            )
    elif not (least <= ends[0] and ends[1] <= most):
        value = ends[0] if ends[0] < least else ends[1]
        raise ShapeError(
            f"integers: {name} is {value}, which {dtype} does not reach ({name} from {least} to {most}). "
            "Ask for a wider dtype."
        )


def _check_shape(name: str, bound: Any, shape: tuple[int, ...]) -> None:
    given = () if isinstance(bound, int) else tuple(bound.shape)
    tail = shape[len(shape) - len(given) :] if given else ()
    if len(given) > len(shape) or any(n not in (1, wanted) for n, wanted in zip(given, tail, strict=True)):
        raise ShapeError(
            f"integers: {name} has shape {given}, expected one that broadcasts to shape {shape}. "
            "Give its axes length 1 or the shape's."
        )


def _check_order(low: Any, high: Any) -> None:
    if isinstance(low, int) and isinstance(high, int):
        if low >= high:
            raise ShapeError(f"integers: got low {low} and high {high}, expected low < high.")
    elif _ends(low) is not None and _ends(high) is not None:
        wrong = int((low >= high).sum())
        if wrong:
            raise ShapeError(
                f"integers: got low and high out of order in {wrong} places, expected low < high in each."
            )


def _placed(key: Any, bound: Any, dtype: str) -> Any:
    """A bound as an array beside the key; what is traced stays traced."""
    owner = backend(key)
    if isinstance(bound, (int, float)):
        return owner.asarray(bound, dtype=getattr(owner.xp, dtype), device=owner.device_beside(key))
    if backend(bound).name != owner.name:  # a host array inside somebody's trace, integers modulo the dtype
        bound = owner.asarray(bound.astype(dtype) if dtype_kind(dtype) == "integer" else bound)
    xp = namespace(bound)
    return xp.astype(bound, getattr(xp, dtype))
