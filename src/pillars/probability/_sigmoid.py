"""The logistic function and its logarithm, each stable on both sides of zero."""

from __future__ import annotations

from typing import Any

from pillars._typing import Array
from pillars.backends import Call, Draw, namespace, operation, per_entry

__all__ = ["log_sigmoid", "sigmoid"]


def logits(draw: Draw) -> Call:
    """Logits of any number of axes, mostly moderate."""
    return Call.of(draw.normal(*draw.shape(draw.choice((0, 1, 2, 3))), scale=4.0))


# JAX takes the rule for both: the derivative of the body's |x| is 0 at 0, where that of the function is not, and a
# logistic regression starts with all of its logits at 0.
@operation(domain=logits, jax_derivative="jvp")
def sigmoid(x: Array, /) -> Array:
    r"""Logistic function: the probability of a class from its log-odds.

    σ(x) = 1 / (1 + e⁻ˣ), computed from e = exp(−|x|) as 1/(1 + e) where x ≥ 0 and e/(1 + e) elsewhere.

    Parameters
    ----------
    x : array (...), real. Log-odds, in nats.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [0, 1], within 3 eps of the true value, relative, on both sides:
    small probabilities keep their digits down to where they are no longer normal numbers.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element; its argument is never positive, so nothing overflows. σ(−inf) = 0, σ(+inf) = 1,
    σ(NaN) = NaN. σ(x) + σ(−x) = 1. The derivative is σ(x)·σ(−x), not σ·(1 − σ), which loses all of its digits
    where σ rounds to 1.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, section 1: the
    softmax of (x, 0).

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.asarray([-2.0, -1.0, 0.0, 1.0, 2.0])).round(3)
    array([0.119, 0.269, 0.5  , 0.731, 0.881])
    >>> sigmoid(np.asarray([-700.0, -np.inf, np.inf]))
    array([9.85967654e-305, 0.00000000e+000, 1.00000000e+000])
    """
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, xp.ones_like(e)) / (1 + e)


# sign, exponential, sum, quotient; then 1 − y, two products
sigmoid.flops(per_entry(4, 7))


@sigmoid.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    return (g * y * sigmoid(-x),)


@sigmoid.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return tangents.x * y * sigmoid(-x)


@operation(domain=logits, jax_derivative="jvp")
def log_sigmoid(x: Array, /) -> Array:
    r"""Logarithm of the logistic function: the log-probability of a class from its log-odds.

    log σ(x) = min(x, 0) − log(1 + exp(−\|x\|)).

    Parameters
    ----------
    x : array (...), real. Log-odds, in nats.

    Returns
    -------
    array like `x`: same shape, dtype, device. Never positive; within 3 eps of the true value, relative, on both sides.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential and one logarithm an element. log σ(−inf) = −inf, log σ(+inf) = 0, NaN gives NaN.
    log(sigmoid(x)) would give −inf below about −745 (float64) and 0 above 37; this does neither.
    log σ(x) − log σ(−x) = x. The derivative is σ(−x).

    References
    ----------
    Mächler (2012), Accurately computing log(1 − exp(−\|a\|)), eq. (10): the regimes of log(1 + eˣ).

    Examples
    --------
    >>> import numpy as np
    >>> log_sigmoid(np.asarray([-1000.0, 0.0, 50.0]))
    array([-1.00000000e+03, -6.93147181e-01, -1.92874985e-22])
    """
    xp = namespace(x)
    return xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x)))


# |x|, sign, exponential, log1p, minimum, difference; then the sigmoid of −x, a product
log_sigmoid.flops(per_entry(6, 11))


@log_sigmoid.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    return (g * sigmoid(-x),)


@log_sigmoid.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return tangents.x * sigmoid(-x)
