"""Schedules of several pieces: through points, along a power, up and down once, restarted, joined."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import count, rate, within
from pillars.calculus.optimizers._schedule_formulas import Schedule
from pillars.calculus.optimizers._schedule_pieces import INTERPOLATIONS, Joined, Points, Polynomial, Restarts
from pillars.calculus.optimizers._schedules import below, delayed

__all__ = ["cosine_restarts", "join_schedules", "one_cycle", "piecewise", "polynomial_decay"]


def piecewise(rates: Sequence[Any], steps: Sequence[int], *, interpolation: str = "constant") -> Schedule:
    """Given rates at given steps, and what `interpolation` says in between.

    Parameters
    ----------
    rates : one or more, each 0 or more; may be traced.
    steps : as many, rising, 0 or more: where each rate is reached. Before the first step the first rate holds, after
        the last the last.
    interpolation : "constant": each rate holds until the next step. "linear", "cosine": from each to the next on a
        line, or along half a cosine.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; steps that do not rise, or are not as many as the rates; an
        `interpolation` of another name.
    DTypeError : no number; steps that are no integers.

    Notes
    -----
    At the steps named the rates are exact. optax's ``piecewise_constant_schedule`` and
    ``piecewise_interpolate_schedule`` name factors of the rate before in the place of rates. A few operations a piece.

    Examples
    --------
    >>> staged = piecewise([0.1, 0.05, 0.01], [0, 30, 80])
    >>> staged(29), staged(30), staged(500)
    (0.1, 0.05, 0.01)
    >>> triangle = piecewise([0.0, 0.1, 0.0], [0, 10, 50], interpolation="linear")
    >>> triangle(5), triangle(10), triangle(40)
    (0.05, 0.1, 0.025)
    """
    where = "piecewise"
    for name, several in (("rates", rates), ("steps", steps)):
        if not isinstance(several, (list, tuple)) or not several:
            raise DTypeError(f"{where}: {name} is {shown(several)}, expected a list of one or more numbers.")
    if len(rates) != len(steps):
        raise ShapeError(
            f"{where}: got {len(rates)} rates and {len(steps)} steps, expected as many: each rate is reached at its "
            "step. The first step is 0 where the first rate is that of the start."
        )
    places = tuple(count(where, f"steps[{i}]", step, 0) for i, step in enumerate(steps))
    if any(a >= b for a, b in pairwise(places)):
        raise ShapeError(
            f"{where}: steps is {list(steps)}, expected each later than the one before. Sort them."
        )
    if not isinstance(interpolation, str) or interpolation not in INTERPOLATIONS:
        raise ShapeError(
            f"{where}: interpolation is {shown(interpolation)}, expected one of {', '.join(INTERPOLATIONS)}."
        )
    return Points(tuple(_rate(where, f"rates[{i}]", x) for i, x in enumerate(rates)), places, interpolation)


def polynomial_decay(
    peak: Any, steps: int, *, power: float = 1.0, final: float = 0.0, delay: int = 0
) -> Schedule:
    """From `peak` to `final` along a power of the steps that are left, and `final` from then on.

    final + (peak − final)·(1 − min(t/steps, 1))^power at step t.

    Parameters
    ----------
    peak : the rate of step 0, above 0; may be traced.
    steps : steps until `final`, 1 or more.
    power : above 0; 1 is a line, 2 falls fast at first.
    final : from 0 to `peak`.
    delay : steps at `peak` before the decay begins, 0 or more (optax's ``transition_begin``).

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a `final` above `peak`.
    DTypeError : no number; `steps` or a `delay` that is no integer.

    Notes
    -----
    Both ends are exact. torch's ``PolynomialLR(total_iters, power)``; optax's ``polynomial_schedule``, which may rise
    too: see :func:`linear_warmup`.

    Examples
    --------
    >>> decay = polynomial_decay(0.1, 100, power=2.0, delay=10)
    >>> decay(0), decay(10), decay(60), decay(110)
    (0.1, 0.1, 0.025, 0.0)
    """
    where = "polynomial_decay"
    peak = rate(where, peak, "peak")
    decay = Polynomial(
        peak,
        count(where, "steps", steps, 1),
        within(where, "power", power, 0.0, above=True),
        below(where, "final", final, peak, "A decay falls"),
    )
    return delayed(where, decay, delay)


def one_cycle(
    peak: Any,
    steps: int,
    *,
    rise: float = 0.3,
    start: Any = None,
    final: Any = None,
    interpolation: str = "cosine",
    back: float | None = None,
) -> Schedule:
    """Up to a large rate, and down again far below where it began: one cycle over a whole run.

    Parameters
    ----------
    peak : the largest rate, above 0; may be traced.
    steps : of the whole cycle, 2 or more.
    rise : the share of the steps until `peak`, in (0, 1). The step is rounded down, and 1 at least.
    start : the rate of step 0, from 0 to `peak`; None: ``peak / 25``.
    final : the rate from `steps` on, from 0 to `peak`; None: ``peak / 250_000``.
    interpolation : "cosine" or "linear".
    back : the share of the steps after which it is at `start` again, above `rise` and below 1, for three phases; None:
        straight down to `final`.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; steps too few for the phases.
    DTypeError : no number; `steps` that are no integer.

    Notes
    -----
    A run of n steps uses the rates of steps 0 to n − 1: with ``steps=n`` the last of them is one step short of `final`,
    as in optax (``cosine_onecycle_schedule``; ``linear_onecycle_schedule`` is ``interpolation="linear", back=0.85``).
    torch's ``OneCycleLR(total_steps=n)`` is at its end in step n − 1 and at its peak in step rise·n − 1, a fraction:
    :func:`piecewise` reproduces it where that is whole. The momentum does not cycle.

    References
    ----------
    Smith, Topin (2018), Super-convergence: very fast training of neural networks using large learning rates.

    Examples
    --------
    >>> cycle = one_cycle(0.1, 100)
    >>> cycle(0), cycle(30), round(cycle(65), 9), cycle(100)
    (0.004, 0.1, 0.0500002, 4e-07)
    """
    where = "one_cycle"
    peak, steps = rate(where, peak, "peak"), count(where, "steps", steps, 2)
    # a product such as 0.29·100 may come out below the integer that it is
    top = max(1, int(within(where, "rise", rise, 0.0, 1.0, above=True) * steps + 1e-9))
    first = peak / 25.0 if start is None else below(where, "start", start, peak, "A cycle rises first")
    last = (
        peak / 25.0 / 1e4 if final is None else below(where, "final", final, peak, "A cycle falls at the end")
    )
    rates, places = [first, peak, last], [0, top, steps]
    if back is not None:
        rates[2:2] = [first]
        places[2:2] = [int(within(where, "back", back, rise, 1.0, above=True) * steps + 1e-9)]
    if any(a >= b for a, b in pairwise(places)):
        raise ShapeError(
            f"{where}: steps is {steps}, of which the phases end at {places[1:]}, expected each to have a step. Raise "
            "steps, or move rise and back apart."
        )
    if not isinstance(interpolation, str) or interpolation not in INTERPOLATIONS[1:]:
        raise ShapeError(f"{where}: interpolation is {shown(interpolation)}, expected 'cosine' or 'linear'.")
    return Points(tuple(rates), tuple(places), interpolation)


def cosine_restarts(
    peak: Any, steps: int, *, growth: int = 1, final: float = 0.0, delay: int = 0
) -> Schedule:
    """:func:`cosine_decay` again and again, each time back at `peak`: warm restarts.

    Parameters
    ----------
    peak : the rate that every cycle begins with, above 0; may be traced.
    steps : of the first cycle, 1 or more.
    growth : how many times as long as the one before a cycle is, an integer from 1 on.
    final : what every cycle falls towards, from 0 to `peak`.
    delay : steps at `peak` before the first cycle, 0 or more.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : a number outside its range, or NaN; a `final` above `peak`.
    DTypeError : no number; `steps`, `growth` or a `delay` that is no integer.

    Notes
    -----
    The first step of a cycle is at `peak`, and none at `final`: the step that would be there begins the next cycle, as
    in torch's ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)``, whose arguments are ``steps, growth, final``. A
    step's cycle is told by integers, without rounding. With a warm-up in every cycle: :func:`join_schedules` of
    :func:`warmup_cosine`, as optax's ``sgdr_schedule``.

    References
    ----------
    Loshchilov, Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. (5).

    Examples
    --------
    >>> restarts = cosine_restarts(0.1, 10, growth=2)
    >>> restarts(0), round(restarts(5), 9), restarts(10), round(restarts(20), 9), restarts(30)
    (0.1, 0.05, 0.1, 0.05, 0.1)
    """
    where = "cosine_restarts"
    peak = rate(where, peak, "peak")
    cycles = Restarts(
        peak,
        count(where, "steps", steps, 1),
        count(where, "growth", growth, 1),
        below(where, "final", final, peak, "A decay falls"),
    )
    return delayed(where, cycles, delay)


def join_schedules(schedules: Sequence[Schedule], steps: Sequence[int]) -> Schedule:
    """One schedule after another, each with its own count of steps.

    Parameters
    ----------
    schedules : one or more, of pillars.
    steps : where the second begins, the third, and so on, rising, 1 or more: one fewer than schedules.

    Returns
    -------
    schedule, as :func:`linear_warmup`.

    Raises
    ------
    ShapeError : steps that do not rise, or of another number.
    DTypeError : what is no schedule of pillars; steps that are no integers.

    Notes
    -----
    The step named is the first of the next schedule, which sees it as its step 0, as in optax's ``join_schedules`` and
    torch's ``SequentialLR``. All are computed in every step.

    Examples
    --------
    >>> from pillars.calculus import constant, linear_warmup
    >>> joined = join_schedules(
    ...     [linear_warmup(0.1, 10, start=0.0), constant(0.1), polynomial_decay(0.1, 20)], [10, 80]
    ... )
    >>> joined(5), joined(79), joined(90), joined(100)
    (0.05, 0.1, 0.05, 0.0)
    """
    where = "join_schedules"
    if not isinstance(schedules, (list, tuple)) or not schedules:
        raise DTypeError(
            f"{where}: schedules is {shown(schedules)}, expected a list of one or more schedules."
        )
    for i, schedule in enumerate(schedules):
        if not isinstance(schedule, Schedule):
            raise DTypeError(
                f"{where}: schedules[{i}] is {shown(schedule)}, expected a schedule of pillars, such as constant(0.1). "
                "A function of your own, step -> rate, is a schedule by itself: call others in it."
            )
    if not isinstance(steps, (list, tuple)) or len(steps) != len(schedules) - 1:
        raise ShapeError(
            f"{where}: steps is {shown(steps)}, expected {len(schedules) - 1} for {len(schedules)} schedules: where "
            "each but the first begins."
        )
    places = tuple(count(where, f"steps[{i}]", step, 1) for i, step in enumerate(steps))
    if any(a >= b for a, b in pairwise(places)):
        raise ShapeError(
            f"{where}: steps is {list(steps)}, expected each later than the one before. Sort them."
        )
    return Joined(tuple(schedules), places)


def _rate(where: str, what: str, value: Any) -> Any:
    """A rate of 0 or more; what is traced stays."""
    if getattr(value, "shape", None) is None and not hasattr(value, "__float__"):
        raise DTypeError(f"{where}: {what} is {shown(value)}, expected a number.")
    if not hasattr(value, "shape") and value == 0 and not isinstance(value, bool):
        return 0.0
    return rate(where, value, what)
