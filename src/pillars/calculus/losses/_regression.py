"""Losses of regression, averaged over every entry."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array, Number
from pillars.backends import Call, Draw, dtype_name, namespace, operation, per_entry
from pillars.calculus.autodiff import along

__all__ = ["huber", "mean_absolute_error", "mean_squared_error"]


def prediction_and_target(draw: Draw) -> Call:
    """Two arrays of one shape, of no to three axes."""
    shape = draw.shape(draw.choice((0, 1, 2, 3)))
    return Call.of(draw.normal(*shape), draw.normal(*shape))


def apart(draw: Draw) -> Call:
    """The same, no prediction at its target."""
    shape = draw.shape(draw.choice((0, 1, 2, 3)))
    target = draw.normal(*shape)
    return Call.of(target + draw.away_from_zero(*shape), target)


def apart_and_delta(draw: Draw) -> Call:
    """The same, no difference near the width, which is sometimes given."""
    shape = draw.shape(draw.choice((0, 1, 2, 3)))
    given = draw.choice((True, False))
    delta = draw.number(0.3, 2.0) if given else 1.0
    near = draw.uniform(-1.0, 1.0, *shape)
    # within 0.9 of the width, or beyond 1.1 of it
    difference = delta * (near * 0.9 + (abs(near) > 0.5) * (near / abs(near)) * 0.65)
    target = draw.normal(*shape)
    options = {"delta": delta} if given else {}
    return Call.of(target + difference, target, **options)


@operation(domain=prediction_and_target)
def mean_squared_error(prediction: Array, target: Array, /) -> Array:
    r"""Mean of the squared differences.

    (1/n) Σᵢ (predictionᵢ − targetᵢ)², over all n entries; not halved.

    Parameters
    ----------
    prediction : array, real.
    target : array of the same shape. Nothing is broadcast: (n,) beside (n, 1) would compare all pairs.

    Returns
    -------
    array, 0-d, of the arrays' common dtype, in squared units of the prediction. Never negative.

    Raises
    ------
    ShapeError : shapes that differ, or no entries.
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads both arrays once. Relative error about eps·√n at worst: the terms have one sign. NaN in either gives
    NaN; differences beyond about 1e154 (float64) or 1e19 (float32) overflow to infinity. The gradient is
    2·(prediction − target)/n, and its negative for the target.

    References
    ----------
    Hastie, Tibshirani, Friedman (2009), The Elements of Statistical Learning, eq. (2.27), sample mean.

    Examples
    --------
    >>> import numpy as np
    >>> mean_squared_error(np.asarray([1.0, 2.0]), np.asarray([1.0, 5.0]))
    array(4.5)
    """
    xp = namespace(prediction, target)
    difference = prediction - target
    return xp.mean(difference * difference)


@mean_squared_error.check
def _(prediction: Any, target: Any, /) -> None:
    _check_shapes("mean_squared_error", prediction, target)


def _check_shapes(name: str, prediction: Any, target: Any) -> None:
    got, wanted = tuple(prediction.shape), tuple(target.shape)
    if got != wanted:
        raise ShapeError(
            f"{name}: prediction has shape {got} and target {wanted}, expected one shape. "
            f"{_remedy(got, wanted)}"
        )
    if 0 in got:
        raise ShapeError(
            f"{name}: prediction has shape {got}, expected at least one entry. "
            "A mean of nothing has no value: check what was selected."
        )


def _remedy(got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if math.prod(got) == math.prod(wanted):
        if tuple(n for n in got if n != 1) == tuple(n for n in wanted if n != 1):
            return (
                "Broadcasting would compare every prediction with every target: "
                f"reshape the prediction to {wanted}."
            )
        return "They have as many entries: transpose or reshape one of them."
    return "Nothing is broadcast: repeat the smaller one along its axes if that is what you mean."


# difference, square, sum; then scaled, and its sign changed
mean_squared_error.flops(per_entry(3, 5))


@mean_squared_error.vjp
def _(g: Any, y: Any, prediction: Any, target: Any, /, *, needs: Any) -> Any:
    d = (prediction - target) * (2.0 / math.prod(prediction.shape)) * g
    return (d if needs.prediction else None), (-d if needs.target else None)


# JAX takes the rule: its magnitude has slope 1 at 0.
@operation(domain=apart, jax_derivative="jvp", kinks=True)
def mean_absolute_error(prediction: Array, target: Array, /) -> Array:
    r"""Mean of the absolute differences.

    (1/n) Σᵢ |predictionᵢ − targetᵢ|, over all n entries.

    Parameters
    ----------
    prediction : array, real.
    target : array of the same shape. Nothing is broadcast.

    Returns
    -------
    array, 0-d, of the arrays' common dtype, in units of the prediction. Never negative.

    Raises
    ------
    ShapeError : shapes that differ, or no entries.
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads both arrays once. Relative error about eps·√n at worst: the terms have one sign. NaN in either gives
    NaN. Not differentiable where a prediction is its target: the derivative returned there is 0, as in torch, halfway
    between the slopes −1/n and 1/n on its sides. (``jax.numpy.abs`` has 1 there.) Elsewhere it is
    sign(prediction − target)/n, and its negative for the target: as large near the minimum as far from it, so that a
    descent with a fixed rate ends by walking to and fro; :func:`huber` does not.

    References
    ----------
    Hastie, Tibshirani, Friedman (2009), The Elements of Statistical Learning, section 10.6.

    Examples
    --------
    >>> import numpy as np
    >>> mean_absolute_error(np.asarray([1.0, 2.0]), np.asarray([1.0, 5.0]))
    array(1.5)
    """
    xp = namespace(prediction, target)
    return xp.mean(xp.abs(prediction - target))


@mean_absolute_error.check
def _(prediction: Any, target: Any, /) -> None:
    _check_shapes("mean_absolute_error", prediction, target)


# difference, magnitude, sum; then the sign, scaled, and negated
mean_absolute_error.flops(per_entry(3, 6))


@mean_absolute_error.vjp
def _(g: Any, y: Any, prediction: Any, target: Any, /, *, needs: Any) -> Any:
    xp, difference = namespace(prediction), prediction - target
    d = along(xp, g / math.prod(prediction.shape), xp.sign(difference), difference != 0)
    return (d if needs.prediction else None), (-d if needs.target else None)


@mean_absolute_error.jvp
def _(tangents: Any, y: Any, prediction: Any, target: Any, /) -> Any:
    xp, signs = namespace(prediction), namespace(prediction).sign(prediction - target)
    dy = xp.zeros_like(y)
    if tangents.prediction is not None:
        dy = dy + xp.mean(signs * tangents.prediction)
    if tangents.target is not None:
        dy = dy - xp.mean(signs * tangents.target)
    return dy


@operation(domain=apart_and_delta, kinks=True)
def huber(prediction: Array, target: Array, /, *, delta: Number = 1.0) -> Array:
    r"""Huber's loss: squared where differences are small, absolute where they are large.

    (1/n) Σᵢ h(predictionᵢ − targetᵢ), with h(d) = d²/2 for |d| ≤ δ and δ·(|d| − δ/2) beyond.

    Parameters
    ----------
    prediction : array, real.
    target : array of the same shape. Nothing is broadcast.
    delta : δ > 0, in units of the prediction: the difference from which on an entry no longer pulls harder.

    Returns
    -------
    array, 0-d, of the arrays' common dtype, in squared units of the prediction. Never negative.

    Raises
    ------
    ShapeError : shapes that differ, no entries, or a width that is not above 0, or beyond what its dtype holds (a
        traced one that is not above 0 gives NaN instead, as it cannot be looked at).
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads both arrays once. Relative error about eps·√n at worst: the terms have one sign. NaN in either gives
    NaN, an infinite difference ∞. Halved, as Huber has it: with a large δ it is half of :func:`mean_squared_error`,
    with a small one δ times :func:`mean_absolute_error`. That of torch and optax; torch's ``smooth_l1_loss`` is this
    divided by δ.

    The gradient is the difference cut to [−δ, δ], over n: continuous, so that there is no kink in the loss; its own
    slope jumps from 1/n to 0 at |d| = δ, where it is taken to be either. The derivative for δ is the mean of what
    exceeds it, max(|d| − δ, 0).

    References
    ----------
    Huber (1964), Robust estimation of a location parameter, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> huber(np.asarray([1.0, 2.0]), np.asarray([1.5, 5.0]))  # (0.125 + 2.5)/2
    array(1.3125)
    """
    xp = namespace(prediction, target)
    size, bound = xp.abs(prediction - target), _width(xp, delta)
    near = xp.minimum(size, bound)
    return xp.mean(near * (size - near / 2))


def _width(xp: Any, delta: Any) -> Any:
    """The width; NaN in the place of one that nobody could look at and that is none."""
    return delta if isinstance(delta, (int, float)) else xp.where(delta > 0, delta, xp.nan)


@huber.check
def _(prediction: Any, target: Any, /, *, delta: Any) -> None:
    _check_shapes("huber", prediction, target)
    if not isinstance(delta, float):
        return
    least, most = _RANGES.get(dtype_name(prediction.dtype), _RANGES["float32"])
    if not least <= delta <= most:
        raise ShapeError(
            f"huber: delta is {delta:g}, expected a number above 0, neither below {least:.3g} nor above {most:.3g}, "
            "where the dtype ends. As it grows the loss goes to half of mean_squared_error, as it goes to 0 to delta "
            "times mean_absolute_error."
        )


# the smallest normal and the largest number; half precision is computed in float32
_RANGES = {"float64": (2.0**-1022, 1.79e308), "float32": (2.0**-126, 3.4e38)}

# difference, magnitude, comparison, halved, difference, product, sum; then cut twice, scaled and negated
huber.flops(per_entry(7, 11))


@huber.vjp
def _(g: Any, y: Any, prediction: Any, target: Any, /, *, delta: Any, needs: Any) -> Any:
    xp = namespace(prediction)
    share, bound = g / math.prod(prediction.shape), _width(xp, delta)
    difference = prediction - target
    d = xp.minimum(xp.maximum(difference, -bound), bound) * share
    beyond = xp.abs(difference) - bound
    width = xp.sum(xp.where(beyond < 0, xp.zeros_like(beyond), beyond)) * share if needs.delta else None
    return (d if needs.prediction else None), (-d if needs.target else None), width
