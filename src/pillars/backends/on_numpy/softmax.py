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
from pillars.backends._record import records
from pillars.backends.on_numpy._blocks import by_blocks, row_dots
from pillars.backends.on_numpy._logged import largest_logged
from pillars.backends.on_numpy._sums import tree_sum
from pillars.backends.on_numpy.short_rows import (
    SHORT,
    SURE,
    cross_entropy_and_pullback,
    every_sample_alike,
    log_softmax_of,
    losses_of,
    softmax_of,
)

__all__ = ["cross_entropy", "log_softmax", "log_softmax_in_place", "logsumexp", "softmax", "softmax_in_place"]


def _rows(x: Any, axis: Any) -> str | None:
    """Why an array is no rows in memory along an axis; None where it is."""
    if axis not in (-1, x.ndim - 1, (-1,), (x.ndim - 1,)) and not (axis is None and x.ndim == 1):
        return f"axis {axis} is not the last one"
    return None if x.flags.c_contiguous else "x is not contiguous"


def _last_axis(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> str | None:
    if where is not None:
        return "where= leaves some entries out"
    if x.shape[-1] == 1 and axis is not None:
        return _rows(x, axis) or "one class needs no exponential"
    return _rows(x, axis)


def _class_numbers(
    logits: Any,
    labels: Any,
    /,
    *,
    reduction: str,
    label_smoothing: Any,
    temperature: Any,
    weight: Any,
    ignore_index: int | None,
    where: Any,
    axis: int,
) -> str | None:
    if labels.dtype.kind not in "iu":
        return "labels are probabilities"
    if label_smoothing != 0.0:
        return "labels are smoothed"
    if not every_sample_alike(weight, ignore_index, where, axis):
        return "weight=, ignore_index=, where= or axis= is given"
    return None if logits.flags.c_contiguous else "logits are not contiguous"


def _exponentials(
    x: Any, temperature: float, out: Any, ones: Any, largest: float, least: float = 1.0
) -> tuple[Any, Any]:
    """exp of the rows of a block into `out`: their sums, and what was subtracted from each (None: nothing)."""
    np.exp(x if temperature == 1.0 else np.divide(x, temperature, out=out), out=out)
    sums = row_dots(out, ones)
    good = (sums >= least) & (sums <= largest)  # false for NaN too
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


_MOSTLY_ONE = 1.25  # of a sum whose largest term is 1: below, log loses digits that log1p keeps

_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce
_sum: Any = np.add.reduce


# The bodies again, without a temporary for each of their lines: of ten numbers those are most of the time. Beside a
# number an array is worked on sooner than beside an array of one, which is what a lone slice reduces to.
def _shifted(x: Any, axis: Any, temperature: Any, where: Any) -> tuple[Any, bool]:
    """(x − max)/T in an array of its own, −inf where it does not count; and whether it is a lone slice."""
    lone = x.ndim == 1
    if where is not None:
        x = np.where(where != 0, x, np.asarray(-np.inf, x.dtype))
    z = np.subtract(x, _maximum(x) if lone else _maximum(x, axis, None, None, True))
    if temperature != 1.0:
        np.divide(z, temperature, z)
    return z, lone


def softmax_in_place(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
    """The body's arithmetic, to the bit, in one array."""
    e, lone = _shifted(x, axis, temperature, where)
    np.exp(e, e)
    np.divide(e, _sum(e) if lone else tree_sum(e, axis, keepdims=True), e)
    if where is not None:
        np.copyto(e, 0.0, where=where == 0)
    return e


def log_softmax_in_place(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
    """The body in two arrays; what is beside the largest term of a sum is looked for where that is most of it."""
    z, lone = _shifted(x, axis, temperature, where)
    np.subtract(z, _log_total(np.exp(z), axis, lone), z)
    if where is not None:
        np.copyto(z, -np.inf, where=where == 0)
    return z


def _log_total(e: Any, axis: Any, lone: bool) -> Any:
    """log Σ of exponentials of which the largest is 1; of a sum below 5/4, log1p of what is beside it."""
    if lone:
        total = _sum(e)
        if total >= _MOSTLY_ONE:
            return np.log(total)
        return np.log1p(_sum(np.subtract(e, np.floor(e), e))) if total < _MOSTLY_ONE else total
    sums = tree_sum(e, axis, keepdims=True)
    logs = np.log(sums)
    if not sums.size or _minimum(sums, None) >= _MOSTLY_ONE:
        return logs
    sure = sums < _MOSTLY_ONE
    if axis == -1 and e.ndim == 2:
        others = e[sure[:, 0]]
        np.subtract(others, np.floor(others), others)
        logs[sure] = np.log1p(_sum(others, 1))
    else:
        np.subtract(e, np.floor(e), e)
        np.copyto(logs, np.log1p(tree_sum(e, axis, keepdims=True)), where=sure)
    return logs


@kernel(minimum_size=2**13, eligible=_last_axis, otherwise=softmax_in_place)
def softmax(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
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
def log_softmax(x: Any, /, *, axis: Any, temperature: Any, where: Any) -> Any:
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
        # where one entry has most of the probability, its logarithm is made of the others, and never positive
        sure = (np.maximum.reduce(out, -1) > -SURE).nonzero()[0]
        if sure.size:
            out[sure] = _log_probabilities(given[rows][sure], temperature, scratch[sure], ones)

    by_blocks(given.shape[0], length, work, scratch=x.dtype)
    return y


def _log_probabilities(x: Any, temperature: float, e: Any, ones: Any) -> Any:
    """Of rows in which one entry has most of the probability, from exponentials shifted by anything."""
    top = (np.arange(len(x)), x.argmax(-1))
    own = e[top]
    e[top] = 0.0
    logs = np.log1p(row_dots(e, ones) / own[:, None])
    z = np.subtract(x, x[top][:, None])
    if temperature != 1.0:
        np.divide(z, temperature, z)
    return np.subtract(z, logs, z)


def _unweighted(x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any) -> str | None:
    return None if b is None and not return_sign else "b= or return_sign= is given"


def _long_rows(x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any) -> str | None:
    if b is not None or return_sign or where is not None:
        return "b=, return_sign= or where= is given"
    if x.shape[-1] <= SHORT:
        return _rows(x, axis) or f"rows of {x.shape[-1]} are short"
    return _rows(x, axis)


@kernel(eligible=_unweighted)
def logsumexp_in_place(x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any) -> Any:
    """The body without weights in one array, and its digits as :func:`log_softmax_in_place` finds them."""
    if b is not None or return_sign:
        options = {"axis": axis, "keepdims": keepdims, "b": b, "return_sign": return_sign, "where": where}
        return records()["probability.logsumexp"].body(x, **options)
    lone = x.ndim == 1
    if where is not None:
        x = np.where(where != 0, x, np.asarray(-np.inf, x.dtype))
    m = _maximum(x) if lone and axis != () else _maximum(x, axis, None, None, True)
    e = np.subtract(x, m)
    y = np.add(m, _log_total(np.exp(e, e), axis, lone and axis != ()))
    # m − m of an infinite one
    odd = np.isnan(y)
    if odd.any():
        y = np.where(odd, m, y)
    if lone and axis != ():
        return np.reshape(y, (1,) if keepdims else ())
    return y if keepdims else np.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)


@kernel(minimum_size=2**13, eligible=_long_rows, otherwise=logsumexp_in_place)
def logsumexp(x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any) -> Any:
    """Exponentials into a block's scratch, of which only the sums are kept."""
    length = x.shape[-1]
    given = x.reshape(-1, length)
    y = np.empty((given.shape[0], 1), x.dtype)
    ones, largest = np.ones(length, x.dtype), largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        # no logarithm near 0 is made of a sum near 1
        sums, maxima = _exponentials(given[rows], 1.0, scratch, ones, largest, _MOSTLY_ONE)
        result = np.log(sums, out=y[rows])
        if maxima is None:
            return
        sure = (sums[:, 0] < _MOSTLY_ONE).nonzero()[0]
        if sure.size:
            others = scratch[sure]
            np.subtract(others, np.floor(others), others)
            result[sure] = np.log1p(row_dots(others, ones))
        np.add(result, maxima, out=result)
        # m − m of an infinite one
        np.copyto(result, maxima, where=np.isinf(maxima))

    by_blocks(given.shape[0], length, work, scratch=x.dtype)
    return y.reshape((*x.shape[:-1], *([1] if keepdims else [])))


@kernel(eligible=_class_numbers, pullback=cross_entropy_and_pullback)
def cross_entropy(
    logits: Any,
    labels: Any,
    /,
    *,
    reduction: str,
    label_smoothing: Any,
    temperature: Any,
    weight: Any,
    ignore_index: int | None,
    where: Any,
    axis: int,
) -> Any:
    """No array of the logits' size: a block's scratch, and one number a sample."""
    length = logits.shape[-1]
    given, classes = logits.reshape(-1, length), labels.reshape(-1)
    losses = np.empty(classes.shape, logits.dtype)
    if length <= SHORT:
        places = classes.astype(np.intp, copy=False)
        by_blocks(
            classes.size,
            length,
            lambda rows, _: losses_of(given[rows], places[rows], temperature, losses[rows]),
        )
        return _reduced(losses.reshape(labels.shape), reduction)
    ones, largest = np.ones(length, logits.dtype), largest_logged(length)

    def work(rows: slice, scratch: Any) -> None:
        sums, maxima = _exponentials(given[rows], temperature, scratch, ones, largest)
        places = (np.arange(len(sums)), classes[rows])
        own = given[rows][places]
        if maxima is not None:
            np.subtract(own, maxima[:, 0], own)
        if temperature != 1.0:
            np.divide(own, temperature, own)
        result = np.subtract(np.log(sums[:, 0]), own, out=losses[rows])
        sure = (result < SURE).nonzero()[0]
        if sure.size:
            mine = scratch[places]
            scratch[places] = 0.0
            # no rows are copied where most of them are needed
            few = 2 * sure.size < len(sums)
            rest = row_dots(scratch[sure], ones) if few else row_dots(scratch, ones)[sure]
            result[sure] = np.log1p(rest[:, 0] / mine[sure])

    by_blocks(classes.size, length, work, scratch=logits.dtype)
    return _reduced(losses.reshape(labels.shape), reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return np.asarray(losses.mean() if reduction == "mean" else losses.sum())
