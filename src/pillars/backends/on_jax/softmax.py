"""Cross-entropy on the CPU without the pass for the maxima, where no row needs one.

A reduction that XLA fuses reads the logits at the memory's speed, so that every pass counts. Rows whose plain sum of
exponentials says that something was lost are summed again with their maximum subtracted: by a conditional, which one
row is enough to enter, over small arrays alone, since a large one that leaves it would be written and read once more.
On a GPU the conditional would wait for the host: there the body runs.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from pillars.backends._dtypes import dtype_kind
from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends.on_numpy._logged import largest_logged

__all__ = ["cross_entropy"]


_MOST = 2**24


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
    if weight is not None or ignore_index is not None or where is not None or axis != -1:
        return "weight=, ignore_index=, where= or axis= is given"
    if logits.shape[-1] > _MOST:
        return f"{logits.shape[-1]} classes are more than float32 can count"
    return None if dtype_kind(labels.dtype) == "integer" else "labels are probabilities"


def _others(classes: Any, length: int, dtype: Any) -> Any:
    """0 for a row's own class, 1 for all others: numbers, since a comparison would cost XLA a pass of its own."""
    return jnp.minimum(jnp.abs(jnp.arange(length, dtype=dtype) - classes[..., None].astype(dtype)), 1.0)


def _shifts_and_sums(x: Any, own: Any, others: Any, temperature: Any) -> tuple[Any, Any]:
    """What was subtracted from each row, and the sum of its exponentials but for that of its own class."""

    def rest(shift: Any) -> Any:
        return jnp.sum(others * jnp.exp((x - shift) / temperature), axis=-1, keepdims=True)

    plain = jnp.sum(others * jnp.exp(x / temperature), axis=-1, keepdims=True)
    whole = plain + jnp.exp(own / temperature)
    lost = ~((whole >= 1.0) & (whole <= largest_logged(x.shape[-1])))  # true for NaN too

    def again() -> tuple[Any, Any]:
        # a row's bits depend on that row alone: those that lost nothing keep theirs
        shift = jnp.where(lost, jnp.max(x, axis=-1, keepdims=True), 0.0)
        return shift, jnp.where(lost, rest(shift), plain)

    kept: tuple[Any, Any] = jax.lax.cond(jnp.any(lost), again, lambda: (jnp.zeros_like(plain), plain))
    return kept


@kernel(eligible=_class_numbers, traceable=True)
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
    """One pass over the logits, and one number a row picked from them."""
    options = {"label_smoothing": label_smoothing, "temperature": temperature}
    body = records()["probability.cross_entropy"].body
    losses: Any = jax.lax.platform_dependent(
        cpu=lambda: _losses(logits, labels, **options),
        default=lambda: body(logits, labels, reduction="none", **options),
    )
    if reduction == "none":
        return losses
    return jnp.mean(losses) if reduction == "mean" else jnp.sum(losses)


def _losses(logits: Any, labels: Any, *, label_smoothing: Any, temperature: Any) -> Any:
    if not isinstance(temperature, float):  # nobody has looked at it
        temperature = jnp.where(temperature > 0, temperature, jnp.nan)
    classes = labels.astype(jnp.arange(0).dtype)  # uint8 has no 1000 to be compared with
    known = (classes >= 0) & (classes < logits.shape[-1])
    own = jnp.take_along_axis(logits, jnp.where(known, classes, 0)[..., None], axis=-1)
    shift, rest = _shifts_and_sums(logits, own, _others(classes, logits.shape[-1], logits.dtype), temperature)
    own = jnp.where(known[..., None], (own - shift) / temperature, jnp.nan)
    mine = jnp.exp(own)
    # where the label's class has most of the probability, the loss is made of the others
    sure = rest <= mine
    losses = jnp.where(sure, jnp.log1p(jnp.where(sure, rest / mine, 0.0)), jnp.log(rest + mine) - own)
    even = jax.lax.cond(
        label_smoothing == 0,
        lambda: jnp.zeros_like(own),
        lambda: jnp.mean((logits - shift) / temperature, axis=-1, keepdims=True),
    )
    # a label that cannot be has an infinite loss already
    losses = losses + label_smoothing * jnp.where(own == -jnp.inf, 0.0, own - even)
    return jnp.maximum(losses, 0.0)[..., 0]  # rounding must not make a probability above 1
