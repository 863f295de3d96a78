"""What goes into a differentiated function, and what comes out: parameters, other arguments, values, gradients."""

from __future__ import annotations

from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends import (
    backend,
    chosen,
    dtype_kind,
    dtype_name,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)
from pillars.backends._registry import backend_of_type
from pillars.calculus._tape import Node, Trace
from pillars.calculus._traced import TracedArray, strip

__all__ = [
    "cotangents_of",
    "gradient_of",
    "home_of",
    "outside",
    "parameter",
    "parameter_leaves",
    "place_of",
    "require_number",
    "value_of",
]

_FLOATING = ("float", "half")


# --------------------------------------------------------------------------------------------------- what comes in
def place_of(name: str, number: int, length: int) -> int:
    if not -length <= number < length:
        raise ShapeError(
            f"{name}: argnums names argument {number}, expected one of the {length} positional arguments of the call. "
            "Options given by keyword are not differentiated."
        )
    return number % length


def home_of(name: str, tree: Any) -> Any:
    """The backend of the arrays among the arguments, else the chosen one; JAX takes NumPy arrays in."""
    found: dict[str, Any] = {}
    for leaf in tree_leaves(tree):
        owner = leaf._trace.space.root if type(leaf) is TracedArray else backend_of_type(type(leaf))
        if owner is not None:
            found[owner.name] = owner
    if not found:
        return backend()
    if len(found) == 1:
        return next(iter(found.values()))
    if set(found) == {"numpy", "jax"}:
        return found["jax"]
    raise BackendError(
        f"{name}: got arrays of {' and '.join(found)} among the arguments, expected one library. "
        "Convert one of them with pillars.move."
    )


def parameter_leaves(name: str, home: Any, place: int, argument: Any, beside: Any) -> tuple[list[Any], Any]:
    """A differentiated argument's leaves as floating arrays of its backend."""
    leaves, treedef = tree_flatten(argument)
    made = list(leaves)
    for i, leaf in enumerate(leaves):
        kind = type(leaf)
        if kind is TracedArray or backend_of_type(kind) is not None:
            if dtype_kind(leaf.dtype) not in _FLOATING:
                _refuse(name, place, argument, i, f"has dtype {dtype_name(leaf.dtype)}")
        elif kind is float or (home.is_scalar(leaf) and dtype_kind(leaf.dtype) in _FLOATING):
            made[i] = home.asarray(leaf, dtype=_float_beside(home, leaf, leaves, beside))
        elif isinstance(leaf, float):  # NumPy's own scalar, beside arrays of another library
            made[i] = home.asarray(float(leaf), dtype=_float_beside(home, leaf, leaves, beside))
        else:
            _refuse(name, place, argument, i, f"is {leaf!r} ({kind.__name__})")
    return made, treedef


def _refuse(name: str, place: int, argument: Any, position: int, what: str) -> None:
    path = tree_paths(argument)[position]
    raise DTypeError(
        f"{name}: argument {place}{path} {what}, expected a floating array or a float: only those have derivatives. "
        "Convert it to a floating dtype, or leave it out of argnums."
    )


def _float_beside(home: Any, leaf: Any, leaves: list[Any], beside: Any) -> Any:
    """The dtype of a float: that of the floating arrays beside it, its own, or the chosen default."""
    for others in (leaves, tree_leaves(beside)):
        floats = [
            other.dtype
            for other in others
            if (type(other) is TracedArray or backend_of_type(type(other)) is not None)
            and dtype_kind(other.dtype) in _FLOATING
        ]
        if floats:
            return home.xp.result_type(*floats)
    if type(leaf) is not float and hasattr(leaf, "dtype"):
        return leaf.dtype
    choice = chosen()
    return (choice.dtype if choice.backend == home.name else None) or home.default_float


def parameter(trace: Trace, leaf: Any, *, copy: bool) -> TracedArray:
    """A leaf of the trace."""
    if type(leaf) is TracedArray:
        trace.nested = True
    elif copy and _writeable(leaf):
        leaf = trace.space.base.asarray(leaf, copy=True)
    return TracedArray(leaf, Node(None, (), None, {}, leaf.shape, leaf.dtype), trace)


def _writeable(x: Any) -> bool:
    return bool(getattr(getattr(x, "flags", None), "writeable", True))


def outside(trace: Trace, argument: Any) -> Any:
    """An argument that is not differentiated: arrays that `f` cannot refill, without a copy."""
    space = trace.space

    def guard(leaf: Any) -> Any:
        kind = type(leaf)
        if kind is TracedArray or backend_of_type(kind) is not space.root:
            return leaf
        if space.wraps:
            return space.constant(leaf)
        if not leaf.flags.writeable:
            return leaf
        view = leaf.view()
        view.flags.writeable = False
        return view

    if backend_of_type(type(argument)) is space.root:
        return guard(argument)
    return tree_map(guard, argument) if isinstance(argument, (dict, list, tuple)) else argument


# -------------------------------------------------------------------------------------------------- what comes out
def require_number(name: str, shape: Any, kind: str, dtype: Any) -> None:
    if tuple(shape) != ():
        raise ShapeError(
            f"{name}: f returned an array of shape {tuple(shape)}, expected one number, shape (). "
            "Take its sum or mean, or use pillars.calculus.vjp for a function with many results."
        )
    if kind not in _FLOATING:
        raise DTypeError(
            f"{name}: f returned dtype {dtype_name(dtype)}, expected a real floating number. An integer or boolean "
            "changes in jumps and has no gradient; of a complex number take the real part or the absolute value."
        )


def value_of(name: str, trace: Trace, result: Any) -> tuple[Any, Node | None]:
    """The value of `f`, and its node where it depends on the parameters."""
    space, node = trace.space, None
    if type(result) is TracedArray and result._trace in (trace, space.constants):
        result, node = result._value, result._node
    if type(result) is not TracedArray and type(result) is not space.array_type:
        if not isinstance(result, (int, float, complex)) and not space.root.is_scalar(result):
            if not (hasattr(result, "shape") and hasattr(result, "dtype")):
                raise ShapeError(
                    f"{name}: f returned {type(result).__name__}, expected one number, a 0-d array."
                )
        else:
            result = space.root.asarray(result)
    require_number(name, result.shape, dtype_kind(result.dtype), result.dtype)
    return result, node


def gradient_of(trace: Trace, leaf: TracedArray, found: dict[int, Any], given_away: set[int]) -> Any:
    """A leaf's gradient, in memory of its own."""
    space, node = trace.space, leaf._node
    assert node is not None
    g = found.get(node.number)
    if g is None:
        g = space.base.zeros_like(strip(leaf))
    if trace.nested and (space.wraps or type(g) is TracedArray):
        return space.constant(g)  # the outer function goes on calculating with it
    if type(g) is TracedArray:
        return g if g._trace.level else g._value
    if type(g) is not space.array_type:
        return space.base.asarray(g)
    if id(g) in given_away or getattr(g, "base", None) is not None or not _writeable(g):
        return space.base.asarray(g, copy=True)
    given_away.add(id(g))
    return g


def cotangents_of(xp: Any, out: Any, g: Any) -> Any:
    """A cotangent of the result's structure, shapes and dtypes."""
    (wanted, structure), (given, other) = tree_flatten(out), tree_flatten(g)
    if structure != other:
        raise ShapeError(
            "vjp: got a cotangent of another structure than the function's result, expected the same keys and lengths."
        )
    made = []
    for y, each in zip(wanted, given, strict=True):
        dtype = getattr(y, "dtype", None)
        cotangent, shape = xp.asarray(each, dtype=dtype), tuple(getattr(y, "shape", ()))
        if tuple(cotangent.shape) != shape:
            raise ShapeError(
                f"vjp: got a cotangent of shape {tuple(cotangent.shape)}, expected {shape}, as the function's result."
            )
        made.append(cotangent)
    return tree_unflatten(structure, made)
