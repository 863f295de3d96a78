"""The parameters of a descent, gradients that must be like them, and the data beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pillars._errors import BackendError, DTypeError, PillarsError, ShapeError, shown
from pillars.backends import (
    Backend,
    backend as backend_of,
    chosen,
    common_dtype,
    dtype_kind,
    dtype_name,
    plain_float,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)

__all__ = [
    "backend_of_parameters",
    "check_leaves",
    "matching_leaves",
    "number_on",
    "one_number",
    "rate_dtype",
    "start",
    "with_data",
]


def rate_dtype(xp: Any, leaves: list[Any]) -> Any:
    """The dtype of rates and norms: the widest of the parameters', float32 at least."""
    dtypes = [xp.float32 if dtype_kind(p.dtype) == "half" else p.dtype for p in leaves]
    return xp.result_type(*dtypes)


def number_on(backend: Backend, value: Any, dtype: Any, device: Any = None) -> Any:
    """A number as a 0-d array; one outside the dtype's range becomes infinite, which the status tells better."""
    with backend_of("numpy").quiet():  # JAX casts host numbers by NumPy, and so warns where NumPy does
        return backend.asarray(value, dtype=dtype, device=device)


def check_leaves(where: str, params: Any, name: str = "params") -> None:
    """Refuse parameters that are no tree of floating arrays, naming the leaf."""
    leaves = tree_leaves(params)
    if not leaves:
        raise ShapeError(f"{where}: {name} has no leaves, expected at least one array to move.")
    for path, leaf in zip(tree_paths(params), leaves, strict=True):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None:
            raise DTypeError(
                f"{where}: {name}{path} is {shown(leaf)}, expected an array. Convert it with pillars.asarray."
            )
        if backend_of("numpy").is_masked(leaf):
            raise DTypeError(
                f"{where}: {name}{path} is a masked array, expected a plain one: steps would ignore the mask. Fill it."
            )
        if dtype_kind(dtype) not in ("float", "half"):
            raise DTypeError(
                f"{where}: {name}{path} has dtype {dtype_name(dtype)}, expected a real floating one: steps are "
                "fractions. Convert it, for instance with astype."
            )


def matching_leaves(where: str, grads: Any, params: Any, backend: Backend) -> list[Any]:
    """The gradient's leaves in the order of the parameters', of their shapes, dtypes and library; the leaf is named."""
    leaves, treedef = tree_flatten(params)
    result, found_def = tree_flatten(grads)
    if found_def != treedef:
        try:
            tree_map(lambda p, g: None, params, grads)
        except PillarsError as error:
            words = str(error).partition("the trees differ: ")[2] or str(error)
        else:
            words = "another kind of tree"
        raise ShapeError(f"{where}: the structure is not that of the parameters: {words}")
    for position, (p, g) in enumerate(zip(leaves, result, strict=True)):
        if type(g) is not type(p) or g.shape != p.shape or g.dtype != p.dtype:
            result[position] = _like(f"{where}{tree_paths(params)[position]}", g, p, backend)
    return result


def _like(where: str, g: Any, p: Any, backend: Backend) -> Any:
    """A gradient's leaf in its parameter's library and dtype."""
    kind = type(g)
    if isinstance(g, (str, bytes)) or backend_of("numpy").is_masked(g):
        raise DTypeError(f"{where} is {g!r:.60}, expected a plain array like the parameter.")
    if not backend.owns(kind):
        if hasattr(g, "shape") and not backend.is_scalar(g) and not _constant(backend, g):
            raise BackendError(
                f"{where} is a {kind.__module__.partition('.')[0]}.{kind.__name__}, expected an array of "
                f"{backend.name} like the parameters. Convert it with pillars.move."
            )
        g = backend.asarray(g)  # a Python number, or a scalar of the library
    if g.shape != p.shape:
        raise ShapeError(
            f"{where} has shape {tuple(g.shape)}, expected {tuple(p.shape)} like the parameter. "
            "Sum over the axes that were broadcast, or transpose."
        )
    if dtype_kind(g.dtype) not in ("float", "half", "integer"):
        raise DTypeError(f"{where} has dtype {dtype_name(g.dtype)}, expected real numbers.")
    return g if g.dtype == p.dtype else backend.xp.astype(g, p.dtype)


def _constant(backend: Backend, x: Any) -> bool:
    """Whether a host array is a constant inside this library's trace."""
    return backend.in_trace() and backend_of("numpy").owns(type(x))


def _owner(x: Any) -> Backend | None:
    """The backend of an array; None for what is no array of a known library."""
    if not hasattr(x, "shape"):
        return None
    try:
        return backend_of(x)
    except BackendError:
        return None


def _named(params: Any, data: Sequence[Any]) -> list[tuple[str, Any]]:
    """Every leaf with its place in the call."""
    trees = [("params", params), *((f"data[{i}]", tree) for i, tree in enumerate(data))]
    return [
        pair for name, tree in trees for pair in zip(tree_paths(tree, name), tree_leaves(tree), strict=True)
    ]


def backend_of_parameters(where: str, params: Any, data: Sequence[Any]) -> Backend:
    """The one backend of all arrays; lists and scalars follow them, else the chosen default.

    Raises
    ------
    BackendError : arrays of two libraries. Inside a JAX trace NumPy arrays are constants.
    """
    result: dict[str, tuple[Backend, str]] = {}
    for name, leaf in _named(params, data):
        owner = _owner(leaf)
        if owner is not None:
            result.setdefault(owner.name, (owner, name))
            if owner.is_tracer(type(leaf)):
                result[owner.name] = owner, name
    if not result:
        return backend_of()
    if len(result) == 1:
        backend, _ = next(iter(result.values()))
        return backend
    others = [owner for owner, _ in result.values() if owner.name != "numpy"]
    if len(others) == 1 and (others[0].in_trace() or _any_tracer(others[0], params, data)):
        return others[0]
    places = " and ".join(f"{name} on {owner.name}" for owner, name in result.values())
    raise BackendError(f"{where}: got {places}, expected one library. Convert one of them with pillars.move.")


def _any_tracer(backend: Backend, params: Any, data: Sequence[Any]) -> bool:
    return any(backend.is_tracer(type(leaf)) for _, leaf in _named(params, data))


def start(where: str, params: Any, data: Sequence[Any], backend: Backend, name: str = "params") -> Any:
    """The parameters as arrays of `backend` that nobody else holds; Python floats follow the arrays beside them."""
    leaves, treedef = tree_flatten(params)
    dtype = (
        _float_beside(backend, leaves)
        or _float_beside(backend, tree_leaves(list(data)))
        or _default_float(backend)
    )
    beside = [x for x in (*leaves, *tree_leaves(list(data))) if backend.owns(type(x))]
    device = backend.device_beside(beside[0]) if beside else _default_device(backend)
    made = []
    for path, leaf in zip(tree_paths(params), leaves, strict=True):
        if isinstance(leaf, (bool, int)):
            raise DTypeError(
                f"{where}: {name}{path} is {shown(leaf)}, an integer, expected a float or a floating array: steps are "
                f"fractions. Write {plain_float(leaf)!r}."
            )
        if isinstance(leaf, float) or backend.is_scalar(leaf):
            made.append(backend.asarray(leaf, dtype=dtype if type(leaf) is float else None, device=device))
        elif backend.owns(type(leaf)):
            held = backend.asarray(leaf, dtype=leaf.dtype)
            made.append(held if backend.is_tracer(type(held)) else backend.xp.asarray(held, copy=True))
        elif _owner(leaf) is not None:  # a NumPy constant inside somebody's trace
            made.append(backend.asarray(leaf))
        else:
            raise DTypeError(
                f"{where}: {name}{path} is a {type(leaf).__name__}, expected an array or a float. "
                "Convert it with pillars.asarray; a masked array must be filled first."
            )
    check_leaves(where, tree_unflatten(treedef, made), name)
    return tree_unflatten(treedef, made)


def with_data(where: str, params: Any, data: Sequence[Any], backend: Backend) -> tuple[Any, ...]:
    """The data on `backend`: lists of numbers become arrays, trees keep their shape, Python scalars stay."""
    dtype = rate_dtype(backend.xp, tree_leaves(params))
    shapes = [tuple(x.shape) for x in tree_leaves(list(data)) if getattr(x, "shape", ())]
    if (shapes and all(shape[0] == 0 for shape in shapes)) or any(
        isinstance(x, list) and not x for x in data
    ):
        told = f"shape {shapes[0]}" if shapes else "no entries"
        raise ShapeError(
            f"{where}: the data has {told}, expected at least one row. A mean of nothing has no value: check what was "
            "selected."
        )
    return tuple(_follow(where, f"data[{i}]", x, backend, dtype) for i, x in enumerate(data))


def _follow(where: str, name: str, x: Any, backend: Backend, dtype: Any) -> Any:
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields") and x and _all_numbers(x):
        made = backend.asarray(x)
        return backend.xp.astype(made, dtype) if dtype_kind(made.dtype) == "float" else made
    leaves, treedef = tree_flatten(x)
    for position, leaf in enumerate(leaves):
        if backend.owns(type(leaf)) or isinstance(leaf, (bool, int, float)):
            continue
        if backend.is_scalar(leaf) or _owner(leaf) is not None:
            leaves[position] = backend.asarray(leaf)
        else:
            raise DTypeError(
                f"{where}: {tree_paths(x, name)[position]} is a {type(leaf).__name__}, expected an array or a number. "
                "Convert a data frame with pillars.asarray(frame); bind anything else to the loss with "
                "functools.partial."
            )
    return tree_unflatten(treedef, leaves)


def _all_numbers(items: Any) -> bool:
    return all(
        _all_numbers(item) if isinstance(item, (list, tuple)) else isinstance(item, (bool, int, float))
        for item in items
    )


def _float_beside(backend: Backend, leaves: Sequence[Any]) -> Any:
    dtypes = [x.dtype for x in leaves if backend.owns(type(x)) and dtype_kind(x.dtype) == "float"]
    return common_dtype(backend.xp, *dtypes) if dtypes else None


def _default_device(backend: Backend) -> Any:
    choice = chosen()
    return choice.device if choice.backend == backend.name else None


def _default_float(backend: Backend) -> Any:
    choice = chosen()
    return (
        choice.dtype if choice.backend == backend.name and choice.dtype is not None else backend.default_float
    )


def one_number(where: str, loss: Any, backend: Backend, dtype: Any) -> Any:
    """A loss as a 0-d array of the state's library and dtype."""
    if not hasattr(loss, "shape"):
        if isinstance(loss, bool) or not hasattr(loss, "__float__"):
            raise DTypeError(f"{where}: loss is {shown(loss)}, expected a number.")
        return number_on(backend, float(loss), dtype)
    if loss.shape != ():
        raise ShapeError(
            f"{where}: loss has shape {tuple(loss.shape)}, expected one number, (). Take its mean, or vmap."
        )
    if dtype_kind(loss.dtype) not in ("float", "half", "integer"):
        raise DTypeError(f"{where}: loss has dtype {dtype_name(loss.dtype)}, expected a real number.")
    if backend.owns(type(loss)):
        return backend.xp.astype(loss, dtype, copy=False)
    if backend.is_scalar(loss) or backend_of("numpy").is_scalar(loss):
        return number_on(backend, float(loss), dtype)
    raise BackendError(
        f"{where}: loss is on {backend_of(loss).name} and the state on {backend.name}, expected one library. "
        "Make the state with init(loss)."
    )
