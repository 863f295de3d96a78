"""Kernels: faster bodies that live with their backend and are named by string.

A backend's folder has a table in `_kernels.py`: ``KERNELS = {"probability.softmax": "softmax:softmax"}``. Nothing is
imported before the operation first runs there, and the ground floor imports no pillar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pillars.backends._protocol import Backend
from pillars.backends._record import Record
from pillars.backends._registry import BACKENDS, CONFORMANCE_ONLY, load

__all__ = ["kernel", "kernel_of", "kernel_table", "pullback_of"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(
    *,
    minimum_size: int = 0,
    eligible: Callable[..., str | None] | None = None,
    traceable: bool = False,
    otherwise: Callable[..., Any] | None = None,
    pullback: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Mark a function as a kernel.

    Parameters
    ----------
    minimum_size : elements of the first array below which the body is faster.
    eligible : same arguments as the kernel; why it cannot serve them, or None where it can.
    traceable : whether it may run under a trace.
    pullback : a kernel of the same arguments and `needs`, to ``(y, pullback)`` as
        :func:`~pillars.backends.forward_and_pullback`, or to None where it does not serve, which must be wherever
        the record's check of values refuses; None: the record's rules.
    otherwise : what serves the inputs that it does not, the body's arithmetic in fewer calls; None: the body.
    """

    def mark(function: F) -> F:
        function.minimum_size = minimum_size  # type: ignore[attr-defined]
        function.eligible = eligible  # type: ignore[attr-defined]
        function.traceable = traceable  # type: ignore[attr-defined]
        function.otherwise = otherwise  # type: ignore[attr-defined]
        function.pullback = pullback  # type: ignore[attr-defined]
        return function

    return mark


def kernel_table(name: str) -> dict[str, str]:
    """operation -> ``"module:function"`` of one backend, read without importing the kernels."""
    folder = BACKENDS[name][1].rpartition("._backend")[0]
    result = {} if name in CONFORMANCE_ONLY else load(f"{folder}._kernels:KERNELS")
    return {operation: f"{folder}.{target}" for operation, target in result.items()}


def kernel_of(backend: Backend, record: Record) -> Any:
    """The kernel that `backend` has for an operation, or None."""
    key = ("kernel", backend.name)
    if key not in record.cache:
        target = kernel_table(backend.name).get(record.name)
        record.cache[key] = load(target) if target else None
    return record.cache[key]


def pullback_of(backend: Backend, record: Record) -> Any:
    """The kernel that gives an operation and its pullback at once, or None."""
    return getattr(kernel_of(backend, record), "pullback", None)


def refusal(record: Record, kernel: Any, values: list[Any], *, forced: bool, traced: bool) -> str | None:
    """Why the kernel does not serve this call; None where it does."""
    first = next(values[p.position] for p in record.arrays if values[p.position] is not None)
    size = 1
    for length in first.shape:
        size *= length
    if traced and not kernel.traceable:
        return "it cannot be traced"
    if size < kernel.minimum_size and not forced:
        return f"{size} elements are fewer than the {kernel.minimum_size} from which it is faster"
    if kernel.eligible is None:
        return None
    positional, options = record.split(values)
    reason: str | None = kernel.eligible(*positional, **options)
    return reason
