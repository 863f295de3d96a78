"""The chosen default: which backend, device and dtype lists, scalars and creation get.

Read in outer wrappers only: a default read inside a traced function would be baked into it.
"""

from __future__ import annotations

import os
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, NamedTuple

from pillars._errors import BackendError, CapabilityError, DTypeError
from pillars.backends._dtypes import dtype_kind, dtype_name, refuse_narrowing
from pillars.backends._protocol import Backend
from pillars.backends._registry import BACKENDS, adapter_of_type, backend_named, backend_of_type, type_name

__all__ = ["Choice", "backend", "chosen", "probe", "refuse_traced", "use", "using"]


class Choice(NamedTuple):
    """A backend, and the device and dtype to create on it (None: the library's own default)."""

    backend: str
    device: Any = None
    dtype: Any = None


_process: list[Choice | None] = [None]
_scoped: ContextVar[tuple[Choice, ...]] = ContextVar("pillars_backend", default=())  # the innermost is last


def chosen() -> Choice:
    """The default in force: the innermost ``using``, else ``use``, else PILLARS_BACKEND where not empty, else NumPy."""
    scopes = _scoped.get()
    choice = scopes[-1] if scopes else _process[0]
    if choice is not None:
        return choice
    name = os.environ.get("PILLARS_BACKEND", "").strip() or "numpy"
    if name not in BACKENDS:
        raise BackendError(
            f"PILLARS_BACKEND: got {name!r}, expected one of 'numpy', 'cupy', 'jax'. Change or unset it."
        )
    return Choice(name)


def _choice(name: str, device: Any, dtype: Any) -> Choice:
    result = backend(name)
    if dtype is not None:
        dtype = getattr(result.xp, dtype, dtype) if isinstance(dtype, str) else dtype
        if dtype_kind(dtype) not in ("float", "half"):
            raise DTypeError(
                f"use: dtype is {dtype_name(dtype)}, expected a floating dtype such as 'float32'. "
                "It sets what lists and scalars become."
            )
        refuse_narrowing("use", result, dtype)
    probe("use", result, device, dtype)  # what is unusable fails here, not later
    return Choice(result.name, device, dtype)


def probe(where: str, found: Backend, device: Any, dtype: Any = None) -> Any:
    """A number on that device; a device that the backend does not have is refused with those that it has."""
    try:
        return found.asarray(0.0, dtype=dtype, device=device)
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"{where}: got device {device!r} on {found.name} ({' '.join(str(error).split())}), "
            f"expected one of {', '.join(found.devices)}."
        ) from error


def use(backend: str, *, device: Any = None, dtype: Any = None) -> None:
    """Set the process's default backend for lists, scalars and creation. Arrays keep their own library.

    Parameters
    ----------
    backend : "numpy", "cupy" or "jax".
    device : one of ``pillars.backend(name).devices`` or the library's own device object; None: its default.
    dtype : a floating dtype or its name; None: the backend's default float.

    Raises
    ------
    BackendError : unknown, not installed, or no usable device: the reason is in the message.
    DTypeError : `dtype` is not floating, or wider than the library is set to.

    Examples
    --------
    >>> import pillars
    >>> pillars.use("numpy")
    >>> pillars.softmax([1.0, 1.0])
    array([0.5, 0.5])
    """
    _process[0] = _choice(backend, device, dtype)


class using(ContextDecorator):  # noqa: N801 - a context manager, named for what it does
    """The same as :func:`use`, for the length of a ``with`` block and for this thread or task alone.

    One object may be entered again and again, inside itself too. ``with`` gives the backend.

    Examples
    --------
    >>> import pillars
    >>> with pillars.using("numpy", dtype="float32"):
    ...     pillars.softmax([1.0, 1.0]).dtype
    dtype('float32')
    """

    def __init__(self, backend: str, *, device: Any = None, dtype: Any = None) -> None:
        self._choice = _choice(backend, device, dtype)

    def __enter__(self) -> Backend:
        _scoped.set((*_scoped.get(), self._choice))
        return backend_named(self._choice.backend)

    def __exit__(self, *failure: object) -> None:
        _scoped.set(_scoped.get()[:-1])


def backend(name_or_array: Any = None) -> Backend:
    """The backend of that name, of that array, or the chosen default.

    Raises
    ------
    BackendError : an unknown name, a library that is not installed or usable, or an object that is no array.

    Examples
    --------
    >>> import numpy, pillars
    >>> pillars.backend(numpy.zeros(3)).name
    'numpy'
    """
    if name_or_array is None:
        return backend_named(chosen().backend)
    if isinstance(name_or_array, Backend):
        return name_or_array
    if isinstance(name_or_array, str):
        return backend_named(name_or_array)
    kind = type(name_or_array)
    result = backend_of_type(kind)
    adapter = adapter_of_type(kind)
    if result is None and adapter is not None and adapter.backend is not None:
        result = adapter.backend(name_or_array)
    if result is None:
        raise BackendError(
            f"backend: got {type_name(kind)}, expected a name or an array of NumPy, CuPy or JAX. "
            "Convert with pillars.asarray."
        )
    return result


def refuse_traced(where: str, leaves: Any) -> None:
    """Refuse to run inside jit, vmap or grad, for what decides by numbers and answers in them.

    Raises
    ------
    CapabilityError : an array among the leaves is traced, or its library is tracing right now.
    """
    for leaf in leaves:
        if not hasattr(leaf, "dtype"):
            continue
        owner = backend(leaf)
        if owner.in_trace() or owner.is_tracer(type(leaf)) or adapter_of_type(type(leaf)) is not None:
            raise CapabilityError(
                f"{where}: got arrays inside jit, vmap or grad, expected numbers: it decides by them when it is done. "
                "Call it outside."
            )
