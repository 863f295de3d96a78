"""Einstein sums."""

from __future__ import annotations

import string
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._rule import RULES, rule
from pillars.calculus.autodiff._traced_array import apply
from pillars.calculus.autodiff.functions._table import function

__all__ = ["einsum_parts"]


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
    result = xp.einsum(f"{labels}->{target}", g, *(operands[i] for i in others))
    lengths = operands[position].shape
    return xp.broadcast_to(
        xp.reshape(
            result, tuple(n if label in reached else 1 for label, n in zip(mine, lengths, strict=True))
        ),
        lengths,
    )


rule("einsum", _pull_einsum, keeps="a", forward=_forward_einsum, variadic=True)


def _letters(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """einsum's other form, ``einsum(x, [0, 1], y, [1, 2], [0, 2])``, in words."""

    def word(labels: Any) -> str:
        return "".join("..." if i is ... else string.ascii_letters[i] for i in labels)

    operands, labels = args[: len(args) // 2 * 2 : 2], args[1::2]
    words = ",".join(word(each) for each in labels)
    return (words + "->" + word(args[-1]) if len(args) % 2 else words), operands


def _without_repeats(space: Any, x: Any, labels: str) -> tuple[Any, str]:
    """The diagonal of every two axes with one label."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = space.diagonal(x, 0, first, second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return x, labels


@function()
def einsum(space: Any, subscripts: Any, /, *operands: Any, out: None = None, optimize: Any = False) -> Any:
    """Einstein sums."""
    space.no_out(out)
    if not isinstance(subscripts, str):
        subscripts, operands = _letters((subscripts, *operands))
    given = [space.operand(x, "einsum") for x in operands]
    result = einsum_parts(subscripts, tuple(len(x.shape) for x in given))
    if result is None or any(len(part) != len(x.shape) for part, x in zip(result[0], given, strict=True)):
        shapes = ", ".join(str(tuple(x.shape)) for x in given)
        raise ShapeError(
            f"einsum: got {subscripts!r} and operands of shapes {shapes}, expected a label for every axis of each."
        )
    parts = list(result[0])
    for i, labels in enumerate(parts):
        given[i], parts[i] = _without_repeats(space, given[i], labels)
    lengths: dict[str, int] = {}
    for labels, x in zip(parts, given, strict=True):
        for label, n in zip(labels, x.shape, strict=True):
            lengths[label] = n if lengths.get(label, 1) == 1 else lengths[label]
    for i, (labels, x) in enumerate(zip(parts, given, strict=True)):  # NumPy repeats axes of length 1
        given[i] = space.broadcast_to(
            x, tuple(lengths[a] if n == 1 else n for a, n in zip(labels, x.shape, strict=True))
        )
    return apply(RULES["einsum"], tuple(given), {"parts": tuple(parts), "out": result[1]})
