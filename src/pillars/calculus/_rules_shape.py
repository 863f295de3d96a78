"""Derivative rules of what only moves numbers: shapes, joining, indexing and its adjoint, scattering."""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import summed
from pillars.calculus._rules import RULES, rule

__all__ = ["is_basic"]

rule(
    "reshape",
    lambda xp, g, y, a, *, shape, old: xp.reshape(g, old),
    forward=lambda xp, a, *, shape, old: xp.reshape(a, shape),
)
rule(
    "permute_dims",
    lambda xp, g, y, a, *, axes: xp.permute_dims(g, _inverse(axes)),
    forward=lambda xp, a, *, axes: xp.permute_dims(a, axes),
)
rule(
    "flip",
    lambda xp, g, y, a, *, axis: xp.flip(g, axis=axis),
    forward=lambda xp, a, *, axis: xp.flip(a, axis=axis),
)
rule(
    "roll",
    lambda xp, g, y, a, *, shift, axis: xp.roll(
        g, tuple(-n for n in shift) if isinstance(shift, tuple) else -shift, axis=axis
    ),
    forward=lambda xp, a, *, shift, axis: xp.roll(a, shift, axis=axis),
)
rule("tril", lambda xp, g, y, a, *, k: xp.tril(g, k=k), forward=lambda xp, a, *, k: xp.tril(a, k=k))
rule("triu", lambda xp, g, y, a, *, k: xp.triu(g, k=k), forward=lambda xp, a, *, k: xp.triu(a, k=k))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    found = [0] * len(axes)
    for position, axis in enumerate(axes):
        found[axis] = position
    return tuple(found)


def _pull_broadcast(xp: Any, g: Any, y: Any, a: Any, *, shape: tuple[int, ...], old: tuple[int, ...]) -> Any:
    extra = len(shape) - len(old)
    axes = tuple(i for i, n in enumerate(shape) if i < extra or (old[i - extra] == 1 and n != 1))
    return xp.reshape(summed(g, axes), old)


rule(
    "broadcast_to",
    _pull_broadcast,
    forward=lambda xp, a, *, shape, old: xp.broadcast_to(a, shape),
)


# ----------------------------------------------------------------------------------------------------------- joining
def _pull_concat(
    xp: Any, g: Any, y: Any, operands: Any, position: int, *, axis: int, cuts: tuple[int, ...]
) -> Any:
    return g[(slice(None),) * axis + (slice(cuts[position], cuts[position + 1]), ...)]


def _forward_concat(xp: Any, *parts: Any, axis: int, cuts: tuple[int, ...]) -> Any:
    return xp.concat(parts, axis=axis)


def _pull_stack(xp: Any, g: Any, y: Any, operands: Any, position: int, *, axis: int) -> Any:
    return g[(slice(None),) * axis + (position, ...)]


rule("concat", _pull_concat, forward=_forward_concat, variadic=True)
rule("stack", _pull_stack, forward=lambda xp, *parts, axis: xp.stack(parts, axis=axis), variadic=True)


# ---------------------------------------------------------------------------------------------------------- indexing
def is_basic(index: Any) -> bool:
    """Whether no element is picked twice for certain: integers, slices, ellipsis, newaxis, boolean masks."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is ...
        or isinstance(part, (int, slice))
        or "bool" in str(getattr(part, "dtype", ""))
        for part in parts
    )


def _gather(xp: Any, x: Any, *, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """Pick elements: by an index, or by ``take`` or ``take_along_axis`` with that array of indices."""
    if how == "index":
        return x[index]
    return getattr(xp, how)(x, index, axis=axis)


def _places(xp: Any, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """The same pick as an index for item assignment."""
    if how == "index":
        return index
    if how == "take":
        return (slice(None),) * axis + (index,)
    ndim = len(shape)
    return tuple(
        index if i == axis else xp.reshape(xp.arange(n), tuple(n if j == i else 1 for j in range(ndim)))
        for i, n in enumerate(shape)
    )


def _scatter(xp: Any, g: Any, *, index: Any, shape: tuple[int, ...], how: str, axis: int) -> Any:
    """Zeros of `shape` with `g` added where :func:`_gather` picks: its adjoint."""
    z = xp.zeros(shape, dtype=g.dtype, device=g.device)
    if how == "index" and is_basic(index):
        if isinstance(index, tuple) and None in [part for part in index if not hasattr(part, "shape")]:
            # the standard reads new axes in an index, and does not write to them
            index = tuple(part for part in index if part is not None)
            g = xp.reshape(g, z[index].shape)
        z[index] = g
        return z
    add_at = getattr(xp.add, "at", None)
    if add_at is not None:
        add_at(z, _places(xp, index, shape, how, axis), g)
        return z
    # the standard has no scatter: compare every element's number with every picked one's
    size = math.prod(shape)
    numbers = xp.reshape(xp.arange(size, device=g.device), shape)
    picked = xp.reshape(_gather(xp, numbers, index=index, shape=shape, how=how, axis=axis), (1, -1))
    hit = xp.reshape(xp.arange(size, device=g.device), (-1, 1)) == picked
    found = xp.sum(
        xp.where(hit, xp.reshape(g, (1, -1)), xp.zeros((), dtype=g.dtype, device=g.device)), axis=1
    )
    return xp.reshape(found, shape)


def _linear(xp: Any, name: str, x: Any, pick: dict[str, Any]) -> Any:
    """One of the pair on plain values, or recorded where an outer gradient is being taken."""
    trace = getattr(xp, "apply_rule", None)
    return RULES[name].forward(xp, x, **pick) if trace is None else trace(RULES[name], (x,), pick)  # type: ignore[misc]


rule("gather", lambda xp, g, y, a, **pick: _linear(xp, "scatter", g, pick), forward=_gather)
rule("scatter", lambda xp, g, y, a, **pick: _linear(xp, "gather", g, pick), forward=_scatter)
