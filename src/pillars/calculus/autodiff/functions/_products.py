"""Products of matrices, tensors and vectors. What broadcasting added is summed away by the backward pass."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import apply
from pillars.calculus.autodiff.functions._table import FUNCTIONS, LINALG, axes_of, function

__all__: list[str] = []


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

# of two vectors, whole; what a part of it is, is cut out of it
rule(
    "convolve",
    lambda xp, g, y, a, b: xp.convolve(g, xp.flip(b), mode="valid"),
    lambda xp, g, y, a, b: xp.convolve(g, xp.flip(a), mode="valid"),
    keeps="ab",
    forward=lambda xp, a, b: xp.convolve(a, b),
)


# ------------------------------------------------------------------------------------------------ matrices of vectors
@function()
def kron(space: Any, a: Any, b: Any, /) -> Any:
    """Every number of `a` times all of `b`."""
    a, b = (x if hasattr(x, "shape") else space.asarray(x) for x in (a, b))
    ndim = max(a.ndim, b.ndim)
    first = (1,) * (ndim - a.ndim) + tuple(a.shape)
    second = (1,) * (ndim - b.ndim) + tuple(b.shape)
    left = space.reshape(a, tuple(n for m in first for n in (m, 1)))
    right = space.reshape(b, tuple(n for m in second for n in (1, m)))
    return space.reshape(left * right, tuple(m * n for m, n in zip(first, second, strict=True)))


@function()
def cross(
    space: Any,
    a: Any,
    b: Any,
    /,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Any:
    """The vector product of three numbers each."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a = space.moveaxis(space.operand(a, "cross"), axisa, -1)
    b = space.moveaxis(space.operand(b, "cross"), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(
            f"cross: got lengths {a.shape[-1]} and {b.shape[-1]}, expected vectors of 3 numbers."
        )
    y = space.roll(a, -1, -1) * space.roll(b, -2, -1) - space.roll(a, -2, -1) * space.roll(b, -1, -1)
    return space.moveaxis(y, -1, axisc)


@function("cross", linalg=True)
def _cross_last(space: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return cross(space, x1, x2, axis=axis)


@function()
def vdot(space: Any, a: Any, b: Any, /) -> Any:
    """The sum of all products, of flattened arrays."""
    a, b = space.operand(a, "vdot"), space.operand(b, "vdot")
    a = space.conj(a) if is_complex(a) else a
    return space.matmul(space.reshape(a, (-1,)), space.reshape(b, (-1,)))


@function()
def matvec(space: Any, x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors, batches broadcast."""
    return space.matmul(x1, space.expand_dims(x2, axis=-1))[..., 0]


@function()
def vecmat(space: Any, x1: Any, x2: Any, /) -> Any:
    """Vectors times matrices, batches broadcast."""
    x1 = space.operand(x1, "vecmat")
    x1 = space.conj(x1) if is_complex(x1) else x1
    return space.matmul(space.expand_dims(x1, axis=-2), x2)[..., 0, :]


@function()
def convolve(space: Any, a: Any, v: Any, /, mode: str = "full") -> Any:
    """Sums of products with a vector that slides over another, backwards."""
    a, v = space.atleast_1d(space.operand(a, "convolve")), space.atleast_1d(space.operand(v, "convolve"))
    a, v = (a, v) if a.shape[0] >= v.shape[0] else (v, a)
    n, m = a.shape[0], v.shape[0]
    full = space.apply_rule(RULES["convolve"], (a, v), {})
    if mode == "full":
        return full
    if mode == "valid":
        return full[m - 1 : n]
    start = (m - 1) // 2
    return full[start : start + n]


@function()
def correlate(space: Any, a: Any, v: Any, /, mode: str = "valid") -> Any:
    """Sums of products with a vector that slides over another."""
    a, v = space.atleast_1d(space.asarray(a)), space.atleast_1d(space.asarray(v))
    v = space.conj(v) if is_complex(v) else v
    if a.shape[0] >= v.shape[0]:
        return space.convolve(a, space.flip(v), mode)
    return space.flip(space.convolve(v, space.flip(a), mode))


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


for _name in ("matmul", "outer", "vecdot", "tensordot"):
    LINALG[_name] = FUNCTIONS[_name]
