"""What a descent comes to: its history, its result, and the advice that goes with it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pillars._errors import CapabilityError
from pillars.backends import backend as backend_of, tree_leaves
from pillars.calculus.descent._advice import advised
from pillars.calculus.descent._status import Status

__all__ = ["Descent", "History"]


class History(NamedTuple):
    """One entry a step: the loss and the gradient's norm before it, and the learning rate it used."""

    loss: Any
    learning_rate: Any
    grad_norm: Any

    def __repr__(self) -> str:
        """One line: the numbers of a long run would fill the screen."""
        try:
            n = self.loss.shape[-1]
            ends = [(name, float(x[0]), float(x[-1])) for name, x in zip(self._fields, self, strict=True)]
        except (AttributeError, IndexError, TypeError, ValueError):  # traced, mapped or without a step
            return f"History(arrays of shape {getattr(self.loss, 'shape', ())})"
        return f"History({n} steps, {', '.join(f'{name}: {a:.4g} ... {b:.4g}' for name, a, b in ends)})"


class Descent(NamedTuple):
    """Where a descent arrived, and how.

    Attributes
    ----------
    params : the last parameters; after a step that gave a loss or parameters that are not finite, those before it; with
        ``EarlyStopping(restore_best=True)`` the best ones.
    loss : the loss at `params`, on all data, 0-d.
    history : :class:`History` of arrays (steps,). Under the caller's jit they have the length asked for, NaN where no
        step was taken.
    steps : steps taken, 0-d.
    status_code : the status as an integer, 0-d.
    sharpness, limit : where the loss grew by a steady factor, the largest curvature that this implies for the optimizer
        used, and the learning rate above which it diverges; else NaN. 0-d.
    params_step : after how many steps `params` were reached: after all of them, unless better ones came back. 0-d.
    monitor : which of several monitors halted the run, from 0; -1 where none did, or there was but one. 0-d.
    """

    params: Any
    loss: Any
    history: History
    steps: Any
    status_code: Any
    sharpness: Any
    limit: Any
    params_step: Any
    monitor: Any

    def __repr__(self) -> str:
        """One line: arrays by their number, since a network's would fill the screen."""
        leaves = tree_leaves(self.params)
        numbers = sum(math.prod(leaf.shape) for leaf in leaves)
        held = f"params: {len(leaves)} array{'s' * (len(leaves) != 1)} of {numbers} numbers"
        try:
            return f"Descent(status={self.status!r}, loss={self.loss}, steps={self.steps}, {held})"
        except CapabilityError:  # inside a compiled function
            return f"Descent({held}, traced)"

    def __str__(self) -> str:
        try:
            return f"{self!r}\n{self.advice}"
        except CapabilityError:
            return repr(self)

    @property
    def status(self) -> Any:
        """The word: "converged" "steps" "diverged" "halted" "nonfinite" or "interrupted"; a list of these after vmap.

        "running" on what the exception of a callback carries.
        """
        return _each(lambda parts: Status(int(parts[0])).word, self.status_code)

    @property
    def advice(self) -> Any:
        """What the status means for this run, and what to do about it; a list of these after vmap."""
        return _each(
            advised,
            self.status_code,
            self.loss,
            self.steps,
            self.sharpness,
            self.limit,
            self.history.loss,
            self.history.learning_rate,
            self.history.grad_norm,
            self.params_step,
            self.monitor,
        )


def _each(f: Any, *arrays: Any) -> Any:
    backend = backend_of(arrays[0])
    if any(backend.is_tracer(type(x)) for x in arrays):
        raise CapabilityError(
            "Descent: status and advice are words, which have to be read outside the compiled function. "
            "Return the Descent from it, or use status_code inside."
        )
    host = [backend.to_numpy(x) for x in arrays]

    def walk(parts: list[Any]) -> Any:
        if parts[0].ndim == 0:
            return f(parts)
        return [walk([part[i] for part in parts]) for i in range(parts[0].shape[0])]

    return walk(host)
