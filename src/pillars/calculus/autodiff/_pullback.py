"""Running a function on a trace, and the way back from its results: the core of every gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pillars._errors import CapabilityError
from pillars.backends import tree_flatten, tree_leaves, tree_unflatten
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    cotangents_of,
    gradient_of,
    parameter,
    parameter_leaves,
)
from pillars.calculus.autodiff._backward import backward
from pillars.calculus.autodiff._namespace import space_of
from pillars.calculus.autodiff._tape import CALLER, Trace
from pillars.calculus.autodiff._traced_array import TracedArray, escaped, strip

__all__ = ["call", "result_of", "value_and_pullback"]


def result_of(trace: Trace, x: Any) -> Any:
    """A result, in memory that the rules do not read."""
    if type(x) is TracedArray:
        if x._trace is not trace and not x._trace.open:
            escaped(x._trace.name)
        if x._trace not in (trace, trace.space.constants):
            return x
        x = x._value
    return trace.space.base.asarray(x, copy=True) if type(x) is trace.space.array_type else x


def call(trace: Trace, f: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """`f` of traced arguments, which closes the trace."""
    token = CALLER.set(trace.name)
    try:
        return f(*args, **options)
    except ValueError as error:
        # a[i] = traced: NumPy puts its own words in front of the reason, or has them alone
        if isinstance(error.__cause__, CapabilityError) or "setting single item" in str(error):
            raise CapabilityError(
                f"{trace.name}: got a traced value assigned into an element of a plain array, expected a new array: a "
                "plain array cannot hold a gradient. Use stack, concatenate or where."
            ).with_traceback(error.__traceback__) from None
        raise
    except (AttributeError, TypeError) as error:
        reason = error.__cause__ or error.__context__
        if isinstance(reason, CapabilityError):  # JAX puts its own words in front of it
            raise reason from None
        if trace.space.wraps and ("TracedArray" in str(error) or "traced array has no" in str(error)):
            raise CapabilityError(
                f"{trace.name}: got a function of {trace.space.root.name}'s own on a traced array ({error}), expected "
                "one that lets other arrays take part. Use operators, methods (x.sum()), NumPy's functions "
                "(np.exp(x)), or those of xp = pillars.backends.namespace(x)."
            ).with_traceback(error.__traceback__) from None
        raise
    finally:
        CALLER.reset(token)
        trace.open = False


def value_and_pullback(f: Callable[..., Any], /, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """What :func:`pillars.calculus.vjp` gives."""
    backend = backend_of_arguments("vjp", args)
    if backend.name == "jax":
        for position, argument in enumerate(args):
            parameter_leaves("vjp", backend, position, argument, args)
        out, pullback = backend.vjp(f, *args)
        return out, lambda g: pullback(cotangents_of(backend.xp, out, g))
    trace = Trace(space_of(backend), "vjp")
    inputs, given = [], []
    for position, argument in enumerate(args):
        leaves, treedef = parameter_leaves("vjp", backend, position, argument, args)
        made = [parameter(trace, leaf, copy=True) for leaf in leaves]
        inputs.append((made, treedef))
        given.append(tree_unflatten(treedef, made))
    traced_out = call(trace, f, given, {})
    outputs, structure = tree_flatten(traced_out)
    out = tree_unflatten(structure, [result_of(trace, x) for x in outputs])
    nodes = [x._node if type(x) is TracedArray and x._trace is trace else None for x in outputs]

    def pull(g: Any) -> tuple[Any, ...]:
        cotangents = tree_leaves(cotangents_of(trace.space, out, g))
        seeds = [(node, each) for node, each in zip(nodes, cotangents, strict=True) if node is not None]
        result = backward(trace, seeds)
        given_away: set[int] = {id(strip(each)) for each in cotangents}
        return tuple(
            tree_unflatten(treedef, [gradient_of(trace, leaf, result, given_away) for leaf in leaves])
            for leaves, treedef in inputs
        )

    return out, pull
