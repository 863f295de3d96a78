"""One call on any backend: check, promote, compute, round; the hot paths of NumPy and JAX shortcut it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import BackendError
from pillars.backends._call_arguments import float_of, promote
from pillars.backends._dtypes import dtype_kind
from pillars.backends._protocol import Backend
from pillars.backends._record import Record
from pillars.backends._tree import tree_map

__all__ = ["narrow", "run_generic"]


def narrow(backend: Backend, record: Record, result: Any, dtype: Any) -> Any:
    """Round a result that was computed wide back to the half precision that came in."""
    if record.half != "wide" or dtype_kind(dtype) != "half":
        return result
    xp = backend.xp
    return tree_map(lambda y: xp.astype(y, dtype) if dtype_kind(y.dtype) == "float" else y, result)


def run_generic(backend: Backend, record: Record, values: list[Any], function: Callable[..., Any]) -> Any:
    """`function` (the body, or a kernel) on normalised values: checked, promoted, and rounded once."""
    dtype = float_of(backend, record, values)
    record.run_check(values)
    one_device(backend, record, values)
    if backend.host:
        record.run_check_values(values)
    positional, options = record.split(promote(backend, record, values, dtype))
    with backend.quiet(), backend.device_scope(values):
        result = narrow(backend, record, function(*positional, **options), dtype)
    return backend.as_arrays(result)


def one_device(backend: Backend, record: Record, values: list[Any]) -> None:
    """Refuse arrays of two devices, naming both."""
    if len(record.arrays) < 2:
        return
    first: tuple[str, Any] | None = None
    for parameter in record.arrays:
        x = values[parameter.position]
        device = backend.device_of(x) if x is not None else None
        if device is None:
            continue
        if first is None:
            first = parameter.name, device
        elif device != first[1]:
            raise BackendError(
                f"{record.body.__name__}: got {first[0]} on device {first[1]} and {parameter.name} on device {device}, "
                "expected one device. Move one of them with pillars.move."
            )
