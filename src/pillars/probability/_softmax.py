"""The softmax family, from its shift-invariant core up: logsumexp, softmax, log_softmax."""

from __future__ import annotations

from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars._typing import Array, Number
from pillars.backends import Call, Draw, dtype_name, namespace, operation, per_entry, summed

__all__ = ["log_softmax", "logsumexp", "softmax"]

_LEAST = {
    True: 2.0**-1022,
    False: 2.0**-126,
}  # the smallest normal number: of float64, and of what computes in float32


def _logits(draw: Draw) -> Any:
    return draw.normal(*draw.shape(draw.choice((1, 2, 3))), scale=3.0)


def logits_and_axis(draw: Draw) -> Call:
    """Logits of one to three axes, any of them the classes', and sometimes a temperature."""
    x = _logits(draw)
    options: dict[str, Any] = {"axis": draw.choice(range(-x.ndim, x.ndim))}
    if draw.choice((True, False)):
        options["temperature"] = draw.number(0.3, 3.0)
    return Call((x,), options)


def logits_and_axes(draw: Draw) -> Call:
    """Logits, and one axis, several, or all of them."""
    x = _logits(draw)
    axis = draw.choice((-1, 0, None, tuple(range(x.ndim))))
    return Call.of(x, axis=axis, keepdims=draw.choice((True, False)))


def check_axis(name: str, x: Any, axis: int) -> None:
    """Refuse an axis that the array does not have, or one without classes."""
    if not isinstance(axis, int) or isinstance(
        axis, bool
    ):  # a tuple's type is looked at on the way here, what is in it is not
        raise DTypeError(f"{name}: axis names {axis!r}, expected integers such as (0, 1).")
    if not -x.ndim <= axis < x.ndim:
        range_of = "an array of at least one axis" if x.ndim == 0 else f"one in [-{x.ndim}, {x.ndim})"
        raise ShapeError(f"{name}: axis is {axis}, expected {range_of}: x has shape {tuple(x.shape)}.")
    if x.shape[axis] == 0:
        raise ShapeError(
            f"{name}: x has shape {tuple(x.shape)}, expected at least one class on axis {axis}. "
            "An empty slice has no distribution: drop it."
        )


def check_temperature(name: str, temperature: Any, x: Any) -> None:
    """Refuse a temperature that is not a normal number above 0, or whose inverse is none.

    One on a device or traced is not looked at.
    """
    if not isinstance(temperature, float) or temperature == 1.0:
        return
    least = _LEAST[dtype_name(x.dtype) == "float64"]
    if least <= temperature <= 1 / least:
        return
    remedy = "Check where it came from."
    if temperature > 1:
        remedy = "As it grows the answer goes to the uniform one: use that."
    elif temperature < least:
        remedy = "As it goes to 0 the answer goes to the argmax: use that."
    raise ShapeError(
        f"{name}: temperature is {temperature}, expected a finite number above 0, neither below {least:.3g} nor above "
        f"{1 / least:.3g}, where {dtype_name(x.dtype)} loses its digits. {remedy}"
    )


def tempered(x: Any, axis: Any, temperature: Any) -> Any:
    """(x − max x)/T: never positive, and 0 somewhere, so that no exponential of it overflows and no sum is 0."""
    xp = namespace(x)
    if not isinstance(
        temperature, (int, float)
    ):  # nobody has looked at it: what is no temperature has no answer
        temperature = xp.where(temperature > 0, temperature, xp.nan)
    return (x - xp.max(x, axis=axis, keepdims=True)) / temperature


def finite_logits(z: Any) -> Any:
    """z with 0 for −inf: a class that cannot be is so at every temperature."""
    xp = namespace(z)
    return xp.where(z == -xp.inf, xp.zeros_like(z), z)


def _slope_along(tangents: Any, x: Any, axis: int, temperature: Any) -> Any:
    """The tangent of (x − max x)/T up to a constant along the axis, which no member of the family sees."""
    dz = None
    if tangents.x is not None:
        dz = tangents.x / temperature
    if tangents.temperature is not None:
        warming = finite_logits(tempered(x, axis, temperature)) * (tangents.temperature / temperature)
        dz = -warming if dz is None else dz - warming
    return dz


# JAX takes the rules of this family: three times faster than differentiating through the body's max.
@operation(domain=logits_and_axis, jax_derivative="jvp")
def softmax(x: Array, /, *, axis: int = -1, temperature: Number = 1.0) -> Array:
    r"""Probabilities of a categorical distribution from its logits.

    pᵢ = exp((xᵢ − m)/T) / Σⱼ exp((xⱼ − m)/T), with m = maxⱼ xⱼ.

    Parameters
    ----------
    x : array, real. Logits, in nats.
    axis : the axis of the classes.
    temperature : T > 0. Below 1 sharpens, above 1 flattens.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [0, 1], each within (|z| + 8 + √k)·eps of the true value, relative,
    with z = (x − m)/T and T as the dtype holds it; sums to 1 along `axis` within 4 eps·√k.

    Raises
    ------
    ShapeError : no such axis, no class on it, or a temperature that is not above 0, or beyond what its dtype can
        invert (a traced one gives NaN or nonsense instead, as it cannot be looked at).
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. A slice with NaN or +inf, or of all −inf, has no answer: NaN. An entry of
    −inf has probability 0. Adding a constant to `x` changes nothing.
    As T falls to 0 the largest entries share all of it, as T grows all entries but −inf share it evenly; both are
    reached, exactly, well inside the range of T: from 2⁻¹²⁶ to 2¹²⁶, in float64 from 2⁻¹⁰²² to 2¹⁰²². Half precision
    is computed in float32 and rounded once. Logits that lie further apart than the dtype's largest number may count as
    infinitely far.

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
    """
    xp = namespace(x)
    e = xp.exp(tempered(x, axis, temperature))
    return e / summed(e, axis, keepdims=True)


@softmax.check
def _(x: Any, /, *, axis: int, temperature: Any) -> None:
    check_axis("softmax", x, axis)
    check_temperature("softmax", temperature, x)


# maximum, difference, exponential, sum, quotient; then g·y, its sum, a difference, a product
softmax.flops(per_entry(5, 9))


@softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: int, temperature: Any, needs: Any) -> Any:
    dx = y * (g - summed(g * y, axis, keepdims=True)) / temperature
    if not needs.temperature:
        return dx, None
    return dx, -summed(dx * finite_logits(tempered(x, axis, temperature)))


@softmax.jvp
def _(tangents: Any, y: Any, x: Any, /, *, axis: int, temperature: Any) -> Any:
    dz = _slope_along(tangents, x, axis, temperature)
    return y * (dz - summed(y * dz, axis, keepdims=True))


@operation(domain=logits_and_axis, jax_derivative="jvp")
def log_softmax(x: Array, /, *, axis: int = -1, temperature: Number = 1.0) -> Array:
    r"""Log-probabilities of a categorical distribution from its logits.

    log pᵢ = zᵢ − log Σⱼ exp(zⱼ), with zᵢ = (xᵢ − m)/T and m = maxⱼ xⱼ.

    Parameters
    ----------
    x : array, real. Logits, in nats.
    axis : the axis of the classes.
    temperature : T > 0, with the limits of :func:`softmax`.

    Returns
    -------
    array like `x`: same shape, dtype, device. Never positive; exp sums to 1 within 4 eps·√k.

    Raises
    ------
    ShapeError, DTypeError : as :func:`softmax`.

    Notes
    -----
    Cost: one exponential an element. A slice with +inf or NaN, or of all −inf, has no answer: NaN. Adding a constant
    to `x` changes nothing; log(softmax(x)) would give −inf below about −745 (float64), this does not.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, eq. (1.3).

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.asarray([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    xp = namespace(x)
    z = tempered(x, axis, temperature)
    return z - xp.log(summed(xp.exp(z), axis, keepdims=True))


@log_softmax.check
def _(x: Any, /, *, axis: int, temperature: Any) -> None:
    check_axis("log_softmax", x, axis)
    check_temperature("log_softmax", temperature, x)


# maximum, difference, exponential, sum, difference; then an exponential, Σg, a product, a difference
log_softmax.flops(per_entry(5, 9))


@log_softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: int, temperature: Any, needs: Any) -> Any:
    xp = namespace(y)
    dx = (g - xp.exp(y) * summed(g, axis, keepdims=True)) / temperature
    if not needs.temperature:
        return dx, None
    return dx, -summed(dx * finite_logits(tempered(x, axis, temperature)))


@log_softmax.jvp
def _(tangents: Any, y: Any, x: Any, /, *, axis: int, temperature: Any) -> Any:
    xp = namespace(y)
    dz = _slope_along(tangents, x, axis, temperature)
    return dz - summed(xp.exp(y) * dz, axis, keepdims=True)


@operation(domain=logits_and_axes, jax_derivative="jvp")
def logsumexp(x: Array, /, *, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False) -> Array:
    r"""Logarithm of a sum of exponentials, without overflow.

    m + log Σⱼ exp(xⱼ − m), with m = maxⱼ xⱼ.

    Parameters
    ----------
    x : array, real.
    axis : axis or axes of the sum; None: all.
    keepdims : leave summed axes with length 1.

    Returns
    -------
    array of the dtype and device of `x`, without the summed axes.

    Raises
    ------
    ShapeError : no such axis, the same axis twice, or an empty sum.
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. A slice with NaN or +inf, or of all −inf, gives NaN, as for the whole family:
    such logits are no distribution. (SciPy gives +inf and −inf.) logsumexp(x + c) = logsumexp(x) + c.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, eq. (1.3).

    Examples
    --------
    >>> import numpy as np
    >>> logsumexp(np.asarray([1000.0, 1000.0])).round(4)
    np.float64(1000.6931)
    """
    xp = namespace(x)
    m = xp.max(x, axis=axis, keepdims=True)
    y = m + xp.log(summed(xp.exp(x - m), axis, keepdims=True))
    if keepdims:
        return y
    return xp.squeeze(y, axis=_axes(x, axis))


@logsumexp.check
def _(x: Any, /, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    axes = _axes(x, axis)
    if x.ndim == 0:
        raise ShapeError(
            "logsumexp: x has shape (), expected at least one axis. A single number is its own answer."
        )
    for one in axes:
        check_axis("logsumexp", x, one)
    if len({one % x.ndim for one in axes}) != len(axes):
        raise ShapeError(f"logsumexp: axis is {axis}, expected each axis once.")


# maximum, difference, exponential, sum; then a difference, an exponential, a product
logsumexp.flops(per_entry(4, 7))


@logsumexp.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: Any, keepdims: bool, needs: Any) -> Any:
    xp = namespace(x)
    if not keepdims:
        for one in sorted(one % x.ndim for one in _axes(x, axis)):
            g = xp.expand_dims(g, axis=one)
    return (g * _probabilities(x, axis),)


@logsumexp.jvp
def _(tangents: Any, y: Any, x: Any, /, *, axis: Any, keepdims: bool) -> Any:
    return summed(tangents.x * _probabilities(x, axis), axis, keepdims=keepdims)


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))


def _probabilities(x: Any, axis: Any) -> Any:
    """The gradient of logsumexp; not exp(x − y), whose error is that of y: 6e-4 at 10,000 in float32."""
    xp = namespace(x)
    e = xp.exp(tempered(x, axis, 1))
    return e / summed(e, axis, keepdims=True)
