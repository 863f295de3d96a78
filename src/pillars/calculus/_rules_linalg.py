"""Derivative rules of products of matrices. What broadcasting added is summed away by the backward pass."""

from __future__ import annotations

import math
import string
from typing import Any

from pillars.calculus._rules import rule

__all__ = ["einsum_parts"]


def _pull_left(
    xp: Any, g: Any, y: Any, a: Any, b: Any, *, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Any:
    left, right = shapes
    if len(right) == 1:
        return g * b if len(left) == 1 else xp.reshape(g, (*g.shape, 1)) * b
    if len(left) == 1:
        return xp.matmul(b, xp.reshape(g, (*g.shape, 1)))[..., 0]
    return xp.matmul(g, xp.matrix_transpose(b))


def _pull_right(
    xp: Any, g: Any, y: Any, a: Any, b: Any, *, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Any:
    left, right = shapes
    if len(left) == 1:
        return (
            g * a
            if len(right) == 1
            else xp.reshape(a, (-1, 1)) * xp.reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
        )
    if len(right) == 1:
        return xp.matmul(xp.reshape(g, (-1,)), xp.reshape(a, (-1, left[-1])))
    if len(right) == 2 and len(left) > 2:
        # one product over all rows, rather than one a batch entry and a sum
        rows = math.prod(left[:-1])
        flat = xp.matrix_transpose(xp.reshape(a, (rows, left[-1])))
        return xp.matmul(flat, xp.reshape(g, (rows, right[-1])))
    return xp.matmul(xp.matrix_transpose(a), g)


rule(
    "matmul",
    _pull_left,
    _pull_right,
    keeps="ab",
    forward=lambda xp, a, b, *, shapes: xp.matmul(a, b),
)


def einsum_parts(subscripts: str, ndims: tuple[int, ...]) -> tuple[list[str], str] | None:
    """The labels of each operand and of the result, an ellipsis spelled out; None for what fits no such operands."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ndims):
        return None
    free = iter(sorted(set(string.ascii_letters) - set(subscripts)))
    extra = [
        n - len(part.replace("...", "")) if "..." in part else 0 for part, n in zip(parts, ndims, strict=True)
    ]
    if min(extra, default=0) < 0:
        return None
    spare = [next(free) for _ in range(max(extra, default=0))]
    # the axes under ellipses line up at their ends, as in broadcasting
    parts = [
        part.replace("...", "".join(spare[len(spare) - n :])) for part, n in zip(parts, extra, strict=True)
    ]
    if not arrow:
        joined = "".join(parts)
        once = [a for a in sorted(set(left) - {",", "."}) if joined.count(a) == 1]
        return parts, "".join([*spare, *once])
    return parts, out.replace("...", "".join(spare))


def _forward_einsum(xp: Any, *operands: Any, parts: tuple[str, ...], out: str) -> Any:
    return xp.einsum(f"{','.join(parts)}->{out}", *operands)


def _pull_einsum(
    xp: Any, g: Any, y: Any, operands: tuple[Any, ...], position: int, *, parts: tuple[str, ...], out: str
) -> Any:
    others = [i for i in range(len(parts)) if i != position]
    mine = parts[position]
    reached = set(out).union(*(parts[i] for i in others))
    # a label of this operand alone was summed over: its slices all get the same cotangent
    target = "".join(label for label in mine if label in reached)
    labels = ",".join([out, *(parts[i] for i in others)])
    found = xp.einsum(f"{labels}->{target}", g, *(operands[i] for i in others))
    lengths = operands[position].shape
    return xp.broadcast_to(
        xp.reshape(
            found, tuple(n if label in reached else 1 for label, n in zip(mine, lengths, strict=True))
        ),
        lengths,
    )


rule("einsum", _pull_einsum, keeps="a", forward=_forward_einsum, variadic=True)

# of two vectors, whole; what a part of it is, is cut out of it
rule(
    "convolve",
    lambda xp, g, y, a, b: xp.convolve(g, xp.flip(b), mode="valid"),
    lambda xp, g, y, a, b: xp.convolve(g, xp.flip(a), mode="valid"),
    keeps="ab",
    forward=lambda xp, a, b: xp.convolve(a, b),
)
