"""NumPy, as the rest of pillars sees it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from pillars._errors import BackendError
from pillars.backends._eager import EagerBackend
from pillars.backends._kernels import kernel_of
from pillars.backends._public_function import compile_source
from pillars.backends._tree import tree_map
from pillars.backends.on_numpy._float_errors import ERRORS, IGNORED, Quiet
from pillars.backends.on_numpy._sums import tree_sum

__all__ = ["NumpyBackend"]

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_PLAIN = _FLOATS | {np.dtype(code) for code in "?bhilqBHILQ"}


class NumpyBackend(EagerBackend):
    """NumPy on the CPU."""

    name = "numpy"
    xp = np
    array_type = np.ndarray

    def owns(self, kind: type) -> bool:
        # Other subclasses change what arithmetic means: masked arrays, np.matrix, units.
        return kind is np.ndarray or kind is np.memmap

    @property
    def host(self) -> bool:
        return True

    @property
    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def device_of(self, x: Any) -> Any:
        return "cpu"

    def sum(self, x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
        return tree_sum(x, axis, keepdims=keepdims)

    def binary_scale(
        self, x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False
    ) -> Any:
        size = np.maximum(np.max(x, axis=axis, keepdims=keepdims), -np.min(x, axis=axis, keepdims=keepdims))
        # so far and no further: the inverse is to be a normal number too
        most = 1020 if x.dtype == np.float64 else 124
        exponent = np.where(np.isfinite(size), np.frexp(size)[1], 0)
        return np.asarray(np.ldexp(x.dtype.type(1), np.clip(-exponent, -most, most)))

    def is_scalar(self, value: Any) -> bool:
        """Whether the value is a NumPy scalar."""
        return isinstance(value, np.generic)

    def is_masked(self, value: Any) -> bool:
        """Whether the value is a masked array."""
        return isinstance(value, np.ma.MaskedArray)

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        if device not in {None, "cpu"}:
            raise BackendError(f"numpy: got device {device!r}, expected 'cpu', the only one it has.")
        return np.asarray(obj, dtype=dtype)

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def quiet(self) -> AbstractContextManager[Any]:
        return Quiet()

    def native_dtype(self, dtype: Any) -> Any:
        return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype

    def memory(self, f: Callable[..., Any], *args: Any) -> int | None:
        """As Python's allocators and NumPy's see it; what BLAS takes for itself is not told."""
        if tracemalloc.is_tracing():
            return None
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = f(*args)
            peak = tracemalloc.get_traced_memory()[1]
            del kept
        finally:
            tracemalloc.stop()
        return peak - before

    def as_arrays(self, result: Any) -> Any:
        if isinstance(result, (np.generic, np.ndarray)):  # a walk through a tree of one leaf is slow
            return np.asarray(result)
        if isinstance(result, tuple) and all(type(part) is np.ndarray for part in result):
            return result
        return tree_map(np.asarray, result)

    def entry(self, record: Any, kinds: tuple[type, ...], traced_number: bool) -> Callable[..., Any]:
        return _entry(self, record, kinds)


def _entry(backend: NumpyBackend, record: Any, kinds: tuple[type, ...]) -> Callable[..., Any]:
    """The hot path for arrays of native float32 and float64 (or native integers where those are kept).

    Generated, because each argument that passes through ``*args`` would cost a tenth of dispatch's microsecond.
    """
    kernel = kernel_of(backend, record)
    otherwise = getattr(kernel, "otherwise", None)
    given = [p for p, kind in zip(record.arrays, kinds, strict=True) if kind is not type(None)]
    generic = EagerBackend.entry(backend, record, kinds, False)
    variables: dict[str, Any] = {
        "_body": otherwise or record.body,
        "_check": record.rules.check,
        "_check_values": record.rules.check_values,
        "_finish": backend.as_arrays,
        "_floats": _FLOATS,
        "_generic": generic,
        "_kernel": kernel,
        "_eligible": getattr(kernel, "eligible", None),
        "_ndarray": np.ndarray,
        "_ignored": IGNORED,
        "_plain": _PLAIN,
        "_reset": ERRORS.reset,
        "_set": ERRORS.set,
    }
    names = ", ".join(p.name for p in record.parameters)
    call = ", ".join(
        [p.name for p in record.positional]
        + [f"{p.name}={p.name}" for p in record.options if p not in record.names]
    )
    check_call = ", ".join([call, *(f"{p.name}={p.name}" for p in record.names)])
    odd = " or ".join(
        f"{p.name}.dtype not in {'_floats' if p.kind.name == 'ARRAY' else '_plain'}" for p in given
    )
    floats = [p.name for p in given if p.kind.name == "ARRAY"]
    # the dtypes in the sets are singletons: two names for one are told apart from two dtypes by identity
    odd += "".join(f" or {name}.dtype is not {floats[0]}.dtype" for name in floats[1:])
    lines = [f"def _make({', '.join(variables)}):", f"    def {record.body.__name__}_on_numpy({names}):"]
    if odd:
        lines += [f"        if {odd}:", f"            return _generic({names})"]
    if record.rules.check is not None:
        lines.append(f"        _check({check_call})")
    if record.rules.check_values is not None:
        lines.append(f"        _check_values({check_call})")
    lines += ["        _token = _set(_ignored)", "        try:"]
    if kernel is not None and given:
        conditions = [f"{given[0].name}.size >= {kernel.minimum_size}"] if kernel.minimum_size else []
        conditions += [f"_eligible({call}) is None"] if kernel.eligible is not None else []
        lines += [
            f"            if {' and '.join(conditions) or 'True'}:",
            f"                return _kernel({call})",
        ]
    lines += [
        f"            _result = _body({call})",
        "        finally:",
        "            _reset(_token)",
        "        return _result if type(_result) is _ndarray else _finish(_result)",
        f"    return {record.body.__name__}_on_numpy",
    ]
    if not given:
        return generic
    return compile_source("\n".join(lines) + "\n", f"{record.name} on numpy", variables, {})
