"""What the chapters of matrices share."""

from __future__ import annotations

from typing import Any

from pillars.calculus.autodiff._rule import RULES, is_complex
from pillars.calculus.autodiff._several_results import apply_several
from pillars.calculus.autodiff._traced_array import apply_one

__all__ = ["eye_beside", "one_result", "plus", "several_results", "symmetric_part", "transposed"]


def transposed(xp: Any, a: Any) -> Any:
    return xp.matrix_transpose(a)


def symmetric_part(xp: Any, a: Any) -> Any:
    return 0.5 * (a + transposed(xp, a))


def eye_beside(xp: Any, like: Any, size: int) -> Any:
    return xp.eye(size, dtype=like.dtype, device=like.device)


def plus(total: Any, part: Any) -> Any:
    return part if total is None else total + part


def several_results(space: Any, name: str, x: Any, options: Any = None) -> Any:
    """A primitive of several results, of real matrices."""
    if is_complex(x):
        raise space.no_rule(f"{name} of complex matrices")
    return apply_several(RULES[name], x, options or {})


def one_result(name: str) -> Any:
    def apply_it(space: Any, x: Any, /) -> Any:
        return apply_one(RULES[name], x)

    apply_it.__name__ = name
    return apply_it
