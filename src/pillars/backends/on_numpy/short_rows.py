"""Rows of few classes, transposed: along a short last axis a reduction costs a call's overhead in every row.

Class-major, each class is one long contiguous row: maxima, sums and quotients over classes run at the memory's speed,
and copying there and back costs less than one reduction the other way round. A sample's bits depend on it alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends.on_numpy._blocks import BLOCK, by_blocks

__all__ = [
    "SHORT",
    "SURE",
    "cross_entropy_and_pullback",
    "every_sample_alike",
    "log_softmax_of",
    "losses_of",
    "softmax_of",
]

SHORT = 32  # classes above which a row's reduction pays for itself
# below it a loss is that of a class with three quarters of the probability, and its digits are in the sum of the others
SURE = 0.25


def _tempered(x: Any, temperature: float, out: Any) -> None:
    """(x − max)/T of the rows of `x`, as the columns of `out`."""
    np.copyto(out, x.T)
    np.subtract(out, np.maximum.reduce(out, 0), out)
    if temperature != 1.0:
        np.divide(out, temperature, out)


def _summed(e: Any, sums: Any) -> Any:
    """Σ over classes, one after another, into `sums`: NumPy would add those of a lone column in pairs."""
    if e.shape[1] == 1:
        np.copyto(sums, np.add.accumulate(e, 0)[-1])
        return sums
    return np.add.reduce(e, 0, None, sums)


def softmax_of(x: Any, temperature: float, y: Any) -> None:
    """The softmax of a block's rows, into `y`."""
    e = np.empty(x.shape[::-1], x.dtype)
    _tempered(x, temperature, e)
    np.exp(e, e)
    np.copyto(y, np.divide(e, _summed(e, np.empty(len(x), x.dtype)), e).T)


def log_softmax_of(x: Any, temperature: float, y: Any) -> None:
    """Its logarithm, into `y`."""
    z = np.empty(x.shape[::-1], x.dtype)
    _tempered(x, temperature, z)
    e = np.exp(z)
    logs = np.log(_summed(e, np.empty(len(x), x.dtype)))
    sure = (logs < SURE).nonzero()[0]
    if sure.size:
        others = e.take(sure, 1) if 2 * sure.size < len(x) else e
        np.subtract(others, np.floor(others), others)
        rest = _summed(others, np.empty(others.shape[1], x.dtype))
        logs[sure] = np.log1p(rest if others is not e else rest[sure])
    np.copyto(y, np.subtract(z, logs, z).T)


def losses_of(x: Any, classes: Any, temperature: float, losses: Any) -> None:
    """The cross-entropy of a block's rows, into `losses`."""
    e = np.empty(x.shape[::-1], x.dtype)
    own = np.arange(len(classes)) + classes * len(classes)
    _losses(x, temperature, e, classes, own, np.empty_like(losses), losses, None)


def _losses(
    x: Any, temperature: float, e: Any, classes: Any, own: Any, sums: Any, losses: Any, rests: Any
) -> None:
    """A block's exponentials (one column a sample), their sums, and the losses; `own` are places in all of `e`.

    Where a sample is sure of its label, the loss is made of the sum without the label's exponential; `rests` gets that.
    """
    _tempered(x, temperature, e)
    whole = (e if e.base is None else e.base).reshape(-1)
    mine = whole.take(own)
    np.exp(e, e)
    _summed(e, sums)
    np.subtract(np.log(sums, losses), mine, losses)
    sure = (losses < SURE).nonzero()[0]
    if not sure.size:
        return
    if 2 * sure.size < len(x):
        others = e.take(sure, 1)
        others[classes[sure], np.arange(sure.size)] = 0
        rest = _summed(others, np.empty(sure.size, x.dtype))
        likely = whole.take(own[sure])
    else:
        mine = whole.take(own)
        whole[own] = 0
        rest = _summed(e, np.empty(len(x), x.dtype))[sure]
        whole[own], likely = mine, mine[sure]
    losses[sure] = np.log1p(rest / likely)
    if rests is not None:
        rests[sure] = rest


def every_sample_alike(weight: Any, ignore_index: int | None, where: Any, axis: int) -> bool:
    """Whether no option of cross-entropy tells its samples or classes apart."""
    return weight is None and ignore_index is None and where is None and axis == -1


@kernel()
def cross_entropy_and_pullback(
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
    needs: Any,
) -> Any:
    """The losses and their pullback, which finds the exponentials where the losses left them; None: not served."""
    length, n = logits.shape[-1], labels.size
    if length > SHORT or not n or labels.dtype.kind not in "iu" or label_smoothing != 0.0:
        return None
    if (
        needs.label_smoothing
        or needs.temperature
        or not every_sample_alike(weight, ignore_index, where, axis)
    ):
        return None
    x, classes = logits.reshape(-1, length), labels.reshape(-1).astype(np.intp, copy=False)
    if np.maximum.reduce(classes.view(np.uintp)) >= length:  # what is negative is large there
        return None
    e, sums, losses = np.empty((length, n), x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    own, rests = np.arange(n) + classes * n, np.full(n, np.nan, x.dtype)

    def forward(rows: slice, _: Any = None) -> None:
        _losses(
            x[rows], temperature, e[:, rows], classes[rows], own[rows], sums[rows], losses[rows], rests[rows]
        )

    small = x.size <= BLOCK
    if small:
        _losses(x, temperature, e, classes, own, sums, losses, rests)
    else:
        by_blocks(n, length, forward)
    if reduction == "none":
        y = losses.reshape(labels.shape)
    else:
        total = np.add.reduce(losses)
        y = np.asarray(total / n if reduction == "mean" else total, x.dtype)

    def pullback(g: Any) -> Any:
        scale = g.reshape(-1) if reduction == "none" else (g / n if reduction == "mean" else g)
        if temperature != 1.0:
            scale = scale / temperature
        weights = np.divide(scale, sums)
        if small:
            made = np.multiply(e, weights)
        else:
            made = np.empty_like(e)
            by_blocks(n, length, lambda rows, _: np.multiply(e[:, rows], weights[rows], made[:, rows]))
        flat = made.reshape(-1)
        # p − 1; where p is nearly 1, less what the others have
        flat[own] = np.where(np.isnan(rests), flat.take(own) - scale, -rests * weights)
        return made.T.reshape(logits.shape), None, None, None, None, None

    return y, pullback
