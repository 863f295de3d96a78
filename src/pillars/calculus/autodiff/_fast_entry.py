"""The hot path of an operation on traced arrays, generated as the one on plain arrays is.

It serves one trace over plain arrays of one floating dtype, with options of their declared types. Anything else (traces
inside traces, promotion, the strict namespace) goes the usual way, which means the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._typing import Kind
from pillars.backends import Record, asks_what_is_reached, compile_source, pullback_of
from pillars.calculus.autodiff._aliasing import freeze
from pillars.calculus.autodiff._backward import Whole
from pillars.calculus.autodiff._tape import Node
from pillars.calculus.autodiff._traced_array import TracedArray

__all__ = ["traced_entry"]


def traced_entry(
    record: Record,
    kinds: tuple[type, ...],
    space: Any,
    usual: Callable[..., Any],
    several: Callable[..., Any],
) -> Callable[..., Any] | None:
    """The entry for arrays of these types, of which at least one is traced; None where there is none.

    `usual` serves everything, ``usual(record, values)``; `several` makes the nodes of a result with several parts.
    """
    if space.wraps or any(kind not in (TracedArray, space.array_type, type(None)) for kind in kinds):
        return None
    base, rules = space.base, record.rules
    whole = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
    variables = {
        "_array": space.array_type,
        "_check": rules.check,
        "_check_values": rules.check_values if space.root.host else None,
        "_finish": space.root.as_arrays,
        "_floats": frozenset(base.empty(0, dtype=name).dtype for name in ("float32", "float64")),
        "_forward": rules.forward,
        "_freeze": freeze,
        "_function": record.function,
        "_kernel": pullback_of(space.root, record),
        "_needs": record.needs,
        "_no_options": {},
        "_node": Node,
        "_quiet": space.root.quiet,
        "_reach": asks_what_is_reached(record),
        "_record": record,
        "_rule": Whole(record.name),
        "_several": several,
        "_space": space,
        "_traced": TracedArray,
        "_usual": usual,
        "_vjp": rules.vjp,
        "_whole": frozenset(base.empty(0, dtype=name).dtype for name in whole),
    }
    return compile_source(_source(record, kinds, variables), f"{record.name} traced", variables, {})


def _source(record: Record, kinds: tuple[type, ...], variables: dict[str, Any]) -> str:
    given = {p.name: kind for p, kind in zip(record.arrays, kinds, strict=True) if kind is not type(None)}
    traced = [name for name, kind in given.items() if kind is TracedArray]
    floats = [p.name for p in record.arrays if p.name in given and p.kind is Kind.ARRAY]
    others = [name for name in given if name not in floats]
    leader = (floats or traced)[0]
    names = ", ".join(p.name for p in record.parameters)
    args = [f"_v_{p.name}" if p.name in given else p.name for p in record.positional]
    own = [p for p in record.options if p not in record.names]
    args += [f"{p.name}=_v_{p.name}" if p.name in given else f"{p.name}={p.name}" for p in own]
    call = ", ".join(args)
    named = ", ".join([*args, *(f"{p.name}={p.name}" for p in record.names)])
    nodes = [f"{p.name}._node" if p.name in traced else "None" for p in record.differentiable]
    needs = ["False" if node == "None" else f"{node} is not None" for node in nodes]
    odd = ["_trace.space is not _space", "_trace.nested", "not _trace.level", "not _trace.open"]
    odd.append("_trace.reading is not None")
    odd += [f"{name}._trace is not _trace" for name in traced[1:]]
    odd += [f"{p.name} is None" for p in record.numbers if p.optional]
    odd.append("(" + " and ".join(f"{name}._node is None" for name in traced) + ")")
    mixed = ["_dtype not in _floats", *(f"_v_{name}.dtype is not _dtype" for name in floats[1:])]
    mixed += [f"(_v_{name}.dtype is not _dtype and _v_{name}.dtype not in _whole)" for name in others]
    made = (
        f"return _traced(_result, _node(_rule, ({', '.join(nodes)},), _pullback, _no_options, _result.shape, "
        "_result.dtype), _trace)"
    )
    lines = [
        f"_trace = {traced[0]}._trace",
        f"if {' or '.join(odd)}:",
        f"    return _usual(_record, [{names}])",
        *(f"_v_{name} = {name}._value" if name in traced else f"_v_{name} = {name}" for name in given),
        f"_dtype = _v_{leader}.dtype",
        f"if {' or '.join(mixed)}:",
        f"    return _usual(_record, [{names}])",
        *(f"_v_{name} = _freeze(_trace, {name})" for name in given if name not in traced),
        f"_needed = _needs({', '.join(needs)})",
    ]
    forward = variables["_forward"] is not None
    kept = ", residuals=_residuals" if forward else ""
    kept += ", reached=_reached" if variables["_reach"] else ""
    asked = "_cotangent, _reached=None" if variables["_reach"] else "_cotangent"
    rule = [
        f"_found = _vjp(_cotangent, _result, {call}, needs=_needed{kept})",
        "return _found if isinstance(_found, tuple) else (_found,)",
    ]
    if forward or variables["_kernel"] is not None:
        lines += [f"_check({named})"] if variables["_check"] is not None else []
    if variables["_kernel"] is not None:
        lines += [
            f"if _v_{leader}.size >= _kernel.minimum_size:",
            "    with _quiet():",
            f"        _served = _kernel({call}, needs=_needed)",
            "    if _served is not None:",
            "        _result, _pull = _served",
            f"        def _pullback({asked}):",
            "            if type(_cotangent) is not _traced:",
            "                return _pull(_cotangent)",
            *([f"            _residuals = _forward({call})[1]"] if forward else []),
            *(f"            {line}" for line in rule),
            f"        {made}",
        ]
    if forward:
        lines += ["with _quiet():"]
        lines += [f"    _check_values({call})"] if variables["_check_values"] is not None else []
        lines += [f"    _result, _residuals = _forward({call})"]
    else:
        lines.append(f"_result = _function({named})")
    lines += [
        "if type(_result) is not _array:",
        "    _result = _finish(_result)",
        f"def _pullback({asked}):",
        *(f"    {line}" for line in rule),
        "if type(_result) is not _array:",
        f"    return _several(_record, ({', '.join(nodes)},), _result, _pullback, _trace)",
        made,
    ]
    body = "".join(f"        {line}\n" for line in lines)
    return (
        f"def _make({', '.join(variables)}):\n"
        f"    def {record.body.__name__}_traced({names}):\n{body}"
        f"    return {record.body.__name__}_traced\n"
    )
