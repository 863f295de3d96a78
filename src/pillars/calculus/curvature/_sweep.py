"""Learning rates after the fact and side by side: what a diverged history says, and short runs at several rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError
from pillars.backends import backend, procedure, refuse_traced, tree_leaves, within
from pillars.calculus.descent import gradient_descent, passed_on
from pillars.calculus.optimizers import Optimizer, Sgd, sgd
from pillars.random import as_key

__all__ = ["ImpliedSharpness", "SweepRow", "implied_sharpness", "learning_rate_sweep"]

_STEADY = 1.1  # how much growth factors may vary and still be one number
_FEWEST = 3  # steps of steady growth


class ImpliedSharpness(NamedTuple):
    """What the growth of a loss says of the curvature.

    Attributes
    ----------
    value : the curvature λ; NaN where the loss does not rise at its end.
    limit : the learning rate above which a run diverges at that curvature.
    steady : whether the last growth factors agree within a tenth, three of them at least: else `value` is the mean over
        the rise, and its order of magnitude is what can be trusted.
    steps : how many steps at the end it was read from.
    """

    value: float
    limit: float
    steady: bool
    steps: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "no curvature is implied: the loss does not rise at its end"
        growth = "steady" if self.steady else "not steady: an order of magnitude"
        return (
            f"curvature {self.value:.4g}, from the growth of the last {self.steps} steps, which is {growth}\n"
            f"a run diverges there above the learning rate {self.limit:.4g}"
        )


class SweepRow(NamedTuple):
    """One run: its rate, its last loss, its status."""

    learning_rate: float
    loss: float
    status: str

    def __str__(self) -> str:
        return f"learning rate {self.learning_rate:<8.4g}  loss {self.loss:<10.4g}  {self.status}"


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"),
        "it reads the losses on the host, one by one: call it outside jit, vmap and grad",
    )
)
def implied_sharpness(losses: Any, learning_rate: float, *, momentum: float = 0.0) -> ImpliedSharpness:
    r"""The curvature that a diverged run's losses imply, from their history alone.

    Along the direction that dominates, the error is multiplied by −r in every step, so that successive rises of the
    loss grow by r². Then λ = (1 + r)/η for plain descent, and (1 + β + r + β/r)/η with momentum β.

    Parameters
    ----------
    losses : sequence or array (n,), or a Descent, or its `history`; n of at least 2, in the order of the steps; what
        follows the first entry that is not finite is left out.
    learning_rate : η above 0, the same in all these steps.
    momentum : β in [0, 1), of the heavy ball.

    Returns
    -------
    ImpliedSharpness(value, limit, steady, steps).

    Raises
    ------
    ShapeError : fewer than two losses, or an option outside its range. DTypeError : what is no number.

    Notes
    -----
    Cost: one pass. Rises, not losses, are compared: the loss's minimum is then of no effect.

    References
    ----------
    Goh (2017), Why momentum really works, for the modes of a quadratic under descent.

    Examples
    --------
    >>> found = implied_sharpness([10.0 ** (1.5 * step) for step in range(11)], 1.0)
    >>> round(found.value, 2), round(found.limit, 2), found.steady
    (6.62, 0.3, True)
    >>> print(found)
    curvature 6.623, from the growth of the last 10 steps, which is steady
    a run diverges there above the learning rate 0.302
    """
    losses = getattr(losses, "history", losses)  # a descent
    if hasattr(losses, "loss") and hasattr(losses, "grad_norm"):
        losses = losses.loss  # its whole history
    refuse_traced("implied_sharpness", [losses])
    rate = within("implied_sharpness", "learning_rate", learning_rate, 0.0, above=True)
    rule = Sgd(within("implied_sharpness", "momentum", momentum, 0.0, 1.0), False, 0.0)
    finite = _finite(losses)
    rises = [after - before for before, after in pairwise(finite)]
    count = 0
    while count < len(rises) and rises[-1 - count] > 0:
        count += 1
    if not count:
        return ImpliedSharpness(math.nan, math.nan, False, 0)
    rising = rises[len(rises) - count :]
    factors = [after / before for before, after in pairwise(rising)]
    alike = 0
    while alike < len(factors) and max(factors[-1 - alike :]) < _STEADY * min(factors[-1 - alike :]):
        alike += 1
    steady = alike + 1 >= _FEWEST and factors[-1] > 1
    if steady:
        growth, steps = math.sqrt(math.exp(sum(map(math.log, factors[-alike:])) / alike)), alike + 1
    else:
        start = finite[-1 - count]
        mean = (finite[-1] / start) ** (1 / count) if start > 0 else factors[-1] if factors else 1.0
        growth, steps = math.sqrt(max(mean, 1.0)), count
    value, limit = rule.implied(growth, rate)
    return ImpliedSharpness(float(value), float(limit), steady, steps)


def _finite(losses: Any) -> list[float]:
    result = backend("numpy").xp.asarray(
        backend(losses).to_numpy(losses) if hasattr(losses, "dtype") else losses
    )
    if result.ndim != 1 or result.shape[0] < 2:
        raise ShapeError(
            f"implied_sharpness: losses have shape {result.shape}, expected (n,) with n of at least 2: one loss a step."
        )
    if result.dtype.kind not in "fiu":
        raise DTypeError(f"implied_sharpness: losses have dtype {result.dtype}, expected real numbers.")
    kept: list[float] = []
    for value in result.tolist():
        if not math.isfinite(value):
            break
        kept.append(float(value))
    return kept


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it returns plain numbers: call it outside jit, vmap and grad"
    )
)
def learning_rate_sweep(
    loss: Callable[..., Any],
    params: Any,
    *data: Any,
    rates: Iterable[float],
    steps: int = 50,
    optimizer: Callable[[float], Optimizer] = sgd,
    batch_size: int | None = None,
    rng: Any = 0,
) -> tuple[SweepRow, ...]:
    """A short descent from the same start at each of several rates.

    Parameters
    ----------
    loss, params, data, steps : see :func:`gradient_descent`.
    rates : numbers above 0.
    optimizer : rate -> Optimizer, such as ``lambda rate: adam(rate, beta1=0.8)``.
    batch_size : rows a step, as of :func:`gradient_descent`; None: all rows in every step.
    rng : int seed, key, or NumPy Generator: of the rows' order, which is the same for every rate.

    Returns
    -------
    A SweepRow(learning_rate, loss, status) a rate, in their order; `status` as of :func:`gradient_descent`, `loss` that
    of all data after the last step, in batches too: rates are compared by their effect, not by one batch's luck.

    Raises
    ------
    ShapeError : no rates, or one that is not above 0; else as :func:`gradient_descent`.

    Notes
    -----
    Cost: as many descents; on JAX they are compiled once. :func:`stable_learning_rate` tells the limit for the price of
    some tens of gradients.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks, section 3.3: the range test.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
    >>> rows = learning_rate_sweep(
    ...     lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y, rates=(0.01, 0.09, 0.1)
    ... )
    >>> [row.status for row in rows]
    ['steps', 'steps', 'diverged']
    >>> for row in rows:
    ...     print(row)
    learning rate 0.01      loss 0.02185     steps
    learning rate 0.09      loss 5.878       steps
    learning rate 0.1       loss 3.657e+09   diverged
    """
    if not callable(optimizer):
        raise DTypeError(
            f"learning_rate_sweep: optimizer is {optimizer!r:.60}, expected what makes one of a rate: adam, sgd, or "
            "lambda rate: adamw(rate, weight_decay=0.1)."
        )
    refuse_traced("learning_rate_sweep", tree_leaves((params, data)))
    if not isinstance(rates, Iterable):
        raise DTypeError(
            f"learning_rate_sweep: rates is {rates!r:.60}, expected several numbers: [0.01, 0.1]."
        )
    asked = [within("learning_rate_sweep", "a rate", rate, 0.0, above=True) for rate in rates]
    if not asked:
        raise ShapeError("learning_rate_sweep: got no rates, expected at least one.")
    if hasattr(rng, "bit_generator") or rng is None:  # drawn once: every rate sees the same batches
        rng = as_key(rng, like=next((x for x in tree_leaves((params, data)) if hasattr(x, "shape")), None))
    rows = []
    for rate in asked:
        result = passed_on(
            gradient_descent(
                loss, params, *data, optimizer=optimizer(rate), steps=steps, batch_size=batch_size, rng=rng
            )
        )
        rows.append(SweepRow(rate, float(result.loss), str(result.status)))
    return tuple(rows)
