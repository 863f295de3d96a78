"""Operation x backend x feature -> native, generic or no, with the reason: generated from the records.

The table is what ``pillars backends --capabilities`` prints, what marks tests as not applicable, and what a
`CapabilityError` quotes; nobody writes it by hand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends._kernels import kernel_table
from pillars.backends._record import Record, records
from pillars.backends._registry import BACKENDS, CONFORMANCE_ONLY

__all__ = ["FEATURES", "Capability", "capabilities", "capability", "require"]

FEATURES = ("eager", "jit", "grad", "vmap", "float32")


class Capability(NamedTuple):
    """How far a function goes on a backend: "native", "generic" or "no", and why."""

    operation: str
    backend: str
    feature: str
    level: str
    reason: str


def capability(record: Record, backend: str, feature: str) -> Capability:
    """One cell of the table."""
    level, reason = _level(record, backend, feature)
    return Capability(record.name, backend, feature, level, reason)


def _level(record: Record, backend: str, feature: str) -> tuple[str, str]:
    for lacking in (feature, f"{feature} on {backend}"):
        if lacking in record.unsupported:
            return "no", record.unsupported[lacking]
    on_jax = backend == "jax"
    match feature:
        case "jit":
            if not on_jax:
                return "no", f"{backend} compiles nothing: jit returns the function unchanged"
            return "native", "jax.jit, once" if record.kind == "operation" else "runs under the caller's jit"
        case "vmap":
            return ("native", "jax.vmap") if on_jax else ("generic", "loops over the axis and stacks")
        case "grad" if record.kind == "operation":
            if on_jax:
                how = {
                    "body": "JAX differentiates the body",
                    "jvp": "custom_jvp",
                    "vjp": "custom_vjp, reverse mode only",
                }
                return "native", how[record.jax_derivative]
            if record.rules.vjp is not None:
                return "native", "hand-derived gradient"
            return "generic", "the tracing array follows the body"
    kernel = kernel_table(backend).get(record.name)
    if kernel is not None:
        return "native", f"kernel {kernel.partition('backends.')[2]}"
    return "generic", "the body, jitted" if on_jax and record.kind == "operation" else "the body"


def capabilities(backends: tuple[str, ...] | None = None) -> list[Capability]:
    """The whole table, of the records that have been imported.

    Parameters
    ----------
    backends : names; None: all that pillars knows, installed or not (what is usable here, ``available`` says).
    """
    names = backends or tuple(name for name in BACKENDS if name not in CONFORMANCE_ONLY)
    return [
        capability(record, name, feature)
        for record in records().values()
        for name in names
        for feature in FEATURES
    ]


def require(record: Record, backend: str, feature: str, instead: str) -> None:
    """Refuse what the table says no to.

    Raises
    ------
    CapabilityError : naming the function, the feature, the reason, and what to do instead.
    """
    cell = capability(record, backend, feature)
    if cell.level == "no":
        raise CapabilityError(
            f"{record.body.__name__}: got a call under {feature} on {backend}, expected one without: {cell.reason}. "
            f"{instead}"
        )


def feature_of(kind: Any) -> str:
    """The feature that a JAX tracer's type stands for."""
    return {"DynamicJaxprTracer": "jit", "BatchTracer": "vmap"}.get(kind.__name__, "grad")
