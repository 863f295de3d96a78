"""Probabilities from logits and their logarithms: softmax, log_softmax."""

from __future__ import annotations

from typing import Any

from pillars._typing import AnyArray, Array, Number
from pillars.backends import Call, Draw, namespace, operation, per_entry, summed
from pillars.probability._softmax_terms import (
    balanced,
    check_axes,
    check_temperature,
    check_where,
    draw_logits,
    draw_where,
    finite_logits,
    from_top,
    log_total,
    only,
    tempered,
)

__all__ = ["log_softmax", "softmax"]


def logits_and_axis(draw: Draw) -> Call:
    """Logits of one to three axes, any or several of them the classes', and sometimes a temperature."""
    x = draw_logits(draw)
    options: dict[str, Any] = {"axis": draw.choice(range(-x.ndim, x.ndim))}
    if draw.choice((True, False)):
        options["temperature"] = draw.number(0.3, 3.0)
    if draw.choice((True, False, False)):
        options["axis"] = draw.choice((None, tuple(range(x.ndim))))
    return Call((x,), options)


def masked_logits(draw: Draw) -> Call:
    """The same, and sometimes a mask."""
    call = logits_and_axis(draw)
    if draw.choice((True, False)):
        call.options["where"] = draw_where(draw, call.args[0].shape, one=True)
    return call


def _slope_along(tangents: Any, p: Any, x: Any, axis: Any, temperature: Any, where: Any) -> Any:
    """The tangent of (x − max x)/T up to a constant along the axis, which no member of the family sees."""
    dz = None
    if tangents.x is not None:
        dz = only(tangents.x, where, 0.0) / temperature
    if tangents.temperature is not None:
        warming = _logits(x, axis, temperature, where) * (tangents.temperature / temperature)
        dz = -warming if dz is None else dz - warming
    return from_top(dz, p, axis)


def _logits(x: Any, axis: Any, temperature: Any, where: Any) -> Any:
    """What an exponential was taken of; 0 where that does not count or cannot be."""
    return finite_logits(tempered(x, axis, temperature, where))


def _check(name: str, x: Any, axis: Any, temperature: Any, where: Any) -> None:
    check_axes(name, x, axis)
    check_temperature(name, temperature, x)
    if where is not None:
        check_where(name, where, tuple(x.shape))


# JAX takes the rules of this family: three times faster than differentiating through the body's max.
@operation(domain=masked_logits, jax_derivative="jvp")
def softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    temperature: Number = 1.0,
    where: AnyArray | None = None,
) -> Array:
    r"""Probabilities of a categorical distribution from its logits.

    pᵢ = exp((xᵢ − m)/T) / Σⱼ exp((xⱼ − m)/T), with m = maxⱼ xⱼ.

    Parameters
    ----------
    x : array, real. Logits, in nats.
    axis : the axis of the classes, or several, which together are one; None: all.
    temperature : T > 0. Below 1 sharpens, above 1 flattens.
    where : boolean or integer array that broadcasts to `x`: which entries count (True, or other than 0); None: all.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [0, 1], each within (|z| + 8 + √k)·eps of the true value, relative,
    with z = (x − m)/T and T as the dtype holds it; sums to 1 along `axis` within 4 eps·√k.

    Raises
    ------
    ShapeError : no such axis, the same one twice, no class on it, a mask that does not fit, or a temperature that is
        not above 0, or beyond what its dtype can invert (a traced one gives NaN or nonsense instead, as it cannot be
        looked at).
    DTypeError : a floating mask; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. A slice with NaN or +inf, or of all −inf, has no answer: NaN. An entry of
    −inf has probability 0. Adding a constant to `x` changes nothing.
    What `where` leaves out has probability 0 and counts for nothing, be it NaN: no gradient comes to it or from it. A
    slice of which all is left out is 0 everywhere, as JAX has it.
    As T falls to 0 the largest entries share all of it, as T grows all entries but −inf share it evenly; both are
    reached, exactly, well inside the range of T: from 2⁻¹²⁶ to 2¹²⁶, in float64 from 2⁻¹⁰²² to 2¹⁰²². Half precision
    is computed in float32 and rounded once. Logits that lie further apart than the dtype's largest number may count as
    infinitely far. The gradient keeps its digits where one probability rounds to 1.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, eq. (1.3).

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.asarray([2.0, 1.0, 0.1])).round(3)
    array([0.659, 0.242, 0.099])
    >>> softmax(np.asarray([2.0, 1.0, 0.1]), temperature=0.5).round(3)
    array([0.864, 0.117, 0.019])
    >>> softmax(np.asarray([2.0, np.nan, 0.1]), where=np.asarray([True, False, True])).round(3)
    array([0.87, 0.  , 0.13])
    """
    xp = namespace(x)
    e = xp.exp(only(tempered(x, axis, temperature, where), where, -xp.inf))
    return only(e / summed(e, axis, keepdims=True), where, 0.0)


@softmax.check
def _(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> None:
    _check("softmax", x, axis, temperature, where)


# maximum, difference, exponential, sum, quotient; then g·y, its sum, a difference, a product
softmax.flops(per_entry(5, 9))


@softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: Any, temperature: Any, where: Any, needs: Any) -> Any:
    g = only(g, where, 0.0)
    dx = balanced(y * (g - summed(g * y, axis, keepdims=True)), y, axis) / temperature
    dx = only(dx, where, 0.0)
    if not needs.temperature:
        return dx, None, None
    return dx, -summed(dx * _logits(x, axis, temperature, where)), None


@softmax.jvp
def _(tangents: Any, y: Any, x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
    dz = _slope_along(tangents, y, x, axis, temperature, where)
    return only(y * (dz - summed(y * dz, axis, keepdims=True)), where, 0.0)


# its domain has no mask: what is left out is infinite, of which no difference can be taken
@operation(domain=logits_and_axis, jax_derivative="jvp")
def log_softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    temperature: Number = 1.0,
    where: AnyArray | None = None,
) -> Array:
    r"""Log-probabilities of a categorical distribution from its logits.

    log pᵢ = zᵢ − log Σⱼ exp(zⱼ), with zᵢ = (xᵢ − m)/T and m = maxⱼ xⱼ; of the sum, the largest term, 1, is split off.

    Parameters
    ----------
    x : array, real. Logits, in nats.
    axis : the axis of the classes, or several, or None, as in :func:`softmax`.
    temperature : T > 0, with the limits of :func:`softmax`.
    where : which entries count, as in :func:`softmax`.

    Returns
    -------
    array like `x`: same shape, dtype, device. Never positive; exp sums to 1 within 4 eps·√k. The logarithm of a
    probability near 1 has all its digits too: each is within (max |z| + 8 + √k)·eps of the true value, relative.

    Raises
    ------
    ShapeError, DTypeError : as :func:`softmax`.

    Notes
    -----
    Cost: one exponential an element. A slice with +inf or NaN, or of all −inf, has no answer: NaN. Adding a constant
    to `x` changes nothing; log(softmax(x)) would give −inf below about −745 (float64) and 0 above −1e-16, this does
    neither. What `where` leaves out has −inf, so has a slice of which all is left out, and no gradient.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, eq. (1.3).

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.asarray([0.0, 1000.0]))
    array([-1000.,     0.])
    >>> log_softmax(np.asarray([0.0, -40.0]))
    array([-4.24835426e-18, -4.00000000e+01])
    """
    z = only(tempered(x, axis, temperature, where), where, -float("inf"))
    return only(z - log_total(z, axis)[1], where, -float("inf"))


@log_softmax.check
def _(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> None:
    _check("log_softmax", x, axis, temperature, where)


# maximum, difference, exponential, sum, difference; then an exponential, Σg, a product, a difference
log_softmax.flops(per_entry(5, 9))


@log_softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: Any, temperature: Any, where: Any, needs: Any) -> Any:
    g, p = only(g, where, 0.0), namespace(y).exp(y)
    dx = balanced(g - p * summed(g, axis, keepdims=True), p, axis) / temperature
    dx = only(dx, where, 0.0)
    if not needs.temperature:
        return dx, None, None
    return dx, -summed(dx * _logits(x, axis, temperature, where)), None


@log_softmax.jvp
def _(tangents: Any, y: Any, x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
    p = namespace(y).exp(y)
    dz = _slope_along(tangents, p, x, axis, temperature, where)
    return only(dz - summed(p * dz, axis, keepdims=True), where, 0.0)
