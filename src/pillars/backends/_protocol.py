"""What a backend provides beyond its namespace: loops, transforms, transfer, synchronisation.

Array functions come from the namespace; a new backend is one folder with a class that fills this in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

__all__ = ["Availability", "Backend"]


class Availability(NamedTuple):
    """Whether a backend can be used here, and why not."""

    usable: bool
    version: str | None
    devices: tuple[str, ...]
    reason: str


class Backend(ABC):
    """One array library, as the rest of pillars sees it.

    Attributes
    ----------
    name : "numpy", "cupy", "jax" or "strict".
    xp : the library's Array API namespace.
    notes : for a feature of the capability table ("jit", "vmap", ...), what this backend does instead.
    differentiates : whether the library brings its own autodiff; else the tracing array is it.
    """

    name: str
    xp: Any
    notes: ClassVar[dict[str, str]]
    differentiates: ClassVar[bool] = False

    # what the arrays are
    @abstractmethod
    def owns(self, kind: type) -> bool:
        """Whether arrays of this type are this backend's."""

    def is_tracer(self, kind: type) -> bool:
        """Whether values of this type are abstract: shapes without numbers."""
        return False

    def in_trace(self) -> bool:
        """Whether this library is tracing right now, so that host arrays are constants."""
        return False

    @property
    def host(self) -> bool:
        """Whether looking at the numbers costs no synchronisation."""
        return False

    def quiet(self) -> AbstractContextManager[Any]:
        """A context without floating-point warnings: the edges' values are part of what a function states."""
        return nullcontext()

    def explaining(self) -> AbstractContextManager[Any]:
        """A context for the caller's own function: what the library says of its mistakes, said with a remedy."""
        return nullcontext()

    def held(self, tree: Any) -> AbstractContextManager[Any]:
        """A context in which a loop is traced that the tree's arrays stay the same in, for kernels that use it."""
        return nullcontext()

    def as_arrays(self, result: Any) -> Any:
        """The result with the library's scalars as 0-d arrays."""
        return result

    def explain_entry(self, record: Any, values: list[Any]) -> list[str]:
        """What else a user should know of such a call: compiled, looped, differentiated how."""
        return []

    @property
    @abstractmethod
    def devices(self) -> tuple[str, ...]:
        """The devices that arrays can live on."""

    @property
    def default_float(self) -> Any:
        """The dtype that integers become."""
        return self.xp.float64

    @abstractmethod
    def device_of(self, x: Any) -> Any:
        """The array's device; None where it has none (a tracer)."""

    def device_beside(self, x: Any) -> Any:
        """Where a small array goes that is to meet `x`: its device, and whole on each where `x` is spread over many."""
        return self.device_of(x)

    def device_scope(self, values: Sequence[Any]) -> AbstractContextManager[Any]:
        """A context that makes new arrays where the arrays among `values` are, for libraries with a current device."""
        return nullcontext()

    @abstractmethod
    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """A list, scalar or host array as an array of this backend."""

    @abstractmethod
    def to_numpy(self, x: Any) -> Any:
        """A NumPy copy or view: the explicit way to the host."""

    def sum(self, x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
        """Σ of a floating array, rounded like a sum in pairs along whatever axis: the library's, where that is so."""
        return self.xp.sum(x, axis=axis, keepdims=keepdims)

    def binary_scale(
        self, x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False
    ) -> Any:
        """The power of two that brings the largest |entry| near 1: see :func:`pillars.backends.binary_scale`."""
        from pillars.backends._scaling import binary_scale_by_comparison

        return binary_scale_by_comparison(self.xp, x, axis, keepdims)

    def is_scalar(self, value: Any) -> bool:
        """Whether the value is a scalar of this library that is no array."""
        return False

    def is_masked(self, value: Any) -> bool:
        """Whether the value is an array some of whose entries do not count."""
        return False

    def stored_dtype(self, dtype: Any) -> Any:
        """What a dtype becomes here: JAX with x64 off keeps 32 of 64 bits."""
        return dtype

    def native_dtype(self, dtype: Any) -> Any:
        """The same dtype with its bytes in the machine's order."""
        return dtype

    def double(self) -> AbstractContextManager[Any]:
        """A context in which float64 exists, whatever the library's settings."""
        return nullcontext()

    # what runs
    @abstractmethod
    def entry(self, record: Any, kinds: tuple[type, ...], traced_number: bool) -> Callable[..., Any]:
        """The function, of all values in parameter order, that calls with arrays of these types go to."""

    @abstractmethod
    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f` compiled, where the library compiles."""

    @abstractmethod
    def grad(self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
        """The gradient of a scalar function."""

    @abstractmethod
    def value_and_grad(
        self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        """A scalar function's value and its gradient."""

    @abstractmethod
    def vjp(self, f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        """``f(*args)``, and the function from its cotangent to those of the arguments."""

    @abstractmethod
    def vmap(
        self, f: Callable[..., Any], in_axes: int | Sequence[int | None] | None = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        """`f` over a leading (or named) axis of its arguments."""

    @abstractmethod
    def scan(
        self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None
    ) -> tuple[Any, Any]:
        """Carry a state along the leading axis of `xs`, stacking what each step puts out."""

    @abstractmethod
    def while_loop(self, condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
        """`body` again and again, as long as `condition` holds."""

    @abstractmethod
    def cond(
        self, predicate: Any, on_true: Callable[..., Any], on_false: Callable[..., Any], *operands: Any
    ) -> Any:
        """One of two branches."""

    @abstractmethod
    def synchronize(self, x: Any = None) -> Any:
        """Wait for the device; returns `x`."""

    def memory(self, f: Callable[..., Any], *args: Any) -> int | None:
        """Bytes that ``f(*args)`` takes at its peak beside its arguments, results included; None: it cannot be told."""
        return None

    def __repr__(self) -> str:
        return f"<pillars backend {self.name!r} on {', '.join(self.devices)}>"
