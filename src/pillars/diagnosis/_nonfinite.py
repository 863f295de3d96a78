"""Where the first NaN or infinity of a result came from: operation, line, and the ranges of what went in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars.backends import (
    backend,
    dtype_kind,
    dtype_name,
    namespace,
    procedure,
    refuse_traced,
    tree_leaves,
    tree_map,
    tree_paths,
)
from pillars.calculus.autodiff import Computed, layer_of, read, require_function

__all__ = ["Origin", "Range", "find_nonfinite"]

_NOBODY = "a value that no argument reaches"


class Range(NamedTuple):
    """What an operand looked like: the extremes of its finite numbers, and how many are not finite."""

    shape: tuple[int, ...]
    dtype: str
    minimum: float
    maximum: float
    nonfinite: int

    def __str__(self) -> str:
        none = math.isnan(self.minimum)
        numbers = "no finite number" if none else f"{self.minimum:.4g} to {self.maximum:.4g}"
        return (
            f"{self.dtype} {self.shape}: {numbers}{f', {self.nonfinite} not finite' * (self.nonfinite > 0)}"
        )


class Origin(NamedTuple):
    """Where a value that is not finite was made.

    Attributes
    ----------
    operation : the name of the function that made it of finite numbers, such as "log"; in a gradient, but on JAX,
        "divide in the gradient of sqrt", or "gradient of linalg.eigh" where the rule itself says that there is none.
        "argument 0['w']" where it came in, and "captured array" where an array from outside brought it.
    location : the user's line, ``file:line in function``; in a gradient that of the function whose gradient it is.
    input_ranges : a :class:`Range` for each operand.
    """

    operation: str
    location: str
    input_ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.operation}, at {self.location}", *(f"  {one}" for one in self.input_ranges)]
        )


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


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it looks at every number: call it outside jit, vmap and grad"
    )
)
def find_nonfinite(f: Callable[..., Any], *args: Any) -> Origin | None:
    """Where what is not finite in a result was made first.

    Finite operands and a result that is not make the culprit; whatever is computed of that inherits it, and a value
    that where() leaves out is no culprit. Nor is an infinity that disappears again, as in 1/(1/x) at 0: where what is
    returned is finite, None comes back, whatever was made on the way.

    Parameters
    ----------
    f : ``f(*args) -> any pytree``: a function of arrays, as :func:`pillars.calculus.grad` takes it. To follow a
        gradient hand over ``grad(f)``, or ``jax.grad(f)``.
    args : its arguments, pytrees of arrays.

    Returns
    -------
    Origin(operation, location, input_ranges); None where the result is finite. Where `f` raises after something has
    become non-finite, that is what is told of.

    Raises
    ------
    CapabilityError : inside jit, vmap or grad; and what `f` raises where everything was finite until then.
    BackendError : arrays of two libraries.

    Notes
    -----
    `f` runs once, and once more, with arrays of integers as floats, where only these can have led there. Each result is
    looked at, so that a call costs some tens of microseconds an operation more. On NumPy, CuPy and the strict namespace
    what cannot be traced is refused as :func:`pillars.calculus.grad` refuses it; on JAX the program is run primitive by
    primitive, inside compiled functions and gradients too, loops of ``jax.lax`` whole.

    Examples
    --------
    >>> import numpy as np
    >>> found = find_nonfinite(lambda x: np.sum(np.log(x) - np.log(x)), np.asarray([0.0, 2.0]))
    >>> found.operation, found.input_ranges[0].minimum
    ('log', 0.0)
    >>> print(found)
    log, at ...
      float64 (2,): 0 to 2
    >>> find_nonfinite(np.sum, np.ones(3)) is None
    True
    """
    require_function("find_nonfinite", f, "of these arguments")
    refuse_traced("find_nonfinite", tree_leaves(args))
    search = _Search(args)
    try:
        result = read("find_nonfinite", f, args, search.note)
    except Exception:
        if search.first is None:
            raise
        return search.first
    broken = next((y for y in tree_leaves(result) if _bad(y)), None)
    if broken is None:
        return None
    return search.known(broken) or _of_floats(f, args) or Origin(_NOBODY, "unknown", (_range(broken),))


def _of_floats(f: Callable[..., Any], args: tuple[Any, ...]) -> Origin | None:
    """What is found with arrays of integers, which no trace follows, as floats; None where `f` takes none."""

    def floating(x: Any) -> Any:
        integers = dtype_kind(getattr(x, "dtype", None)) in ("integer", "bool") and hasattr(x, "shape")
        return backend(x).xp.astype(x, backend(x).default_float) if integers else x

    floats = tuple(tree_map(floating, argument) for argument in args)
    search = _Search(floats)
    try:
        result = read("find_nonfinite", f, floats, search.note)
    except Exception:
        return search.first
    broken = next((y for y in tree_leaves(result) if _bad(y)), None)
    return None if broken is None else search.known(broken)


class _Search:
    """Which origin each non-finite value goes back to."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.first: Origin | None = None
        self.by_rule: Origin | None = (
            None  # what a gradient's rule made of plain arrays, whose ways are not told
        )
        self.walk = -1
        self.origins: dict[int, Origin] = {}
        self.kept: list[Any] = []  # alive, so that no other array gets its number
        self.places: dict[int, str] = {}
        for i, argument in enumerate(args):
            for path, leaf in zip(tree_paths(argument), tree_leaves(argument), strict=True):
                self.places[id(leaf)] = f"argument {i}{path}"

    def note(self, step: Computed) -> None:
        """One operation."""
        broken = [y for y in step.results if _bad(y)]
        if not step.name and step.options["walk"] != self.walk:
            self.walk, self.by_rule = step.options["walk"], None
        if not broken:
            return
        culprits = _chosen(step.name, step.operands, step.options)
        origin = next((self.origins[id(x)] for x in culprits if id(x) in self.origins), None)
        if origin is None and step.of and not any(id(x) in self.places for x in culprits):
            origin = self.by_rule if culprits or not step.name else None
        if origin is None:
            operation = self._named(step, culprits)
            origin = Origin(operation, step.line, tuple(_range(x) for x in step.operands if _counts(x)))
        if not step.name:
            self.by_rule = origin
        self.first = self.first or origin
        for y in broken:
            self.origins[id(y)] = origin
            self.kept.append(y)

    def _named(self, step: Computed, culprits: list[Any]) -> str:
        """What made the first of it: an argument, an array or a number from outside, or an operation."""
        layer = layer_of(step.record, step.operands)
        what = f"{step.name} {layer!r}" if layer else step.name
        if not culprits:
            return (
                f"{what} in the gradient of {step.of}"
                if step.of and what
                else what or f"gradient of {step.of}"
            )
        outside = self.places.get(id(culprits[0]))
        if outside is None and step.of:  # a rule says so: there is no derivative
            return f"gradient of {step.of}"
        return outside or "captured array"

    def known(self, y: Any) -> Origin | None:
        """Where a result came from, as far as that is known; one that no operation made came in as it is."""
        there = self.places.get(id(y))
        known = self.origins.get(id(y)) or (None if there else self.by_rule)
        return Origin(there, "unknown", (_range(y),)) if there and known is None else known


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
