"""jacobian: all slopes of a function at once, one pullback for every number it returns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from pillars._errors import DTypeError
from pillars.backends import (
    dtype_kind,
    dtype_name,
    procedure,
    tree_flatten,
    tree_map,
    tree_paths,
    tree_unflatten,
)
from pillars.calculus.autodiff._aliasing import lending, unchanged
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    gradient_of,
    outside,
    parameter,
    parameter_leaves,
    require_function,
)
from pillars.calculus.autodiff._backward import backward
from pillars.calculus.autodiff._namespace import space_of
from pillars.calculus.autodiff._pullback import call, result_of
from pillars.calculus.autodiff._tape import Trace
from pillars.calculus.autodiff._traced_array import TracedArray, strip

__all__ = ["jacobian"]


@procedure()
def jacobian(f: Callable[..., Any], x: Any, /, *args: Any, **options: Any) -> Any:
    """The derivative of every number that a function returns in every number of its first argument.

    Parameters
    ----------
    f : ``f(x, *args, **options) -> array, or pytree of arrays``: plain code, as for :func:`pillars.calculus.grad`.
    x : the point, a pytree of floating arrays or floats.
    args, options : handed to `f`; they are not differentiated.

    Returns
    -------
    pytree of the structure of `f`'s result, in which each array of shape s is a pytree of the structure of `x`: its
    leaf of shape t is an array of shape s + t, of the dtype, library and device of that leaf. For an array `x` (n,) and
    a result (m,) one array (m, n).

    Raises
    ------
    DTypeError : `f` is no function, or returns what is no floating array; a leaf of `x` is none.
    ShapeError, CapabilityError, BackendError : as :func:`pillars.calculus.grad`.

    Notes
    -----
    One call of `f`, and m passes back for a result of m numbers, each some twice the price of `f`; on JAX the passes
    are one, mapped (``jax.vmap`` of ``jax.vjp``). The memory of the result, m·n numbers. The Hessian,
    :func:`pillars.calculus.hessian`, is ``jacobian(grad(f), x)``: n gradients. Of a product with a vector
    :func:`pillars.calculus.hvp` is far cheaper.

    References
    ----------
    Griewank, Walther (2008), Evaluating Derivatives, 2nd edition, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars.calculus import grad
    >>> jacobian(lambda x: np.stack([x[0] * x[1], x[0] ** 2]), np.asarray([2.0, 3.0]))
    array([[3., 2.],
           [4., 0.]])
    >>> jacobian(grad(lambda x: np.sum(x**3)), np.asarray([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    require_function("jacobian", f, "of x")
    backend = backend_of_arguments("jacobian", (x, args, options))
    leaves, treedef = parameter_leaves("jacobian", backend, 0, x, (x, args, options))
    if backend.name == "jax":
        return _mapped(backend, functools.partial(_applied, backend, f, args, options), leaves, treedef)
    trace = Trace(space_of(backend), "jacobian")
    lent: list[Any] = []
    others = [outside(trace, each, lent) for each in args]
    more = {key: outside(trace, option, lent) for key, option in options.items()}
    made = [parameter(trace, leaf, copy=False) for leaf in leaves]
    with lending(lent), unchanged("jacobian", [*lent, *([] if trace.space.wraps else leaves)]):
        out = call(trace, f, [tree_unflatten(treedef, made), *others], more)
    outputs, structure = tree_flatten(out)
    paths = tree_paths(out)
    result = []
    for path, y in zip(paths, outputs, strict=True):
        node = y._node if type(y) is TracedArray and y._trace is trace else None
        y = _array(backend, result_of(trace, y))  # noqa: PLW2901
        _require_floating(path, y)
        result.append(tree_unflatten(treedef, _rows(trace, y, node, made)))
    return tree_unflatten(structure, result)


def _applied(backend: Any, f: Callable[..., Any], args: Any, options: Any, x: Any) -> Any:
    return tree_map(functools.partial(_array, backend), f(x, *args, **options))


def _array(backend: Any, y: Any) -> Any:
    return backend.asarray(y) if isinstance(y, float) or backend.is_scalar(y) else y


def _require_floating(path: str, y: Any) -> None:
    kind = dtype_kind(getattr(y, "dtype", None))
    if kind not in ("float", "half"):
        what = dtype_name(y.dtype) if hasattr(y, "dtype") else type(y).__name__
        where = f"at {path} a value" if path else "a value"
        raise DTypeError(
            f"jacobian: f returned {where} of {what}, expected real floating arrays: only those have slopes."
        )


def _rows(trace: Trace, y: Any, node: Any, leaves: list[Any]) -> list[Any]:
    """One result's slopes in all leaves."""
    space = trace.space
    shape, size = tuple(y.shape), prod(y.shape)
    rows: list[list[Any]] = [[] for _ in leaves]
    for seed in _units(space.base, y, shape, size):
        result = {} if node is None else backward(trace, [(node, seed)])
        for row, leaf in zip(rows, leaves, strict=True):
            row.append(gradient_of(trace, leaf, result, {id(seed)}))
    made = []
    for row, leaf in zip(rows, leaves, strict=True):
        whole = shape + leaf.shape
        if not row:
            made.append(space.base.zeros(whole, dtype=leaf.dtype, device=leaf.device))
        elif any(type(one) is TracedArray for one in row):
            made.append(space.reshape(space.stack(row), whole))
        else:
            made.append(space.base.reshape(space.base.stack(row), whole))
    return made


def _units(xp: Any, y: Any, shape: tuple[int, ...], size: int) -> Iterator[Any]:
    """Every unit cotangent."""
    for place in range(size):
        unit = xp.zeros((size,), dtype=y.dtype, device=strip(y).device)
        unit[place] = 1.0
        yield xp.reshape(unit, shape)


def _mapped(backend: Any, f: Callable[..., Any], leaves: list[Any], treedef: Any) -> Any:
    """On JAX: every pass back at once."""
    xp = backend.xp
    out, pullback = backend.vjp(f, tree_unflatten(treedef, leaves))
    outputs, structure = tree_flatten(out)
    for path, y in zip(tree_paths(out), outputs, strict=True):
        _require_floating(path, y)
    sizes = [prod(y.shape) for y in outputs]
    basis, begin = [], 0
    for y, size in zip(outputs, sizes, strict=True):
        ones = xp.eye(sum(sizes), size, -begin, dtype=y.dtype)
        basis.append(xp.reshape(ones, (sum(sizes), *y.shape)))
        begin += size
    if sum(sizes):
        (slopes,) = backend.vmap(pullback)(tree_unflatten(structure, basis))
    else:
        slopes = tree_unflatten(treedef, [xp.zeros((0, *leaf.shape), leaf.dtype) for leaf in leaves])
    columns = tree_flatten(slopes)[0]
    result, begin = [], 0
    for y, size in zip(outputs, sizes, strict=True):
        parts = [xp.reshape(c[begin : begin + size], (*y.shape, *c.shape[1:])) for c in columns]
        result.append(tree_unflatten(treedef, parts))
        begin += size
    return tree_unflatten(structure, result)
