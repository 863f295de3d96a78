"""What is timed: the workloads of `pillars bench`, the public operations and the kernels that none of those reaches.

How far rounding may carry an answer is said as there, in `pillars.measure.bench._bench_cases`, or computed as the
contracts do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from pillars import random
from pillars._errors import CapabilityError
from pillars.backends import (
    Cost,
    backend,
    call_cost,
    explain,
    gradient_cost,
    kernel_table,
    records,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.backends._call_arguments import normalise
from pillars.measure.bench._bench_cases import Inputs, Lengths, Source, by
from pillars.measure.bench._gradients import true_gradient
from pillars.measure.bench._parity import as_float64
from pillars.measure.bench._workloads import SIZES, WORKLOADS, Workload, workload
from suite.operations import OPERATIONS, condition_of

__all__ = ["CASES", "Case", "case_of", "has_gradient", "has_kernel"]

_EXACT = 0.0
# A draw is a few functions of its bits, one after the other, each good to a few ulps.
_DRAWN = 32.0


class Case(NamedTuple):
    """One function at one size: what it is called on, and what more it takes than arrays."""

    workload: Workload
    operation: Any
    options: Mapping[str, Any] = MappingProxyType({})
    count: tuple[int, ...] = ()

    def expected(self, part: str) -> tuple[Case, Any]:
        """Itself, with a bound on the part where it had none; the result in float64, or value and gradient."""
        inputs, arrays = self.workload.inputs, as_float64(self.workload.arrays)
        gradient = part == "gradient"
        result = true_gradient(self.workload) if gradient else self.workload.reference(*arrays)
        if not math.isnan(inputs.condition):
            return self, result
        cotangents, treedef = tree_flatten(inputs.cotangent) if gradient else ([], None)

        def of_float64(values: list[Any]) -> list[Any]:
            given, others = tuple(values[: len(arrays)]), values[len(arrays) :]
            if not gradient:
                return tree_leaves(self.workload.reference(*given))
            changed = inputs._replace(arrays=given, cotangent=tree_unflatten(treedef, others))
            return tree_leaves(true_gradient(self.workload._replace(inputs=changed))[1:])

        condition = condition_of(of_float64, [*arrays, *as_float64(cotangents)])
        bounded = inputs._replace(**{"gradient_condition" if gradient else "condition": condition})
        return self._replace(workload=self.workload._replace(inputs=bounded)), result

    def on_body(self, name: str, arrays: tuple[Any, ...]) -> Workload:
        """The workload with the bare body in place of the call, compiled where the backend compiles."""
        home, record = backend(name), self.operation.record
        bound = record.bind((*arrays, *self.count), dict(self.options))
        _, options = record.split(normalise(record, bound, home))

        def body(*given: Any) -> Any:
            with home.quiet():
                return record.body(*given, *self.count, **options)

        return self._calling(home.jit(body))

    def kernel(self, arrays: tuple[Any, ...]) -> str:
        """What the call runs: a kernel's name, or "body"."""
        return explain(self.operation, *arrays, *self.count, **self.options).kernel

    def with_options(self) -> Case:
        """Itself, its workload called with the options."""
        return self._replace(
            workload=self._calling(lambda *arrays: self.operation(*arrays, *self.count, **self.options))
        )

    def _calling(self, call: Callable[..., Any]) -> Workload:
        inputs = self.workload.inputs._replace(call=call, cost=self._cost)
        return self.workload._replace(operation=None, inputs=inputs)

    def _cost(self, result: Any) -> Cost:
        try:
            return call_cost(self.operation.record, self._arguments(), result)
        except CapabilityError:
            # Nobody has counted its operations: what must move is a limit too.
            return Cost(_bytes(self.workload.arrays, result), 0.0)

    def with_gradient(self, cotangent: Any) -> Case:
        """Itself, with a gradient against the cotangent."""
        try:
            cost = gradient_cost(self.operation.record, self._arguments(), cotangent)
        except CapabilityError:
            cost = Cost(2 * _bytes(self.workload.arrays, cotangent), 0.0)
        inputs = self.workload.inputs._replace(cotangent=cotangent, gradient_cost=cost)
        return self._replace(workload=self.workload._replace(inputs=inputs))

    def _arguments(self) -> list[Any]:
        record: Any = self.operation.record
        return record.bind((*self.workload.arrays, *self.count), dict(self.options))


def _bytes(*arrays: Any) -> float:
    return float(sum(x.size * x.dtype.itemsize for x in tree_leaves(arrays)))


class _Made(NamedTuple):
    """What an operation is called on: arrays and how exact its answer can be, options, a count after the arrays."""

    inputs: Inputs
    options: dict[str, Any]
    count: tuple[int, ...] = ()


_Make = Callable[[Source, str], _Made]


def _lengths(size: str) -> Lengths:
    return SIZES["float32"][size]


def _inputs(arrays: tuple[Any, ...], condition: float, product_condition: float = 0.0) -> Inputs:
    return Inputs(by(arrays[0].shape), arrays, None, condition, product_condition=product_condition)


def _like(name: str, **options: Any) -> _Make:
    """The inputs of a workload, and options that it does not have."""
    return lambda source, size: _Made(workload(name, size).inputs._replace(cotangent=None), options)


def _affine(activation: str) -> _Make:
    def make(source: Source, size: str) -> _Made:
        made = workload("linear", size).inputs
        x, weight, bias = made.arrays
        # No activation's slope is above 1.13; the largest value of some is 1, and what enters them is this much larger.
        largest = float(abs(x @ weight + bias).max())
        condition = 16 + 2 * largest + 1.13 * largest * made.condition
        products = 1.13 * largest * made.product_condition
        inputs = made._replace(cotangent=None, condition=condition, product_condition=products)
        return _Made(inputs, {"activation": activation})

    return make


def _large_logits(source: Source, size: str) -> _Made:
    rows, columns = _lengths(size).rows, _lengths(size).columns
    x = source.normal(rows, columns, scale=100.0)
    return _Made(_inputs((x,), 8 + 2 * float(x.max() - x.min()) + columns**0.5), {})


def _kept_by_attention(source: Source, size: str) -> _Made:
    made = workload("attention", size).inputs
    kept = records()["algorithms.attention_forward"].function.reference(*made.arrays)
    arrays = (made.cotangent, *kept, *made.arrays)
    return _Made(_inputs(arrays, made.gradient_condition, made.product_condition), {})


def _logits(source: Source, size: str) -> _Made:
    # The races of these draws are decided alike in float32 and in float64.
    return _Made(_inputs((random.key(0), workload("softmax", size).arrays[0]), _EXACT), {})


def _rows_of_tokens(source: Source, size: str) -> _Made:
    made = workload("embedding", size).inputs
    arrays = (made.cotangent, made.arrays[1])
    return _Made(_inputs(arrays, made.gradient_condition), {"rows": _lengths(size).vocabulary})


def _drawn(condition: float, *bounds: Any, length: str = "shape", **options: Any) -> _Make:
    """As many draws as the logits have entries, their number under the name that the operation has for it."""

    def make(source: Source, size: str) -> _Made:
        number = _lengths(size).rows * _lengths(size).columns
        inputs = _inputs((random.key(0), *map(np.asarray, bounds)), condition)._replace(shape=str(number))
        if not length:
            return _Made(inputs, options, (number,))
        return _Made(inputs, {length: (number,) if length == "shape" else number, **options})

    return make


_FURTHER: Mapping[str, tuple[str, _Make]] = MappingProxyType(
    {
        "attention_causal": (
            "algorithms.attention",
            _like("attention", causal=True),
        ),
        "attention_forward": ("algorithms.attention_forward", _like("attention")),
        "attention_backward": ("algorithms.attention_backward", _kept_by_attention),
        "softmax_of_large_logits": ("probability.softmax", _large_logits),
        **{
            f"linear_{activation}": ("layers.linear", _affine(activation))
            for activation in ("relu", "tanh", "gelu", "silu", "sigmoid")
        },
        "scatter_rows": ("layers.scatter_rows", _rows_of_tokens),
        "gelu_by_tanh": ("layers.gelu", _like("gelu", approximate=True)),
        "erf": ("probability.erf", _like("sigmoid")),
        "ndtr": ("probability.ndtr", _like("sigmoid")),
        "categorical": ("random.categorical", _logits),
        "bits": ("random.bits", _drawn(_EXACT, length="")),
        "split": ("random.split", _drawn(_EXACT, length="")),
        "permute": ("random.permute", _drawn(_EXACT, length="n", dtype="int32")),
        "fold": (
            "random.fold",
            lambda source, size: _Made(_inputs((random.key(0), np.asarray(7)), _EXACT), {}),
        ),
        "draw_normal": ("random.draw_normal", _drawn(_DRAWN, dtype="float32")),
        "draw_exponential": ("random.draw_exponential", _drawn(_DRAWN, dtype="float32")),
        "draw_uniform": (
            "random.draw_uniform",
            _drawn(_DRAWN, np.float32(0), np.float32(1), dtype="float32"),
        ),
        "draw_integers": (
            "random.draw_integers",
            _drawn(_EXACT, np.int32(0), np.uint32(9), dtype="int32"),
        ),
    }
)
CASES = (*WORKLOADS, *OPERATIONS, *_FURTHER)


def case_of(name: str, size: str) -> Case:
    """A case by its name, the function's of `pillars bench` or that of a line of the tables here, in float32."""
    if name in WORKLOADS:
        found = workload(name, size)
        return Case(found, found.operation)
    if name in OPERATIONS:
        return _operation_case(name, size)
    operation, make = _FURTHER[name]
    made = make(Source(0, "float32"), size)
    blank = Workload(name, size, "float32", made.inputs, None)
    return Case(blank, records()[operation].function, made.options, made.count).with_options()


def _operation_case(name: str, size: str) -> Case:
    operation, make, options = OPERATIONS[name]
    source = Source(0, "float32")
    blank = Workload(name, size, "float32", make(source, size, _lengths(size)), None)
    case = Case(blank, records()[operation].function, options).with_options()
    leaves, treedef = tree_flatten(case.workload.reference(*blank.arrays))
    cotangents = [np.asarray(source.normal(*y.shape), dtype=y.dtype) for y in leaves]
    return case.with_gradient(tree_unflatten(treedef, cotangents))


def has_gradient(name: str) -> bool:
    """Whether a case is timed with its gradient too."""
    return case_of(name, "tiny").workload.inputs.cotangent is not None


def has_kernel(name: str, on: str) -> bool:
    """Whether a backend has a kernel for a case, whose body is then timed beside it."""
    operation = case_of(name, "tiny").operation
    return operation is not None and operation.record.name in kernel_table(on)
