"""What an operation costs at the least: the bytes that must move, and the floating operations that must be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends._record import Record
from pillars.backends._tree import tree_leaves

__all__ = ["Cost", "Flops", "call_cost", "count_flops", "gradient_cost", "per_entry"]


class Flops(NamedTuple):
    """Floating operations, counted as the textbook's algorithm has them.

    One for each +, −, ×, ÷, comparison, root or elementary function of one entry; a product of (m, k) and (k, n) has
    2·m·k·n. What is done once a row is left out, and options that are off, such as a temperature of 1, cost nothing.

    Attributes
    ----------
    value : for the result.
    gradient : for the result and the cotangents of all floating arrays, by the hand-derived rule.
    unread : bytes of the inputs that need not be read, such as the rows of a table that nobody asks for.
    """

    value: float
    gradient: float
    unread: float = 0.0


def per_entry(value: float, gradient: float) -> Callable[..., Flops]:
    """The rule of a function that does so many operations for each entry of its first array, sums included."""
    return lambda x, /, *others, **options: Flops(value * x.size, gradient * x.size)


class Cost(NamedTuple):
    """The least that a call costs, whatever the implementation.

    Attributes
    ----------
    bytes : what is needed of the inputs read once, and every result written once; what is kept in between is not
        counted.
    flops : see :class:`Flops`.
    """

    bytes: float
    flops: float


def call_cost(record: Record, values: list[Any], y: Any) -> Cost:
    """What computing `y` from the values, all arguments in parameter order, costs.

    Raises
    ------
    CapabilityError : nobody has said how many operations this function takes.
    """
    flops = _flops(record, values)
    return Cost(_size(_arrays(record, values)) - flops.unread + _size(tree_leaves(y)), float(flops.value))


def gradient_cost(record: Record, values: list[Any], y: Any) -> Cost:
    """What computing `y` and the cotangents of the floating arrays costs: they, and that of `y`, move once too."""
    arrays = _arrays(record, values)
    floating = [x for x in arrays if "float" in str(x.dtype)]
    flops = _flops(record, values)
    moved = _size(arrays) - flops.unread + 2 * _size(tree_leaves(y)) + _size(floating)
    return Cost(moved, float(flops.gradient))


def count_flops(function: Any, *args: Any, **options: Any) -> Flops:
    """The floating operations of a call of an operation; see :func:`call_cost`."""
    return _flops(function.record, function.record.bind(args, options))


def _arrays(record: Record, values: list[Any]) -> list[Any]:
    return [x for x in (values[p.position] for p in record.arrays) if hasattr(x, "dtype")]


def _size(arrays: Iterable[Any]) -> float:
    return float(sum(x.size * x.dtype.itemsize for x in arrays))


def _flops(record: Record, values: list[Any]) -> Flops:
    if record.rules.flops is None:
        raise CapabilityError(
            f"{record.name}: nobody has counted its floating operations. Register a rule beside the body, @f.flops."
        )
    positional, options = record.split(values)
    result: Flops = record.rules.flops(*positional, **options)
    return result
