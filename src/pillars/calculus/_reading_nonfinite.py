"""Where the first NaN or infinity of a result came from: operation, line, and the ranges of what went in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars.backends import backend, dtype_kind, dtype_name, namespace, tree_leaves, tree_paths
from pillars.calculus._reading import layer_of, read

__all__ = ["Origin", "Range", "first_nonfinite"]


class Range(NamedTuple):
    """What an operand looked like: the extremes of its finite numbers, and how many are not finite."""

    shape: tuple[int, ...]
    dtype: str
    minimum: float
    maximum: float
    nonfinite: int


class Origin(NamedTuple):
    """Where a value that is not finite was made.

    Attributes
    ----------
    operation : the name of the function that made it of finite numbers; "argument 0['w']" where it came in, and
        "captured array" where an array from outside brought it.
    location : the user's line, ``file:line in function``.
    input_ranges : a :class:`Range` for each operand.
    """

    operation: str
    location: str
    input_ranges: tuple[Range, ...]


def _bad(x: Any) -> bool:
    if isinstance(x, float):
        return not math.isfinite(x)
    if dtype_kind(getattr(x, "dtype", None)) not in ("float", "half", "complex"):
        return False
    return not bool(namespace(x).all(namespace(x).isfinite(x)))


def _counts(x: Any) -> bool:
    return hasattr(x, "dtype") or isinstance(x, (bool, int, float, complex))


def _range(x: Any) -> Range:
    if not hasattr(x, "dtype"):
        return (
            Range((), type(x).__name__, float(abs(x)), float(abs(x)), 0)
            if isinstance(x, complex)
            else Range((), type(x).__name__, float(x), float(x), int(_bad(x)))
        )
    xp = namespace(x)
    size = x.size
    name = dtype_name(x.dtype)
    kind = dtype_kind(x.dtype)
    real = xp.abs(x) if kind == "complex" else x
    real = real if kind in ("complex", "float", "half") else xp.astype(x, backend(x).default_float)
    fine = xp.isfinite(real)
    number = int(xp.sum(xp.astype(fine, xp.int32)))
    if not number:
        return Range(tuple(x.shape), name, float("nan"), float("nan"), size)
    low = float(xp.min(xp.where(fine, real, xp.full_like(real, float("inf")))))
    high = float(xp.max(xp.where(fine, real, xp.full_like(real, -float("inf")))))
    return Range(tuple(x.shape), name, low, high, size - number)


def first_nonfinite(f: Callable[..., Any], *args: Any) -> Origin | None:
    """Where what is not finite in the result of ``f(*args)`` was made first; None where the result is finite.

    Finite operands and a result that is not make the culprit; whatever is computed of that inherits it, and a value
    that where() leaves out is no culprit. To follow a gradient, hand over ``grad(f)``. Where `f` raises after something
    has become non-finite, that is what is told of.

    Parameters
    ----------
    f : a function of arrays, as :func:`pillars.calculus.grad` takes it; its result is any pytree.
    args : its arguments, pytrees of arrays.
    """
    search = _Search(args)
    try:
        result = read("find_nonfinite", f, args, search.note)
    except Exception:
        if search.first is None:
            raise
        return search.first
    broken = next((y for y in tree_leaves(result) if _bad(y)), None)
    return None if broken is None else search.origin_of(broken)


class _Search:
    """Which origin each non-finite value goes back to."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.first: Origin | None = None
        self.origins: dict[int, Origin] = {}
        self.kept: list[Any] = []  # alive, so that no other array gets its number
        self.places: dict[int, str] = {}
        for i, argument in enumerate(args):
            for path, leaf in zip(tree_paths(argument), tree_leaves(argument), strict=True):
                self.places[id(leaf)] = f"argument {i}{path}"

    def note(self, name: str, operands: Any, results: Any, options: Any, record: Any, line: Any) -> None:
        """One operation."""
        broken = [y for y in results if _bad(y)]
        if not broken:
            return
        culprits = _chosen(name, operands, options)
        origin = next((self.origins[id(x)] for x in culprits if id(x) in self.origins), None)
        if origin is None:
            layer = layer_of(record, operands)
            what = f"{name} {layer!r}" if layer else name
            if culprits:
                what = self.places.get(id(culprits[0]), "captured array")
            origin = Origin(what, line(), tuple(_range(x) for x in operands if _counts(x)))
        self.first = self.first or origin
        for y in broken:
            self.origins[id(y)] = origin
            self.kept.append(y)

    def origin_of(self, y: Any) -> Origin:
        """Where a result came from; one that no operation made came in as it is."""
        there = self.places.get(id(y), "a value that no argument reaches")
        return self.origins.get(id(y)) or Origin(there, "unknown", (_range(y),))


def _chosen(name: str, operands: Any, options: Any) -> list[Any]:
    """The operands that are not finite; what a selection leaves out does not count."""
    if name == "where":
        masks = options["condition"], ~options["condition"]
    elif name == "select_n":  # JAX's where: its first operand numbers the others
        which, *operands = operands
        masks = tuple(which == i for i in range(len(operands)))
    else:
        return [x for x in operands if _bad(x)]
    return [x for x, mask in zip(operands, masks, strict=True) if _bad_where(x, mask)]


def _bad_where(x: Any, mask: Any) -> bool:
    if not hasattr(x, "shape"):
        return _bad(x) and bool(mask.any() if hasattr(mask, "any") else mask)
    xp = namespace(x)
    return bool(xp.any(xp.logical_and(xp.logical_not(xp.isfinite(x)), mask)))
