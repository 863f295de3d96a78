"""Cross-entropy of class labels under logits: the loss of every classifier."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

from pillars._errors import DTypeError, ShapeError, shown
from pillars._typing import AnyArray, Array, Number
from pillars.backends import (
    Call,
    Draw,
    averaged,
    dtype_kind,
    dtype_name,
    namespace,
    operation,
    per_entry,
    summed,
)
from pillars.probability._softmax import check_temperature, finite_logits, tempered

__all__ = ["cross_entropy"]

_REDUCTIONS = ("mean", "sum", "none")


def logits_and_labels(draw: Draw) -> Call:
    """Logits of one to three axes with class numbers or probabilities, reduced in any way."""
    batch, k = draw.shape(draw.choice((0, 1, 2))), draw.size(2)
    labels = draw.integers(0, k, *batch)
    if draw.choice((True, False)):
        labels = draw.positive(*batch, k)
        labels = labels / labels.sum(axis=-1, keepdims=True)
    options: dict[str, Any] = {"reduction": draw.choice(_REDUCTIONS)}
    if draw.choice((True, False)):
        options["label_smoothing"] = draw.number(0.05, 0.3)
    if draw.choice((True, False)):
        options["temperature"] = draw.number(0.5, 3.0)
    return Call((draw.normal(*batch, k, scale=2.0), labels), options)


# JAX takes the rule: three times faster than differentiating through the body's max.
@operation(domain=logits_and_labels, jax_derivative="jvp")
def cross_entropy(
    logits: Array,
    labels: AnyArray,
    /,
    *,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: Number = 0.0,
    temperature: Number = 1.0,
) -> Array:
    r"""Cross-entropy between labels and the softmax of logits, in nats.

    Σᵢ qᵢ·(log Σⱼ exp zⱼ − zᵢ), with z = (logits − max)/T and q = (1 − ε)·label + ε/k; a class number stands for
    probability 1 of that class.

    Parameters
    ----------
    logits : array (..., k), real.
    labels : integer array (...), class numbers in [0, k), or floating array (..., k), probabilities. Probabilities
        need not sum to 1: what comes back is linear in them.
    reduction : "mean" or "sum" over all samples, or "none".
    label_smoothing : ε in [0, 1): the share of each label that is spread evenly over the k classes.
    temperature : T > 0, as in :func:`softmax`; its gradient is what calibration follows.

    Returns
    -------
    array of the floating dtype of the arguments together, on their device: 0-d, or (...) where nothing is reduced.
    Not below the entropy of q, so never negative for class numbers.

    Raises
    ------
    ShapeError : shapes that do not fit, no classes, the mean of no samples, a class number outside [0, k) (on the
        host; on a device, and under jit, that sample's loss is NaN), an option outside its range (a traced number
        is not looked at).
    DTypeError : boolean labels; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential a logit; class numbers are picked, never expanded to one-hot rows. A sample whose logits
    have NaN or +inf, or are all −inf, has no answer: NaN. A logit of −inf is a class that cannot be: +inf if its
    label has weight (with smoothing every class has), nothing if it has none (0·log 0 = 0).
    Adding a constant to the logits changes nothing. The gradient is (p·Σq − q)/T; over each sample it sums to 0.
    Without label smoothing log(p + ε) would cap the loss at −log ε and hide a diverging run; this does not.

    References
    ----------
    Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.108; Szegedy et al. (2016), Rethinking the
    Inception architecture, section 7, for the smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> probabilities = np.asarray([[0.9, 0.05, 0.05], [0.1, 0.6, 0.3], [0.4, 0.3, 0.3]])
    >>> cross_entropy(np.log(probabilities), np.asarray([0, 0, 0]), reduction="none").round(3)
    array([0.105, 2.303, 0.916])
    >>> cross_entropy(np.zeros((2, 10)), np.asarray([3, 7])).round(4)  # knowing nothing: log 10
    np.float64(2.3026)
    """
    return _reduce(namespace(logits), _losses(logits, labels, label_smoothing, temperature)[0], reduction)


@cross_entropy.check
def _(logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any) -> None:
    shape, given = tuple(logits.shape), tuple(labels.shape)
    if not shape or shape[-1] == 0:
        raise ShapeError(
            f"cross_entropy: logits have shape {shape}, expected (..., k) with at least one class on the last axis. "
            "Put the classes last."
        )
    if dtype_kind(labels.dtype) == "bool":
        raise DTypeError(
            f"cross_entropy: labels have dtype {dtype_name(labels.dtype)}, expected integer class numbers or floating "
            "probabilities. Convert them to int64 (class numbers) or to a floating dtype (one-hot rows)."
        )
    classes = dtype_kind(labels.dtype) == "integer"
    expected = shape[:-1] if classes else shape
    if given != expected:
        kind = "class numbers" if classes else "probabilities"
        raise ShapeError(
            f"cross_entropy: labels have shape {given} and dtype {dtype_name(labels.dtype)}, expected {kind} of shape "
            f"{expected} for logits of shape {shape}. {_remedy(shape, given, classes)}"
        )
    if reduction not in _REDUCTIONS:
        raise ShapeError(
            f"cross_entropy: reduction is {shown(reduction)}, expected one of 'mean', 'sum', 'none'."
        )
    if reduction == "mean" and prod(shape[:-1]) == 0:
        raise ShapeError(
            f"cross_entropy: logits have shape {shape}, expected at least one sample: a mean of none has no value. "
            "Skip empty batches, or use reduction='sum'."
        )
    if isinstance(label_smoothing, float) and not 0.0 <= label_smoothing < 1.0:
        raise ShapeError(
            f"cross_entropy: label_smoothing is {label_smoothing}, expected a number in [0, 1). "
            "It is a share of each label: 0.1 is usual."
        )
    check_temperature("cross_entropy", temperature, logits)


def _remedy(shape: tuple[int, ...], given: tuple[int, ...], classes: bool) -> str:
    if classes and given == (*shape[:-1], 1):
        return "Drop the last axis: labels[..., 0]."
    if classes and given == shape:
        return "Convert one-hot rows to a floating dtype, or take their argmax."
    if not classes and given == shape[:-1]:
        return "If they are class numbers, convert them to integers."
    return "Each sample needs one label."


@cross_entropy.check_values
def _(logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any) -> None:
    if dtype_kind(labels.dtype) != "integer" or 0 in labels.shape:
        return
    xp, k = namespace(labels), logits.shape[-1]
    if int(xp.min(labels)) >= 0 and int(xp.max(labels)) < k:
        return
    outside = (labels < 0) | (labels >= k)
    place = tuple(int(axis[0]) for axis in xp.nonzero(outside)) if labels.ndim else ()
    where = f"labels[{', '.join(map(str, place))}]" if place else "the label"
    raise ShapeError(
        f"cross_entropy: {where} is {int(labels[place])}, expected a class number in [0, {k}) "
        f"({int(xp.count_nonzero(outside))} of {prod(labels.shape)} are outside). "
        "Count classes from 0, and leave out samples that have none."
    )


# of class numbers: maximum, difference, exponential, sum; then a quotient and a product
cross_entropy.flops(per_entry(4, 6))


@cross_entropy.forward
def _(logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any) -> Any:
    losses, z, _, sums = _losses(logits, labels, label_smoothing, temperature)
    xp = namespace(logits)
    return _reduce(xp, losses, reduction), (z, xp.log(sums))


@cross_entropy.vjp
def _(
    g: Any,
    y: Any,
    logits: Any,
    labels: Any,
    /,
    *,
    reduction: str,
    label_smoothing: Any,
    temperature: Any,
    needs: Any,
    residuals: Any,
) -> Any:
    xp = namespace(logits)
    z, log_sum = residuals
    if reduction == "mean":
        g = g / prod(logits.shape[:-1])
    g = g[..., None]  # (..., 1), or (1,) for all samples alike
    dlogits = dlabels = dsmoothing = dtemperature = None
    if needs.logits or needs.temperature:
        dz = g * _slope(xp.exp(z - log_sum[..., None]), labels, label_smoothing)
        dlogits = dz / temperature
        if needs.temperature:
            dtemperature = -summed(dz * finite_logits(z)) / temperature
    if needs.labels:
        surprise = _weighted(xp, _targets(labels, z, label_smoothing), log_sum[..., None] - z)
        dlabels = g * (1 - label_smoothing) * surprise
    if needs.label_smoothing:
        dsmoothing = summed(g[..., 0] * _smoothing_slope(z, log_sum, labels, label_smoothing))
    return dlogits, dlabels, dsmoothing, dtemperature


@cross_entropy.jvp
def _(
    tangents: Any,
    y: Any,
    logits: Any,
    labels: Any,
    /,
    *,
    reduction: str,
    label_smoothing: Any,
    temperature: Any,
) -> Any:
    xp = namespace(logits)
    _, z, e, sums = _losses(logits, labels, label_smoothing, temperature)
    log_sum = xp.log(sums)
    slope = _slope(e / sums[..., None], labels, label_smoothing)
    losses = xp.zeros_like(log_sum)
    if tangents.logits is not None:
        losses = losses + summed(slope * tangents.logits, -1) / temperature
    if tangents.temperature is not None:
        along = summed(slope * finite_logits(z), -1)
        losses = losses - along * (tangents.temperature / temperature)
    if tangents.labels is not None:
        surprise = _weighted(xp, _targets(labels, z, label_smoothing), log_sum[..., None] - z)
        losses = losses + (1 - label_smoothing) * summed(surprise * tangents.labels, -1)
    if tangents.label_smoothing is not None:
        losses = losses + _smoothing_slope(z, log_sum, labels, label_smoothing) * tangents.label_smoothing
    return _reduce(xp, losses, reduction)


def _losses(logits: Any, labels: Any, smoothing: Any, temperature: Any) -> tuple[Any, Any, Any, Any]:
    """Each sample's loss, its shifted and tempered logits z, exp z and Σ exp z."""
    xp = namespace(logits)
    z = tempered(logits, -1, temperature)
    e = xp.exp(z)
    sums = summed(e, -1)
    if dtype_kind(labels.dtype) == "integer":
        sums = xp.where(
            _known(xp, labels, z)[2], sums, xp.full_like(sums, xp.nan)
        )  # and all that is made of it
    log_sum = xp.log(sums)
    if dtype_kind(labels.dtype) == "integer":
        own = _own(xp, z, labels)
        if isinstance(smoothing, float) and smoothing == 0.0:  # the usual, and a pass less
            return log_sum - own, z, e, sums
        return log_sum - (1 - smoothing) * own - smoothing * _even(xp, z, smoothing), z, e, sums
    q = _targets(labels, z, smoothing)
    return summed(q * _weighted(xp, q, log_sum[..., None] - z), -1), z, e, sums


def _known(xp: Any, labels: Any, z: Any) -> tuple[Any, Any, Any]:
    """Labels and class numbers in one integer dtype that holds both, and which labels are among the classes."""
    classes = xp.arange(z.shape[-1], device=getattr(z, "device", None))
    labels = xp.astype(labels, classes.dtype)
    return labels, classes, (labels >= 0) & (labels < z.shape[-1])


def _own(xp: Any, z: Any, labels: Any) -> Any:
    """The label's z; NaN for a label outside the classes, whatever the library makes of those."""
    labels, _, known = _known(xp, labels, z)
    own = xp.take_along_axis(z, xp.where(known, labels, xp.zeros_like(labels))[..., None], axis=-1)[..., 0]
    return xp.where(known, own, xp.full_like(own, xp.nan))


def _even(xp: Any, z: Any, smoothing: Any) -> Any:
    """The mean of z, for the share that is spread evenly; with no share, classes that cannot be do not count."""
    even = averaged(z, -1)
    share = xp.zeros_like(even) + smoothing
    return xp.where((share == 0) & (even == -xp.inf), xp.zeros_like(even), even)


def _targets(labels: Any, z: Any, smoothing: Any) -> Any:
    return (1 - smoothing) * labels + smoothing / z.shape[-1]


def _weighted(xp: Any, q: Any, surprise: Any) -> Any:
    """0·inf = 0: a class that cannot be and has no weight is left out, of the sum and of its gradient."""
    return xp.where((q == 0) & (surprise == xp.inf), xp.zeros_like(surprise), surprise)


def _slope(p: Any, labels: Any, smoothing: Any) -> Any:
    """The gradient of each sample's loss in its z, from its probabilities: p·Σq − q."""
    xp = namespace(p)
    if dtype_kind(labels.dtype) != "integer":
        q = _targets(labels, p, smoothing)
        return p * summed(q, -1, keepdims=True) - q
    labels, classes, _ = _known(xp, labels, p)
    mine = xp.astype(labels[..., None] == classes, p.dtype)
    return p - (1 - smoothing) * mine - smoothing / p.shape[-1]


def _smoothing_slope(z: Any, log_sum: Any, labels: Any, smoothing: Any) -> Any:
    """The derivative of each sample's loss in the smoothing: the mean surprise less that of the label."""
    xp = namespace(z)
    if dtype_kind(labels.dtype) == "integer":
        return _own(xp, z, labels) - _even(xp, z, smoothing)
    surprise = _weighted(xp, _targets(labels, z, smoothing), log_sum[..., None] - z)
    return summed((1 / z.shape[-1] - labels) * surprise, -1)


def _reduce(xp: Any, losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return xp.mean(losses) if reduction == "mean" else xp.sum(losses)
