"""A function on JAX, run equation by equation: every operation is told to somebody, with the user's line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

__all__ = ["is_literal", "run_told"]

_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}
)
_BETWEEN = ("/jax/", "/jaxlib/", "/pillars/", "/numpy/", "/contextlib.py", "/functools.py", "<operation ")


def run_told(f: Callable[..., Any], args: tuple[Any, ...], note: Callable[..., None]) -> Any:
    """The result of ``f(*args)``; of every primitive `note` is told ``(name, operands, results, options, None, line)``.

    `line` is a function that gives the user's. Compiled functions, and those with rules of their own, are entered; a
    loop or a branch of ``jax.lax`` is one primitive.
    """
    leaves, treedef = jax.tree.flatten(args)

    def flat(*given: Any) -> Any:
        return f(*jax.tree.unflatten(treedef, given))

    closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    results = _run(closed, leaves, note, None)
    return jax.tree.unflatten(jax.tree.structure(shape), results)


def is_literal(kind: type) -> bool:
    """Whether JAX has values of this type in its programs alone: host numbers and arrays that know their dtype."""
    return kind.__module__.partition(".")[0] == "jax" and issubclass(kind, (np.ndarray, int, float, complex))


def _array(x: Any) -> Any:
    """A literal of a program as an array; what else there is as it is."""
    return jnp.asarray(x) if is_literal(type(x)) else x


def _inner(equation: Any) -> Any:
    """The program that an equation calls, if it is a call."""
    if equation.primitive.name not in _CALLS:
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        result = equation.params.get(key)
        if result is not None:
            return result if isinstance(result, ClosedJaxpr) else ClosedJaxpr(result, ())
    return None


def _run(closed: Any, args: list[Any], note: Callable[..., None], caller: str | None) -> list[Any]:
    jaxpr = closed.jaxpr
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, map(_array, closed.consts), strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))

    def value(x: Any) -> Any:
        return x.val if isinstance(x, Literal) else known[x]

    for equation in jaxpr.eqns:
        operands = [value(x) for x in equation.invars]
        inner = _inner(equation)
        if inner is not None:
            results = _run(inner, operands, note, _line(equation) or caller)
        else:
            bound = equation.primitive.get_bind_params(equation.params)
            functions, options = bound if isinstance(bound, tuple) else ((), bound)  # JAX before 0.10: a pair
            result = equation.primitive.bind(*functions, *operands, **options)
            results = list(result) if equation.primitive.multiple_results else [result]
            line = functools.partial(_told_line, equation, caller)
            note(equation.primitive.name, [*map(_array, operands)], results, equation.params, None, line)
        known.update(zip(equation.outvars, results, strict=True))
    return [_array(value(x)) for x in jaxpr.outvars]


def _told_line(equation: Any, caller: str | None) -> str:
    return _line(equation) or caller or "unknown"


def _line(equation: Any) -> str | None:
    """The innermost line of an equation that is the user's own."""
    trace = equation.source_info.traceback
    for frame in () if trace is None else trace.frames:
        if not any(part in frame.file_name for part in _BETWEEN):
            return f"{frame.file_name}:{frame.line_num} in {frame.function_name.rpartition('.')[2]}"
    return None
