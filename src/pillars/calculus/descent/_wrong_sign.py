"""Whether a hand-derived gradient points uphill: what to look at first where a run that was given one diverged."""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import tree_leaves
from pillars.calculus.descent._plan import Plan

__all__ = ["points_uphill"]

_STEPS = (1e-2, 1e-3)  # of the parameters' size: the loss is a line over them, or its slope is not looked at
_NEAR = 0.25


def points_uphill(plan: Plan, params: Any, data: Any) -> bool:
    """Whether the loss rises against the given gradient as fast as it should fall.

    By two short steps from `params`: a rate that is too large, or curvature, raises the loss in proportion to the
    square of a step; a wrong sign in proportion to the step itself.
    """
    if plan.gradient is None:
        return False
    with plan.backend.quiet():
        _, grads = plan.evaluator()(params, data)
        leaves = tree_leaves(params)
        squares = sum(_square(plan, g) for g in grads)
        size = math.sqrt(sum(_square(plan, p) for p in leaves)) or 1.0
        if not 0 < squares < math.inf or not math.isfinite(size):
            return False
        rebuild, start = plan.rebuild(params), float(plan.value(params, *data))
        result = []
        for step in _STEPS:
            t = step * size / math.sqrt(squares)
            moved = rebuild(
                [
                    plan.backend.as_arrays(p - plan.backend.xp.astype(g, p.dtype) * t)
                    for p, g in zip(leaves, grads, strict=True)
                ]
            )
            result.append((float(plan.value(moved, *data)) - start) / (t * squares))
    return all(abs(rise - 1.0) < _NEAR for rise in result)


def _square(plan: Plan, x: Any) -> float:
    wide = plan.backend.xp.astype(x, plan.backend.default_float)
    return float(plan.backend.xp.sum(wide * wide))
