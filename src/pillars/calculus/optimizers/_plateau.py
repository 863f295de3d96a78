"""A learning rate that falls when the loss no longer does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from pillars._errors import DTypeError, shown
from pillars.backends import Backend, backend as backend_of, count, tree_leaves, within
from pillars.calculus._parameters import number_on, one_number, rate_dtype
from pillars.calculus.optimizers._optimizers import Optimizer
from pillars.calculus.optimizers._update_rules import Step

__all__ = ["PlateauInit", "PlateauState", "PlateauUpdate", "reduce_on_plateau"]

_LEAST = 1e-4  # of the best loss: what a better one is lower by


class PlateauState(NamedTuple):
    """Steps taken, the rate of the next one, and what lowers it; all 0-d but `inner`.

    Attributes
    ----------
    scale : what the rate has been lowered to, as a part of what it would be.
    best : the best loss.
    waited : how many losses since have not beaten it.
    cooling : how many losses from here on do not count, as the rate has just fallen.
    inner : the optimiser's own state.
    """

    step: Any
    learning_rate: Any
    scale: Any
    best: Any
    waited: Any
    cooling: Any
    inner: Any


@dataclass(frozen=True)
class PlateauInit:
    """params -> the first state."""

    inner: Any

    def __call__(self, params: Any) -> PlateauState:
        state = self.inner(params)
        leaves = tree_leaves(params)
        backend = backend_of(leaves[0])
        dtype, device = rate_dtype(backend.xp, leaves), backend.device_beside(leaves[0])

        def number(value: Any, kind: Any) -> Any:
            return number_on(backend, value, kind, device)

        return PlateauState(
            state.step,
            state.learning_rate,
            number(1.0, dtype),
            number(math.inf, dtype),
            number(0, backend.xp.int32),
            number(0, backend.xp.int32),
            state,
        )


@dataclass(frozen=True)
class PlateauUpdate:
    """(grads, state, params, value) -> Step."""

    inner: Any
    factor: float
    patience: int
    cooldown: int = 0
    min_rate: float = 0.0

    @property
    def rule(self) -> Any:
        """That of the optimiser inside, where it is one of pillars'."""
        return getattr(self.inner, "rule", None)

    @property
    def schedule(self) -> Any:
        """Likewise."""
        return getattr(self.inner, "schedule", None)

    def lowered(self, xp: Any, value: Any, rate: Any, *level: Any) -> tuple[Any, ...]:
        """The rule, on arrays or on Python's numbers: the rate to use now; and scale, best, waited, cooling after."""
        scale, best, waited, cooling = level
        better = value < xp.where(best == math.inf, best, best - _LEAST * abs(best))
        waited = xp.where(better | (cooling > 0), 0 * waited, waited + 1)
        cooling = xp.maximum(cooling - 1, 0 * cooling)
        full = waited >= self.patience
        now = xp.where(full, rate * self.factor, rate)
        by = xp.where(full, self.factor + 0 * scale, 1.0 + 0 * scale)
        if self.min_rate:
            # a schedule may be below it by itself: then nothing raises it
            now = xp.maximum(now, xp.minimum(rate, self.min_rate + 0 * rate))
            by = xp.where(full & (rate > 0), now / xp.where(rate > 0, rate, 1.0 + 0 * rate), by)
        return (
            now,
            scale * by,
            xp.where(better, value, best),
            xp.where(full, 0 * waited, waited),
            xp.where(full, self.cooldown + 0 * cooling, cooling),
        )

    def __call__(self, grads: Any, state: PlateauState, params: Any, *, value: Any = None) -> Step:
        backend = backend_of(state.waited)
        xp, dtype = backend.xp, state.best.dtype
        loss = _loss(value, backend, dtype)
        with backend.quiet():
            now, *level = (
                backend.as_arrays(x) for x in self.lowered(xp, loss, state.learning_rate, *state[2:6])
            )
        made = self.inner(grads, state.inner._replace(learning_rate=now), params)
        following = made.state.learning_rate
        if self.schedule is not None:  # which knows nothing of the scale
            following = backend.as_arrays(following * level[0])
        scale, best, waited, cooling = level
        after = PlateauState(made.state.step, following, scale, best, waited, cooling, made.state)
        return Step(made.params, after, made.grad_norm, made.learning_rate, made.update_ratio)


def reduce_on_plateau(
    optimizer: Optimizer, *, factor: float, patience: int, cooldown: int = 0, min_rate: float = 0.0
) -> Optimizer:
    r"""An optimiser whose learning rate is multiplied by `factor` whenever the loss has not fallen for a while.

    Parameters
    ----------
    optimizer : such as ``adam(0.01)``; its rate may be a schedule, which is then multiplied. One of your own needs a
        state with the fields ``step`` and ``learning_rate``, and an update that uses the latter.
    factor : in (0, 1).
    patience : how many losses in a row may fail to beat the best one, 1 or more: at that many the rate falls, in this
        very update, and the count begins anew.
    cooldown : how many losses after a fall are not counted, 0 or more: what the lower rate stirs up is no plateau. They
        may be the best.
    min_rate : at least 0: where the rate would fall below it, it falls to it. A rate that a schedule has brought below
        is left there.

    Returns
    -------
    Optimizer(init, update), whose update takes the loss too: ``update(grads, state, params, value=loss)``. The state
    is ``PlateauState(step, learning_rate, scale, best, waited, cooling, inner)``. :func:`gradient_descent` hands over
    the loss of every step: with batches that is the batch's, whose noise asks for more patience.

    Raises
    ------
    ShapeError : a factor outside (0, 1), a patience below 1, a cooldown or `min_rate` below 0; a loss that is not one
        number.
    DTypeError : no optimiser, no number; an update without a value.

    Notes
    -----
    A loss beats the best one, L, if it is below L − 10⁻⁴·|L|: optax's and torch's default where losses are positive;
    where they are negative theirs takes some that are worse for better. It is torch's ``threshold_mode="rel"``. NaN
    beats nothing. It acts as soon as `patience` losses have failed, as optax; torch waits for one more, so that its
    ``patience`` is one less, acts in the step after, and leaves a rate alone that would change by less than its
    ``eps``. Cooldowns are theirs. `min_rate` is a rate, as torch's ``min_lr``; optax's ``min_scale`` is a part of it.
    The best loss stays when the rate falls. Costs a few scalar operations a step.

    References
    ----------
    He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition, section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars.calculus import sgd
    >>> optimizer = reduce_on_plateau(sgd(0.1), factor=0.5, patience=2)
    >>> params = np.asarray([1.0])
    >>> state = optimizer.init(params)
    >>> for loss in (3.0, 2.0, 2.5, 2.0, 1.0):
    ...     step = optimizer.update(np.asarray([0.0]), state, params, value=loss)
    ...     state = step.state
    ...     print(step.learning_rate)
    0.1
    0.1
    0.1
    0.05
    0.05
    """
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(
            f"reduce_on_plateau: optimizer is {shown(optimizer)}, expected an Optimizer such as "
            "pillars.calculus.sgd(0.01)."
        )
    factor = within("reduce_on_plateau", "factor", factor, 0.0, 1.0, above=True)
    patience = count("reduce_on_plateau", "patience", patience, 1)
    cooldown = count("reduce_on_plateau", "cooldown", cooldown, 0)
    min_rate = within("reduce_on_plateau", "min_rate", min_rate, 0.0)
    update = PlateauUpdate(optimizer.update, factor, patience, cooldown, min_rate)
    return Optimizer(PlateauInit(optimizer.init), update)


def _loss(value: Any, backend: Backend, dtype: Any) -> Any:
    if value is None:
        raise DTypeError(
            "reduce_on_plateau: value is None, expected the loss. Call update(grads, state, params, value=loss)."
        )
    return one_number("reduce_on_plateau", value, backend, dtype)
