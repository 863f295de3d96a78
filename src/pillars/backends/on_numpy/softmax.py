"""The softmax family along a contiguous last axis: one exponential an element, and mostly no pass for the maximum.

Subtracting a row's maximum guards the exponentials against overflow. Most rows need no guard: where the plain sum of a
row's exponentials is finite and at least 1, nothing that matters was lost, and the row is done after one pass. A row
that fails (NaN, infinities and large logits all do) is redone with its maximum subtracted, as the specification has it.
Blocks of rows stay in the cache; pieces of many blocks go to the threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._threads import num_threads, pool_map

__all__ = ["cross_entropy", "log_softmax", "softmax"]

_BLOCK = 2**18  # elements: one or two megabytes, in reach of a core's own cache
_THREADED = 2**20  # elements below which handing work to a thread costs more than it saves
_PIECES = 4  # for each thread, so that a slow one holds up little


def _largest_logged(length: int) -> float:
    """The largest sum with which x − log Σ exp x may be taken as it is: it rounds as the larger of the two does.

    What is promised is a sum of probabilities within 4 eps·√k of 1; above e¹⁶ more would be lost than the
    specification's own subtraction of the maximum rounds off.
    """
    return math.exp(min(16.0, 4.0 * math.sqrt(length)))


def _last_axis(x: Any, /, *, axis: int, temperature: Any) -> str | None:
    if axis not in (-1, x.ndim - 1):
        return f"axis {axis} is not the last one"
    if x.shape[-1] == 1:
        return "one class needs no exponential"
    return None if x.flags.c_contiguous else "x is not contiguous"


def _class_numbers(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any
) -> str | None:
    if labels.dtype.kind not in "iu":
        return "labels are probabilities"
    if label_smoothing != 0.0:
        return "labels are smoothed"
    return None if logits.flags.c_contiguous else "logits are not contiguous"


def _by_blocks(rows: int, length: int, work: Callable[[slice, Any], None], dtype: Any, scratch: bool) -> None:
    """``work(rows of a block, scratch of that shape)`` for every block, pieces of them on the threads."""
    step = max(1, _BLOCK // length)
    pieces = 1 if rows * length < _THREADED else min(_PIECES * num_threads(), -(-rows // step))
    bounds = [rows * piece // pieces for piece in range(pieces + 1)]

    def run(piece: int) -> None:
        first, last = bounds[piece], bounds[piece + 1]
        buffer = np.empty((min(step, last - first), length), dtype) if scratch else None
        with np.errstate(all="ignore"):
            for start in range(first, last, step):
                stop = min(start + step, last)
                work(slice(start, stop), None if buffer is None else buffer[: stop - start])

    pool_map(run, range(pieces))


def _exponentials(x: Any, temperature: float, out: Any, largest: float) -> tuple[Any, Any]:
    """exp of the rows of a block into `out`: their sums, and what was subtracted from each (None: nothing)."""
    np.exp(x if temperature == 1.0 else np.divide(x, temperature, out=out), out=out)
    sums = np.add.reduce(out, axis=-1, keepdims=True)
    good = (sums >= 1.0) & (sums <= largest)  # false for NaN too
    if good.all():
        return sums, None
    # row by row, so that a row's bits depend on that row alone: not on its neighbours, blocks or threads
    again = ~good[:, 0]
    if again.all():
        maxima = np.maximum.reduce(x, axis=-1, keepdims=True)
        _guarded(x, maxima, temperature, out)
        return np.add.reduce(out, axis=-1, keepdims=True), maxima
    rows = x[again]
    maxima = np.zeros_like(sums)
    maxima[again] = top = np.maximum.reduce(rows, axis=-1, keepdims=True)
    out[again] = _guarded(rows, top, temperature, rows)
    sums[again] = np.add.reduce(rows, axis=-1, keepdims=True)
    return sums, maxima


def _guarded(x: Any, maxima: Any, temperature: float, out: Any) -> Any:
    np.subtract(x, maxima, out=out)
    if temperature != 1.0:
        np.divide(out, temperature, out=out)
    return np.exp(out, out=out)


@kernel(minimum_size=2**13, eligible=_last_axis)
def softmax(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """Exponentials straight into the result, divided while they are still in the cache."""
    y = np.empty_like(x)
    length = x.shape[-1]
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    # x is exact and x/T is not: what that rounds off grows with x
    largest = float(np.finfo(x.dtype).max) if temperature == 1.0 else _largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        out = made[rows]
        sums, _ = _exponentials(given[rows], temperature, out, largest)
        np.divide(out, sums, out=out)

    _by_blocks(given.shape[0], length, work, x.dtype, scratch=False)
    return y


@kernel(minimum_size=2**13, eligible=_last_axis)
def log_softmax(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """Exponentials into a block's scratch, of which only the sums are kept."""
    y = np.empty_like(x)
    length = x.shape[-1]
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    largest = _largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        z, out = given[rows], made[rows]
        sums, maxima = _exponentials(z, temperature, scratch, largest)
        if maxima is not None:
            z = np.subtract(z, maxima, out=out)
        if temperature != 1.0:
            z = np.divide(z, temperature, out=out)
        np.subtract(z, np.log(sums), out=out)
        np.minimum(out, 0.0, out=out)  # rounding must not make a probability above 1

    _by_blocks(given.shape[0], length, work, x.dtype, scratch=True)
    return y


@kernel(eligible=_class_numbers)
def cross_entropy(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any
) -> Any:
    """No array of the logits' size: a block's scratch, and one number a sample."""
    length = logits.shape[-1]
    given, classes = logits.reshape(-1, length), labels.reshape(-1)
    losses = np.empty(classes.shape, logits.dtype)
    largest = _largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        sums, maxima = _exponentials(given[rows], temperature, scratch, largest)
        own = np.take_along_axis(given[rows], classes[rows, None], axis=-1)
        if maxima is not None:
            own -= maxima
        if temperature != 1.0:
            own /= temperature
        losses[rows] = np.maximum(np.log(sums) - own, 0.0)[:, 0]

    _by_blocks(classes.shape[0], length, work, logits.dtype, scratch=True)
    if reduction == "none":
        return losses.reshape(labels.shape)
    return np.asarray(losses.mean() if reduction == "mean" else losses.sum())
