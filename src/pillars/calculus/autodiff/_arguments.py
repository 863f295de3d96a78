"""What goes into a differentiated function, and what comes out: parameters, other arguments, values, gradients."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

from pillars._errors import BackendError, DTypeError, ShapeError, shown
from pillars.backends import (
    backend as backend_of,
    backend_of_type,
    chosen,
    common_dtype,
    dtype_kind,
    dtype_name,
    is_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)
from pillars.calculus.autodiff._tape import Node, Trace
from pillars.calculus.autodiff._traced_array import TracedArray, escaped, strip

__all__ = [
    "backend_of_arguments",
    "cotangents_of",
    "gradient_of",
    "numbers_of",
    "outside",
    "parameter",
    "parameter_leaves",
    "places_of",
    "refuse_unlike",
    "refuse_value",
    "require_bool",
    "require_function",
    "require_number",
    "value_of",
    "with_aux",
]

_FLOATING = ("float", "half")


# --------------------------------------------------------------------------------------------------- what comes in
def numbers_of(name: str, argnums: Any) -> int | tuple[int, ...]:
    """`argnums` as an integer, or as a tuple of them."""
    several = isinstance(argnums, (list, tuple))
    try:
        result = tuple(map(operator.index, argnums if several else (argnums,)))
    except TypeError:
        raise DTypeError(
            f"{name}: argnums is {shown(argnums)}, expected an integer or a tuple of them. What comes back is a "
            f"function: call it at the point, {name}(f)(x)."
        ) from None
    if not result:
        raise ShapeError(f"{name}: argnums is empty, expected at least one argument to differentiate.")
    return result if several else result[0]


def places_of(name: str, argnums: int | tuple[int, ...], length: int) -> list[int]:
    """Which arguments of a call of `length` positional ones are meant."""
    places: list[int] = []
    for number in (argnums,) if isinstance(argnums, int) else argnums:
        if not -length <= number < length:
            raise ShapeError(
                f"{name}: argnums names argument {number}, expected one of the {length} positional arguments of the "
                "call. Options given by keyword are not differentiated."
            )
        if number % length in places:
            raise ShapeError(
                f"{name}: argnums names argument {number % length} twice, expected each one once."
            )
        places.append(number % length)
    return places


def backend_of_arguments(name: str, tree: Any) -> Any:
    """The backend of the arrays among the arguments, else the chosen one; JAX takes NumPy arrays in."""
    result: dict[str, Any] = {}
    for leaf in tree_leaves(tree):
        owner = leaf._trace.space.root if type(leaf) is TracedArray else backend_of_type(type(leaf))
        if owner is not None:
            result[owner.name] = owner
    if not result:
        return backend_of()
    if len(result) == 1:
        return next(iter(result.values()))
    if set(result) == {"numpy", "jax"}:
        return result["jax"]
    raise BackendError(
        f"{name}: got arrays of {' and '.join(result)} among the arguments, expected one library. "
        "Convert one of them with pillars.move."
    )


def parameter_leaves(
    name: str, backend: Any, place: int, argument: Any, beside: Any
) -> tuple[list[Any], Any]:
    """A differentiated argument's leaves as floating arrays of its backend."""
    leaves, treedef = tree_flatten(argument)
    made = list(leaves)
    for i, leaf in enumerate(leaves):
        kind = type(leaf)
        owner = None if kind is TracedArray else backend_of_type(kind)
        if owner is not None and owner.name != backend.name and not backend.in_trace():
            raise BackendError(
                f"{name}: argument {place}{tree_paths(argument)[i]} is an array of {owner.name} beside arrays of "
                f"{backend.name}, expected one library in what is differentiated. Convert it with pillars.move."
            )
        if kind is TracedArray or owner is not None:
            if dtype_kind(leaf.dtype) not in _FLOATING:
                _refuse(name, place, argument, i, f"has dtype {dtype_name(leaf.dtype)}")
        elif kind is float or (backend.is_scalar(leaf) and dtype_kind(leaf.dtype) in _FLOATING):
            made[i] = backend.asarray(leaf, **_beside(backend, leaf, leaves, beside))
        elif isinstance(leaf, float):  # NumPy's own scalar, beside arrays of another library
            made[i] = backend.asarray(float(leaf), **_beside(backend, leaf, leaves, beside))
        else:
            _refuse(name, place, argument, i, f"is {shown(leaf)} ({kind.__name__})")
    return made, treedef


def _refuse(name: str, place: int, argument: Any, position: int, what: str) -> None:
    path = tree_paths(argument)[position]
    raise DTypeError(
        f"{name}: argument {place}{path} {what}, expected a floating array or a float: only those have derivatives. "
        "Convert it to a floating dtype (a data frame with pillars.asarray(frame)), or leave it out of argnums."
    )


def _beside(backend: Any, leaf: Any, leaves: list[Any], beside: Any) -> dict[str, Any]:
    """The dtype and device of a float: of the floating arrays beside it, its own, or as chosen."""
    choice = chosen()
    given = choice if choice.backend == backend.name else None
    for others in (leaves, tree_leaves(beside)):
        floats = [
            other
            for other in others
            if (type(other) is TracedArray or backend_of_type(type(other)) is backend)
            and dtype_kind(other.dtype) in _FLOATING
        ]
        if floats:
            device = backend.device_beside(strip(floats[0]))
            dtype = common_dtype(backend.xp, *(x.dtype for x in floats))
            return {
                "dtype": dtype,
                "device": device if len(getattr(device, "device_set", "1")) == 1 else None,
            }
    if type(leaf) is not float and hasattr(leaf, "dtype"):
        return {"dtype": leaf.dtype}
    if given is None:
        return {"dtype": backend.default_float}
    return {"dtype": given.dtype or backend.default_float, "device": given.device}


def parameter(trace: Trace, leaf: Any, *, copy: bool) -> TracedArray:
    """A leaf of the trace."""
    if type(leaf) is TracedArray:
        trace.nested = True
    elif copy and _writeable(leaf):
        leaf = trace.space.base.asarray(leaf, copy=True)
    return TracedArray(leaf, Node(None, (), None, {}, leaf.shape, leaf.dtype), trace)


def _writeable(x: Any) -> bool:
    return bool(getattr(getattr(x, "flags", None), "writeable", True))


def outside(trace: Trace, argument: Any, lent: list[Any]) -> Any:
    """An argument that is not differentiated: arrays that `f` cannot refill, without a copy; they go to `lent`."""
    space = trace.space

    def guard(leaf: Any) -> Any:
        kind = type(leaf)
        if kind is TracedArray or backend_of_type(kind) is not space.root:
            return leaf
        if space.wraps:
            return space.constant(leaf)
        lent.append(leaf)
        if not leaf.flags.writeable:
            return leaf
        view = leaf.view()
        view.flags.writeable = False
        return view

    if backend_of_type(type(argument)) is space.root:
        return guard(argument)
    return tree_map(guard, argument) if is_node(argument) else argument


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


def refuse_value(name: str, result: Any) -> NoReturn:
    """Refuse a result that is no number."""
    hint = " To give more beside it return (value, more), with has_aux=True." if type(result) is tuple else ""
    raise ShapeError(f"{name}: f returned {type(result).__name__}, expected one number, a 0-d array.{hint}")


def with_aux(name: str, result: Any) -> tuple[Any, Any]:
    """The value, and what came beside it."""
    if not isinstance(result, tuple) or len(result) != 2:
        length = f" of {len(result)}" if isinstance(result, tuple) else ""
        raise ShapeError(
            f"{name}: f returned {type(result).__name__}{length}, expected a tuple (value, aux), as has_aux=True says."
        )
    value, aux = result
    return value, aux


def value_of(name: str, trace: Trace, result: Any) -> tuple[Any, Node | None]:
    """The value of `f`, and its node where it depends on the parameters."""
    space, node = trace.space, None
    if type(result) is TracedArray and result._trace in (trace, space.constants):
        result, node = result._value, result._node
    if type(result) is TracedArray and not result._trace.open:
        escaped(result._trace.name)
    if type(result) is not TracedArray and type(result) is not space.array_type:
        if not isinstance(result, (int, float, complex)) and not space.root.is_scalar(result):
            if not (hasattr(result, "shape") and hasattr(result, "dtype")) or space.root.is_masked(result):
                refuse_value(name, result)
        else:
            result = space.root.asarray(result)
    require_number(name, result.shape, dtype_kind(result.dtype), result.dtype)
    if type(result) is space.array_type and (node is None or node.rule is None):
        result = space.base.asarray(result, copy=True)  # an argument itself, or what the caller holds
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


def require_function(name: str, f: Any, what: str = "that returns one number") -> None:
    """Refuse what is no function."""
    if not callable(f):
        raise DTypeError(f"{name}: f is {f!r:.60}, expected a function {what}.")


def require_bool(name: str, option: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise DTypeError(f"{name}: {option} is {shown(value)}, expected True or False.")


def refuse_unlike(what: str, given: Any, like: Any) -> None:
    """Refuse what would lose something on its way to an array like this one.

    Raises
    ------
    DTypeError : masked arrays, words, objects; complex numbers where real ones are due.
    BackendError : an array of another library.
    """
    if isinstance(given, TracedArray) or dtype_name(getattr(given, "dtype", "")) == "float0":
        return  # float0: what JAX has for the tangents of integers
    kind = dtype_kind(given.dtype) if hasattr(given, "dtype") else type(given).__name__
    if backend_of("numpy").is_masked(given) or kind in ("other", "str", "bytes", "NoneType"):
        raise DTypeError(
            f"{what} is a {type(given).__name__}{f' of {given.dtype}' if hasattr(given, 'dtype') else ''}, expected "
            "plain numbers. Fill what is masked, convert what is an object."
        )
    if kind == "complex" and hasattr(like, "dtype") and dtype_kind(like.dtype) != "complex":
        raise DTypeError(
            f"{what} is complex and what it goes with is real, expected real numbers: the imaginary part would be "
            "lost. Take the real and the imaginary part one after the other."
        )
    owner, backend = backend_of_type(type(given)), backend_of_type(type(like))
    if owner is not None and backend is not None and owner is not backend and owner.name != "numpy":
        raise BackendError(
            f"{what} is an array of {owner.name}, expected one of {backend.name}. Convert it with pillars.move."
        )


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
        refuse_unlike("vjp: the cotangent", each, y)
        cotangent, shape = xp.asarray(each, dtype=dtype), tuple(getattr(y, "shape", ()))
        if tuple(cotangent.shape) != shape:
            raise ShapeError(
                f"vjp: got a cotangent of shape {tuple(cotangent.shape)}, expected {shape}, as the function's result."
            )
        made.append(cotangent)
    return tree_unflatten(structure, made)
