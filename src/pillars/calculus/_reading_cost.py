"""What a function costs, operation by operation: floating operations and bytes; and the shapes on the way."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, prod
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends._cost import call_cost
from pillars.calculus._reading import layer_of, read
from pillars.calculus._reverse_arguments import home_of
from pillars.calculus._rules import RULES

__all__ = ["Expense", "Flow", "cost_of", "shapes_of"]


class Flow(NamedTuple):
    """One operation as it ran: its name, the user's line, the layer's path, and the shapes in and out."""

    operation: str
    location: str
    layer: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]


class Expense(NamedTuple):
    """What one operation costs: floating operations, and the bytes it reads and writes."""

    operation: str
    location: str
    layer: str
    flops: float
    bytes: float


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()))


def shapes_of(f: Callable[..., Any], *args: Any) -> list[Flow]:
    """Every operation of ``f(*args)`` with its shapes, in the order in which they ran."""
    rows: list[Flow] = []

    def note(name: str, operands: Any, results: Any, options: Any, record: Any, line: Any) -> None:
        inputs = [x for x in operands if hasattr(x, "shape")] if record is not None else operands
        shapes = tuple(map(_shape, inputs)), tuple(map(_shape, results))
        rows.append(Flow(name, line(), layer_of(record, operands), *shapes))

    read("shapes_of", f, args, note)
    return rows


def cost_of(f: Callable[..., Any], *args: Any) -> list[Expense]:
    """Every operation of ``f(*args)`` with its cost, in the order in which they ran.

    One floating operation for each entry of an elementwise result, 2·m·k·n for a product, the textbook's count for a
    factorisation; every operand read once, every result written once, views for nothing. An operation of pillars costs
    what its record says.

    Raises
    ------
    CapabilityError : on JAX, whose compiler counts what it makes of the whole.
    """
    if home_of("cost_of", args).name == "jax":
        raise CapabilityError(
            "cost_of: got arrays of jax, expected NumPy's or CuPy's. On JAX ask the compiler: "
            "jax.jit(f).lower(*args).compile().cost_analysis()."
        )
    rows: list[Expense] = []

    def note(name: str, operands: Any, results: Any, options: Any, record: Any, line: Any) -> None:
        if record is not None and record.rules.flops is not None:
            cost = call_cost(record, list(operands), results)
            flops, moved = cost.flops, cost.bytes
        else:
            flops = float(_flops(name, operands, results, options))
            moved = 0.0 if name in _VIEWS else float(sum(map(_bytes, (*operands, *results))))
        rows.append(Expense(name, line(), layer_of(record, operands), flops, moved))

    read("cost_of", f, args, note)
    return rows


def _bytes(x: Any) -> float:
    return float(x.size * x.dtype.itemsize) if hasattr(x, "dtype") else 0.0


_VIEWS = frozenset({"broadcast_to", "permute_dims", "real", "imag", "reshape"})
_MOVES = frozenset(
    {"astype", "concat", "flip", "gather", "roll", "scatter", "stack", "tril", "triu", "where", "conj"}
)
_PER_INPUT = {"sum": 1, "mean": 1, "max": 1, "min": 1, "var": 4, "vector_norm": 2, "cumulative_sum": 1}
# a multiple of n³ for square matrices (Golub, Van Loan 2013, Matrix Computations, 4th edition)
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
