"""A record's own derivative rules as JAX's ``custom_jvp`` and ``custom_vjp``.

Both are built around the body, never around the public operation: a rule whose forward pass calls the operation
breaks jvp-of-grad. They take dynamic values alone; statics are closed over, and one is built per set of statics.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

__all__ = ["with_rules"]


def with_rules(record: Any, values: list[Any], function: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """`function` of all values in parameter order, differentiated by the rule that the record asks for."""
    if record.jax_derivative == "body":
        return lambda given: _call(record, given, function)
    # a Python float in somebody's trace is a constant, which the compiler folds; as an argument it would be none
    dynamic = tuple(p for p in record.differentiable if not isinstance(values[p.position], float | NoneType))
    fixed = [None if p in dynamic else values[p.position] for p in record.parameters]
    build = _custom_jvp if record.jax_derivative == "jvp" else _custom_vjp
    if any(isinstance(fixed[p.position], float) and fixed[p.position] != p.default for p in record.numbers):
        made = build(record, function, dynamic, fixed)  # not kept: the cache would grow with the values
    else:
        statics = tuple(fixed[p.position] for p in record.statics)
        key = (record.jax_derivative, function, tuple(p.position for p in dynamic), statics)
        made = record.cache.get(key) or record.cache.setdefault(key, build(record, function, dynamic, fixed))
    return lambda given: made(*[given[p.position] for p in dynamic])


def _call(record: Any, values: list[Any], function: Callable[..., Any], **extra: Any) -> Any:
    positional, options = record.split(values)
    return function(*positional, **options, **extra)


def _fill(fixed: list[Any], dynamic: tuple[Any, ...], given: tuple[Any, ...]) -> list[Any]:
    values = list(fixed)
    for parameter, value in zip(dynamic, given, strict=True):
        values[parameter.position] = value
    return values


def _custom_jvp(
    record: Any, function: Callable[..., Any], dynamic: tuple[Any, ...], fixed: list[Any]
) -> Callable[..., Any]:
    rule = record.rules.jvp

    def primal(*given: Any) -> Any:
        return _call(record, _fill(fixed, dynamic, given), function)

    wrapped = jax.custom_jvp(primal)
    # beside its derivative a value is the body's: what the rule computes again, the compiler finds there already
    beside = wrapped if function is record.body else _custom_jvp(record, record.body, dynamic, fixed)

    def tangent(primals: Any, tangents: Any) -> Any:
        y = beside(*primals)
        by_name = {
            p.name: (
                None if isinstance(t, SymbolicZero) or getattr(t, "dtype", None) == jax.dtypes.float0 else t
            )
            for p, t in zip(dynamic, tangents, strict=True)
        }
        all_tangents = record.needs(**{p.name: by_name.get(p.name) for p in record.differentiable})
        positional, options = record.split(_fill(fixed, dynamic, primals))
        return y, rule(all_tangents, y, *positional, **options)

    # what is not differentiated must not cost a pass over the array
    wrapped.defjvp(tangent, symbolic_zeros=True)
    return cast("Callable[..., Any]", wrapped)


def _custom_vjp(
    record: Any, function: Callable[..., Any], dynamic: tuple[Any, ...], fixed: list[Any]
) -> Callable[..., Any]:
    forward, vjp = record.rules.forward, record.rules.vjp
    needs = record.needs(**{p.name: p in dynamic for p in record.differentiable})

    def primal(*given: Any) -> Any:
        return _call(record, _fill(fixed, dynamic, given), function)

    def ahead(*given: Any) -> Any:
        values = _fill(fixed, dynamic, given)
        if forward is None:
            return _call(record, values, function), (given, None, None)
        y, residuals = _call(record, values, forward)
        return y, (given, y, residuals)

    def back(kept: Any, g: Any) -> Any:
        given, y, residuals = kept
        values = _fill(fixed, dynamic, given)
        extra = {} if forward is None else {"residuals": residuals}
        if y is None:
            y = _call(record, values, function)
        positional, options = record.split(values)
        cotangents = vjp(g, y, *positional, **options, needs=needs, **extra)
        if not isinstance(cotangents, tuple):
            cotangents = (cotangents,)
        by_name = {p.name: ct for p, ct in zip(record.differentiable, cotangents, strict=True)}
        return tuple(_cotangent(by_name[p.name], x) for p, x in zip(dynamic, given, strict=True))

    wrapped = jax.custom_vjp(primal)
    wrapped.defvjp(ahead, back)
    return cast("Callable[..., Any]", wrapped)


def _cotangent(cotangent: Any, primal: Any) -> Any:
    """A cotangent of the primal's own dtype; JAX wants float0 zeros for integers."""
    if not jnp.issubdtype(primal.dtype, jnp.floating):
        return np.zeros(primal.shape, jax.dtypes.float0)
    return jnp.zeros_like(primal) if cotangent is None else jnp.asarray(cotangent, primal.dtype)
