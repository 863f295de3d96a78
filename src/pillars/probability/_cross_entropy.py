"""Cross-entropy of class labels under logits: the loss of every classifier."""

from __future__ import annotations

from typing import Any, Literal

from pillars._typing import AnyArray, Array, Number
from pillars.backends import Call, Draw, namespace, operation, per_entry, summed
from pillars.probability import _cross_entropy_terms as terms
from pillars.probability._cross_entropy_checks import REDUCTIONS, check, check_labels
from pillars.probability._cross_entropy_terms import Samples
from pillars.probability._softmax_terms import draw_where, finite_logits, only

__all__ = ["cross_entropy"]


def logits_and_labels(draw: Draw) -> Call:
    """Logits of one to three axes with class numbers or probabilities, reduced in any way; weights, a mask."""
    batch, k = draw.shape(draw.choice((0, 1, 2))), draw.size(2)
    labels = draw.integers(0, k, *batch)
    if draw.choice((True, False)):
        labels = draw.positive(*batch, k)
        labels = labels / labels.sum(axis=-1, keepdims=True)
    options: dict[str, Any] = {"reduction": draw.choice(REDUCTIONS)}
    if draw.choice((True, False)):
        options["label_smoothing"] = draw.number(0.05, 0.3)
    if draw.choice((True, False)):
        options["temperature"] = draw.number(0.5, 3.0)
    logits = draw.normal(*batch, k, scale=2.0)
    if draw.choice((True, False, False)):
        options["weight"] = draw.positive(k)
    if draw.choice((True, False, False)):
        options["where"] = draw_where(draw, batch, one=True)
    return Call((logits, labels), options)


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
    weight: Array | None = None,
    ignore_index: int | None = None,
    where: AnyArray | None = None,
    axis: int = -1,
) -> Array:
    r"""Cross-entropy between labels and the softmax of logits, in nats.

    Σᵢ qᵢ·(log Σⱼ exp zⱼ − zᵢ), with z = (logits − max)/T and q = w·((1 − ε)·label + ε/k), w the weights of the classes,
    1 without; a class number stands for probability 1 of that class.

    Parameters
    ----------
    logits : array (..., k), real.
    labels : integer array (...), class numbers in [0, k), or floating array (..., k), probabilities. Probabilities
        need not sum to 1: what comes back is linear in them.
    reduction : "mean" or "sum" over all samples that count, or "none".
    label_smoothing : ε in [0, 1): the share of each label that is spread evenly over the k classes.
    temperature : T > 0, as in :func:`softmax`; its gradient is what calibration follows.
    weight : array (k,), real, or None. What each class's −log p is multiplied by; has a gradient.
    ignore_index : the class number of samples that do not count, inside [0, k) or not; with class numbers alone.
    where : boolean or integer array that broadcasts to (...): which samples count (True, or other than 0); None: all.
    axis : the axis of the k classes, in `logits` and in probabilities; class numbers have the others.

    Returns
    -------
    array of the floating dtype of the arguments together, on their device: 0-d, or (...) where nothing is reduced,
    with 0 for a sample that does not count. The mean of class numbers is the weighted one, Σ w·loss / Σ w, with w the
    weights of the labels' classes; that of probabilities is the sum over how many samples count; both as torch has
    them, NaN where nothing counts or what counts has weight 0. Of class numbers not below 0 while the weights are not,
    and a small loss has all its digits: it is within (max |z| + 8 + √k)·eps of the true one, relative.

    Raises
    ------
    ShapeError : shapes that do not fit, no classes, the mean of no samples, a class number outside [0, k) of a sample
        that counts (on the host; on a device, and under jit, that sample's loss is NaN), an option outside its range
        (a traced number is not looked at), ignore_index with probabilities.
    DTypeError : boolean labels, a floating mask; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential a logit; class numbers are picked, never expanded to one-hot rows. A sample whose logits
    have NaN or +inf, or are all −inf, has no answer: NaN. A logit of −inf is a class that cannot be: +inf if its
    label has weight (with smoothing every class has), nothing if it has none (0·log 0 = 0).
    Adding a constant to the logits changes nothing. The gradient is (p·Σq − q)/T; over each sample it sums to 0, and
    it keeps its digits where p rounds to 1. What does not count, by `ignore_index` or `where`, may hold anything, NaN
    too: no gradient comes to it. Smoothing is spread over the classes by their weights, w/k, and a mean divides by
    the weights of the labels alone, as in torch.
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
    >>> cross_entropy(np.asarray([[0.0, -40.0]]), np.asarray([0]))  # right, and all but certain of it
    array(4.24835426e-18)
    >>> labels = np.asarray([0, -100, 1])  # the second has none
    >>> cross_entropy(
    ...     np.log(probabilities), labels, ignore_index=-100, weight=np.asarray([1.0, 3.0, 1.0])
    ... ).round(3)
    np.float64(0.929)
    """
    s = terms.samples(
        logits,
        labels,
        temperature=temperature,
        weight=weight,
        ignore_index=ignore_index,
        where=where,
        axis=axis,
    )
    return terms.reduced(terms.losses(s, label_smoothing), s, reduction)


cross_entropy.check(check)
cross_entropy.check_values(check_labels)

# of class numbers: maximum, difference, exponential, sum; then a quotient and a product
cross_entropy.flops(per_entry(4, 6))


@cross_entropy.forward
def _(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any, **options: Any
) -> Any:
    s = terms.samples(logits, labels, temperature=temperature, **options)
    return terms.reduced(terms.losses(s, label_smoothing), s, reduction), s


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
    axis: int,
    needs: Any,
    residuals: Samples,
    **options: Any,
) -> Any:
    xp, s = namespace(logits), residuals
    g = g / terms.whole(s, reduction)
    if s.counts is not None:
        g = only(xp.broadcast_to(g, tuple(s.counts.shape)), s.counts, 0.0)
    g = g[..., None]  # (..., 1), or (1,) for all samples alike
    dlogits = dlabels = dsmoothing = dtemperature = dweight = None
    if needs.logits or needs.temperature:
        dz = g * terms.slope(s, label_smoothing)
        dlogits = _moved(xp, dz / temperature, axis)
        if needs.temperature:
            dtemperature = -summed(dz * finite_logits(s.z)) / temperature
    if needs.labels:
        dlabels = _moved(xp, g * terms.label_slope(s, label_smoothing), axis)
    if needs.label_smoothing:
        dsmoothing = summed(g[..., 0] * terms.smoothing_slope(s, label_smoothing))
    if needs.weight:
        result = g * terms.weight_slope(s, label_smoothing, y if reduction == "mean" else None)
        dweight = summed(result, tuple(range(result.ndim - 1))) if result.ndim > 1 else result
    return dlogits, dlabels, dsmoothing, dtemperature, dweight, None


def _moved(xp: Any, d: Any, axis: int) -> Any:
    return d if axis == -1 else xp.moveaxis(d, -1, axis)


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
    axis: int,
    **options: Any,
) -> Any:
    xp = namespace(logits)
    s = terms.samples(logits, labels, temperature=temperature, axis=axis, **options)
    change = xp.zeros_like(s.log_sum)
    if tangents.logits is not None:
        slope = terms.slope(s, label_smoothing)
        change = change + summed(slope * xp.moveaxis(tangents.logits, axis, -1), -1) / temperature
    if tangents.temperature is not None:
        along = summed(terms.slope(s, label_smoothing) * finite_logits(s.z), -1)
        change = change - along * (tangents.temperature / temperature)
    if tangents.labels is not None:
        change = change + summed(
            terms.label_slope(s, label_smoothing) * xp.moveaxis(tangents.labels, axis, -1), -1
        )
    if tangents.label_smoothing is not None:
        change = change + terms.smoothing_slope(s, label_smoothing) * tangents.label_smoothing
    if tangents.weight is not None:
        slope = terms.weight_slope(s, label_smoothing, y if reduction == "mean" else None)
        change = change + summed(slope * tangents.weight, -1)
    return terms.reduced(only(change, s.counts, 0.0), s, reduction)
