"""Which backends there are, and to which of them an array's type belongs.

Nothing is imported before an array of it turns up: a library that the caller has not imported has no arrays here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars._errors import BackendError, one_line
from pillars.backends._protocol import Availability, Backend

__all__ = [
    "BACKENDS",
    "Adapter",
    "adapter_of_type",
    "available",
    "backend_named",
    "backend_of_type",
    "namespace",
    "register_array_type",
    "type_name",
]

# name -> (the library whose import proves that its arrays may be about, where the Backend class lives)
BACKENDS: dict[str, tuple[str, str]] = {
    "numpy": ("numpy", "pillars.backends.on_numpy._backend:NumpyBackend"),
    "cupy": ("cupy", "pillars.backends.on_cupy._backend:CupyBackend"),
    "jax": ("jax", "pillars.backends.on_jax._backend:JaxBackend"),
    "strict": ("array_api_strict", "pillars.backends.on_strict._backend:StrictBackend"),
}
CONFORMANCE_ONLY = frozenset({"strict"})
# what is set here may hide every device, and the library's own message need not say so
_SETTINGS = {"jax": "JAX_PLATFORMS", "cupy": "CUDA_VISIBLE_DEVICES"}

_instances: dict[str, Backend] = {}
_unusable: dict[
    str, str
] = {}  # a library that is there and does not work (CuPy without a driver) has no arrays
_by_type: dict[type, Backend | None] = {}
_namespaces: dict[type, Any] = {}
_lock = threading.RLock()


class Adapter(NamedTuple):
    """How an array type of an upper room (the tracing array) takes part in operations."""

    call: Callable[[Any, list[Any]], Any]  # (record, values in parameter order) -> result
    namespace: Callable[[Any], Any]  # array -> its Array API namespace
    backend: Callable[[Any], Backend] | None = None  # array -> the backend that its numbers live on


_adapters: dict[type, Adapter] = {}


def register_array_type(kind: type, adapter: Adapter) -> None:
    """Let arrays of type `kind` through every operation, handled by `adapter`."""
    _adapters[kind] = adapter


def adapter_of_type(kind: type) -> Adapter | None:
    """The adapter registered for this type, if any."""
    return _adapters.get(kind)


def type_name(kind: type) -> str:
    """A type as users write it."""
    return (
        kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    )


def load(target: str) -> Any:
    """The object that ``"module:name"`` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def backend_named(name: str) -> Backend:
    """The backend of that name, imported on first use.

    Raises
    ------
    BackendError : an unknown name, a library that is not installed, or one that does not work here: the reason.
    """
    result = _instances.get(name)
    if result is not None:
        return result
    if name not in BACKENDS:
        known = ", ".join(repr(known) for known in BACKENDS if known not in CONFORMANCE_ONLY)
        raise BackendError(f"backend: got {name!r}, expected one of {known}.")
    library, target = BACKENDS[name]
    with _lock:
        if name not in _instances:
            if importlib.util.find_spec(library) is None:
                raise BackendError(f"backend {name!r}: {missing_reason(name)}.")
            try:
                _instances[name] = load(target)()
            except Exception as error:
                _unusable[name] = one_line(error) + _setting(name)
                raise BackendError(
                    f"backend {name!r} is installed but not usable here: {_unusable[name]}. "
                    "Choose another; pillars.available() lists them."
                ) from error
    return _instances[name]


def missing_reason(name: str) -> str:
    """What to install for a backend whose library is absent."""
    # the library itself, which can be had wherever pillars was installed from
    package = {"cupy": "cupy-cuda13x (or cupy-cuda12x)", "strict": "array-api-strict"}.get(name, name)
    return f"{BACKENDS[name][0]} is not installed: pip install {package}"


def backend_of_type(kind: type) -> Backend | None:
    """The backend whose arrays are of this type; None for what is no array of a known library."""
    try:
        return _by_type[kind]
    except KeyError:
        pass
    result = None
    for name, (library, _) in BACKENDS.items():
        if library not in sys.modules or name in _unusable:
            continue
        try:
            candidate = backend_named(name)
        except BackendError:
            continue
        if candidate.owns(kind):
            result = candidate
            break
    if result is not None or kind.__module__ == "builtins":
        _by_type[kind] = result  # a type unknown today may be known once its library has been imported
    return result


def namespace(first: Any, /, *rest: Any) -> Any:
    """The Array API namespace of the arrays: ``numpy``, ``jax.numpy``, ``cupy``'s, strict's or the tracing one.

    Raises
    ------
    BackendError : no array among the arguments, or arrays of two libraries.
    """
    if not rest:
        try:
            return _namespaces[type(first)]
        except KeyError:
            pass
    result: Backend | None = None
    scalars = False
    for x in (first, *rest):
        kind = type(x)
        adapter = _adapters.get(kind)
        if adapter is not None:
            return adapter.namespace(x)
        mine = backend_of_type(kind)
        if mine is None and result is None and backend_named("numpy").is_scalar(x):
            scalars = True  # what NumPy's own arithmetic makes of 0-d arrays
        if mine is None or mine is result:
            continue
        if result is None or mine.is_tracer(kind):
            result = mine
        elif not any(result.is_tracer(type(other)) for other in (first, *rest)):
            raise BackendError(
                f"namespace: got arrays of {result.name} and {mine.name}, expected one library. "
                "Convert one of them with pillars.move."
            )
    if result is None and scalars:
        return backend_named("numpy").xp
    if result is None:
        kinds = ", ".join(type_name(type(x)) for x in (first, *rest))
        raise BackendError(f"namespace: got {kinds}, expected an array. Convert with pillars.asarray.")
    if not rest:
        _namespaces[type(first)] = result.xp
    return result.xp


def available() -> dict[str, Availability]:
    """What can be used here, and why the rest can not. Imports every backend that is installed; never raises.

    Returns
    -------
    dict of name -> Availability(usable, version, devices, reason); reason is empty where usable.

    Examples
    --------
    >>> import pillars
    >>> pillars.available()["numpy"].usable
    True
    """
    return {name: _probe(name) for name in BACKENDS if name not in CONFORMANCE_ONLY}


def _probe(name: str) -> Availability:
    library = BACKENDS[name][0]
    try:
        if importlib.util.find_spec(library) is None:
            return Availability(False, None, (), missing_reason(name))
        version = str(importlib.import_module(library).__version__)
    except Exception as error:  # a broken install must not break the report about it
        return Availability(False, None, (), f"importing {library} failed: {one_line(error)}")
    try:
        return Availability(True, version, backend_named(name).devices, "")
    except Exception as error:
        return Availability(False, version, (), _unusable.get(name) or one_line(error) + _setting(name))


def _setting(name: str) -> str:
    variable = _SETTINGS.get(name, "")
    return f" ({variable}={os.environ[variable]!r} is set)" if variable in os.environ else ""
