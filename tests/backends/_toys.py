"""Operations that exist for these tests alone: small, and off the list that audits and benchmarks walk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import ShapeError
from pillars._typing import After, AnyArray, Array, Name, Number
from pillars.backends import Call, Draw, _record as listed, namespace, operation

__all__ = ["label_sum", "power_sum", "scaled", "shifted"]


def _domain(draw: Draw) -> Call:
    return Call.of(draw.normal(3))


def _unlisted(function: Any) -> Any:
    listed._records.pop(function.record.name)
    return function


@_unlisted
@operation(domain=_domain)
def scaled(
    x: Array,
    y: Array | None = None,
    /,
    *,
    axis: int = -1,
    by: Number = 2.0,
    after: After = None,
    name: Name = None,
) -> Array:
    """x·by + y, summed along an axis."""
    xp = namespace(x)
    z = x * by if y is None else x * by + y
    return xp.sum(z, axis=axis)


@scaled.check
def _(x: Any, y: Any, /, *, axis: int, by: Any, after: Any, name: Any) -> None:
    if x.ndim == 0:
        raise ShapeError(f"scaled {name!r}: x has shape (), expected at least one axis.")


@_unlisted
@operation(domain=_domain)
def label_sum(x: Array, labels: AnyArray, /) -> Array:
    """Σ xᵢ over the labels that are not 0."""
    xp = namespace(x)
    return xp.sum(xp.where(labels != 0, x, xp.zeros_like(x)))


def _power(x: Any, counts: Any, exponent: Any) -> Any:
    xp = namespace(x)
    return xp.sum(xp.astype(counts, x.dtype) * xp.exp(exponent * xp.log(x)))


def make_power_sum(derivative: str) -> Callable[..., Any]:
    """Σ cᵢ·xᵢᵖ, differentiated on JAX by its body, its jvp or its vjp; the rules count how often they run."""
    runs: list[str] = []

    @operation(domain=_domain, jax_derivative=derivative)
    def power_sum(x: Array, counts: AnyArray, /, *, exponent: Number = 2.0, power: int = 1) -> Array:
        """Σ cᵢ·xᵢᵖ, to an integer power."""
        return _power(x, counts, exponent) ** power

    @power_sum.vjp
    def _(g: Any, y: Any, x: Any, counts: Any, /, *, exponent: Any, power: int, needs: Any) -> Any:
        runs.append("vjp")
        xp = namespace(x)
        inner = g * power * _power(x, counts, exponent) ** (power - 1)
        weights = xp.astype(counts, x.dtype) * xp.exp(exponent * xp.log(x))
        return (
            inner * weights * exponent / x,
            None,
            inner * xp.sum(weights * xp.log(x)) if needs.exponent else None,
        )

    @power_sum.jvp
    def _(tangents: Any, y: Any, x: Any, counts: Any, /, *, exponent: Any, power: int) -> Any:
        runs.append("jvp")
        xp = namespace(x)
        inner = power * _power(x, counts, exponent) ** (power - 1)
        weights = xp.astype(counts, x.dtype) * xp.exp(exponent * xp.log(x))
        along = xp.zeros_like(y)
        if tangents.x is not None:
            along = along + xp.sum(weights * exponent / x * tangents.x)
        if tangents.exponent is not None:
            along = along + tangents.exponent * xp.sum(weights * xp.log(x))
        return inner * along

    listed._records.pop(power_sum.record.name)
    power_sum.runs = runs  # type: ignore[attr-defined]
    return power_sum


power_sum = make_power_sum("body")


@_unlisted
@operation(domain=_domain, half="native")
def shifted(x: Array, /) -> Array:
    """x + 1, in whatever precision it comes."""
    return x + 1
