"""The linear layer: a product, a bias and, if asked for, an activation."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace
from typing import Any

from pillars._errors import ShapeError, shown
from pillars._typing import After, Array, Name
from pillars.backends import Call, Draw, Flops, namespace, operation, summed
from pillars.layers._activations import ACTIVATIONS, pullback

__all__ = ["linear"]


def features_weight_and_bias(draw: Draw) -> Call:
    """Features of one to three axes, a weight that takes them, sometimes a bias and a smooth activation."""
    i, o = draw.size(), draw.size()
    arrays = [draw.normal(*draw.shape(draw.choice((0, 1, 2))), i), draw.normal(i, o)]
    if draw.choice((True, False)):
        arrays.append(draw.normal(o))
    activation = draw.choice((None, "gelu", "silu", "tanh", "sigmoid"))
    return Call.of(*arrays, activation=activation) if activation else Call.of(*arrays)


@operation(domain=features_weight_and_bias)
def linear(
    x: Array, weight: Array, bias: Array | None = None, /, *, activation: After = None, name: Name = None
) -> Array:
    r"""Linear layer: activation(x @ weight + bias).

    Parameters
    ----------
    x : array (..., i), real. One sample (i,), or any batch of them.
    weight : array (i, o).
    bias : array (o,), or None.
    activation : "relu", "gelu" (the exact one), "silu", "tanh", "sigmoid", None, or a callable, which is applied to
        the result: ``linear(x, w, b, activation=f)`` is ``f(linear(x, w, b))``.
    name : the layer's path, such as "encoder.2.ffn", for error messages.

    Returns
    -------
    array (..., o) of the dtype and device of the arguments. The product is within i·eps·|x|·|weight| of the true one,
    entry by entry (the library's matmul; JAX on recent NVIDIA GPUs multiplies float32 in TF32 unless told not to).

    Raises
    ------
    ShapeError : shapes that do not chain, with the layer's name, both shapes and what to do; an unknown activation.
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: 2·n·i·o operations for n samples, one array (n, o) kept for the gradient if there is an activation, and
    twice the forward's operations for the gradient. Half precision is multiplied in float32 and rounded once: on the
    CPU it has no faster product, and sums of thousands of float16 terms lose their last digits.
    NaN and infinities spread as in any sum of products.

    References
    ----------
    Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.5, for the error of the product.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[1.0, 2.0], [3.0, -4.0]])
    >>> weight, bias = np.asarray([[1.0, 0.0, -1.0], [0.5, 1.0, 0.0]]), np.asarray([0.0, 0.0, 0.25])
    >>> linear(x, weight, bias)
    array([[ 2.  ,  2.  , -0.75],
           [ 1.  , -4.  , -2.75]])
    >>> linear(x, weight, bias, activation="relu")
    array([[2., 2., 0.],
           [1., 0., 0.]])
    >>> linear(np.ones((32, 784)), np.ones((128, 784)), name="encoder.2.ffn")
    Traceback (most recent call last):
        ...
    pillars._errors.ShapeError: linear 'encoder.2.ffn': x has 784 features on axis -1 but ...
    """
    z = _affine(x, weight, bias)
    return z if activation is None else ACTIVATIONS[activation](z)


@linear.check
def _(x: Any, weight: Any, bias: Any, /, *, activation: Any, name: str | None) -> None:
    layer = "linear" if name is None else f"linear {name!r}"
    if weight.ndim != 2:
        raise ShapeError(
            f"{layer}: weight has shape {tuple(weight.shape)}, expected two axes, (in, out). "
            "Reshape it, or use matmul for stacks of matrices."
        )
    i, o = weight.shape
    if x.ndim == 0:
        raise ShapeError(f"{layer}: x has shape (), expected (..., {i}): its last axis holds the features.")
    if x.shape[-1] != i:
        raise ShapeError(
            f"{layer}: x has {x.shape[-1]} features on axis -1 but weight {(i, o)} takes {i}. "
            f"x has shape {tuple(x.shape)}. {_remedy(x.shape, i, o)}"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        flat = prod(bias.shape) == o
        raise ShapeError(
            f"{layer}: bias has shape {tuple(bias.shape)} but weight {(i, o)} gives {o} features, expected ({o},). "
            + (f"Reshape it to ({o},)." if flat else "Pass the bias of this layer.")
        )
    if activation is not None and activation not in ACTIVATIONS:
        known = ", ".join(repr(known) for known in ACTIVATIONS)
        raise ShapeError(
            f"{layer}: activation is {shown(activation)}, expected one of {known}, None or a callable."
        )


def _remedy(shape: tuple[int, ...], i: int, o: int) -> str:
    if shape[-1] == o:
        return f"weight is (in, out): pass weight.T, of shape {(o, i)}, if it was stored as (out, in)."
    if len(shape) > 1 and shape[-2] == i:
        return f"Features are on the last axis: swap the last two axes of x, which has {i} on axis -2."
    if len(shape) > 1 and prod(shape[1:]) == i:
        return f"Flatten each sample of x to {i} features."
    return f"The layer before must give {i} features, or this weight take {shape[-1]}."


@linear.flops
def _(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> Flops:
    i, o = weight.shape
    n = prod(x.shape[:-1])
    extra = 0 if bias is None else n * o
    value, gradient = 2 * n * i * o + extra, 6 * n * i * o + 2 * extra
    if activation is None:
        return Flops(value, gradient)
    record = ACTIVATIONS[activation].record
    positional, options = record.split(record.bind((SimpleNamespace(size=n * o),), {}))
    z = record.rules.flops(*positional, **options)
    return Flops(value + z.value, gradient + z.gradient)


@linear.forward
def _(x: Any, weight: Any, bias: Any, /, *, activation: str | None) -> Any:
    z = _affine(x, weight, bias)
    return (z, None) if activation is None else (ACTIVATIONS[activation](z), z)


@linear.vjp
def _(
    g: Any, y: Any, x: Any, weight: Any, bias: Any, /, *, activation: str | None, needs: Any, residuals: Any
) -> Any:
    xp = namespace(g)
    dz = g if activation is None else pullback(activation, g, y, residuals)
    (i, o), n = weight.shape, prod(x.shape[:-1])
    rows = xp.reshape(dz, (n, o))
    return (
        xp.matmul(dz, xp.matrix_transpose(weight)) if needs.x else None,
        xp.matmul(xp.matrix_transpose(xp.reshape(x, (n, i))), rows) if needs.weight else None,
        summed(rows, 0) if needs.bias else None,
    )


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    z = namespace(x, weight).matmul(x, weight)
    return z if bias is None else z + bias
