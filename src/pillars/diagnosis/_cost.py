"""What a function costs, operation by operation: floating operations and bytes; and the shapes on the way."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, prod
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends import call_cost, procedure, refuse_traced, tree_leaves
from pillars.calculus.autodiff import RULES, Computed, backend_of_arguments, layer_of, read, require_function

__all__ = ["FunctionCost", "OperationCost", "OperationShapes", "cost", "shapes"]

# operations, those that cost most, in what a cost prints
_SHOWN = 5


class OperationShapes(NamedTuple):
    """One operation as it ran: its name, the user's line, the layer's path, and the shapes in and out."""

    operation: str
    location: str
    layer: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        ends = (" ".join(map(str, shapes)) for shapes in (self.inputs, self.outputs))
        return f"{_named(self):<24} {' -> '.join(ends):<32}  {self.location}"


class OperationCost(NamedTuple):
    """What one operation costs: floating operations, and the bytes it reads and writes."""

    operation: str
    location: str
    layer: str
    flops: float
    bytes: float

    def __str__(self) -> str:
        return f"{_named(self):<24} {self.flops:>10.4g} flops  {self.bytes:>10.4g} bytes  {self.location}"


class FunctionCost(NamedTuple):
    """What a function costs.

    Attributes
    ----------
    flops, bytes : floating operations, and bytes read and written, of all operations together.
    operations : an :class:`OperationCost` for each, in the order in which they ran; the dearest are printed.
    """

    flops: float
    bytes: float
    operations: tuple[OperationCost, ...]

    def __str__(self) -> str:
        number = len(self.operations)
        lines = [f"{self.flops:.4g} flops, {self.bytes:.4g} bytes in {number} operation{'s' * (number != 1)}"]
        most = sorted(self.operations, key=lambda row: (row.flops, row.bytes), reverse=True)[:_SHOWN]
        return "\n".join([*lines, *(f"  {row}" for row in most)])


def _named(row: OperationShapes | OperationCost) -> str:
    return f"{row.operation} {row.layer!r}" if row.layer else row.operation


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()))


@procedure(
    unsupported=dict.fromkeys(("jit", "vmap", "grad"), "it returns words: call it outside jit, vmap and grad")
)
def shapes(f: Callable[..., Any], *args: Any) -> tuple[OperationShapes, ...]:
    """The shapes on the way through a function, operation by operation.

    Parameters
    ----------
    f : ``f(*args) -> any pytree``: a function of arrays, as :func:`pillars.calculus.grad` takes it.
    args : its arguments, pytrees of arrays.

    Returns
    -------
    an OperationShapes(operation, location, layer, inputs, outputs) for each operation, in the order in which they ran.

    Raises
    ------
    CapabilityError : inside jit, vmap or grad. BackendError : arrays of two libraries.

    Notes
    -----
    `f` runs once. What is computed of arrays from outside alone is not told of. On JAX operations are primitives.

    Examples
    --------
    >>> import numpy as np
    >>> [(row.operation, row.outputs) for row in shapes(lambda x: np.sum(x.T, axis=0), np.ones((2, 3)))]
    [('permute_dims', ((3, 2),)), ('sum', ((2,),))]
    >>> for row in shapes(lambda x: np.sum(x.T, axis=0), np.ones((2, 3))):
    ...     print(row)
    permute_dims             (2, 3) -> (3, 2)                  ...
    sum                      (3, 2) -> (2,)                    ...
    """
    require_function("shapes", f, "of these arguments")
    refuse_traced("shapes", tree_leaves(args))
    rows: list[OperationShapes] = []

    def note(step: Computed) -> None:
        if step.name:
            inputs = (
                step.operands if step.record is None else [x for x in step.operands if hasattr(x, "shape")]
            )
            layer = layer_of(step.record, step.operands)
            both = tuple(map(_shape, inputs)), tuple(map(_shape, step.results))
            rows.append(OperationShapes(step.name, step.line, layer, *both))

    read("shapes", f, args, note)
    return tuple(rows)


@procedure(
    unsupported={
        **dict.fromkeys(("jit", "vmap", "grad"), "it returns words: call it outside jit, vmap and grad"),
        **dict.fromkeys(("eager on jax", "float32 on jax"), "its compiler counts what it makes of the whole"),
    }
)
def cost(f: Callable[..., Any], *args: Any) -> FunctionCost:
    """What a call of a function costs, in floating operations and bytes, operation by operation.

    Parameters
    ----------
    f : ``f(*args) -> any pytree``: a function of arrays, as :func:`pillars.calculus.grad` takes it; ``grad(f)`` too.
    args : its arguments, pytrees of arrays.

    Returns
    -------
    FunctionCost(flops, bytes, operations): the totals, and an OperationCost(operation, location, layer, flops, bytes)
    for each operation.

    Raises
    ------
    CapabilityError : on JAX, whose compiler counts what it makes of the whole; inside jit, vmap or grad.
    BackendError : arrays of two libraries.

    Notes
    -----
    One floating operation for each entry of an elementwise result, 2·m·k·n for a product, the textbook's count for a
    factorisation; every operand read once, every result written once, views for nothing. An operation of pillars costs
    what its record says. `f` runs once; what is computed of arrays from outside alone is not counted.

    References
    ----------
    Golub, Van Loan (2013), Matrix Computations, 4th edition, for the counts of the factorisations.

    Examples
    --------
    >>> import numpy as np
    >>> found = cost(lambda x, w: np.tanh(x @ w), np.ones((8, 4)), np.ones((4, 2)))
    >>> found.flops, found.bytes
    (144.0, 704.0)
    >>> [row.operation for row in found.operations]
    ['matmul', 'tanh']
    >>> print(found)
    144 flops, 704 bytes in 2 operations
      matmul                          128 flops         448 bytes  ...
      tanh                             16 flops         256 bytes  ...
    """
    require_function("cost", f, "of these arguments")
    refuse_traced("cost", tree_leaves(args))
    if backend_of_arguments("cost", args).name == "jax":
        raise CapabilityError(
            "cost: got arrays of jax, expected NumPy's or CuPy's. On JAX ask the compiler: "
            "jax.jit(f).lower(*args).compile().cost_analysis()."
        )
    rows: list[OperationCost] = []

    def note(step: Computed) -> None:
        if not step.name:
            return
        record, name = step.record, step.name
        if record is not None and record.rules.flops is not None:
            whole = call_cost(record, list(step.operands), step.results)
            flops, moved = whole.flops, whole.bytes
        else:
            flops = float(_flops(name, step.operands, step.results, step.options))
            moved = 0.0 if name in _VIEWS else float(sum(map(_bytes, (*step.operands, *step.results))))
        rows.append(OperationCost(name, step.line, layer_of(record, step.operands), flops, moved))

    read("cost", f, args, note)
    return FunctionCost(sum(row.flops for row in rows), sum(row.bytes for row in rows), tuple(rows))


def _bytes(x: Any) -> float:
    return float(x.size * x.dtype.itemsize) if hasattr(x, "dtype") else 0.0


_VIEWS = frozenset({"broadcast_to", "permute_dims", "real", "imag", "reshape"})
_MOVES = frozenset(
    {"astype", "concat", "flip", "gather", "roll", "scatter", "stack", "tril", "triu", "where", "conj"}
)
_PER_INPUT = {"sum": 1, "mean": 1, "max": 1, "min": 1, "var": 4, "vector_norm": 2, "cumulative_sum": 1}
# a multiple of n³ for square matrices
_CUBES = {"inv": 2.0, "det": 2 / 3, "slogdet": 2 / 3, "cholesky": 1 / 3, "eigh": 9.0, "eig": 25.0}


def _flops(name: str, operands: Any, results: Any, options: Any) -> float:
    if name in _VIEWS or name in _MOVES:
        return 0.0
    first, y = _shape(operands[0]), _shape(results[0])
    if name in _PER_INPUT:
        return _PER_INPUT[name] * prod(first)
    if name == "matmul":
        return 2.0 * prod(y) * first[-1]
    if name == "einsum":
        return _einsum(operands, options)
    if name == "convolve":
        return 2.0 * prod(first) * prod(_shape(operands[1]))
    if name == "transform":
        n = options["n"]
        return 5.0 * prod(y) * log2(n) if n > 1 else 0.0
    if name in RULES and RULES[name].elementwise:
        return float(prod(y))
    return _factorisation(name, operands, first)


def _factorisation(name: str, operands: Any, first: tuple[int, ...]) -> float:
    if len(first) < 2:
        return 0.0
    *batch, m, n = first
    times, k = prod(batch), min(m, n)
    if name in _CUBES:
        return times * _CUBES[name] * n**3
    if name == "solve":
        columns = _shape(operands[1])[-1]
        return times * (2 / 3 * n**3 + 2.0 * n * n * columns)
    if name == "qr":  # both factors
        return times * 4.0 * (m * k * k - k**3 / 3)
    if name in ("svd", "pinv", "cofactors"):
        return times * (14.0 * max(m, n) * k * k + 8.0 * k**3)
    return 0.0


def _einsum(operands: Any, options: Any) -> float:
    lengths: dict[str, int] = {}
    for labels, x in zip(options["parts"], operands, strict=True):
        lengths.update(zip(labels, _shape(x), strict=True))
    return float(max(len(operands), 1) * prod(lengths.values()))
