"""The functions of the traced namespace that multiply: products of matrices and tensors, and norms."""

from __future__ import annotations

import string
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._rules import RULES, is_complex
from pillars.calculus._rules_linalg import einsum_parts
from pillars.calculus._traced import apply, strip
from pillars.calculus._traced_functions import FUNCTIONS, LINALG, axes_of, function, reduce_by
from pillars.calculus._traced_matrix import singular_values

__all__: list[str] = []


# ---------------------------------------------------------------------------------------------------------- products
@function()
def matmul(space: Any, x1: Any, x2: Any, /) -> Any:
    """The matrix product, batches broadcast."""
    x1, x2 = space.operand(x1, "matmul"), space.operand(x2, "matmul")
    return apply(RULES["matmul"], (x1, x2), {"shapes": (tuple(x1.shape), tuple(x2.shape))})


@function()
def dot(space: Any, a: Any, b: Any, /, out: None = None) -> Any:
    """NumPy's dot: a product of numbers, of matrices, or over the last axis of `a` and the last but one of `b`."""
    space.no_out(out)
    a, b = space.operand(a, "dot"), space.operand(b, "dot")
    left, right = getattr(a, "ndim", 0), getattr(b, "ndim", 0)
    if left == 0 or right == 0:
        return a * b
    if right <= 2:
        return space.matmul(a, b)
    return space.tensordot(a, b, axes=((left - 1,), (right - 2,)))


@function()
def inner(space: Any, a: Any, b: Any, /) -> Any:
    """Sums of products over the last axes."""
    a, b = space.operand(a, "inner"), space.operand(b, "inner")
    if not getattr(a, "shape", ()) or not getattr(b, "shape", ()):
        return a * b
    return space.tensordot(a, b, axes=((-1,), (-1,)))


@function()
def outer(space: Any, a: Any, b: Any, /, out: None = None) -> Any:
    """All products of an element of `a` and one of `b`."""
    space.no_out(out)
    return space.reshape(a, (-1, 1)) * space.reshape(b, (1, -1))


@function()
def vecdot(space: Any, x1: Any, x2: Any, /, axis: int = -1) -> Any:
    """Sums of products along an axis."""
    return space.sum(space.multiply(space.conj(x1) if is_complex(x1) else x1, x2), axis=axis)


@function()
def tensordot(space: Any, a: Any, b: Any, /, axes: Any = 2) -> Any:
    """Sums of products over several axes: one matrix product."""
    a, b = space.asarray(a), space.asarray(b)
    left, right = len(a.shape), len(b.shape)
    if isinstance(axes, int):
        first, second = tuple(range(left - axes, left)), tuple(range(axes))
    else:
        first, second = axes_of(axes[0], left), axes_of(axes[1], right)
    kept_a = tuple(i for i in range(left) if i not in first)
    kept_b = tuple(i for i in range(right) if i not in second)
    inner_size = 1
    for i in first:
        inner_size *= a.shape[i]
    rows = space.reshape(space.permute_dims(a, kept_a + first), (-1, inner_size))
    columns = space.reshape(space.permute_dims(b, second + kept_b), (inner_size, -1))
    shape = tuple(a.shape[i] for i in kept_a) + tuple(b.shape[i] for i in kept_b)
    return space.reshape(space.matmul(rows, columns), shape)


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
    found = einsum_parts(subscripts, tuple(len(x.shape) for x in given))
    if found is None or any(len(part) != len(x.shape) for part, x in zip(found[0], given, strict=True)):
        shapes = ", ".join(str(tuple(x.shape)) for x in given)
        raise ShapeError(
            f"einsum: got {subscripts!r} and operands of shapes {shapes}, expected a label for every axis of each."
        )
    parts = list(found[0])
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
    return apply(RULES["einsum"], tuple(given), {"parts": tuple(parts), "out": found[1]})


for _name in ("matmul", "outer", "vecdot", "tensordot"):
    LINALG[_name] = FUNCTIONS[_name]


# ------------------------------------------------------------------------------------------------------------- norms
@function(linalg=True)
def vector_norm(
    space: Any,
    x: Any,
    /,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,  # noqa: A002
) -> Any:
    """(Σ|x|ᵖ)^(1/p); at zeros the gradient is 0, of every order."""
    if ord == 2:
        return reduce_by(RULES["vector_norm"], x, axis, keepdims)
    size = space.abs(x)
    if ord == float("inf"):
        return space.max(size, axis=axis, keepdims=keepdims)
    if ord == -float("inf"):
        return space.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return space.constant(space.base.linalg.vector_norm(strip(x), axis=axis, keepdims=keepdims, ord=0))
    if ord == 1:
        return space.sum(size, axis=axis, keepdims=keepdims)
    return reduce_by(RULES["power_norm"], size, axis, keepdims, order=float(ord))


@function(linalg=True)
def matrix_norm(space: Any, x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:  # noqa: A002
    """Frobenius, the largest (or smallest) column or row sum, or singular values' largest, smallest, sum."""
    return _matrix_norm(space, x, (x.ndim - 2, x.ndim - 1), ord, keepdims)


def _matrix_norm(space: Any, x: Any, axes: tuple[int, ...], order: Any, keepdims: bool) -> Any:
    if order in ("fro", None):
        return reduce_by(RULES["vector_norm"], x, axes, keepdims)
    if order in (2, -2, "nuc"):
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        sizes = singular_values(space, space.permute_dims(x, rest + axes))
        y = space.sum(sizes, axis=-1) if order == "nuc" else sizes[..., 0 if order == 2 else -1]
        return space.expand_dims(y, axis=axes) if keepdims else y
    if order not in (1, -1, float("inf"), -float("inf")):
        raise space.no_rule(f"the matrix norm {order!r}")
    along, over = axes if abs(order) == 1 else axes[::-1]
    sums = space.sum(space.abs(x), axis=along, keepdims=True)
    y = (space.max if order > 0 else space.min)(sums, axis=(along, over), keepdims=True)
    return y if keepdims else space.squeeze(y, axis=axes)


@function(linalg=True)
def norm(space: Any, x: Any, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    """NumPy's norm: of vectors, or of matrices where two axes are named or there are but two."""
    axes = axes_of(axis, x.ndim)
    if ord is None and (axis is None or len(axes) <= 2):
        return reduce_by(RULES["vector_norm"], x, axes, keepdims)
    if len(axes) == 1:
        return LINALG["vector_norm"](space, x, axis=axes, keepdims=keepdims, ord=ord)
    return _matrix_norm(space, x, axes, ord, keepdims)
