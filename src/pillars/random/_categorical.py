"""Categories drawn by their log-probabilities, as races, with or without replacement."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars._typing import AnyArray, Array
from pillars.backends import Call, Draw, dtype_name, namespace, operation
from pillars.random._bodies import draw_exponential
from pillars.random._threefry import check_key, check_size, some_key

__all__ = ["categorical"]


def _logits(draw: Draw) -> Call:
    logits = draw.normal(*draw.shape(2))
    replace = draw.choice((True, False))
    n = draw.choice((None, draw.size(1, 4 if replace else logits.shape[-1])))
    return Call.of(some_key(draw), logits, n=n, replace=replace)


@operation(domain=_logits, unsupported={"grad": "a category is an integer: it has no derivative"})
def categorical(key: AnyArray, logits: Array, /, *, n: int | None = None, replace: bool = True) -> AnyArray:
    """Categories of each row, with probabilities softmax(logits) along the last axis.

    A race: category i arrives at time Eᵢ·exp(−logitᵢ), Eᵢ exponential, and the first one wins, which is the Gumbel
    trick: argmax(logitᵢ − log Eᵢ). Without replacement the first n to arrive are drawn: each in proportion to its
    probability among those that are left.

    Parameters
    ----------
    key : array (2,) of uint32, used for nothing else.
    logits : array (..., k), real floating, in nats; k of 1 or more. Minus infinity: never drawn.
    n : how many categories to draw from each row; None: one, without an axis of its own.
    replace : whether a row's draws are races of their own, or the order of arrival in one, n at most k.

    Returns
    -------
    array (...), or (..., n), of the library's default integer. −1 for a row that is no distribution: with NaN or +inf,
    or all −inf; and, without replacement, where no category is left that can be drawn.

    Raises
    ------
    DTypeError : `key` is no uint32 array.
    ShapeError : `key` is not of shape (2,), there are no categories, or n is negative or too large.

    Notes
    -----
    Probabilities are right to some eps relatively, however small, since E keeps its digits near 0. Adding a constant to
    a row changes nothing but by rounding. Two libraries, or two precisions, may decide a race differently that is
    closer than their rounding: about one draw in 10⁶ in float32. Draws k numbers a race, about 12 ns each on one core:
    n·k a row with replacement.

    References
    ----------
    Maddison, Tarlow, Minka (2014), A* sampling, section 2; Kool, van Hoof, Welling (2019), Stochastic beams and where
    to find them, for the order of arrival.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars import random
    >>> random.categorical(random.key(0), np.log([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]]))
    array([1, 1, 0])
    >>> random.categorical(random.key(0), np.log([0.1, 0.2, 0.3, 0.4]), n=4, replace=False)
    array([1, 3, 0, 2])
    """
    xp = namespace(logits)
    races = logits[..., None, :] if replace and n is not None else logits
    shape = (*logits.shape[:-1], n, logits.shape[-1]) if replace and n is not None else logits.shape
    times = draw_exponential(key, shape=shape, dtype=dtype_name(logits.dtype))
    known = xp.isfinite(xp.max(races, axis=-1))
    if replace or n is None:
        winner = xp.argmax(races - xp.log(times), axis=-1)
    else:
        arrival = xp.log(times) - races
        winner = xp.argsort(arrival, axis=-1)[..., :n]
        known = known[..., None] & xp.isfinite(xp.take_along_axis(arrival, winner, axis=-1))
    return xp.where(known, winner, xp.full_like(winner, -1))


@categorical.check
def _(key: Any, logits: Any, /, *, n: int | None, replace: bool) -> None:
    check_key("categorical", key)
    if len(logits.shape) == 0 or logits.shape[-1] == 0:
        raise ShapeError(
            f"categorical: logits has shape {tuple(logits.shape)}, expected (..., k) with at least one category."
        )
    k = logits.shape[-1]
    if n is not None and (n < 0 or (n > k and not replace)):
        most = "" if replace else f" and at most {k}, which there are: replace is False"
        raise ShapeError(f"categorical: n is {n}, expected 0 or more{most}.")
    check_size("categorical", (*logits.shape, n) if replace and n is not None else logits.shape)
