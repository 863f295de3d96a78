"""The kinds of dtype, told by name, so that one table serves NumPy, CuPy, JAX and the strict namespace."""

from __future__ import annotations

from typing import Any

__all__ = ["HALF", "dtype_kind", "dtype_name"]

HALF = frozenset({"float16", "bfloat16"})
_KINDS = {
    **dict.fromkeys(("float32", "float64"), "float"),
    **dict.fromkeys(HALF, "half"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "integer"),
    "bool": "bool",
    "bool_": "bool",
    **dict.fromkeys(("complex64", "complex128"), "complex"),
}
_names: dict[tuple[type, Any], str] = {}


def dtype_name(dtype: Any) -> str:
    """``"float32"`` for that dtype of any library."""
    key = (type(dtype), dtype)  # the type too: dtypes of two libraries may be equal, or warn when compared
    try:
        return _names[key]
    except (KeyError, TypeError):
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
        _names[key] = found = name if isinstance(name, str) else str(dtype).rsplit(".", 1)[-1]
        return found


def dtype_kind(dtype: Any) -> str:
    """One of "float", "half", "integer", "bool", "complex", "other"."""
    return _KINDS.get(dtype_name(dtype), "other")
