"""What cross-entropy and its derivatives are made of: which samples count, their logits, weights and surprises."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from pillars.backends import averaged, dtype_kind, dtype_name, dtype_range, namespace, summed
from pillars.probability._softmax_terms import balanced, counted, log_total, only, tempered

__all__ = [
    "Samples",
    "label_slope",
    "losses",
    "of_classes",
    "reduced",
    "samples",
    "shares",
    "slope",
    "smoothing_slope",
    "weight_slope",
    "whole",
]


class Samples(NamedTuple):
    """All samples, classes last; those that do not count have logits and labels 0."""

    z: Any  # (..., k) shifted and tempered logits, never positive
    log_sum: Any  # (...) log Σ exp z; NaN for a class number outside the classes
    labels: Any  # class numbers (...), of an integer dtype that holds k, or probabilities (..., k)
    counts: Any  # (...) which of them count, or None: all
    weight: Any  # (k,) or None


def of_classes(labels: Any) -> bool:
    """Whether labels are class numbers."""
    return dtype_kind(labels.dtype) == "integer"


def shares(labels: Any, ignore_index: int | None, where: Any) -> Any:
    """Which samples count, as booleans of their shape or one that broadcasts to it; None: all."""
    counts = counted(where)
    if ignore_index is None:
        return counts
    low, high = dtype_range(dtype_name(labels.dtype))
    if not low <= ignore_index <= high:
        return counts
    known = labels != ignore_index
    return known if counts is None else known & counts


def samples(
    logits: Any,
    labels: Any,
    *,
    temperature: Any,
    weight: Any,
    ignore_index: int | None,
    where: Any,
    axis: int,
) -> Samples:
    """The arguments of cross-entropy brought into one form."""
    xp = namespace(logits)
    numbers = of_classes(labels)
    if axis not in (-1, logits.ndim - 1):
        logits = xp.moveaxis(logits, axis, -1)
        labels = labels if numbers else xp.moveaxis(labels, axis, -1)
    counts = shares(labels, ignore_index, where)
    if counts is not None:
        if tuple(counts.shape) != tuple(logits.shape[:-1]):
            counts = xp.broadcast_to(counts, tuple(logits.shape[:-1]))
        # what does not count must not come back as 0·NaN
        logits = only(logits, counts[..., None], 0.0)
        labels = xp.where(counts if numbers else counts[..., None], labels, xp.zeros_like(labels))
    z = tempered(logits, -1, temperature)
    log_sum = log_total(z, -1)[1][..., 0]
    if numbers:
        labels, _, known = _known(xp, labels, z)
        log_sum = xp.where(known, log_sum, xp.full_like(log_sum, xp.nan))  # and all that is made of it
    return Samples(z, log_sum, labels, counts, weight)


def losses(s: Samples, smoothing: Any) -> Any:
    """Each sample's loss; 0 for one that does not count."""
    xp = namespace(s.z)
    if not of_classes(s.labels):
        q = _weighted_targets(s, smoothing)
        result = summed(q * _zero_times_infinity(xp, q, _surprise(s)), -1)
    elif s.weight is None:
        own = _own(xp, s)
        # the usual, and a pass less
        plain = isinstance(smoothing, float) and smoothing == 0.0
        result = s.log_sum - own
        if not plain:
            result = s.log_sum - (1 - smoothing) * own - smoothing * _even(xp, s.z, smoothing)
    else:
        share = _own_rows(s)
        own = share * _zero_times_infinity(xp, share, _label_surprise(s))
        even = _even_surprise(s)
        result = (1 - smoothing) * own + smoothing * _spread(xp, smoothing, even)
    return only(result, s.counts, 0.0)


def whole(s: Samples, reduction: str) -> Any:
    """What a mean divides by: how many samples count or, of class numbers with weights, the sum of theirs; else 1.

    NaN for 0: a mean of none.
    """
    xp = namespace(s.z)
    if reduction != "mean":
        return 1.0
    weighted = s.weight is not None and of_classes(s.labels)
    if s.counts is None and not weighted:
        return float(prod(s.log_sum.shape))
    share = _own_rows(s) if weighted else xp.ones_like(s.log_sum)
    total = xp.sum(only(share, s.counts, 0.0))
    # a loss that is smoothed over other classes is not 0 there, and would be infinite
    return xp.where(total == 0, xp.full_like(total, xp.nan), total)


def reduced(found: Any, s: Samples, reduction: str) -> Any:
    """The losses as asked for; the mean of none is NaN."""
    xp = namespace(found)
    if reduction == "none":
        return found
    if reduction == "sum":
        return xp.sum(found)
    by = whole(s, reduction)
    # a plain number: NumPy's own floats are among Python's
    return xp.mean(found) if type(by) is float else xp.sum(found) / by


def _surprise(s: Samples) -> Any:
    """(..., k): −log p of every class."""
    return s.log_sum[..., None] - s.z


def _label_surprise(s: Samples) -> Any:
    """(...): −log p of the label's class, of class numbers."""
    return s.log_sum - _own(namespace(s.z), s)


def _own_rows(s: Samples) -> Any:
    """(...): the weight of the label's class, of class numbers; NaN for one outside the classes."""
    xp = namespace(s.z)
    _, _, known = _known(xp, s.labels, s.z)
    places = xp.reshape(xp.where(known, s.labels, xp.zeros_like(s.labels)), (-1,))
    result = xp.reshape(xp.take(s.weight, places, axis=0), tuple(s.labels.shape))
    return xp.where(known, result, xp.full_like(result, xp.nan))


def _even_surprise(s: Samples) -> Any:
    """(...): the weighted mean of −log p over the classes, what is spread evenly is worth."""
    xp = namespace(s.z)
    return averaged(s.weight * _zero_times_infinity(xp, s.weight, _surprise(s)), -1)


def _targets(s: Samples, smoothing: Any) -> Any:
    """(..., k): smoothed probabilities of the classes."""
    return (1 - smoothing) * s.labels + smoothing / s.z.shape[-1]


def _weighted_targets(s: Samples, smoothing: Any) -> Any:
    q = _targets(s, smoothing)
    return q if s.weight is None else q * s.weight


def slope(s: Samples, smoothing: Any) -> Any:
    """The gradient of each sample's loss in its z, p·Σq − q; exactly balanced, so that p − 1 keeps its digits."""
    xp = namespace(s.z)
    p = xp.exp(s.z - s.log_sum[..., None])
    k = s.z.shape[-1]
    if not of_classes(s.labels):
        q = _weighted_targets(s, smoothing)
        result = p * summed(q, -1, keepdims=True) - q
    else:
        own = _mine(s)
        if s.weight is None:
            result = p - (1 - smoothing) * own - smoothing / k
        else:
            share = _own_rows(s)[..., None]
            result = (1 - smoothing) * share * (p - own)
            result = result + smoothing * (p * (summed(s.weight, -1) / k) - s.weight / k)
    return balanced(result, p, -1)


def smoothing_slope(s: Samples, smoothing: Any) -> Any:
    """The derivative of each sample's loss in the smoothing: the mean surprise less that of the label."""
    xp = namespace(s.z)
    if not of_classes(s.labels):
        q = _weighted_targets(s, smoothing)
        away = 1 / s.z.shape[-1] - s.labels
        away = away if s.weight is None else away * s.weight
        return summed(away * _zero_times_infinity(xp, q, _surprise(s)), -1)
    if s.weight is None:
        return _own(xp, s) - _even(xp, s.z, smoothing)
    share, even = _own_rows(s), _even_surprise(s)
    return _spread(xp, smoothing, even) - share * _zero_times_infinity(xp, share, _label_surprise(s))


def label_slope(s: Samples, smoothing: Any) -> Any:
    """(..., k): the derivative of each sample's loss in its label, of probabilities."""
    q = _weighted_targets(s, smoothing)
    result = (1 - smoothing) * _zero_times_infinity(namespace(s.z), q, _surprise(s))
    return result if s.weight is None else result * s.weight


def weight_slope(s: Samples, smoothing: Any, mean: Any) -> Any:
    """(..., k): the derivative of each loss in the weights; of a mean, less its share in what that divides by."""
    xp = namespace(s.z)
    # a class that cannot be and has no weight is left out
    result = _zero_times_infinity(xp, s.weight, _surprise(s))
    if not of_classes(s.labels):
        return _targets(s, smoothing) * _zero_times_infinity(xp, _targets(s, smoothing), result)
    own = _mine(s)
    each = (1 - smoothing) * xp.where(own == 0, own, result)
    each = each + smoothing / s.z.shape[-1] * _zero_times_infinity(
        xp, xp.zeros_like(result) + smoothing, result
    )
    return each if mean is None else each - mean * own


def _zero_times_infinity(xp: Any, q: Any, found: Any) -> Any:
    """0·inf = 0: a class that cannot be and has no weight is left out, of the sum and of its gradient."""
    return xp.where((q == 0) & (found == xp.inf), xp.zeros_like(found), found)


def _spread(xp: Any, smoothing: Any, even: Any) -> Any:
    """What is spread evenly; with nothing to spread, classes that cannot be do not count."""
    return _zero_times_infinity(xp, xp.zeros_like(even) + smoothing, even)


def _known(xp: Any, labels: Any, z: Any) -> tuple[Any, Any, Any]:
    """Labels and class numbers in one integer dtype that holds both, and which labels are among the classes."""
    classes = xp.arange(z.shape[-1], device=getattr(z, "device", None))
    labels = labels if labels.dtype == classes.dtype else xp.astype(labels, classes.dtype)
    return labels, classes, (labels >= 0) & (labels < z.shape[-1])


def _mine(s: Samples) -> Any:
    """(..., k): 1 for the label's class, 0 for the others, of class numbers."""
    xp = namespace(s.z)
    labels, classes, _ = _known(xp, s.labels, s.z)
    return xp.astype(labels[..., None] == classes, s.z.dtype)


def _own(xp: Any, s: Samples) -> Any:
    """The label's z; NaN for a label outside the classes, whatever the library makes of those."""
    labels, _, known = _known(xp, s.labels, s.z)
    own = xp.take_along_axis(s.z, xp.where(known, labels, xp.zeros_like(labels))[..., None], axis=-1)[..., 0]
    return xp.where(known, own, xp.full_like(own, xp.nan))


def _even(xp: Any, z: Any, smoothing: Any) -> Any:
    """The mean of z, for the share that is spread evenly; with no share, classes that cannot be do not count."""
    even = averaged(z, -1)
    share = xp.zeros_like(even) + smoothing
    return xp.where((share == 0) & (even == -xp.inf), xp.zeros_like(even), even)
