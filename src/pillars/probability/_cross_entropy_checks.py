"""What cross-entropy refuses: shapes that do not fit, and class numbers that are none."""

from __future__ import annotations

from math import prod
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import dtype_kind, dtype_name, namespace
from pillars.probability._cross_entropy_terms import of_classes, shares
from pillars.probability._softmax_terms import check_temperature, check_where

__all__ = ["REDUCTIONS", "check", "check_labels"]

REDUCTIONS = ("mean", "sum", "none")


def check(
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
) -> None:
    """Refuse shapes that do not fit and options outside their range."""
    shape, given = tuple(logits.shape), tuple(labels.shape)
    if axis != -1 and not -len(shape) <= axis < len(shape):
        raise ShapeError(
            f"cross_entropy: axis is {axis}, expected one in [-{len(shape)}, {len(shape)}): logits have shape {shape}."
        )
    if not shape or shape[axis] == 0:
        raise ShapeError(
            f"cross_entropy: logits have shape {shape}, expected (..., k) with at least one class on "
            f"{'the last axis' if axis == -1 else f'axis {axis}'}. Put the classes last, or say axis=."
        )
    if dtype_kind(labels.dtype) == "bool":
        raise DTypeError(
            f"cross_entropy: labels have dtype {dtype_name(labels.dtype)}, expected integer class numbers or floating "
            "probabilities. Convert them to int64 (class numbers) or to a floating dtype (one-hot rows)."
        )
    classes, k = of_classes(labels), shape[axis]
    batch = shape[:-1] if axis == -1 else shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]
    expected = batch if classes else shape
    if given != expected:
        kind = "class numbers" if classes else "probabilities"
        raise ShapeError(
            f"cross_entropy: labels have shape {given} and dtype {dtype_name(labels.dtype)}, expected {kind} of shape "
            f"{expected} for logits of shape {shape}. {_remedy(shape, batch, given, classes)}"
        )
    if reduction not in REDUCTIONS:
        raise ShapeError(
            f"cross_entropy: reduction is {shown(reduction)}, expected one of 'mean', 'sum', 'none'."
        )
    if reduction == "mean" and 0 in batch:
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
    if weight is not None and tuple(weight.shape) != (k,):
        raise ShapeError(
            f"cross_entropy: weight has shape {tuple(weight.shape)}, expected ({k},): one number a class, as logits of "
            f"shape {shape} have {k}. Weights of samples multiply the losses of reduction='none'."
        )
    if ignore_index is not None and not classes:
        raise ShapeError(
            f"cross_entropy: ignore_index is {ignore_index} and labels are probabilities, expected class numbers. "
            "Say with where= which samples count."
        )
    check_where("cross_entropy", where, batch, "the samples")


def _remedy(shape: tuple[int, ...], batch: tuple[int, ...], given: tuple[int, ...], classes: bool) -> str:
    if classes and given == (*batch, 1):
        return "Drop the last axis: labels[..., 0]."
    if classes and given == shape:
        return "Convert one-hot rows to a floating dtype, or take their argmax."
    if not classes and given == batch:
        return "If they are class numbers, convert them to integers."
    if classes and batch == shape[:-1] and len(shape) > 2 and given == (shape[0], *shape[2:]):
        return "If the classes are on axis 1 of the logits, say axis=1."
    return "Each sample needs one label."


def check_labels(
    logits: Any, labels: Any, /, *, ignore_index: int | None, where: Any, axis: int, **options: Any
) -> None:
    """Refuse class numbers outside the classes, of the samples that count."""
    if not of_classes(labels) or 0 in labels.shape:
        return
    xp, k = namespace(labels), logits.shape[axis]
    if int(xp.min(labels)) >= 0 and int(xp.max(labels)) < k:
        return
    outside = (labels < 0) | (labels >= k)
    counts = shares(labels, ignore_index, where)
    if counts is not None:
        outside = outside & counts
        if not bool(xp.any(outside)):
            return
    place = tuple(int(axis[0]) for axis in xp.nonzero(outside)) if labels.ndim else ()
    name = f"labels[{', '.join(map(str, place))}]" if place else "the label"
    raise ShapeError(
        f"cross_entropy: {name} is {int(labels[place])}, expected a class number in [0, {k}) "
        f"({int(xp.count_nonzero(outside))} of {prod(labels.shape)} are outside). "
        "Count classes from 0, and leave out samples that have none: by ignore_index=, or where=."
    )
