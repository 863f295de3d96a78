"""What the bench computes: the main functions from tiny to large, in single and in double precision.

What each takes and how exact its answer can be is said in _bench_cases.py; a line in the table there
adds one, and nothing else counts or names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pillars.backends import Cost, call_cost, gradient_cost, reference_bodies
from pillars.measure.bench._bench_cases import OPERATIONS, PROCEDURES, Inputs, Lengths, Source

__all__ = ["SIZES", "WORKLOADS", "Workload", "number_of_workloads", "workload", "workloads"]


class Workload(NamedTuple):
    """One function on inputs of one size and dtype.

    Attributes
    ----------
    name, size : "softmax", "tiny", "small", "medium" or "large".
    dtype : "float32" or "float64", of all inputs but integers.
    inputs : what it is called on, and how exact its answer can be.
    operation : None for a procedure, which has no rule of its own for a gradient.
    """

    name: str
    size: str
    dtype: str
    inputs: Inputs
    operation: Any

    def call(self, *arrays: Any) -> Any:
        """The function, as a user has it."""
        return (self.inputs.call or self.operation)(*arrays)

    def reference(self, *arrays: Any) -> Any:
        """The same by the bodies alone: no kernel, no compilation, no hand-derived rule."""
        with reference_bodies():
            return self.call(*arrays)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The inputs on the host."""
        return self.inputs.arrays

    @property
    def shape(self) -> str:
        """The inputs' shapes, for people."""
        return self.inputs.shape

    def cost(self, result: Any) -> Cost:
        """The least that a call costs."""
        if self.inputs.cost is not None:
            return self.inputs.cost(result)
        return call_cost(self.operation.record, self.operation.record.bind(self.arrays, {}), result)

    def gradient_cost(self) -> Cost:
        """The least that value and gradient cost together."""
        # the value is of the arrays' dtype, and its shape is the cotangent's
        if self.inputs.gradient_cost is not None:
            return self.inputs.gradient_cost
        record = self.operation.record
        return gradient_cost(record, record.bind(self.arrays, {}), self.inputs.cotangent)


_SMALL = Lengths(64, 10, 64, 64, 10, 100, 4, 64, 16, 256, 16)
_TINY = Lengths(8, 10, 8, 16, 10, 50, 1, 16, 16, 64, 4)
_MEDIUM = Lengths(256, 256, 256, 256, 256, 2048, 4, 256, 64, 4096, 64)
_LARGE = Lengths(2048, 1024, 1024, 1024, 1024, 16384, 8, 1024, 64, 32768, 256)
_LESS_LARGE = Lengths(1024, 1024, 512, 512, 512, 4096, 8, 512, 64, 8192, 128)

_Sizes = dict[str, dict[str, Lengths]]
SIZES: _Sizes = {
    "float32": {"tiny": _TINY, "small": _SMALL, "medium": _MEDIUM, "large": _LARGE},
    "float64": {"small": _SMALL, "large": _LARGE},
}
_QUICK_SIZES: _Sizes = {
    "float32": {"small": _SMALL, "large": _LESS_LARGE},
    "float64": {"large": _LESS_LARGE},
}

_MAKERS: dict[str, tuple[Callable[[Source, Lengths], Inputs], Any]] = {
    **{operation.record.name.rpartition(".")[2]: (make, operation) for operation, make in OPERATIONS},
    **{name: (make, None) for name, make in PROCEDURES},
}
WORKLOADS = tuple(_MAKERS)


def workload(name: str, size: str, dtype: str = "float32", *, quick: bool = False, rng: int = 0) -> Workload:
    """One workload by its name and size.

    Raises
    ------
    KeyError : there is none of that name, size and dtype.
    """
    make, operation = _MAKERS[name]
    lengths = (_QUICK_SIZES if quick else SIZES)[dtype][size]
    return Workload(name, size, dtype, make(Source(rng, dtype), lengths), operation)


def workloads(*, quick: bool = False, rng: int = 0) -> Iterator[Workload]:
    """Every workload, drawn when it is asked for: the large ones are tens of megabytes.

    Parameters
    ----------
    quick : small and large alone, and less large; of double precision the latter.
    rng : seed of the inputs.
    """
    for dtype, sizes in (_QUICK_SIZES if quick else SIZES).items():
        for size in sizes:
            for name in WORKLOADS:
                yield workload(name, size, dtype, quick=quick, rng=rng)


def number_of_workloads(*, quick: bool = False) -> int:
    """How many :func:`workloads` there are."""
    sizes = _QUICK_SIZES if quick else SIZES
    return len(WORKLOADS) * sum(map(len, sizes.values()))
