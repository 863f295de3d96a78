"""Where a contract runs: a library, a device, and whether it is compiled."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pillars.backends import Backend, available, backend, dtype_kind, tree_map

__all__ = ["CPU_VARIANTS", "GPU_VARIANTS", "VARIANTS", "Variant", "variant", "x64"]

_SWITCHES = {"0": False, "false": False, "off": False, "1": True, "true": True, "on": True}


@functools.cache
def x64() -> bool:
    """Whether JAX computes in 64 bits in this run: the environment says, the tests never switch it."""
    return _SWITCHES.get(os.environ.get("JAX_ENABLE_X64", "0").lower(), False)


class Variant(NamedTuple):
    """A backend as a test's parameter."""

    id: str
    library: str
    device: str | None = None
    jit: bool = False

    @property
    def backend(self) -> Backend:
        return backend(self.library)

    @property
    def xp(self) -> Any:
        return self.backend.xp

    @property
    def wide(self) -> bool:
        """Whether float64 exists here."""
        return self.library != "jax" or x64()

    @property
    def floats(self) -> tuple[str, ...]:
        return ("float32", "float64") if self.wide else ("float32",)

    @property
    def default_float(self) -> str:
        return self.floats[-1]

    @property
    def where(self) -> Any:
        """The device, as the library's own object."""
        if self.library != "strict":
            return self.device
        import array_api_strict

        return array_api_strict.Device(self.device or "CPU_DEVICE")

    def why_not(self) -> str | None:
        """Why nothing can run here; None where it can."""
        if self.library == "strict":
            return (
                None if importlib.util.find_spec("array_api_strict") else "array_api_strict is not installed"
            )
        found = available()[self.library]
        if not found.usable:
            return found.reason
        if self.id == "jax-gpu" and not any(
            name.startswith(("gpu", "cuda", "rocm")) for name in found.devices
        ):
            return f"JAX sees no GPU, but {', '.join(found.devices)}"
        return None

    def asarray(self, obj: Any, dtype: str | None = None) -> Any:
        """A host array or list as an array of this variant; 64-bit integers narrow where it has none."""
        host = np.asarray(obj)
        if not self.wide and dtype is None and host.dtype in (np.int64, np.uint64, np.float64):
            dtype = {"int64": "int32", "uint64": "uint32", "float64": "float32"}[host.dtype.name]
        kind = None if dtype is None else getattr(self.xp, dtype)
        if self.library == "strict":  # which takes no half precision, and NumPy's arrays by value alone
            made = self.backend.asarray(np.array(host), dtype=kind)
            return made if self.device is None else made.to_device(self.where)
        return self.backend.asarray(np.array(host), dtype=kind, device=self.device)

    def to_numpy(self, tree: Any) -> Any:
        return tree_map(lambda leaf: np.asarray(self.backend.to_numpy(leaf)), tree)

    def compiled(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return self.backend.jit(f) if self.jit else f

    @contextlib.contextmanager
    def strictest(self) -> Iterator[None]:
        """The strict namespace without what no lazy library can do; nothing elsewhere."""
        if self.library == "jax" and self.id == "jax-gpu":
            import jax

            # TensorFloat-32 keeps 10 bits of a product, whatever dtype the arrays have
            with jax.default_matmul_precision("highest"):
                yield
            return
        if self.library != "strict":
            yield
            return
        import array_api_strict

        with array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
            yield

    def beside(self, dtype: str, static: Any) -> Any:
        """A static that names a dtype, beside arrays of `dtype`: floats follow them, as far as the draws go."""
        if static in ("float32", "float64"):
            return "float64" if dtype == "float64" else "float32"
        if static in ("int64", "uint64") and not self.wide:
            return static.replace("64", "32")
        return static

    def expected_integer(self, dtype: np.dtype[Any]) -> str:
        narrow = {"int64": "int32", "uint64": "uint32"}
        return (
            dtype.name if self.wide or dtype_kind(dtype) != "integer" else narrow.get(dtype.name, dtype.name)
        )


CPU_VARIANTS = (
    Variant("numpy", "numpy"),
    Variant("strict", "strict"),
    Variant("strict-device1", "strict", "device1"),
    Variant("jax", "jax"),
    Variant("jax-jit", "jax", jit=True),
)
GPU_VARIANTS = (Variant("cupy", "cupy"), Variant("jax-gpu", "jax", "gpu:0"))
VARIANTS = CPU_VARIANTS + GPU_VARIANTS


def variant(name: str) -> Variant:
    """The variant of that id."""
    return next(one for one in VARIANTS if one.id == name)
