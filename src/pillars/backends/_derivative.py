"""An operation's value and its hand-derived pullback, on arrays of one backend: what tapes and audits use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from pillars._errors import CapabilityError
from pillars.backends._call_arguments import compute_dtype, float_of, normalise, promote
from pillars.backends._context import backend as backend_of
from pillars.backends._dtypes import dtype_kind
from pillars.backends._generic_call import narrow
from pillars.backends._kernels import pullback_of
from pillars.backends._operation import current_mode
from pillars.backends._record import Record
from pillars.backends._registry import adapter_of_type
from pillars.backends._tree import tree_leaves, tree_map

__all__ = ["asks_what_is_reached", "by_kernel", "forward_and_pullback"]


def forward_and_pullback(
    record: Record, values: list[Any], needs: Any = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The operation's value, and the function from its cotangent to those of its arrays and numbers.

    Parameters
    ----------
    record : the record of an operation that has a vjp.
    values : all arguments in parameter order, arrays of one backend; see :meth:`Record.bind`.
    needs : ``record.needs(...)`` of bools, one a parameter that can be differentiated; None: all floating ones.

    Returns
    -------
    (y, pullback): ``pullback(g)`` has one entry a differentiable parameter, None where not needed, each of its
    primal's shape and dtype. A rule that :func:`asks_what_is_reached` is told by ``pullback(g, reached)``.

    Raises
    ------
    CapabilityError : the operation has no hand-derived gradient.
    """
    if record.rules.vjp is None:
        raise CapabilityError(
            f"{record.name}: has no hand-derived gradient. Differentiate it with pillars.grad, which traces its body."
        )
    given = [values[p.position] for p in record.differentiable if hasattr(values[p.position], "dtype")]
    # a traced value anywhere (an outer gradient's) decides: plain ones beside it are its constants
    first = next((x for x in given if adapter_of_type(type(x)) is not None), given[0])
    backend = backend_of(first)
    if adapter_of_type(type(first)) is None:
        values = normalise(record, values, backend)
    dtype = float_of(backend, record, values)
    record.run_check(values)
    wide = promote(backend, record, values, dtype)
    if needs is None:
        needs = record.needs(*[_floating(values[p.position]) for p in record.differentiable])
    extra: dict[str, Any] = {}
    positional, options = record.split(wide)
    rule: Callable[..., Any] = record.rules.vjp
    pull: Callable[[Any], Any] | None = None
    served = None if adapter_of_type(type(first)) else by_kernel(backend, record, positional, options, needs)
    if served is not None:
        y, pull = served
    elif record.rules.forward is not None:
        with backend.quiet():
            y, extra["residuals"] = record.rules.forward(*positional, **options)
        y = backend.as_arrays(y)
    else:
        y = record.function(*positional, **options)

    def pullback(g: Any, reached: Any = None) -> tuple[Any, ...]:
        there = _backend_of(g, backend)
        known = {} if reached is None else {"reached": reached}
        if record.half == "wide":
            g = tree_map(lambda each: _widened(there, record, each), g)
        with backend.quiet():
            if pull is not None and there is backend:
                found = pull(g)
            else:
                if pull is not None and record.rules.forward is not None and not extra:
                    extra["residuals"] = record.rules.forward(*positional, **options)[1]
                result, arrays, more, kept = y, positional, options, extra
                if there is not backend:
                    result, arrays, more, kept = tree_map(
                        partial(_beside, there, backend), (y, positional, options, extra)
                    )
                found = rule(g, result, *arrays, **more, needs=needs, **kept, **known)
        cotangents = found if isinstance(found, tuple) else (found,)
        return tuple(
            _conform(there, cotangent, values[p.position], dtype) if needed else None
            for p, cotangent, needed in zip(record.differentiable, cotangents, needs, strict=True)
        )

    return narrow(backend, record, y, dtype), pullback


def asks_what_is_reached(record: Record) -> bool:
    """Whether the vjp has a parameter `reached`.

    Of every result it says False (nothing was made of it), True, or by an array which entries something was made of:
    what only their cotangents, 0 or not, cannot tell.
    """
    result: bool | None = record.cache.get("reached")
    if result is None:
        rule = record.rules.vjp
        result = rule is not None and "reached" in inspect.signature(rule).parameters
        record.cache["reached"] = result
    return result


def by_kernel(
    backend: Any, record: Record, positional: list[Any], options: dict[str, Any], needs: Any
) -> Any:
    """The value and the pullback from a kernel that gives both, or None."""
    kernel = pullback_of(backend, record)
    if kernel is None or current_mode() == "reference":
        return None
    first = next(x for x in positional if x is not None)
    if prod(first.shape) < kernel.minimum_size and current_mode() != "forced":
        return None
    with backend.quiet():
        return kernel(*positional, **options, needs=needs)


def _backend_of(g: Any, backend: Any) -> Any:
    """Where the cotangent lives: it may be traced where the operation's arguments are not."""
    leaves = (g,) if hasattr(g, "dtype") else tree_leaves(g)
    traced = next((leaf for leaf in leaves if adapter_of_type(type(leaf)) is not None), None)
    return backend if traced is None else backend_of(traced)


def _beside(there: Any, backend: Any, x: Any) -> Any:
    """A plain array in the form that works beside a traced cotangent."""
    return there.asarray(x) if backend.owns(type(x)) else x


def _widened(backend: Any, record: Record, g: Any) -> Any:
    return (
        backend.xp.astype(g, compute_dtype(backend, record, g.dtype)) if dtype_kind(g.dtype) == "half" else g
    )


def _floating(value: Any) -> bool:
    return isinstance(value, float) or (value is not None and dtype_kind(value.dtype) in ("float", "half"))


def _conform(backend: Any, cotangent: Any, primal: Any, dtype: Any) -> Any:
    """The cotangent in the primal's dtype: a wide result rounds here, once."""
    if cotangent is None:
        return None
    target = (
        dtype
        if isinstance(primal, float) or dtype_kind(primal.dtype) not in ("float", "half")
        else primal.dtype
    )
    if not hasattr(cotangent, "dtype"):
        cotangent = backend.asarray(cotangent, dtype=target)
    return backend.as_arrays(cotangent if cotangent.dtype == target else backend.xp.astype(cotangent, target))
