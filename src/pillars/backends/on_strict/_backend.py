"""The strict namespace as a backend: the least that a backend must fill in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import array_api_strict
import numpy as np

from pillars.backends._dtypes import native
from pillars.backends._eager import EagerBackend

__all__ = ["StrictBackend"]


class StrictBackend(EagerBackend):
    """array-api-strict, for conformance tests."""

    name = "strict"
    xp = array_api_strict
    array_type = type(array_api_strict.asarray(0.0))

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(str(device) for device in array_api_strict.__array_namespace_info__().devices())

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        if isinstance(obj, np.ndarray):
            # NumPy arrays enter on the default device alone
            made = array_api_strict.asarray(native(obj), dtype=dtype)
            return made if device is None else array_api_strict.asarray(made.to_device(device))
        return array_api_strict.asarray(obj, dtype=dtype, device=device)

    def to_numpy(self, x: Any) -> Any:
        host = array_api_strict.Device("CPU_DEVICE")
        return np.asarray(x if x.device == host else x.to_device(host))

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")
