"""hessian: all second derivatives of a scalar function at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pillars.backends import namespace, procedure, tree_flatten, tree_leaves, tree_unflatten
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    numbers_of,
    parameter_leaves,
    places_of,
    require_function,
)
from pillars.calculus.autodiff._grad import gradient_for
from pillars.calculus.autodiff._jacobian import jacobian

__all__ = ["hessian"]


@procedure()
def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The second derivatives of a scalar function, as a dense array.

    Parameters
    ----------
    f : ``f(*args, **options) -> 0-d array``, as for :func:`pillars.calculus.grad`.
    argnums : which positional argument, or arguments, to differentiate, each twice and with each other. Each is a
        floating array or a float, or a pytree of them.

    Returns
    -------
    function of the same arguments, to an array of shape ``x.shape + x.shape`` and of the dtype, library and device of
    the argument x. For several `argnums` a tuple of tuples: entry [i][j] has shape ``xᵢ.shape + xⱼ.shape``. For a
    pytree one of its structure in which each leaf is again a pytree of that structure. Symmetric to the last bit.

    Raises
    ------
    ShapeError, DTypeError, CapabilityError, BackendError : as :func:`pillars.calculus.grad`.

    Notes
    -----
    ``jacobian(grad(f), x)``, with the mean of each pair of entries that rounding has made differ: one gradient, and n
    passes back through it for n numbers, each at most some four times the price of a gradient. Memory: n² numbers;
    of a product with a vector :func:`pillars.calculus.hvp` is far cheaper. What a second derivative is at kinks, ties
    and zeros of norms is said there; where one of a pair is NaN both are.

    References
    ----------
    Griewank, Walther (2008), Evaluating Derivatives, 2nd edition, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.asarray([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    >>> hessian(lambda w, x: np.sum(np.sin(w * x)), argnums=(0, 1))(0.0, 2.0)
    ((array(-0.), array(1.)), (array(1.), array(-0.)))
    """
    require_function("hessian", f)
    wanted = numbers_of("hessian", argnums)
    several = not isinstance(wanted, int)

    @functools.wraps(f, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def second(*args: Any, **options: Any) -> Any:
        places = places_of("hessian", wanted, len(args))
        backend = backend_of_arguments("hessian", (args, options))
        for place in places:
            parameter_leaves("hessian", backend, place, args[place], (args, options))
        slope = gradient_for("hessian", f, wanted)

        def gradient(point: Any, others: list[Any], options: dict[str, Any]) -> Any:
            given = list(others)
            for place, x in zip(places, point if several else (point,), strict=True):
                given[place] = x
            return slope(*given, **options)

        point = tuple(args[place] for place in places) if several else args[places[0]]
        others = [None if place in places else x for place, x in enumerate(args)]
        return _symmetric(jacobian(gradient, point, others, options), len(tree_leaves(point)))

    return second


def _symmetric(blocks: Any, number: int) -> Any:
    """The blocks [i][j] and [j][i], transposes of each other, as their mean."""
    leaves, structure = tree_flatten(blocks)
    made = list(leaves)
    for i in range(number):
        # shape sᵢ + sᵢ
        axes = leaves[i * number + i].ndim // 2
        for j in range(i, number):
            a, b = leaves[i * number + j], leaves[j * number + i]
            xp, last = namespace(a), a.ndim - axes
            b = xp.permute_dims(b, (*range(last, a.ndim), *range(last))) if a.ndim else b
            # two halves: their sum does not overflow where its terms do not
            mean = xp.where(a == b, a, 0.5 * a + 0.5 * b)
            made[i * number + j] = mean
            made[j * number + i] = (
                xp.permute_dims(mean, (*range(axes, a.ndim), *range(axes))) if a.ndim else mean
            )
    return tree_unflatten(structure, made)
