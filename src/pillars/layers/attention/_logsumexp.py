"""Attention with the log-sum-exp of its scores: what blocks of a long sequence are put together by."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._typing import AnyArray, Array, Number
from pillars.backends import Call, Draw, Flops, dtype_kind, namespace, operation
from pillars.layers.attention._attention import attention
from pillars.layers.attention._passes import (
    attention_backward,
    attention_forward,
    queries_keys_and_values,
    where_seen,
)
from pillars.layers.attention._scores import check

__all__ = ["AttentionLogsumexp", "attention_logsumexp"]


class AttentionLogsumexp(NamedTuple):
    """Attention's output (..., h, lq, dv), and the log-sum-exp (..., h, lq) of each query's scores."""

    output: Any
    logsumexp: Any


def _something_seen(draw: Draw) -> Call:
    """Every query sees the first key: what sees nothing has no finite log-sum-exp to differ."""
    call = queries_keys_and_values(draw)
    mask = call.options.get("mask")
    if mask is not None and mask.dtype == bool:
        mask[..., 0] = True
    return call


@operation(domain=_something_seen, jax_derivative="vjp")
def attention_logsumexp(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    mask: AnyArray | None = None,
    causal: bool = False,
    query_offset: AnyArray = 0,
    scale: Number | None = None,
) -> AttentionLogsumexp:
    r"""Attention, and log Σⱼ exp(scoreⱼ) of each query: two parts of the keys are merged by it.

    With the results (y₁, l₁) and (y₂, l₂) of two parts of the keys, those of all keys are l = log(exp l₁ + exp l₂) and
    exp(l₁ − l)·y₁ + exp(l₂ − l)·y₂; 0 where l is −inf, as neither part is seen.

    Parameters
    ----------
    q, k, v, mask, causal, query_offset, scale : as in :func:`attention`.

    Returns
    -------
    AttentionLogsumexp(output, logsumexp): (..., h, lq, dv), as :func:`attention` gives it, and (..., h, lq), natural
    logarithms of scores with scale and mask; of the dtype and device of the arguments. A query that sees nothing has
    output 0 and logsumexp −inf; one without an answer NaN in both.

    Raises
    ------
    ShapeError, DTypeError : as :func:`attention`.

    Notes
    -----
    Cost, memory and kernels are those of :func:`attention`, whose forward pass has these numbers at hand. Both results
    are differentiated, by hand and in the same tiles: a change of a score changes the log-sum-exp by its weight. A
    query that sees nothing has gradient 0. On JAX there is no forward mode, only over the gradient. An error in
    logsumexp is a relative one in what is merged: in half precision, where it has two or three digits, pass float32.

    References
    ----------
    Dao (2023), FlashAttention-2, section 3.1; Liu, Zaharia, Abbeel (2023), Ring attention with blockwise transformers.

    Examples
    --------
    >>> import numpy as np
    >>> q, k = np.asarray([[1.0, 0.0]]), np.asarray([[4.0, 0.0], [0.0, 4.0]])
    >>> v = np.asarray([[1.0], [2.0]])
    >>> whole = attention_logsumexp(q, k, v)
    >>> one, two = (attention_logsumexp(q, k[i : i + 1], v[i : i + 1]) for i in (0, 1))
    >>> total = np.logaddexp(one.logsumexp, two.logsumexp)
    >>> merged = sum(np.exp(part.logsumexp - total)[..., None] * part.output for part in (one, two))
    >>> bool(np.allclose(merged, whole.output) and np.allclose(total, whole.logsumexp))
    True
    """
    result = attention_forward(q, k, v, mask=mask, causal=causal, query_offset=query_offset, scale=scale)
    return AttentionLogsumexp(*result)


@attention_logsumexp.check
def _(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> None:
    check("attention_logsumexp", q, k, v, mask, query_offset, scale)


@attention_logsumexp.flops
def _(q: Any, k: Any, v: Any, /, **options: Any) -> Flops:
    """As attention."""
    counted: Flops = attention.record.rules.flops(q, k, v, **options)  # type: ignore[misc]
    return counted


@attention_logsumexp.vjp
def _(
    g: Any,
    y: Any,
    q: Any,
    k: Any,
    v: Any,
    /,
    *,
    mask: Any,
    causal: bool,
    query_offset: Any,
    scale: Any,
    needs: Any,
) -> Any:
    """A further value of 1 for every key, whose output nobody reads: its cotangent is the log-sum-exp's."""
    xp = namespace(q)
    ones = xp.ones_like(v[..., :1])
    slope = xp.concat([g.output, g.logsumexp[..., None]], axis=-1)
    output = xp.concat([y.output, xp.zeros_like(slope[..., :1])], axis=-1)
    result = attention_backward(
        slope,
        output,
        where_seen(y.logsumexp),
        q,
        k,
        xp.concat([v, ones], axis=-1),
        mask=mask,
        causal=causal,
        query_offset=query_offset,
        scale=scale,
        mask_gradient=needs.mask and dtype_kind(mask.dtype) == "float",
    )
    dq, dk, dv, dscale, dmask = result
    return dq, dk, dv[..., :-1], dmask, None, dscale if needs.scale else None
