"""Losses of regression, averaged over every entry."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, namespace, operation, per_entry

__all__ = ["mean_squared_error"]


def prediction_and_target(draw: Draw) -> Call:
    """Two arrays of one shape, of no to three axes."""
    shape = draw.shape(draw.choice((0, 1, 2, 3)))
    return Call.of(draw.normal(*shape), draw.normal(*shape))


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
    got, wanted = tuple(prediction.shape), tuple(target.shape)
    if got != wanted:
        raise ShapeError(
            f"mean_squared_error: prediction has shape {got} and target {wanted}, expected one shape. "
            f"{_remedy(got, wanted)}"
        )
    if 0 in got:
        raise ShapeError(
            f"mean_squared_error: prediction has shape {got}, expected at least one entry. "
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
