"""A jit cache grows with shapes and statics alone: never with a number's value, a name, or a call."""

from __future__ import annotations

import functools
from typing import Any

from contracts._support import draw, invoke, no_error, not_applicable, place, planted
from contracts._variants import Variant
from pillars.backends import Record
from pillars.backends._kernels import kernel_of

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("jax",)
_VALUES = 50


def check(record: Record, where: Variant, seed: int) -> None:
    if "jit" in record.unsupported:
        not_applicable(record.unsupported["jit"])
    values = place(record, draw(record, seed), where, where.default_float)
    traces = []

    @functools.wraps(record.body)
    def counting(*args: Any, **options: Any) -> Any:
        traces.append(1)
        return record_body(*args, **options)

    record_body = record.body
    with planted(record, body=counting), no_error(f"{record.name}: called again and again"):
        kernel = kernel_of(where.backend, record)
        if kernel is not None:
            record.cache["kernel", where.library] = _counted(kernel, traces)
        once = 0
        for turn in range(_VALUES):
            invoke(record, _changed(record, values, turn))
            once = once or len(traces)  # a kernel may trace the body too
            assert len(traces) == once > 0, (
                f"{record.name}: compiled again for call {turn + 1}, though only values changed"
            )


def _counted(kernel: Any, traces: list[int]) -> Any:
    @functools.wraps(kernel)
    def counting(*args: Any, **options: Any) -> Any:
        traces.append(1)
        return kernel(*args, **options)

    return counting


def _changed(record: Record, values: list[Any], turn: int) -> list[Any]:
    changed = list(values)
    for number in record.numbers:
        if isinstance(changed[number.position], float):
            changed[number.position] = changed[number.position] * (1.0 - turn / 1000)
    for name in record.names:
        changed[name.position] = f"layer.{turn}"
    return changed
