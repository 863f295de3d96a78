"""What this machine allows: how fast its memory copies and its processors multiply, measured in the same run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pillars.backends import Cost, backend as backend_of, num_threads, pool_map
from pillars.measure.bench._precision import doubled
from pillars.measure.bench._timing import Candidate, first_call

__all__ = ["Ceiling", "ceiling_of", "measure_ceilings"]

_COPIED = 2**28  # bytes: beyond the caches
_ORDER = 2048


class Ceiling(NamedTuple):
    """The best that was seen of one device, by any backend.

    Attributes
    ----------
    device : "cpu", "cuda:0".
    dtype : of the products.
    bandwidth : bytes a second, of a copy: those read and those written.
    rate : floating operations a second, of a square product.
    bandwidth_by, rate_by : the backends that reached them.
    """

    device: str
    dtype: str
    bandwidth: float
    rate: float
    bandwidth_by: str
    rate_by: str

    def seconds(self, cost: Cost) -> float:
        """The least time for so many bytes and operations, the one beside the other."""
        return max(cost.bytes / self.bandwidth, cost.flops / self.rate)


def measure_ceilings(
    names: Sequence[str], dtypes: Sequence[str] = ("float32",), *, quick: bool = False
) -> tuple[Ceiling, ...]:
    """Copy and multiply on every named backend: a ceiling a device and dtype.

    Parameters
    ----------
    names : usable backends.
    quick : smaller arrays, fewer repeats: the ceilings are then a few percent lower than they are.
    """
    copied, order = (_COPIED // 4, _ORDER // 2) if quick else (_COPIED, _ORDER)
    seen: dict[str, dict[str, tuple[float, str]]] = {}
    for name in names:
        with suppress(Exception):  # what fails here fails again in the rows, which say so
            best = seen.setdefault(device_name(name), {})
            moved = 2 * copied / _fastest(_copy(name, copied), name)
            best["copy"] = max(best.get("copy", (0.0, "")), (moved, name))
            for dtype in dtypes:
                with doubled([name], dtype):
                    rate = 2 * order**3 / _fastest(_product(name, order, dtype), name)
                best[dtype] = max(best.get(dtype, (0.0, "")), (rate, name))
    return tuple(
        Ceiling(device, dtype, best["copy"][0], best[dtype][0], best["copy"][1], best[dtype][1])
        for device, best in seen.items()
        for dtype in dtypes
        if dtype in best and "copy" in best
    )


def ceiling_of(ceilings: Sequence[Ceiling], name: str, dtype: str) -> Ceiling | None:
    """The ceiling that a backend's calls are held against."""
    device = device_name(name)
    return next((one for one in ceilings if (one.device, one.dtype) == (device, dtype)), None)


def device_name(name: str) -> str:
    """The device that a backend computes on: backends that share one share its ceiling."""
    backend = backend_of(name)
    return "cpu" if backend.host else str(backend.devices[0]).removesuffix(":0").replace("gpu", "cuda")


def _fastest(call: Callable[[], Any], name: str) -> float:
    """Seconds of the fastest of some calls: what else the machine does only makes them slower."""
    candidate = Candidate(call, backend_of(name).synchronize)
    first_call(candidate)
    return min(first_call(candidate)[1] for _ in range(9))


def _copy(name: str, size: int) -> Callable[[], Any]:
    """A copy of so many bytes: on the host by all threads, into memory that is there already."""
    backend = backend_of(name)
    if backend.host:
        xp = backend.xp
        source, target = xp.ones(size // 4, dtype=xp.float32), xp.empty(size // 4, dtype=xp.float32)
        pieces = 4 * num_threads()
        bounds = [source.size * piece // pieces for piece in range(pieces + 1)]
        parts = [slice(*pair) for pair in itertools.pairwise(bounds)]
        return lambda: pool_map(lambda part: xp.copyto(target[part], source[part]), parts)
    source = backend.asarray(backend_of("numpy").xp.ones(size // 4, dtype="float32"))
    compiled = backend.jit(lambda x: -x)
    return lambda: compiled(source)


def _product(name: str, order: int, dtype: str) -> Callable[[], Any]:
    """A square product."""
    backend = backend_of(name)
    a = backend.asarray(backend_of("numpy").xp.ones((order, order), dtype=dtype))
    compiled = backend.jit(lambda x: backend.xp.matmul(x, x))
    return lambda: compiled(a)
