"""Norms of vectors and matrices. Their slope is a direction, which 0 does not have (see the chapter of directions)."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars.calculus._norms import wide
from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import strip
from pillars.calculus.autodiff.functions._decompositions import singular_values
from pillars.calculus.autodiff.functions._directions import along, beside, internal, kept, scale_of, values_of
from pillars.calculus.autodiff.functions._reductions import reduce_by
from pillars.calculus.autodiff.functions._table import LINALG, axes_of, function

__all__: list[str] = []


# --------------------------------------------------------------------------------------------------------------- norms
def _forward_norm(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Any:
    # vector_norm takes several axes, where norm takes two
    return xp.linalg.vector_norm(x, axis=axes, keepdims=keepdims)


def _pull_norm(
    xp: Any, g: Any, y: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]
) -> Any:
    g, x = kept(xp, wide(xp, g), shape, axes), wide(xp, x)
    plain = strip(y)
    base, host = values_of(xp, plain)
    info = base.finfo(plain.dtype)
    # below it squares have lost digits
    least = math.sqrt(float(info.smallest_normal)) / float(info.eps)
    turned = xp.conj(x) if is_complex(x) else x
    if host and bool(base.all((plain > least) & (plain < math.inf))):
        return g * (turned / kept(xp, wide(xp, y), shape, axes))
    known, scale = scale_of(base, base.abs(strip(x)), axes)
    z = turned / beside(xp, scale)
    length = xp.linalg.vector_norm(z, axis=axes, keepdims=True)
    return along(xp, g, z / xp.where(known, length, xp.ones_like(length)), known)


rule("vector_norm", _pull_norm, keeps="ya", forward=_forward_norm)


def _forward_power_norm(
    xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], order: float
) -> Any:
    return xp.sum(x**order, axis=axes, keepdims=keepdims) ** (1.0 / order)


def _pull_power_norm(
    xp: Any,
    g: Any,
    y: Any,
    x: Any,
    *,
    axes: tuple[int, ...],
    keepdims: bool,
    shape: tuple[int, ...],
    order: float,
) -> Any:
    """Of sizes x ≥ 0: (x/‖x‖)ᵖ⁻¹."""
    g, x = kept(xp, wide(xp, g), shape, axes), wide(xp, x)
    base = getattr(xp, "base", xp)
    known, scale = scale_of(base, strip(x), axes)
    z = x / beside(xp, scale)
    total = xp.sum(z**order, axis=axes, keepdims=True)
    length = xp.where(known, total, xp.ones_like(total)) ** (1.0 / order)
    # 1ᵖ⁻¹ − 1 at zeros: a selection would keep from x that its direction is not known there
    missing = beside(xp, base.astype(~known, scale.dtype))
    return along(xp, g, (z / length + missing) ** (order - 1.0) - missing, known)


rule("power_norm", _pull_power_norm, keeps="a", forward=internal("power_norm", _forward_power_norm))


# ------------------------------------------------------------------------------------------------------ factorisations
@function(linalg=True)
def cond(space: Any, x: Any, /, p: Any = None) -> Any:
    """The condition number: of singular values, or of a norm and the inverse's."""
    if p in (None, 2, -2):
        s = singular_values(space, x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"cond: got shape {x.shape} and p {p!r}, expected square matrices.")
    matrix_norm = LINALG["matrix_norm"]
    return matrix_norm(space, x, ord=p) * matrix_norm(space, LINALG["inv"](space, x), ord=p)


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
