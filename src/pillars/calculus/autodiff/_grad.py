"""grad, value_and_grad, vjp: reverse-mode derivatives of functions of pytrees, on every backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pillars.backends import dtype_kind, procedure, tree_flatten, tree_map, tree_unflatten
from pillars.calculus.autodiff._aliasing import lending, unchanged
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    gradient_of,
    numbers_of,
    outside,
    parameter,
    parameter_leaves,
    places_of,
    refuse_value,
    require_bool,
    require_function,
    require_number,
    value_of,
    with_aux,
)
from pillars.calculus.autodiff._backward import backward
from pillars.calculus.autodiff._namespace import space_of
from pillars.calculus.autodiff._pullback import call, result_of, value_and_pullback
from pillars.calculus.autodiff._tape import Trace
from pillars.calculus.autodiff._traced_array import strip

__all__ = ["grad", "gradient_for", "value_and_grad", "vjp"]


@procedure()
def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of a scalar function, by reverse-mode automatic differentiation.

    Parameters
    ----------
    f : ``f(*args, **options) -> 0-d array``. Plain code on arrays: NumPy's functions, operators, methods, the Array
        API of ``namespace(x)``, pillars' operations. On JAX, what ``jax.grad`` takes.
    argnums : which positional argument, or arguments, to differentiate. Each is a pytree of floating arrays or floats.
    has_aux : whether `f` returns ``(value, aux)``, of which the value alone is differentiated.

    Returns
    -------
    function of the same arguments, to the gradient, or to ``(gradient, aux)`` with `has_aux`. The gradient has the
    argument's structure, and each leaf its shape, dtype, library and device; Python floats give 0-d arrays of the
    library beside them, or of the chosen backend. For several `argnums` a tuple. An argument that the value does not
    depend on has gradient zero.

    Raises
    ------
    ShapeError : the value is not one number; with `has_aux`, what `f` returns is no tuple of two.
    DTypeError : a differentiated leaf is no floating array; the value is complex or an integer.
    CapabilityError : a function without a derivative rule, a traced value forced to a plain number, assignment.
    BackendError : arrays of two libraries among the arguments.

    Notes
    -----
    On NumPy and CuPy (``jax.grad`` on JAX): a few microseconds for every operation, and the memory of the intermediate
    values that the rules read; an operation with a hand-derived gradient runs its own kernel and counts as one.
    Other arguments arrive in `f` as read-only views (wrapped as constants on CuPy), so large data is not copied; a
    writeable array taken from outside `f` is copied where its values are kept, as its owner may refill it. An argument
    must not be refilled during the call; that is noticed (by some of its numbers) and refused.

    Comparisons inside `f` give plain arrays: the gradient is that of the branch taken, and what changes in steps
    (floor, round, sign, argmax, a cast to integers) is a constant. Conventions: abs′(0) = 0; ties in maximum, minimum,
    max, min and clip are shared evenly, and further derivatives hold the shares fixed, which is right where the extreme
    cancels (a softmax of x − max(x)) and wrong elsewhere: the second derivatives of max(x, y)·min(x, y) at a tie are
    finite and not those of x·y; sqrt′(0) = ∞; norms of zeros, of any order, and standard deviations of equal numbers
    have gradient 0 (of second derivatives there :func:`pillars.calculus.hvp` tells); a branch that where, clip, maximum
    or max did not take has gradient 0 whatever its slope, so that ``where(x > 0, log(x), 0)`` has gradient 0 at 0 (JAX
    gives NaN there); any other 0·∞ is NaN. Complex numbers may occur on the way. Gradients of gradients work, in any
    depth.

    `aux` is a pytree of anything: arrays in it come out as plain ones (inside another gradient: differentiable there),
    and what is no array as it is. An object that is no pytree must not hold arrays of the call.

    References
    ----------
    Griewank, Walther (2008), Evaluating Derivatives, 2nd edition, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> grad(lambda w, x: np.sum(np.tanh(x @ w)))(np.zeros(2), np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    >>> grad(grad(lambda x: x**3))(2.0)
    array(12.)
    >>> grad(lambda x: (np.sum(x**2), {"largest": np.max(x)}), has_aux=True)(np.asarray([1.0, 2.0]))
    (array([2., 4.]), {'largest': array(2.)})
    """
    both = _value_and_grad(f, argnums, "grad", has_aux)

    @functools.wraps(f, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def gradient(*args: Any, **options: Any) -> Any:
        value, result = both(*args, **options)
        return (result, value[1]) if has_aux else result

    return gradient


@procedure()
def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A scalar function's value and its gradient, for the price of the gradient.

    Parameters
    ----------
    f : ``f(*args, **options) -> 0-d array``, as in :func:`grad`.
    argnums : which positional argument, or arguments, to differentiate. Each is a pytree of floating arrays or floats.
    has_aux : whether `f` returns ``(value, aux)``, of which the value alone is differentiated.

    Returns
    -------
    function of the same arguments, to ``(value, gradient)``, or to ``((value, aux), gradient)`` with `has_aux`: value
    is a 0-d array, gradient and aux as in :func:`grad`.

    Raises
    ------
    ShapeError, DTypeError, CapabilityError, BackendError : as :func:`grad`.

    Notes
    -----
    As :func:`grad`. Asking for both costs what the gradient alone costs: it computes the value on its way.

    References
    ----------
    Griewank, Walther (2008), Evaluating Derivatives, 2nd edition, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> value_and_grad(lambda p: np.sum(p["w"] ** 2))({"w": np.asarray([1.0, 2.0])})
    (array(5.), {'w': array([2., 4.])})
    >>> value_and_grad(lambda x: (np.sum(x**2), "a word"), has_aux=True)(np.asarray([1.0, 2.0]))
    ((array(5.), 'a word'), array([2., 4.]))
    """
    both = _value_and_grad(f, argnums, "value_and_grad", has_aux)

    @functools.wraps(f, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def value_and_gradient(*args: Any, **options: Any) -> Any:
        return both(*args, **options)

    return value_and_gradient


@procedure()
def vjp(f: Callable[..., Any], /, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """A function's value, and the product of a cotangent with its Jacobian.

    Parameters
    ----------
    f : ``f(*args) -> array, or pytree of arrays``.
    args : pytrees of floating arrays or floats, all of them differentiated. Writeable ones are copied: they may be
        refilled before the pullback is called.

    Returns
    -------
    (out, pullback): ``pullback(g)``, with `g` of the structure and shapes of `out`, is a tuple with one entry an
    argument, each like that argument. It may be called again and again.

    Raises
    ------
    ShapeError : a cotangent of another structure or shape than the result's.
    DTypeError, CapabilityError, BackendError : as :func:`grad`.

    Notes
    -----
    As :func:`grad`: a few microseconds for every operation, and what the rules read is kept as long as the pullback is.
    Each call of the pullback walks the operations once.

    References
    ----------
    Griewank, Walther (2008), Evaluating Derivatives, 2nd edition, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = vjp(lambda x: x**2, np.asarray([1.0, 2.0, 3.0]))
    >>> pullback(np.asarray([1.0, 0.0, 10.0]))
    (array([ 2.,  0., 60.]),)
    """
    return value_and_pullback(f, *args)


def gradient_for(name: str, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """:func:`grad` on behalf of another public function, which errors name."""
    both = _value_and_grad(f, argnums, name, has_aux=False)
    return lambda *args, **options: both(*args, **options)[1]


def _value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int], name: str, has_aux: bool
) -> Callable[..., Any]:
    require_function(name, f)
    require_bool(name, "has_aux", has_aux)
    wanted = numbers_of(name, argnums)
    several = not isinstance(wanted, int)

    def both(*args: Any, **options: Any) -> tuple[Any, Any]:
        places = places_of(name, wanted, len(args))
        backend = backend_of_arguments(name, (args, options))
        parameters = [
            parameter_leaves(name, backend, place, args[place], (args, options)) for place in places
        ]
        if backend.name == "jax":
            return _on_jax(name, f, backend, wanted, args, options, places, parameters, has_aux)
        trace = Trace(space_of(backend), name)
        lent: list[Any] = []
        given = [None if place in places else outside(trace, x, lent) for place, x in enumerate(args)]
        more = {key: outside(trace, option, lent) for key, option in options.items()}
        made = []
        for place, (leaves, treedef) in zip(places, parameters, strict=True):
            made.append([parameter(trace, leaf, copy=False) for leaf in leaves])
            given[place] = tree_unflatten(treedef, made[-1])
        own = [leaf for leaves, _ in parameters for leaf in leaves] if not trace.space.wraps else []
        placed = [leaf for leaves, _ in parameters for leaf in leaves]
        with lending(lent), unchanged(name, [*lent, *own]), backend.device_scope(placed):
            result = call(trace, f, given, more)
        result, aux = with_aux(name, result) if has_aux else (result, None)
        value, node = value_of(name, trace, result)
        found = {}
        if node is not None:
            with backend.device_scope(placed):
                seed = trace.space.base.ones((), dtype=value.dtype, device=strip(value).device)
                found = backward(trace, [(node, seed)])
        given_away: set[int] = set()
        gradients = tuple(
            tree_unflatten(treedef, [gradient_of(trace, leaf, found, given_away) for leaf in leaves])
            for leaves, (_, treedef) in zip(made, parameters, strict=True)
        )
        if has_aux:
            value = value, tree_map(functools.partial(result_of, trace), aux)
        return value, gradients if several else gradients[0]

    return both


def _on_jax(
    name: str,
    f: Callable[..., Any],
    backend: Any,
    argnums: int | tuple[int, ...],
    args: tuple[Any, ...],
    options: dict[str, Any],
    places: list[int],
    parameters: list[tuple[list[Any], Any]],
    has_aux: bool,
) -> tuple[Any, Any]:
    aux: tuple[list[Any], Any] = ([], None)  # JAX lets arrays alone out: the rest stays here

    @functools.wraps(f, assigned=(), updated=())
    def checked(*inner: Any, **more: Any) -> Any:
        nonlocal aux
        value = f(*inner, **more)
        if has_aux:
            value, beside = with_aux(name, value)
            aux = tree_flatten(beside)
        if hasattr(value, "shape"):
            require_number(name, value.shape, dtype_kind(value.dtype), value.dtype)
        elif isinstance(value, (int, float, complex)):
            value = backend.asarray(value, dtype=backend.default_float)
        else:
            refuse_value(name, value)
        return (value, [x for x in aux[0] if backend.owns(type(x))]) if has_aux else value

    given = list(args)
    for place, (leaves, treedef) in zip(places, parameters, strict=True):
        given[place] = tree_unflatten(treedef, leaves)
    value, gradient = backend.value_and_grad(checked, argnums, has_aux=has_aux)(*given, **options)
    if has_aux:
        arrays = iter(value[1])
        leaves = [next(arrays) if backend.owns(type(x)) else x for x in aux[0]]
        value = value[0], tree_unflatten(aux[1], leaves)
    return value, gradient
