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


def _class_numbers(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any
) -> str | None:
    return None if dtype_kind(labels.dtype) == "integer" else "labels are probabilities"


def _sums(x: Any, shift: Any, temperature: Any) -> Any:
    return jnp.sum(jnp.exp((x - shift) / temperature), axis=-1, keepdims=True)


def _shifts_and_sums(x: Any, temperature: Any) -> tuple[Any, Any]:
    """What was subtracted from each row, and the sum of its exponentials."""
    plain = jnp.sum(jnp.exp(x / temperature), axis=-1, keepdims=True)
    lost = ~((plain >= 1.0) & (plain <= largest_logged(x.shape[-1])))  # true for NaN too

    def again() -> tuple[Any, Any]:
        # a row's bits depend on that row alone: those that lost nothing keep theirs
        shift = jnp.where(lost, jnp.max(x, axis=-1, keepdims=True), 0.0)
        return shift, jnp.where(lost, _sums(x, shift, temperature), plain)

    kept: tuple[Any, Any] = jax.lax.cond(jnp.any(lost), again, lambda: (jnp.zeros_like(plain), plain))
    return kept


@kernel(eligible=_class_numbers, traceable=True)
def cross_entropy(
    logits: Any, labels: Any, /, *, reduction: str, label_smoothing: Any, temperature: Any
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
    shift, sums = _shifts_and_sums(logits, temperature)
    classes = labels.astype(jnp.arange(0).dtype)  # uint8 has no 1000 to be compared with
    known = (classes >= 0) & (classes < logits.shape[-1])
    own = jnp.take_along_axis(logits, jnp.where(known, classes, 0)[..., None], axis=-1)
    own = jnp.where(known[..., None], (own - shift) / temperature, jnp.nan)
    even = jax.lax.cond(
        label_smoothing == 0,
        lambda: jnp.zeros_like(own),
        lambda: jnp.mean((logits - shift) / temperature, axis=-1, keepdims=True),
    )
    losses = jnp.log(sums) - (1 - label_smoothing) * own - label_smoothing * even
    return jnp.maximum(losses, 0.0)[..., 0]  # rounding must not make a probability above 1
