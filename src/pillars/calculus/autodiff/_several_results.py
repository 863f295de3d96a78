"""Primitives of several results: one node that knows how, and a node for every result below it."""

from __future__ import annotations

from typing import Any

from pillars.calculus.autodiff._backward import PART
from pillars.calculus.autodiff._rule import Rule
from pillars.calculus.autodiff._tape import Node
from pillars.calculus.autodiff._traced_array import TracedArray, escaped

__all__ = ["apply_several"]

_NO_OPTIONS: dict[str, Any] = {}


def apply_several(rule: Rule, x: TracedArray, options: dict[str, Any] = _NO_OPTIONS) -> tuple[Any, ...]:
    """The primitive's results, recorded in the trace of its operand."""
    trace, node = x._trace, x._node
    if not trace.open:
        escaped(trace.name)
    space = trace.space
    value = x._value
    if type(value) is TracedArray:
        result = apply_several(rule, value, options)
    else:
        assert rule.forward is not None
        result = rule.forward(space.base, value, **options)
    results = tuple(
        y if type(y) in (space.array_type, TracedArray) else space.base.asarray(y) for y in result
    )
    if trace.reading is not None:
        trace.reading(rule.name, (value,), results, options)
    if node is None:
        return tuple(TracedArray(y, None, trace) for y in results)
    saved = (results if rule.keep_y else None, value if rule.keep[0] else None)
    top = Node(rule, (node,), saved, options, (), None)
    return tuple(
        TracedArray(y, Node(PART, (top,), None, {"place": place}, y.shape, y.dtype), trace)
        for place, y in enumerate(results)
    )
