"""hvp: the product of a function's Hessian with a vector, without the Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import ShapeError
from pillars.backends import namespace, procedure, tree_flatten, tree_leaves, tree_paths, tree_unflatten
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    parameter_leaves,
    refuse_unlike,
    require_function,
)
from pillars.calculus.autodiff._grad import gradient_for

__all__ = ["hvp"]


@procedure()
def hvp(f: Callable[..., Any], x: Any, v: Any, /, *args: Any, **options: Any) -> Any:
    """The Hessian of a scalar function times a vector: how its gradient changes along that vector.

    Parameters
    ----------
    f : ``f(x, *args, **options) -> 0-d array``, as for :func:`pillars.calculus.grad`.
    x : the point, a pytree of floating arrays or floats.
    v : the vector, a pytree of the structure and shapes of `x`.
    args, options : handed to `f`; they are not differentiated.

    Returns
    -------
    pytree like `x`: structure, shapes, dtypes, library and device. The Hessian is symmetric, so it does not matter from
    which side it is multiplied.

    Raises
    ------
    ShapeError : `v` of another structure or shape than `x` (the leaf is named); the value of `f` is not one number.
    DTypeError, CapabilityError, BackendError : as :func:`pillars.calculus.grad`.

    Notes
    -----
    d/dx ⟨∇f(x), v⟩: the gradient of the gradient, at most some four times the price of a gradient and twice its memory,
    whatever the number of parameters. On JAX forward over reverse mode (``jax.jvp`` of ``jax.grad``); reverse over
    reverse where `f` holds an operation whose rule has no forward mode. Where f has a kink, the curvature of the branch
    that was taken: relu's is 0; of a tie in max or maximum that of the even share, held fixed, which is right where the
    extreme cancels (a softmax of x − max(x)) and wrong elsewhere: max(x, y)·min(x, y) is x·y. At 0 a norm, hypot or a
    magnitude has no curvature, but its square has: on NumPy and CuPy ``norm(x) ** 2`` gives 2v, ``norm(x)`` NaN, and
    NaN what else hangs on the direction that 0 does not have.

    References
    ----------
    Pearlmutter (1994), Fast exact multiplication by the Hessian. Neural Computation 6.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: x[0] ** 2 * x[1], np.asarray([1.0, 3.0]), np.asarray([1.0, 10.0]))
    array([26.,  2.])
    """
    require_function("hvp", f)
    backend = backend_of_arguments("hvp", (x, v, args, options))
    leaves, treedef = parameter_leaves("hvp", backend, 0, x, (x, args, options))
    slope = gradient_for("hvp", f)
    vector = _like(backend, v, x, leaves, treedef)

    def gradient(x: Any) -> Any:
        return slope(x, *args, **options)

    def along(x: Any) -> Any:
        """⟨∇f(x), v⟩."""
        slopes = tree_leaves(gradient(x))
        parts = [namespace(g).sum(g * d) for g, d in zip(slopes, vector, strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    point = tree_unflatten(treedef, leaves)
    if not leaves:
        return point
    if backend.name == "jax":
        return backend.jvp(
            gradient, (point,), (tree_unflatten(treedef, vector),), lambda: gradient_for("hvp", along)(point)
        )
    return gradient_for("hvp", along)(point)


def _like(backend: Any, v: Any, x: Any, leaves: list[Any], treedef: Any) -> list[Any]:
    """The vector's leaves, in the shapes and dtypes of the point's."""
    given, structure = tree_flatten(v)
    if structure != treedef:
        raise ShapeError(
            "hvp: got a vector v of another structure than x, expected the same keys and lengths: the Hessian "
            "multiplies a change of x."
        )
    made = []
    for path, leaf, each in zip(tree_paths(x), leaves, given, strict=True):
        refuse_unlike(f"hvp: v{path}", each, leaf)
        d = each if hasattr(each, "_trace") or backend.owns(type(each)) else backend.asarray(each)
        if tuple(d.shape) != tuple(leaf.shape):
            raise ShapeError(
                f"hvp: v{path} has shape {tuple(d.shape)}, expected {tuple(leaf.shape)} like x{path}."
            )
        made.append(d if d.dtype == leaf.dtype else namespace(d).astype(d, leaf.dtype))
    return made
