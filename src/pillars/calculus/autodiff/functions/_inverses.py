"""Inverses of real matrices, linear systems, powers and chains of products; leading axes are batches."""

from __future__ import annotations

import itertools
import operator
from typing import Any

from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import apply
from pillars.calculus.autodiff.functions._matrix_helpers import one_result, transposed
from pillars.calculus.autodiff.functions._table import LINALG, function

__all__: list[str] = []


def _pull_inv(xp: Any, g: Any, y: Any, a: Any) -> Any:
    yt = transposed(xp, y)
    return -xp.matmul(yt, xp.matmul(g, yt))


rule("inv", _pull_inv, keeps="y", forward=lambda xp, a: xp.linalg.inv(a))
rule(
    "solve",
    lambda xp, g, y, a, b: -xp.matmul(xp.linalg.solve(transposed(xp, a), g), transposed(xp, y)),
    lambda xp, g, y, a, b: xp.linalg.solve(transposed(xp, a), g),
    keeps="ya",
    forward=lambda xp, a, b: xp.linalg.solve(a, b),
)


for _name in ("inv", "det"):
    LINALG[_name] = one_result(_name)


@function(linalg=True)
def solve(space: Any, a: Any, b: Any, /) -> Any:
    """The solution of a y = b; `b` is a vector where it has one axis, else columns."""
    a, b = space.operand(a, "solve"), space.operand(b, "solve")
    vector = len(b.shape) == 1
    b = space.reshape(b, (-1, 1)) if vector else b
    if a.shape[:-2] != b.shape[:-2]:  # not every library broadcasts batches here
        pairs = itertools.zip_longest(a.shape[-3::-1], b.shape[-3::-1], fillvalue=1)
        lead = [n if m == 1 else m for m, n in pairs][::-1]
        a = space.broadcast_to(a, (*lead, *a.shape[-2:]))
        b = space.broadcast_to(b, (*lead, *b.shape[-2:]))
    y = apply(RULES["solve"], (a, b), {})
    return y[..., 0] if vector else y


@function(linalg=True)
def matrix_power(space: Any, x: Any, n: int, /) -> Any:
    """A matrix times itself, by squaring; of the inverse where `n` is negative."""
    left = operator.index(n)
    if left < 0:
        x, left = LINALG["inv"](space, x), -left
    result = None
    while left:
        if left % 2:
            result = x if result is None else space.matmul(result, x)
        left //= 2
        x = space.matmul(x, x) if left else x
    if result is not None:
        return result
    eye = space.base.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return space.constant(space.base.broadcast_to(eye, x.shape))


@function(linalg=True)
def multi_dot(space: Any, arrays: Any, /, *, out: None = None) -> Any:
    """A chain of matrix products, in the order that multiplies the fewest numbers."""
    space.no_out(out)
    parts = [space.operand(x, "multi_dot") for x in arrays]
    lead, trail = len(parts[0].shape) == 1, len(parts[-1].shape) == 1
    parts[0] = space.reshape(parts[0], (1, -1)) if lead else parts[0]
    parts[-1] = space.reshape(parts[-1], (-1, 1)) if trail else parts[-1]
    best: dict[tuple[int, int], tuple[int, Any]] = {(i, i): (0, None) for i in range(len(parts))}
    rows = [x.shape[0] for x in parts] + [parts[-1].shape[1]]
    for length in range(1, len(parts)):
        for i in range(len(parts) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + rows[i] * rows[k + 1] * rows[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        k = best[i, j][1]
        return parts[i] if k is None else space.matmul(product(i, k), product(k + 1, j))

    result = product(0, len(parts) - 1)
    result = result[0, ...] if lead else result
    return result[..., 0] if trail else result
