"""The softmax family along a contiguous last axis: one exponential an element, and mostly no pass for the maximum.

Subtracting a row's maximum guards the exponentials against overflow. Most rows need no guard: where the plain sum of a
row's exponentials is finite and at least 1, nothing that matters was lost, and the row is done after one pass. A row
that fails (NaN, infinities and large logits all do) is redone with its maximum subtracted, as the specification has it.
Blocks of rows stay in the cache; pieces of many blocks go to the threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends.on_numpy._blocks import by_blocks, row_dots
from pillars.backends.on_numpy._logged import largest_logged
from pillars.backends.on_numpy._sums import tree_sum
from pillars.backends.on_numpy.short_rows import (
    SHORT,
    cross_entropy_and_pullback,
    log_softmax_of,
    losses_of,
    softmax_of,
)

__all__ = ["cross_entropy", "log_softmax", "log_softmax_in_place", "logsumexp", "softmax", "softmax_in_place"]


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


def _exponentials(x: Any, temperature: float, out: Any, ones: Any, largest: float) -> tuple[Any, Any]:
    """exp of the rows of a block into `out`: their sums, and what was subtracted from each (None: nothing)."""
    np.exp(x if temperature == 1.0 else np.divide(x, temperature, out=out), out=out)
    sums = row_dots(out, ones)
    good = (sums >= 1.0) & (sums <= largest)  # false for NaN too
    if good.all():
        return sums, None
    # row by row, so that a row's bits depend on that row alone: not on its neighbours, blocks or threads
    again = ~good[:, 0]
    if again.all():
        maxima = np.maximum.reduce(x, axis=-1, keepdims=True)
        _guarded(x, maxima, temperature, out)
        return row_dots(out, ones), maxima
    rows = x[again]
    maxima = np.zeros_like(sums)
    maxima[again] = top = np.maximum.reduce(rows, axis=-1, keepdims=True)
    out[again] = _guarded(rows, top, temperature, rows)
    sums[again] = row_dots(rows, ones)
    return sums, maxima


def _guarded(x: Any, maxima: Any, temperature: float, out: Any) -> Any:
    np.subtract(x, maxima, out=out)
    if temperature != 1.0:
        np.divide(out, temperature, out=out)
    return np.exp(out, out=out)


_maximum: Any = np.maximum.reduce
_sum: Any = np.add.reduce


# The bodies again, without a temporary for each of their lines: of ten numbers those are most of the time. Beside a
# number an array is worked on sooner than beside an array of one, which is what a lone slice reduces to.
def softmax_in_place(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """The body's arithmetic, to the bit, in one array."""
    lone = x.ndim == 1
    e = np.subtract(x, _maximum(x) if lone else _maximum(x, axis, None, None, True))
    if temperature != 1.0:
        np.divide(e, temperature, e)
    np.exp(e, e)
    return np.divide(e, _sum(e) if lone else tree_sum(e, axis, keepdims=True), e)


def log_softmax_in_place(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """The body's arithmetic, to the bit, in two arrays."""
    lone = x.ndim == 1
    z = np.subtract(x, _maximum(x) if lone else _maximum(x, axis, None, None, True))
    if temperature != 1.0:
        np.divide(z, temperature, z)
    e = np.exp(z)
    return np.subtract(z, np.log(_sum(e) if lone else tree_sum(e, axis, keepdims=True)), z)


@kernel(minimum_size=2**13, eligible=_last_axis, otherwise=softmax_in_place)
def softmax(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """Exponentials straight into the result, divided while they are still in the cache."""
    y = np.empty_like(x)
    length = x.shape[-1]
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    if length <= SHORT:
        by_blocks(given.shape[0], length, lambda rows, _: softmax_of(given[rows], temperature, made[rows]))
        return y
    ones = np.ones(length, x.dtype)
    # x is exact and x/T is not: what that rounds off grows with x
    largest = float(np.finfo(x.dtype).max) if temperature == 1.0 else largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        out = made[rows]
        sums, _ = _exponentials(given[rows], temperature, out, ones, largest)
        np.divide(out, sums, out=out)

    by_blocks(given.shape[0], length, work)
    return y


@kernel(minimum_size=2**13, eligible=_last_axis, otherwise=log_softmax_in_place)
def log_softmax(x: Any, /, *, axis: int, temperature: Any) -> Any:
    """Exponentials into a block's scratch, of which only the sums are kept."""
    y = np.empty_like(x)
    length = x.shape[-1]
    given, made = x.reshape(-1, length), y.reshape(-1, length)
    if length <= SHORT:
        by_blocks(
            given.shape[0], length, lambda rows, _: log_softmax_of(given[rows], temperature, made[rows])
        )
        return y
    ones, largest = np.ones(length, x.dtype), largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        z, out = given[rows], made[rows]
        sums, maxima = _exponentials(z, temperature, scratch, ones, largest)
        if maxima is not None:
            z = np.subtract(z, maxima, out=out)
        if temperature != 1.0:
            z = np.divide(z, temperature, out=out)
        np.subtract(z, np.log(sums), out=out)
        np.minimum(out, 0.0, out=out)  # rounding must not make a probability above 1

    by_blocks(given.shape[0], length, work, scratch=x.dtype)
    return y


def _long_rows(x: Any, /, *, axis: Any, keepdims: bool) -> str | None:
    if axis not in (-1, x.ndim - 1, (-1,), (x.ndim - 1,)):
        return f"axis {axis} is not the last one"
    if x.shape[-1] <= SHORT:
        return f"rows of {x.shape[-1]} are short"
    return None if x.flags.c_contiguous else "x is not contiguous"


@kernel(minimum_size=2**13, eligible=_long_rows)
def logsumexp(x: Any, /, *, axis: Any, keepdims: bool) -> Any:
    """Exponentials into a block's scratch, of which only the sums are kept."""
    length = x.shape[-1]
    given = x.reshape(-1, length)
    y = np.empty((given.shape[0], 1), x.dtype)
    ones, largest = np.ones(length, x.dtype), largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        sums, maxima = _exponentials(given[rows], 1.0, scratch, ones, largest)
        np.log(sums, out=y[rows])
        if maxima is not None:
            np.add(y[rows], maxima, out=y[rows])

    by_blocks(given.shape[0], length, work, scratch=x.dtype)
    return y.reshape(*x.shape[:-1], *([1] if keepdims else []))


@kernel(eligible=_class_numbers, pullback=cross_entropy_and_pullback)
def cross_entropy(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any
) -> Any:
    """No array of the logits' size: a block's scratch, and one number a sample."""
    length = logits.shape[-1]
    given, classes = logits.reshape(-1, length), labels.reshape(-1)
    if length <= SHORT:
        losses = np.empty(classes.shape, logits.dtype)
        places = classes.astype(np.intp, copy=False)
        by_blocks(
            classes.size,
            length,
            lambda rows, _: losses_of(given[rows], places[rows], temperature, losses[rows]),
        )
        return _reduced(losses.reshape(labels.shape), reduction)
    losses, shifts = np.empty((classes.size, 1), logits.dtype), np.zeros((classes.size, 1), logits.dtype)
    ones, largest = np.ones(length, logits.dtype), largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        losses[rows], maxima = _exponentials(given[rows], temperature, scratch, ones, largest)
        if maxima is not None:
            shifts[rows] = maxima

    by_blocks(classes.size, length, work, scratch=logits.dtype)
    own = np.take_along_axis(given, classes[:, None], axis=-1)
    np.subtract(own, shifts, out=own)
    if temperature != 1.0:
        np.divide(own, temperature, out=own)
    np.maximum(np.subtract(np.log(losses, out=losses), own, out=losses), 0.0, out=losses)
    return _reduced(losses.reshape(labels.shape), reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return np.asarray(losses.mean() if reduction == "mean" else losses.sum())
