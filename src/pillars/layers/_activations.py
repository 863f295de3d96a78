"""The activations: elementwise, from the one with a corner to the smooth ones."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from pillars._typing import Array, Number
from pillars.backends import Call, Draw, Flops, namespace, operation, per_entry
from pillars.probability import ndtr, sigmoid

__all__ = ["ACTIVATIONS", "gelu", "leaky_relu", "pullback", "relu", "silu", "tanh"]

# Past these, σ and Φ are 0 or 1 to the last bit in every dtype: x·0 is then 0 also where x itself is infinite.
_FAR = 1e4


def pre_activations(draw: Draw) -> Call:
    """What a linear layer puts out."""
    return Call.of(draw.normal(*draw.shape(draw.choice((0, 1, 2, 3))), scale=2.0))


def off_the_corner(draw: Draw) -> Call:
    """The same, away from 0."""
    return Call.of(draw.away_from_zero(*draw.shape(draw.choice((0, 1, 2, 3)))))


def off_the_corner_and_slope(draw: Draw) -> Call:
    """The same, and sometimes a slope."""
    call = off_the_corner(draw)
    return Call.of(*call.args, negative_slope=draw.number(0.0, 0.5)) if draw.choice((True, False)) else call


def pre_activations_and_form(draw: Draw) -> Call:
    """What a linear layer puts out, for either form of gelu."""
    return Call.of(*pre_activations(draw).args, approximate=draw.choice((True, False)))


# JAX takes the rule: it halves the gradient of a maximum where both sides are equal.
@operation(domain=off_the_corner, jax_derivative="jvp", kinks=True)
def relu(x: Array, /) -> Array:
    r"""Rectified linear unit, max(x, 0).

    Parameters
    ----------
    x : array (...), real.

    Returns
    -------
    array like `x`: same shape, dtype, device. Exact.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads `x` once, writes once. relu(NaN) = NaN. Not differentiable at 0, where the derivative returned is 0,
    as in JAX and torch: the choice of the sparsest subgradient.

    References
    ----------
    Nair, Hinton (2010), Rectified linear units improve restricted Boltzmann machines.

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.asarray([-1.5, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return namespace(x).maximum(x, 0.0)


relu.flops(per_entry(1, 2))  # a comparison; another


@relu.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    # x <= 0, not x > 0: where x is NaN the cotangent passes, and is not silently cut
    return (namespace(x).where(x <= 0, namespace(x).zeros_like(g), g),)


@relu.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return namespace(x).where(x <= 0, namespace(x).zeros_like(y), tangents.x)


@operation(domain=off_the_corner_and_slope, jax_derivative="jvp", kinks=True)
def leaky_relu(x: Array, /, *, negative_slope: Number = 0.01) -> Array:
    r"""Rectified linear unit that leaks: x where x > 0, negative_slope·x elsewhere.

    Parameters
    ----------
    x : array (...), real.
    negative_slope : the slope below 0; may be learned (then it is called PReLU).

    Returns
    -------
    array like `x`: same shape, dtype, device. Rounded once.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads `x` once, writes once. NaN gives NaN. Not differentiable at 0, where the derivative returned is
    `negative_slope`, as in torch, so that a slope of 0 is :func:`relu` there too. (JAX has 1.) A slope of 0 makes
    −inf NaN, which relu does not.

    References
    ----------
    Maas, Hannun, Ng (2013), Rectifier nonlinearities improve neural network acoustic models, eq. (2).

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.5, 0.0, 2.0]), negative_slope=0.1)
    array([-0.15,  0.  ,  2.  ])
    """
    return namespace(x).where(x > 0, x, negative_slope * x)


leaky_relu.flops(per_entry(2, 4))  # a comparison and a product; the same


@leaky_relu.vjp
def _(g: Any, y: Any, x: Any, /, *, negative_slope: Any, needs: Any) -> Any:
    xp = namespace(x)
    dslope = xp.sum(xp.where(x > 0, xp.zeros_like(g), g * x)) if needs.negative_slope else None
    return xp.where(x > 0, g, negative_slope * g), dslope


@leaky_relu.jvp
def _(tangents: Any, y: Any, x: Any, /, *, negative_slope: Any) -> Any:
    xp, dy = namespace(x), namespace(x).zeros_like(y)
    if tangents.x is not None:
        dy = xp.where(x > 0, tangents.x, negative_slope * tangents.x)
    if tangents.negative_slope is not None:
        dy = dy + xp.where(x > 0, xp.zeros_like(x), tangents.negative_slope * x)
    return dy


# JAX takes the rule: of older releases the second derivative near 0 is a difference without digits.
@operation(domain=pre_activations, jax_derivative="jvp")
def tanh(x: Array, /) -> Array:
    r"""Hyperbolic tangent, 2σ(2x) − 1.

    Parameters
    ----------
    x : array (...), real.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [−1, 1], as accurate as the library's own tanh (some 2 eps).

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one tanh an element. tanh(±inf) = ±1; NaN gives NaN. The derivative is 1 − tanh², from the value alone: it
    has no digits left where tanh rounds to ±1, past about 19 (float64) or 9 (float32), and is then 0.

    References
    ----------
    LeCun, Bottou, Orr, Müller (1998), Efficient backprop, section 4.4.

    Examples
    --------
    >>> import numpy as np
    >>> tanh(np.asarray([-np.inf, 0.0, 0.5])).round(4)
    array([-1.    ,  0.    ,  0.4621])
    """
    return namespace(x).tanh(x)


tanh.flops(per_entry(1, 4))  # itself; then y², 1 − y², a product


@tanh.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    # of the product (1 - y)(1 + y) the slope, -2y, would be a difference without digits near 0
    return (g * (1 - y * y),)


@tanh.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return tangents.x * (1 - y * y)


# JAX takes the rules of the next two: the derivative of x·σ(x) multiplies 0 by infinity at ±inf.
@operation(domain=pre_activations, jax_derivative="jvp")
def silu(x: Array, /) -> Array:
    r"""Sigmoid linear unit, x·σ(x); also called swish.

    Parameters
    ----------
    x : array (...), real.

    Returns
    -------
    array like `x`: same shape, dtype, device. Within 4 eps of the true value, relative, on both sides of 0,
        while σ(x) is a normal number (x above −87 in float32, −708 in float64).

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. The limits hold: silu(−inf) = −0, where x·σ(x) written out gives NaN, and
    silu(+inf) = inf; the derivative is 0 and 1 there. NaN gives NaN. The least value is −0.2785 at −1.2785.

    References
    ----------
    Elfwing, Uchibe, Doya (2018), Sigmoid-weighted linear units, eq. (2).

    Examples
    --------
    >>> import numpy as np
    >>> silu(np.asarray([-np.inf, -1.0, 0.0, 1.0])).round(4)
    array([-0.    , -0.2689,  0.    ,  0.7311])
    """
    return _above(x) * sigmoid(x)


# the sigmoid and a product; then 1 − σ, a product, a sum, two products
silu.flops(per_entry(5, 10))


@silu.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    return (g * _silu_slope(x),)


@silu.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    return tangents.x * _silu_slope(x)


@operation(domain=pre_activations_and_form, jax_derivative="jvp")
def gelu(x: Array, /, *, approximate: bool = False) -> Array:
    r"""Gaussian error linear unit, x·Φ(x), with Φ the standard normal distribution function.

    Parameters
    ----------
    x : array (...), real.
    approximate : False: Φ itself. True: the usual tanh form, x·σ(2u) with u = √(2/π)·(x + 0.044715 x³), which is
        what GPT-2 and BERT checkpoints of that era were trained with.

    Returns
    -------
    array like `x`: same shape, dtype, device. Relative accuracy that of :func:`pillars.probability.ndtr`, in the far
    negative tail too. The two forms differ by at most 4.8e-4.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one Φ, or one exponential, an element. The limits hold: gelu(−inf) = −0, where x·Φ(x) written out gives
    NaN, and gelu(+inf) = inf; the derivative, Φ(x) + x·φ(x), is 0 and 1 there. NaN gives NaN.

    References
    ----------
    Hendrycks, Gimpel (2016), Gaussian error linear units, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> gelu(np.asarray([-np.inf, -1.0, 0.0, 1.0])).round(4)
    array([-0.    , -0.1587,  0.    ,  0.8413])
    >>> gelu(np.asarray([-1.0, 1.0]), approximate=True).round(4)
    array([-0.1588,  0.8412])
    """
    return _above(x) * (sigmoid(_twice_u(_between(x))) if approximate else ndtr(x))


@gelu.flops
def _(x: Any, /, *, approximate: bool) -> Flops:
    """x/√2, erf, 1 +, two products; then φ(x) (square, scaled, exponential, scaled), x·φ, the sum, a product.

    By tanh: x² and x³, a·x³, x +, scaled, tanh, 1 +, two products; then x·u′ (3a·x², 1 +, x·, scaled), 1 − t², two
    products, a sum, a half, a product.
    """
    return per_entry(9, 19)(x) if approximate else per_entry(5, 12)(x)


@gelu.vjp
def _(g: Any, y: Any, x: Any, /, *, approximate: bool, needs: Any) -> Any:
    return (g * _gelu_slope(x, approximate),)


@gelu.jvp
def _(tangents: Any, y: Any, x: Any, /, *, approximate: bool) -> Any:
    return tangents.x * _gelu_slope(x, approximate)


def _above(x: Any) -> Any:
    return namespace(x).maximum(x, -_FAR)


def _between(x: Any) -> Any:
    return namespace(x).minimum(_above(x), _FAR)


def _silu_slope(x: Any) -> Any:
    x = _between(x)
    return sigmoid(x) * (1 + x * sigmoid(-x))


def _twice_u(x: Any) -> Any:
    return sqrt(8 / pi) * (x + 0.044715 * (x * x * x))


def _gelu_slope(x: Any, approximate: bool) -> Any:
    x = _between(x)
    if approximate:
        twice_u = _twice_u(x)
        slope = sqrt(8 / pi) * (1 + 3 * 0.044715 * (x * x))
        return sigmoid(twice_u) * (1 + x * slope * sigmoid(-twice_u))
    return ndtr(x) + x * namespace(x).exp(-0.5 * (x * x)) / sqrt(2 * pi)


ACTIVATIONS: dict[str, Any] = {"relu": relu, "gelu": gelu, "silu": silu, "tanh": tanh, "sigmoid": sigmoid}


def pullback(name: str, g: Any, y: Any, z: Any) -> Any:
    """The cotangent of z from that of y = activation(z)."""
    record = ACTIVATIONS[name].record
    options = {p.name: p.default for p in record.options}
    return record.rules.vjp(g, y, z, needs=record.needs(x=True), **options)[0]
