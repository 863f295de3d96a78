"""How the tracing array takes part in pillars' operations: the adapter that the ground floor calls.

An operation with a hand-derived gradient is one node: its kernel runs on the plain values, and its rule is used whole.
Any other is traced through its body, checked and promoted as for plain arrays.
"""

from __future__ import annotations

from typing import Any

from pillars._errors import CapabilityError
from pillars.backends import (
    Adapter,
    EagerBackend,
    Record,
    asks_what_is_reached,
    backend_of_call,
    entry_key,
    forward_and_pullback,
    in_reference,
    normalise,
    register_array_type,
    run_generic,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.calculus.autodiff._aliasing import freeze
from pillars.calculus.autodiff._backward import PART, Whole
from pillars.calculus.autodiff._fast_entry import traced_entry
from pillars.calculus.autodiff._namespace import TracedNamespace
from pillars.calculus.autodiff._tape import Node
from pillars.calculus.autodiff._traced_array import TracedArray, strip

__all__ = ["TracedBackend"]


class TracedBackend(EagerBackend):
    """A backend as traced arrays see it: the same loops and names, on the traced namespace."""

    def __init__(self, space: TracedNamespace) -> None:
        self.root = space.root
        self.name = space.root.name
        self.xp = space
        self.array_type = TracedArray

    def owns(self, kind: type) -> bool:
        return kind is TracedArray or self.root.owns(kind)

    @property
    def devices(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self.root.devices
        return names

    @property
    def default_float(self) -> Any:
        return self.root.default_float

    def quiet(self) -> Any:
        return self.root.quiet()

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        if type(obj) is TracedArray:
            return self.xp.asarray(obj, dtype=dtype)
        return self.xp.constant(self.root.asarray(obj, dtype=dtype, device=device))

    def to_numpy(self, x: Any) -> Any:
        if type(x) is TracedArray:
            raise CapabilityError(
                "to_numpy: got a traced array, expected a plain one: its gradient would end there. "
                "Return it from the differentiated function first."
            )
        return self.root.to_numpy(x)

    def device_of(self, x: Any) -> Any:
        return self.root.device_of(strip(x))


def _backend(space: TracedNamespace) -> TracedBackend:
    if space.traced_backend is None:
        space.traced_backend = TracedBackend(space)
    result: TracedBackend = space.traced_backend
    return result


def call(record: Record, values: list[Any]) -> Any:
    """An operation on values of which at least one is traced."""
    trace = max((x._trace for x in values if type(x) is TracedArray), key=lambda trace: trace.level)
    space: TracedNamespace = trace.space
    if trace.level and record.rules.vjp is not None and not in_reference():
        _remember(record, values, space)
        return _whole(record, values, trace, space)
    plain = [strip(x) for x in values]
    normal = normalise(record, plain, backend_of_call(record, plain))
    if space.root.host:
        record.run_check_values(normal)
    if trace.level == 0:
        return _wrapped(
            space, record.function(*_arguments(record, normal)[0], **_arguments(record, normal)[1])
        )
    given = [
        x
        if type(x) is TracedArray
        else space.constant(freeze(trace, n))
        if type(n) is space.array_type
        else n
        for x, n in zip(values, normal, strict=True)
    ]
    return run_generic(_backend(space), record, given, record.body)


def _remember(record: Record, values: list[Any], space: TracedNamespace) -> None:
    """Let the next call with arrays of these types find its way directly."""
    kinds = tuple(type(values[p.position]) for p in record.arrays)
    key = entry_key(record, values)
    if key not in record.entries:
        entry = traced_entry(record, kinds, space, call, _several)
        if entry is not None:
            record.entries[key] = entry


def _arguments(record: Record, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    positional, options = record.split(values)
    options.update({p.name: values[p.position] for p in record.names})
    return positional, options


def _wrapped(space: TracedNamespace, result: Any) -> Any:
    leaves, treedef = tree_flatten(result)
    return tree_unflatten(treedef, [space.constant(leaf) for leaf in leaves])


def _whole(record: Record, values: list[Any], trace: Any, space: TracedNamespace) -> Any:
    """One node for the whole operation."""
    given: list[Any] = []
    nodes: list[Node | None] = []
    for x in values:
        if type(x) is not TracedArray:
            given.append(freeze(trace, x) if hasattr(x, "shape") else x)
            nodes.append(None)
        elif x._trace is trace or x._trace.level == 0:
            given.append(x._value)
            nodes.append(x._node)
        else:
            trace.nested = True
            given.append(x)
            nodes.append(None)
    parents = tuple(nodes[p.position] for p in record.differentiable)
    plain = [strip(x) for x in given]
    if all(parent is None for parent in parents):
        return _wrapped(space, record.function(*_arguments(record, plain)[0], **_arguments(record, plain)[1]))
    needs = record.needs(*[parent is not None for parent in parents])
    if any(type(x) is TracedArray for x in given):
        normal = normalise(record, plain, backend_of_call(record, plain))
        given = [
            x if type(x) is TracedArray else space.constant(n) for x, n in zip(given, normal, strict=True)
        ]
        y, pullback = _traceable(record, given, needs)
    else:
        backend_of_call(record, plain)
        y, pullback = forward_and_pullback(record, plain, needs)
    if trace.reading is not None:
        trace.reading(record.name, given, tree_leaves(y), {}, record)
    if type(y) is space.array_type or type(y) is TracedArray:
        return TracedArray(y, Node(Whole(record.name), parents, pullback, {}, y.shape, y.dtype), trace)
    return _several(record, parents, y, pullback, trace)


def _traceable(record: Record, values: list[Any], needs: Any) -> tuple[Any, Any]:
    """Value and pullback on values of an outer trace: the rule, or where that cannot be traced the body's own."""
    try:
        y, by_rule = forward_and_pullback(record, values, needs)
    except CapabilityError:
        return _by_body(record, values, needs)

    def pullback(g: Any, *reached: Any) -> Any:
        try:
            return by_rule(g, *reached)
        except CapabilityError:
            return _by_body(record, values, needs)[1](g)

    return y, pullback


def _by_body(record: Record, values: list[Any], needs: Any) -> tuple[Any, Any]:
    """The body's value, and the pullback that a trace of it gives."""
    from pillars.calculus.autodiff._grad import vjp

    wanted = [p.position for p, needed in zip(record.differentiable, needs, strict=True) if needed]
    reference: Any = record.function.reference  # type: ignore[attr-defined]

    def body(*xs: Any) -> Any:
        filled = list(values)
        for position, x in zip(wanted, xs, strict=True):
            filled[position] = x
        positional, options = _arguments(record, filled)
        return reference(*positional, **options)

    y, by_body = vjp(body, *(values[position] for position in wanted))

    def pullback(g: Any) -> tuple[Any, ...]:
        result = iter(by_body(g))
        return tuple(next(result) if needed else None for needed in needs)

    return y, pullback


def _several(record: Record, parents: Any, y: Any, pullback: Any, trace: Any) -> Any:
    """A result of several arrays: a node each, below the operation's."""
    leaves, treedef = tree_flatten(y)
    xp = trace.space

    def zeros(leaf: Any) -> Any:
        plain = xp.base.zeros_like(strip(leaf))
        return xp.constant(plain) if type(leaf) is TracedArray else plain

    reach = asks_what_is_reached(record)

    def gathered(places: dict[int, Any], reached: Any = None) -> Any:
        filled = [places[i] if i in places else zeros(leaf) for i, leaf in enumerate(leaves)]
        g = tree_unflatten(treedef, filled)
        if not reach:
            return pullback(g)
        return pullback(g, tree_unflatten(treedef, [reached.get(i, False) for i in range(len(leaves))]))

    top = Node(Whole(record.name, reach=reach), parents, gathered, {}, (), None)
    made = [
        TracedArray(leaf, Node(PART, (top,), None, {"place": i}, leaf.shape, leaf.dtype), trace)
        if xp.floating(leaf.dtype)
        else xp.constant(leaf)
        for i, leaf in enumerate(leaves)
    ]
    return tree_unflatten(treedef, made)


register_array_type(
    TracedArray,
    Adapter(call, lambda x: x._trace.space, lambda x: _backend(x._trace.space)),
)
