"""Monitors: what watches the losses of a run and says when to halt it, as pure init and update with a visible state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import Backend, backend as backend_of, chosen, count, dtype_kind, tree_leaves, within
from pillars.calculus._parameters import one_number, rate_dtype

__all__ = [
    "EarlyStopping",
    "LossMonitor",
    "Monitor",
    "RisingState",
    "RobustState",
    "StoppingState",
    "watching",
]

_LEVEL = 0.1  # the weight of a new loss in the level, once ten are in
_NOISE = 0.05  # and that of a new difference in the noise, once twenty are in
_SETTLED = 10  # losses after which the level is steady enough for its least value to be kept
_NOISES = 6.0
_SLACK = 1e-6  # of the level: what sums over the data round off in float32
_PER_DIFFERENCE = math.sqrt(math.pi) / 2  # standard deviation over mean |difference| of two, for normal noise


class RisingState(NamedTuple):
    """The last loss, how many in a row have risen, and whether to halt: all 0-d."""

    last: Any
    rises: Any
    halted: Any


class RobustState(NamedTuple):
    """What the robust rule knows, all 0-d.

    Attributes
    ----------
    last, before : the last two finite losses.
    level : their running level.
    lowest : the least level so far.
    noise : the running size of a loss's noise, as a standard deviation.
    step : finite losses seen.
    rises : how many losses in a row lay too high.
    halted : whether to halt.
    """

    last: Any
    before: Any
    level: Any
    lowest: Any
    noise: Any
    step: Any
    rises: Any
    halted: Any


class StoppingState(NamedTuple):
    """The best loss, how many since have not beaten it, and whether to halt: all 0-d."""

    best: Any
    waited: Any
    halted: Any


class Monitor:
    """A pair of pure functions: ``init(like) -> state`` and ``update(loss, state) -> state``."""

    patience: int

    def init(self, like: Any = None) -> Any:
        """The state before any loss.

        Parameters
        ----------
        like : an array, or a tree of them, whose library, floating dtype and device the state takes: the first loss,
            or the parameters. None: those of the chosen backend.
        """
        leaves = [x for x in tree_leaves(like) if hasattr(x, "shape")]
        if leaves:
            backend = backend_of(leaves[0])
            floats = [x for x in leaves if dtype_kind(x.dtype) in ("float", "half")]
            dtype = rate_dtype(backend.xp, floats) if floats else backend.default_float
            return self._fresh(_maker(backend, dtype, backend.device_beside(leaves[0])))
        backend, choice = backend_of(), chosen()
        mine = choice.backend == backend.name
        dtype = (choice.dtype if mine else None) or backend.default_float
        return self._fresh(_maker(backend, dtype, choice.device if mine else None))

    def update(self, loss: Any, state: Any) -> Any:
        """The state after one more loss: a number or a 0-d array; ``state.halted`` says whether to halt."""
        if not isinstance(state, type(self.first())):
            raise DTypeError(
                f"{type(self).__name__}: state is {shown(state)}, expected what init or update returned. "
                "The loss comes first: update(loss, state)."
            )
        backend = backend_of(state.halted)
        xp, dtype = backend.xp, state[0].dtype
        value = one_number(type(self).__name__, loss, backend, dtype)
        with backend.quiet():
            made = self.advance(xp, lambda n: xp.astype(n, dtype), value, state)
        return type(state)(*(backend.as_arrays(x) for x in made))

    def first(self) -> Any:
        """The state before any loss, of Python's numbers."""
        return self._fresh(lambda value: value)

    def advance(self, xp: Any, real: Callable[[Any], Any], loss: Any, state: Any) -> Any:
        """The rule: the state after `loss`, on arrays or on Python's numbers; `real` makes a count floating."""
        raise TypeError(f"{type(self).__name__} has no rule")

    def _fresh(self, make: Callable[[Any], Any]) -> Any:
        raise TypeError(f"{type(self).__name__} has no state")


def watching(monitor: Any, like: Any) -> Any:
    """The first state of a monitor, which may be anyone's; None where there is none."""
    if monitor is None:
        return None
    state = monitor.init(like)
    if not hasattr(state, "halted"):
        raise DTypeError(
            f"gradient_descent: monitor.init returned {state!r}, expected a state with a boolean field `halted`."
        )
    return state


def _maker(backend: Backend, dtype: Any, device: Any) -> Callable[[Any], Any]:
    """From Python's numbers to 0-d arrays: bools, counts, and floats of `dtype`."""
    kinds = {bool: backend.xp.bool, int: backend.xp.int32, float: dtype}
    return lambda value: backend.asarray(value, dtype=kinds[type(value)], device=device)


@dataclass(frozen=True, kw_only=True)
class LossMonitor(Monitor):
    r"""Halt a run whose loss rises and goes on rising.

    Parameters
    ----------
    patience : how many losses in a row must have risen, 1 or more.
    rule : what a rise is.

        - "rising": a loss above the one before. For losses without noise: every row of data in every step, or a mean
          over an epoch. Noise alone raises three in a row once in some 24 losses.
        - "robust": a loss more than 6 times the noise above the lowest level that the run has had. For mini-batches.

    Notes
    -----
    Exactly: NaN counts as +∞, and +∞ as risen, whatever the rule. Nothing else is learnt from what is not finite; of
    the finite losses L₁, L₂, … the robust rule knows three numbers.

    - The level is a running mean of mₙ, the median of Lₙ₋₂, Lₙ₋₁, Lₙ (Lₙ itself for n < 3), so that one odd loss does
      not move it: levelₙ = levelₙ₋₁ + max(1/n, 0.1)·(mₙ − levelₙ₋₁).
    - The lowest level is the least of the levels from the tenth on; before, the level.
    - The noise is √π/2 times a running mean of |Lₙ − Lₙ₋₁|, with weights max(1/(n−1), 0.05): the standard deviation,
      if the noise is normal and independent.
    - A loss, from the third on, has risen if it is above lowest + 6·noise + 10⁻⁶·|lowest|, all taken before it.

    Over 3000 losses the robust rule halted none of 100 runs with normal noise on a plateau or on a falling loss, and
    under 5 in 100 with noise of heavy tails (Student's with two degrees, log-normal). It sees a loss that doubles after
    three losses, one that grows by 5% without noise after ten. It takes a loss that wanders for long above its lowest
    level (noise whose correlation from loss to loss is above one half) for a rise: raise `patience`.

    Costs a few scalar operations a loss. `patience` and `rule` make two monitors equal, and belong to what
    :func:`gradient_descent` compiles.

    References
    ----------
    Huber, Ronchetti (2009), Robust statistics, 2nd edition, section 1.2, for medians in the place of means.

    Examples
    --------
    >>> monitor = LossMonitor(patience=3)
    >>> state = monitor.init()
    >>> for loss in (2.4, 2.5, 3.9, 60.0):
    ...     state = monitor.update(loss, state)
    >>> bool(state.halted), int(state.rises)
    (True, 3)
    """

    patience: int = 3
    rule: str = "rising"

    def __post_init__(self) -> None:
        count("LossMonitor", "patience", self.patience, 1)
        if not isinstance(self.rule, str) or self.rule not in ("rising", "robust"):
            raise ShapeError(
                f"LossMonitor: rule is {shown(self.rule)}, expected 'rising' or 'robust'. "
                "Robust is for losses with noise, such as those of mini-batches."
            )

    def _fresh(self, make: Callable[[Any], Any]) -> Any:
        none, off = make(0), make(False)
        if self.rule == "rising":
            return RisingState(make(math.inf), none, off)
        zero = make(0.0)
        return RobustState(zero, zero, zero, zero, zero, none, none, off)

    def advance(self, xp: Any, real: Callable[[Any], Any], loss: Any, state: Any) -> Any:
        """The rule: the state after `loss`, on arrays or on Python's numbers; `real` makes a count floating."""
        value = xp.where(loss == loss, loss, xp.full_like(loss, math.inf))  # noqa: PLR0124 - false for NaN
        if self.rule == "rising":
            rises = xp.where((value > state.last) | (value == math.inf), state.rises + 1, 0 * state.rises)
            return RisingState(value, rises, state.halted | (rises >= self.patience))
        reach = state.lowest + _NOISES * state.noise + _SLACK * abs(state.lowest)
        high = (state.step >= 2) & (value > reach) | (value == math.inf)
        rises = xp.where(high, state.rises + 1, 0 * state.rises)
        finite = xp.isfinite(value)
        learnt = _learn(xp, real, xp.where(finite, value, state.last), state)
        kept = [xp.where(finite, new, old) for new, old in zip(learnt, state, strict=False)]
        return RobustState(*[*kept, rises, state.halted | (rises >= self.patience)])


def _learn(xp: Any, real: Callable[[Any], Any], loss: Any, state: RobustState) -> tuple[Any, ...]:
    """The first six fields after one more finite loss."""
    last, before, level, lowest, noise, n = state[:6]
    middle = xp.maximum(xp.minimum(before, last), xp.minimum(xp.maximum(before, last), loss))
    middle = xp.where(n < 2, loss, middle)
    level = level + xp.maximum(1.0 / real(n + 1), _LEVEL) * (middle - level)
    jump = _PER_DIFFERENCE * abs(loss - last)
    grown = noise + xp.maximum(1.0 / xp.maximum(real(n), 1.0), _NOISE) * (jump - noise)
    return (
        loss,
        last,
        level,
        xp.where(n < _SETTLED, level, xp.minimum(lowest, level)),
        xp.where((n > 0) & xp.isfinite(grown), grown, noise),
        n + 1,
    )


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Monitor):
    """Halt a run whose loss has stopped falling.

    Parameters
    ----------
    patience : how many losses in a row may fail to beat the best one, 1 or more: at that many it halts.
    min_delta : a loss beats the best one if it is lower by more than this; at least 0, in the loss's units.
    restore_best : the parameters that :func:`gradient_descent` returns are those of the least loss it has seen, however
        it ended, and ``params_step`` says after how many steps; not the last ones. See the notes.

    Notes
    -----
    NaN and +∞ beat nothing. The best loss is lowered only by one that beats it, so that a slow fall of less than
    `min_delta` in `patience` losses counts as none. Give it losses that mean something: those of a validation set by
    hand, ``state = monitor.update(loss, state)``, as in a callback of :func:`gradient_descent`, which is shown the
    parameters and ends the run by returning True; as its ``monitor=`` it sees the loss of every step.

    With `restore_best` a descent holds one more set of parameters, and computes one more loss at its end: the best ones
    come back unless the last ones have a loss as low on all data. The least loss counts, `min_delta` or not. With
    batches it is that of a batch: a lucky one may be the least, and of its parameters and the last ones those come back
    that are better on all data. By hand, keep the parameters at which the loss was below ``state.best``.

    References
    ----------
    Prechelt (1998), Early stopping – but when?, criterion UP, with the best loss in the place of the last one.

    Examples
    --------
    >>> monitor = EarlyStopping(patience=2, min_delta=0.01)
    >>> state = monitor.init()
    >>> for loss in (1.0, 0.5, 0.495, 0.5):
    ...     state = monitor.update(loss, state)
    >>> bool(state.halted), float(state.best), int(state.waited)
    (True, 0.5, 2)
    """

    patience: int
    min_delta: float = 0.0
    restore_best: bool = False

    def __post_init__(self) -> None:
        count("EarlyStopping", "patience", self.patience, 1)
        within("EarlyStopping", "min_delta", self.min_delta, 0.0)
        if not isinstance(self.restore_best, bool):
            raise DTypeError(
                f"EarlyStopping: restore_best is {shown(self.restore_best)}, expected True or False."
            )

    def _fresh(self, make: Callable[[Any], Any]) -> Any:
        return StoppingState(make(math.inf), make(0), make(False))

    def advance(self, xp: Any, real: Callable[[Any], Any], loss: Any, state: Any) -> Any:
        """The rule: the state after `loss`, on arrays or on Python's numbers; `real` makes a count floating."""
        better = loss < state.best - self.min_delta
        waited = xp.where(better, 0 * state.waited, state.waited + 1)
        return StoppingState(
            xp.where(better, loss, state.best), waited, state.halted | (waited >= self.patience)
        )
