"""CuPy, as the rest of pillars sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import cupy
from array_api_compat import cupy as namespace

from pillars.backends._dtypes import native
from pillars.backends._eager import EagerBackend

__all__ = ["CupyBackend"]


class CupyBackend(EagerBackend):
    """CuPy on the CUDA devices of this machine. CuPy imports without one and fails here, with the driver's reason."""

    name = "cupy"
    xp = namespace

    def __init__(self) -> None:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            raise RuntimeError("no CUDA device")
        self.array_type = cupy.ndarray

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(f"cuda:{number}" for number in range(cupy.cuda.runtime.getDeviceCount()))

    def _device(self, device: Any) -> Any:
        if device is None:
            return cupy.cuda.Device()
        if isinstance(device, str):
            return cupy.cuda.Device(int(device.removeprefix("cuda:")))
        return device

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        with self._device(device):
            return cupy.asarray(native(obj), dtype=dtype)

    def device_scope(self, values: Sequence[Any]) -> AbstractContextManager[Any]:
        for x in values:
            if isinstance(x, cupy.ndarray):
                return cast("AbstractContextManager[Any]", x.device)
        return nullcontext()

    def to_numpy(self, x: Any) -> Any:
        return cupy.asnumpy(x)

    def as_arrays(self, result: Any) -> Any:
        return result

    def memory(self, f: Callable[..., Any], *args: Any) -> int | None:
        """As CuPy's pool hands it out, rounded up to its blocks."""
        # what CuPy lacks without a GPU must not break its import
        from pillars.backends.on_cupy._memory import (
            Watch,
        )

        watch = Watch()
        with watch:
            kept = f(*args)
            self.synchronize()
        del kept
        return watch.peak

    def synchronize(self, x: Any = None) -> Any:
        cupy.cuda.get_current_stream().synchronize()
        return x
