"""Squares of sizes, |z|², ‖x‖², hypot², std²: recorded as those of what they are the sizes of.

The size has no slope at 0 and its square has: x̄·x is what all its derivatives are taken of, at 0 too. So with higher
powers, which are powers of the square. Of y·y nobody is told that both are one: that has the gradient alone there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars.calculus.autodiff._rule import RULES, Rule, is_complex
from pillars.calculus.autodiff._traced_array import TracedArray, apply_one, apply_two
from pillars.calculus.autodiff.functions._table import FUNCTIONS, function

__all__: list[str] = []


def _squared(space: Any, x: Any) -> Any:
    return space.real(x * space.conj(x)) if is_complex(x) else x * x


def _of_norm(space: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Any:
    return space.sum(_squared(space, x), axis=axes, keepdims=keepdims)


# by the rule that made the size, from its operands
_SQUARES: dict[str, Callable[..., Any]] = {
    "abs": _squared,
    "hypot": lambda space, a, b: a * a + b * b,
    "vector_norm": _of_norm,
    "std": lambda space, x, **options: apply_one(RULES["var"], x, options),
}


def _square_of_size(y: TracedArray) -> Any:
    """The square of a traced size; None of anything else."""
    node, trace = y._node, y._trace
    if node is None or type(node.rule) is not Rule or node.rule.name not in _SQUARES:
        return None
    operands = [
        trace.space.constant(x) if parent is None else TracedArray(x, parent, trace)
        for x, parent in zip(node.saved[1:], node.parents, strict=True)
    ]
    return _SQUARES[node.rule.name](trace.space, *operands, **node.options)


def _power(self: TracedArray, exponent: Any) -> Any:
    """``self ** exponent``."""
    if type(exponent) in (int, float) and (exponent == 2 or exponent >= 4):
        square = _square_of_size(self)
        if square is not None:
            return square if exponent == 2 else apply_two(RULES["pow"], square, 0.5 * exponent)
    return apply_two(RULES["pow"], self, exponent)


# the operator, which the class has from the table of rules alone
TracedArray.__pow__ = _power
_pow = FUNCTIONS["pow"]


@function("pow")
def power(space: Any, x1: Any, x2: Any, /) -> Any:
    """A power; of a size, one of its square."""
    return _power(x1, x2) if type(x1) is TracedArray and type(x2) in (int, float) else _pow(space, x1, x2)


@function()
def square(space: Any, x: Any, /) -> Any:
    """The square; of a size, that of what it is the size of."""
    result = _square_of_size(x)
    return apply_one(RULES["square"], x) if result is None else result
