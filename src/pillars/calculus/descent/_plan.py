"""What the eager and the compiled loop of a descent have in common: the plan, its evaluations, its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError
from pillars.backends import (
    Backend,
    backend as backend_of,
    dtype_kind,
    dtype_name,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_unflatten,
)
from pillars.calculus._parameters import matching_leaves
from pillars.calculus.descent._monitors import EarlyStopping
from pillars.calculus.descent._status import HALTED, STALLED
from pillars.calculus.optimizers import Optimizer, PlateauUpdate
from pillars.random import fold_in, permutation

__all__ = ["Bounds", "Metrics", "Plan", "rows_of"]


class Metrics(NamedTuple):
    """What a callback is shown: the last step's loss (before it), rate and gradient norm, and the parameters.

    Attributes
    ----------
    params : after the step, the callback's own to keep.
    """

    loss: float
    learning_rate: float
    grad_norm: float
    params: Any


class Bounds(NamedTuple):
    """What a step's gradient is held to, each of them None where it is not."""

    clip_norm: Any
    clip_value: Any
    tolerance: Any


@dataclass(frozen=True)
class Plan:
    """A descent's fixed part: what a compiled loop is compiled for."""

    backend: Backend
    loss: Callable[..., Any]
    gradient: Callable[..., Any] | None
    optimizer: Optimizer
    steps: int
    rows: int  # of the data, where batches are drawn; else 0
    batch_size: int | None
    monitors: tuple[Any, ...] = ()

    def value(self, params: Any, *batch: Any) -> Any:
        """The loss."""
        return self.checked(self.loss(params, *batch))

    def checked(self, y: Any) -> Any:
        """What the loss returned, made sure to be one real number."""
        if isinstance(y, (int, float)):
            return self.backend.asarray(float(y))
        shape = getattr(y, "shape", None)
        if shape is None or backend_of("numpy").is_masked(y):
            raise DTypeError(f"gradient_descent: loss returned {type(y).__name__}, expected a 0-d array.")
        if shape != ():
            raise ShapeError(
                f"gradient_descent: loss returned shape {tuple(shape)}, expected one number, (). "
                "Take the mean, or the sum, over its entries."
            )
        if dtype_kind(y.dtype) not in ("float", "half"):
            raise DTypeError(
                f"gradient_descent: loss returned dtype {dtype_name(y.dtype)}, expected a real floating number."
            )
        return y

    def evaluator(self) -> Callable[..., tuple[Any, list[Any]]]:
        """(params, batch) -> the loss and the gradient's leaves, like the parameters'."""
        backend, gradient = self.backend, self.gradient
        if gradient is None:
            both = backend.value_and_grad(self.value)

            def automatic(params: Any, batch: Any) -> tuple[Any, list[Any]]:
                value, grads = both(params, *batch)
                return value, tree_leaves(grads)

            return automatic

        def by_hand(params: Any, batch: Any) -> tuple[Any, list[Any]]:
            grads = gradient(params, *batch)
            return self.value(params, *batch), matching_leaves(
                "gradient_descent: gradient", grads, params, backend
            )

        return by_hand

    def update(self, grads: Any, state: Any, params: Any, loss: Any) -> Any:
        """One step of the optimiser, which is shown the loss where it asks for it."""
        update: Any = self.optimizer.update
        if isinstance(update, PlateauUpdate):
            return update(grads, state, params, value=loss)
        return update(grads, state, params)

    @property
    def halted_codes(self) -> tuple[int, ...]:
        """What it means that a monitor halted the run, for each."""
        return tuple(STALLED if isinstance(monitor, EarlyStopping) else HALTED for monitor in self.monitors)

    @property
    def restores(self) -> bool:
        """Whether the best parameters are to come back."""
        return any(isinstance(monitor, EarlyStopping) and monitor.restore_best for monitor in self.monitors)

    def implied(self, growth: Any, rate: Any) -> tuple[Any, Any] | None:
        """What a steady growth of the error says of the curvature: the optimiser's formula, if it has one."""
        rule = getattr(self.optimizer.update, "rule", None)
        return None if rule is None else rule.implied(growth, rate)

    @property
    def batches(self) -> int:
        """Batches in an epoch; the rows that are left over wait for another epoch's order."""
        return self.rows // self.batch_size if self.batch_size else 1

    def order(self, key: Any, epoch: Any) -> Any:
        """The order of the rows in one epoch."""
        if isinstance(epoch, int):
            epoch = self.backend.asarray(
                epoch, dtype=self.backend.xp.int32, device=self.backend.device_beside(key)
            )
        return permutation(fold_in(key, epoch), self.rows)

    def batch(self, data: Any, order: Any, number: Any) -> Any:
        """Batch `number` of an epoch: its rows of every array that has rows."""
        assert self.batch_size is not None
        xp = self.backend.xp
        places = xp.arange(self.batch_size, dtype=order.dtype, device=self.backend.device_beside(order))
        chosen = xp.take(order, number * self.batch_size + places, axis=0)
        return tree_map(lambda x: xp.take(x, chosen, axis=0) if getattr(x, "shape", ()) else x, data)

    def rebuild(self, params: Any) -> Callable[[list[Any]], Any]:
        """From leaves to a tree like the parameters."""
        treedef = tree_flatten(params)[1]
        return lambda leaves: tree_unflatten(treedef, leaves)


def rows_of(data: Any, batch_size: int) -> int:
    """The number of rows that batches are drawn from."""
    lengths = sorted({x.shape[0] for x in tree_leaves(data) if getattr(x, "shape", ())})
    if not lengths:
        raise ShapeError(
            f"gradient_descent: batch_size is {batch_size}, but there is no data with rows. Pass arrays after params."
        )
    if len(lengths) > 1:
        raise ShapeError(
            f"gradient_descent: data has {' and '.join(map(str, lengths))} rows, expected as many in every array. "
            "Bind what has no rows to the loss with functools.partial."
        )
    if not 1 <= batch_size <= lengths[0]:
        raise ShapeError(
            f"gradient_descent: batch_size is {batch_size}, expected 1 to {lengths[0]}, the rows there are."
        )
    return int(lengths[0])
