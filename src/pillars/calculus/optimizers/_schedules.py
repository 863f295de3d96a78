"""Learning-rate schedules: step -> rate, pure, and equal where their numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import count, rate, within
from pillars.calculus.optimizers._schedule_formulas import (
    Constant,
    Cosine,
    Delayed,
    Exponential,
    Schedule,
    Steps,
    Warmup,
)

__all__ = [
    "below",
    "constant",
    "cosine_decay",
    "delayed",
    "exponential_decay",
    "linear_warmup",
    "step_decay",
    "warmup_cosine",
]


def constant(learning_rate: Any) -> Schedule:
    """The same rate at every step.

    Parameters
    ----------
    learning_rate : above 0; may be traced.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a rate that is 0, negative, NaN or infinite.
    DTypeError : no number.

    Notes
    -----
    As a number for the rate; for where a schedule is asked for.

    Examples
    --------
    >>> constant(0.1)(7)
    0.1
    """
    return Constant(rate("constant", learning_rate))


def linear_warmup(peak: Any, steps: int, *, start: float = 1e-7) -> Schedule:
    """From `start` to `peak` on a line, and `peak` from then on.

    start + (peak − start)·min(t/steps, 1) at step t.

    Parameters
    ----------
    peak : the rate reached, above 0; may be traced.
    steps : steps until then, 1 or more.
    start : the rate of step 0, from 0 to `peak`.

    Returns
    -------
    schedule: a function of the count of steps before, 0 at the first: an int gives a float, an integer array an array
        of rates in its library's default float. It compiles, compares and hashes by its numbers, and is what
        :func:`~pillars.calculus.sgd`, ``adam`` and ``adamw`` take as a learning rate. Steps below 0 count as 0, a
        fraction lies between its neighbours, and NaN has no rate: an error, in an array NaN. Counts are compared and
        subtracted as integers, so that large ones are exact in float32 too.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a `start` above `peak`.
    DTypeError : no number; `steps` that are no integer.

    Notes
    -----
    Both ends are exact: the rate is `start` at step 0 and `peak` at `steps`. The second moment that Adam divides by has
    seen few gradients at first, and the curvature is often largest there: small first steps let both settle.

    References
    ----------
    Goyal et al. (2017), Accurate, large minibatch SGD: training ImageNet in 1 hour, section 2.2.

    Examples
    --------
    >>> warm = linear_warmup(0.001, 1000)
    >>> warm(0), round(warm(500), 9), warm(1000), warm(5000)
    (1e-07, 0.00050005, 0.001, 0.001)
    >>> warm == linear_warmup(0.001, 1000)
    True
    """
    peak = rate("linear_warmup", peak, "peak")
    steps = count("linear_warmup", "steps", steps, 1)
    return Warmup(peak, steps, below("linear_warmup", "start", start, peak, "A warm-up rises"))


def cosine_decay(peak: Any, steps: int, *, final: float = 0.0, delay: int = 0) -> Schedule:
    """From `peak` to `final` along half a cosine, and `final` from then on.

    final + (peak − final)·(1 + cos(π·min(t/steps, 1)))/2 at step t.

    Parameters
    ----------
    peak : the rate of step 0, above 0; may be traced.
    steps : steps until `final`, 1 or more.
    final : a rate from 0 to `peak`, not a share of it (optax's ``alpha`` is ``final / peak``).
    delay : steps at `peak` before the decay begins, 0 or more; `steps` are counted from there.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a `final` above `peak`.
    DTypeError : no number; `steps` that are no integer.

    Notes
    -----
    Half-way it is the mean of both. Computed as a squared sine of what is left, which keeps its digits near the end.

    References
    ----------
    Loshchilov, Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. (5), without restarts.

    Examples
    --------
    >>> decay = cosine_decay(0.1, 100)
    >>> decay(0), round(decay(50), 9), decay(100)
    (0.1, 0.05, 0.0)
    """
    peak = rate("cosine_decay", peak, "peak")
    steps = count("cosine_decay", "steps", steps, 1)
    decay = Cosine(peak, 0, 0.0, steps, below("cosine_decay", "final", final, peak, "A decay falls"))
    return delayed("cosine_decay", decay, delay)


def warmup_cosine(
    peak: Any, warmup_steps: int, steps: int, *, start: float = 1e-7, final: float = 0.0
) -> Schedule:
    """Up on a line, then down along half a cosine.

    :func:`linear_warmup` for `warmup_steps`, then :func:`cosine_decay` for the ``steps − warmup_steps`` that are left.

    Parameters
    ----------
    peak : the largest rate, above 0; may be traced.
    warmup_steps : steps from `start` to `peak`, 1 or more.
    steps : steps in all, warm-up included, as optax's ``decay_steps`` are.
    start, final : the rates of step 0 and from `steps` on, from 0 to `peak`.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a warm-up that leaves no step to decay in.
    DTypeError : no number; steps that are no integers.

    Notes
    -----
    At `warmup_steps` it is `peak`, once: the decay's first step.

    References
    ----------
    Loshchilov, Hutter (2017), SGDR, eq. (5); Goyal et al. (2017), section 2.2.

    Examples
    --------
    >>> both = warmup_cosine(0.001, 1000, 10000)
    >>> both(0), both(1000), round(both(5500), 9), both(10000)
    (1e-07, 0.001, 0.0005, 0.0)
    """
    where = "warmup_cosine"
    peak = rate(where, peak, "peak")
    first, steps = count(where, "warmup_steps", warmup_steps, 1), count(where, "steps", steps, 1)
    if first >= steps:
        raise ShapeError(
            f"{where}: warmup_steps is {first} and steps {steps}, expected more steps in all than in the warm-up: "
            "steps counts those of the warm-up too. Pass the whole run's, or use linear_warmup."
        )
    return Cosine(
        peak,
        first,
        below(where, "start", start, peak, "A warm-up rises"),
        steps,
        below(where, "final", final, peak, "A decay falls"),
    )


def exponential_decay(
    peak: Any, steps: int, *, factor: float, staircase: bool = False, final: float = 0.0, delay: int = 0
) -> Schedule:
    """Times `factor` in every `steps` steps, smoothly.

    max(final, peak·factor^(t/steps)) at step t; with `staircase` the exponent is rounded down.

    Parameters
    ----------
    peak : the rate of step 0, above 0; may be traced.
    steps : steps in which it falls by `factor` once, 1 or more.
    factor : above 0 and at most 1.
    staircase : fall in steps, as :func:`step_decay`.
    final : no rate is below it; from 0 to `peak`.
    delay : steps at `peak` before the decay begins, 0 or more (optax's ``transition_begin``).

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a `final` above `peak`.
    DTypeError : no number; `steps` that are no integer, a `staircase` that is no bool.

    Notes
    -----
    torch's ``ExponentialLR(gamma)`` is ``steps=1, factor=gamma``; optax's arguments are in the same order.

    Examples
    --------
    >>> decay = exponential_decay(0.1, 100, factor=0.5)
    >>> decay(0), decay(100), round(decay(150), 9)
    (0.1, 0.05, 0.035355339)
    """
    where = "exponential_decay"
    peak = rate(where, peak, "peak")
    if not isinstance(staircase, bool):
        raise DTypeError(f"{where}: staircase is {shown(staircase)}, expected True or False.")
    decay = Exponential(
        peak,
        count(where, "steps", steps, 1),
        within(where, "factor", factor, 0.0, 1.0, above=True, to=True),
        staircase,
        below(where, "final", final, peak, "A decay falls"),
    )
    return delayed(where, decay, delay)


def step_decay(peak: Any, steps: int | Sequence[int], *, factor: float = 0.1) -> Schedule:
    """Times `factor` at every so many steps, or at steps named.

    Parameters
    ----------
    peak : the rate of step 0, above 0; may be traced.
    steps : an integer: every so many (torch's ``StepLR``); or a rising sequence of the steps from which on the rate is
        lower (torch's ``MultiStepLR``, optax's ``piecewise_constant_schedule``). 1 or more. For rates of any kind
        see :func:`piecewise`.
    factor : above 0 and at most 1.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; steps that do not rise.
    DTypeError : no number; steps that are no integers.

    Notes
    -----
    A few comparisons a step. The named step is the first at the lower rate.

    Examples
    --------
    >>> decay = step_decay(0.5, 30, factor=0.5)
    >>> decay(29), decay(30), decay(60)
    (0.5, 0.25, 0.125)
    >>> step_decay(0.5, [100, 150], factor=0.5)(149)
    0.25
    """
    where = "step_decay"
    peak = rate(where, peak, "peak")
    factor = within(where, "factor", factor, 0.0, 1.0, above=True, to=True)
    if not isinstance(steps, (list, tuple)):
        return Exponential(peak, count(where, "steps", steps, 1), factor, True, 0.0)
    places = tuple(count(where, f"steps[{i}]", step, 1) for i, step in enumerate(steps))
    if not places or any(a >= b for a, b in pairwise(places)):
        raise ShapeError(
            f"{where}: steps is {list(steps)}, expected one or more steps, each later than the one before. "
            "Sort them, and name each once."
        )
    return Steps(peak, places, factor)


def delayed(where: str, decay: Schedule, delay: Any) -> Schedule:
    """A decay that begins after so many steps."""
    number = count(where, "delay", delay, 0)
    return Delayed(decay, number) if number else decay


def below(where: str, what: str, value: Any, peak: Any, why: str) -> float:
    """A rate of at least 0 that is not above the peak, where that is known."""
    number = within(where, what, value, 0.0)
    if isinstance(peak, float) and number > peak:
        raise ShapeError(
            f"{where}: {what} is {number:g} and peak {peak:g}, expected {what} to be no larger. {why}: exchange them, "
            f"or pass a smaller {what}."
        )
    return number
