"""The kinds of dtype, told by name, so that one table serves NumPy, CuPy, JAX and the strict namespace."""

from __future__ import annotations

from typing import Any

from pillars._errors import DTypeError
from pillars.backends._protocol import Backend

__all__ = [
    "HALF",
    "common_dtype",
    "dtype_kind",
    "dtype_name",
    "dtype_range",
    "limited",
    "native",
    "refuse_narrowing",
]

HALF = frozenset({"float16", "bfloat16"})
_KINDS = {
    **dict.fromkeys(("float32", "float64"), "float"),
    **dict.fromkeys(HALF, "half"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "integer"),
    "bool": "bool",
    "bool_": "bool",
    **dict.fromkeys(("complex64", "complex128"), "complex"),
}
_LARGEST = {
    "float16": (2 - 2.0**-10) * 2.0**15,
    "bfloat16": (2 - 2.0**-7) * 2.0**127,
    "float32": (2 - 2.0**-23) * 2.0**127,
    "float64": (2 - 2.0**-52) * 2.0**1023,
}
_names: dict[tuple[type, Any], str] = {}


def dtype_name(dtype: Any) -> str:
    """``"float32"`` for that dtype of any library."""
    key = (type(dtype), dtype)  # the type too: dtypes of two libraries may be equal, or warn when compared
    try:
        return _names[key]
    except (KeyError, TypeError):
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
        _names[key] = result = name if isinstance(name, str) else str(dtype).rsplit(".", 1)[-1]
        return result


def dtype_kind(dtype: Any) -> str:
    """One of "float", "half", "integer", "bool", "complex", "other"."""
    return _KINDS.get(dtype_name(dtype), "other")


def native(obj: Any) -> Any:
    """A host array with its bytes in the machine's order, which other libraries want; anything else as it is."""
    dtype: Any = getattr(obj, "dtype", None)
    return obj if getattr(dtype, "isnative", True) else obj.astype(dtype.newbyteorder("="))


def common_dtype(xp: Any, *dtypes: Any) -> Any:
    """The dtype that numbers of all these dtypes meet in, in the machine's order of bytes.

    float16 and bfloat16, neither of which holds the other's numbers, meet in float32.
    """
    if all(dtype == dtypes[0] for dtype in dtypes):
        return dtypes[0]
    if len({dtype_name(dtype) for dtype in dtypes} & HALF) > 1:
        dtypes = (xp.float32, *(dtype for dtype in dtypes if dtype_kind(dtype) != "half"))
    return xp.result_type(*dtypes)


def dtype_range(name: str) -> tuple[float, float]:
    """The lowest and the highest finite number of a floating or integer dtype, as Python's, which compare exactly."""
    if name in _LARGEST:
        return -_LARGEST[name], _LARGEST[name]
    bits = int(name.lstrip("uint"))
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def limited(xp: Any, x: Any, low: int, high: int, dtype: Any) -> Any:
    """An integer array brought into [low, high], then `dtype`; its own dtype may not reach the bounds."""
    least, most = dtype_range(dtype_name(x.dtype))
    return xp.astype(xp.clip(x, max(low, int(least)), min(high, int(most))), dtype)


def refuse_narrowing(where: str, backend: Backend, dtype: Any) -> None:
    """Refuse a 64-bit dtype where the library would make 32 bits of it in silence."""
    name = dtype_name(dtype)
    if dtype_name(backend.stored_dtype(dtype)) != name:
        raise DTypeError(
            f"{where}: dtype is {name}, but {backend.name} has 64-bit types switched off. "
            "Ask for 32 bits, or switch them on (jax.config.update('jax_enable_x64', True))."
        )
