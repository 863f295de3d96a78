"""The two passes of attention, forward with its log-sum-exp and backward from it: internal operations with kernels."""

from __future__ import annotations

from typing import Any

from pillars._typing import AnyArray, Array, Number
from pillars.backends import Call, Draw, namespace, operation
from pillars.layers.attention._scores import exponentials, finite, gradients, scores, spoiled, stacked

__all__ = ["attention_backward", "attention_forward", "queries_keys_and_values", "where_seen"]


def queries_keys_and_values(draw: Draw) -> Call:
    """A head or several, grouped or not, of any lengths; sometimes masked, causal, or of another scale."""
    kind = draw.choice(("none", "boolean", "additive"))
    axes = draw.choice((0, 1, 2))
    batch = [draw.size(1, 2) for _ in range(axes - 1)]
    g, d, dv = draw.size(1, 2), draw.size(1, 3), draw.size(1, 3)
    # of fewer keys a query may see a single one, whose weight is 1 whatever its score
    lq, lk, h = draw.size(3), draw.size(3), g * draw.choice((1, 2))
    queries, keys = ((*batch, h), (*batch, g)) if axes else ((), ())
    causal, scaled = draw.choice((True, False)), draw.choice((False, True))
    options: dict[str, Any] = {"causal": causal, "query_offset": draw.choice((0, 0, 1, 2))}
    if scaled:
        options["scale"] = draw.number(0.2, 1.5)
    if kind != "none":
        shape = draw.choice(((lq, lk), (*queries[-1:], 1, lk), (*queries, lq, lk), (lk,)))
        options["mask"] = draw.normal(*shape) if kind == "additive" else draw.normal(*shape) > -1.0
    return Call(
        (draw.normal(*queries, lq, d), draw.normal(*keys, lk, d), draw.normal(*keys, lk, dv)), options
    )


def _cotangent_and_residuals(draw: Draw) -> Call:
    q, k, v = (call := queries_keys_and_values(draw)).args
    shape = q.shape[:-1]
    options = {
        **call.options,
        "mask_gradient": "mask" in call.options and call.options["mask"].dtype.kind == "f",
    }
    return Call(
        (draw.normal(*shape, v.shape[-1]), draw.normal(*shape, v.shape[-1]), draw.normal(*shape), q, k, v),
        options,
    )


@operation(domain=queries_keys_and_values)
def attention_forward(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    mask: AnyArray | None = None,
    causal: bool = False,
    query_offset: AnyArray = 0,
    scale: Number | None = None,
) -> tuple[Any, Any]:
    """Attention, and the log-sum-exp of each query's scores (−inf where it sees nothing): what the gradient wants."""
    xp = namespace(q)
    e, total, log_sum = exponentials(scores(q, k, v, mask, causal, query_offset, scale))
    y = xp.reshape(xp.matmul(stacked(e, k), finite(v)), (*q.shape[:-1], v.shape[-1]))
    return y / total, log_sum[..., 0]


def where_seen(log_sum: Any) -> Any:
    """Log-sum-exps as the backward pass takes them: 0 for a query that sees nothing, lest −inf be taken from −inf."""
    xp = namespace(log_sum)
    return xp.where(log_sum == -xp.inf, xp.zeros_like(log_sum), log_sum)


@operation(domain=_cotangent_and_residuals)
def attention_backward(
    g: Array,
    y: Array,
    log_sum: Array,
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    mask: AnyArray | None = None,
    causal: bool = False,
    query_offset: AnyArray = 0,
    scale: Number | None = None,
    mask_gradient: bool = False,
) -> tuple[Any, Any, Any, Any, Any]:
    """Cotangents of q, k, v, the scale, and the mask (None unless asked for), from what the forward pass kept."""
    xp = namespace(q)
    s = scores(q, k, v, mask, causal, query_offset, scale)
    hidden, nothing, down = s == -xp.inf, xp.zeros_like(s), finite(g)
    # what is hidden is so twice: a query without an answer must not reach the keys that it does not see
    p = xp.where(hidden, nothing, xp.exp(s + (spoiled(g) - log_sum)[..., None]))
    dp = xp.reshape(xp.matmul(stacked(down, k), xp.matrix_transpose(finite(v))), s.shape)
    ds = xp.where(hidden, nothing, p * (dp - xp.sum(g * y, axis=-1, keepdims=True)))
    dv = xp.matmul(xp.matrix_transpose(stacked(p, k)), stacked(down, k))
    dq, dk, dscale, dmask = gradients(ds, q, k, scale, mask if mask_gradient else None)
    return dq, dk, dv, dscale, dmask
