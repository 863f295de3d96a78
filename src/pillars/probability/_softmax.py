"""The softmax family, from its shift-invariant core up: logsumexp, softmax, log_softmax."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array, Number
from pillars.backends import Call, Draw, namespace, operation

__all__ = ["log_softmax", "logsumexp", "softmax"]


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
    if not -x.ndim <= axis < x.ndim:
        remedy = "Pass an array of at least one axis." if x.ndim == 0 else f"Pass an axis in [-{x.ndim}, {x.ndim})."
        raise ShapeError(f"{name}: axis is {axis}, but x has shape {tuple(x.shape)}. {remedy}")
    if x.shape[axis] == 0:
        raise ShapeError(
            f"{name}: x has shape {tuple(x.shape)}, expected at least one class on axis {axis}. "
            "An empty slice has no distribution: drop it."
        )


def _check_temperature(name: str, temperature: Any) -> None:
    if isinstance(temperature, float) and not temperature > 0.0:
        raise ShapeError(
            f"{name}: temperature is {temperature}, expected a number above 0. "
            "As it goes to 0 the answer goes to the argmax: use that."
        )


@operation(domain=logits_and_axis)
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
    array like `x`: same shape, dtype, device. In [0, 1]; sums to 1 along `axis` within a few eps.

    Raises
    ------
    ShapeError : no such axis, no class on it, or a temperature that is not above 0 (a traced one gives NaN or
        nonsense instead, as it cannot be looked at).
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. A slice with NaN or +inf, or of all −inf, has no answer: NaN. An entry of
    −inf has probability 0. Adding a constant to `x` changes nothing.

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
    e = xp.exp((x - xp.max(x, axis=axis, keepdims=True)) / temperature)
    return e / xp.sum(e, axis=axis, keepdims=True)


@softmax.check
def _(x: Any, /, *, axis: int, temperature: Any) -> None:
    check_axis("softmax", x, axis)
    _check_temperature("softmax", temperature)


@softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: int, temperature: Any, needs: Any) -> Any:
    xp = namespace(y)
    # the reduction is shift-free: subtracting the mean cotangent first keeps dz exact where g is nearly constant
    dz = y * (g - xp.sum(g * y, axis=axis, keepdims=True)) / temperature
    if not needs.temperature:
        return dz, None
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return dz, -xp.sum(xp.where(y > 0, dz * shifted, xp.zeros_like(y))) / temperature


@operation(domain=logits_and_axis)
def log_softmax(x: Array, /, *, axis: int = -1, temperature: Number = 1.0) -> Array:
    r"""Log-probabilities of a categorical distribution from its logits.

    log pᵢ = zᵢ − log Σⱼ exp(zⱼ), with zᵢ = (xᵢ − m)/T and m = maxⱼ xⱼ.

    Parameters
    ----------
    x : array, real. Logits, in nats.
    axis : the axis of the classes.
    temperature : T > 0.

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
    z = (x - xp.max(x, axis=axis, keepdims=True)) / temperature
    return z - xp.log(xp.sum(xp.exp(z), axis=axis, keepdims=True))


@log_softmax.check
def _(x: Any, /, *, axis: int, temperature: Any) -> None:
    check_axis("log_softmax", x, axis)
    _check_temperature("log_softmax", temperature)


@log_softmax.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: int, temperature: Any, needs: Any) -> Any:
    xp = namespace(y)
    dz = (g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True)) / temperature
    if not needs.temperature:
        return dz, None
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    # an entry of -inf has a log-probability of -inf at every temperature
    return dz, -xp.sum(xp.where(shifted > -xp.inf, dz * shifted, xp.zeros_like(y))) / temperature


@operation(domain=logits_and_axes)
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
    y = m + xp.log(xp.sum(xp.exp(x - m), axis=axis, keepdims=True))
    if keepdims:
        return y
    return xp.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)


@logsumexp.check
def _(x: Any, /, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> None:
    axes = tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    if x.ndim == 0:
        raise ShapeError("logsumexp: x has shape (), expected at least one axis. A single number is its own answer.")
    for one in axes:
        check_axis("logsumexp", x, one)
    if len({one % x.ndim for one in axes}) != len(axes):
        raise ShapeError(f"logsumexp: axis is {axis}, which names an axis twice. Name each once.")


@logsumexp.vjp
def _(g: Any, y: Any, x: Any, /, *, axis: Any, keepdims: bool, needs: Any) -> Any:
    xp = namespace(y)
    if not keepdims:
        axes = tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
        for one in sorted(one % x.ndim for one in axes):
            g, y = xp.expand_dims(g, axis=one), xp.expand_dims(y, axis=one)
    return (g * xp.exp(x - y),)
