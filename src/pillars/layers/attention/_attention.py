"""Attention: a weighted mean of values, the weights the softmax of how well each key fits a query."""

from __future__ import annotations

from math import prod
from typing import Any

from pillars._typing import AnyArray, Array, Number
from pillars.backends import Call, Draw, Flops, dtype_kind, namespace, operation
from pillars.layers.attention._passes import (
    attention_backward,
    attention_forward,
    queries_keys_and_values,
    where_seen,
)
from pillars.layers.attention._scores import check, exponentials, finite, gradients, scores, stacked

__all__ = ["attention", "attention_weights"]


def _queries_and_keys(draw: Draw) -> Call:
    call = queries_keys_and_values(draw)
    return Call(call.args[:2], call.options)


# JAX takes the rule, which keeps one number a query where differentiating the body keeps three arrays of all scores.
@operation(domain=queries_keys_and_values, jax_derivative="vjp")
def attention(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    mask: AnyArray | None = None,
    causal: bool = False,
    query_offset: AnyArray = 0,
    scale: Number | None = None,
) -> Array:
    r"""Scaled dot-product attention: softmax(scale·q·kᵀ + mask)·v, over any number of heads.

    Parameters
    ----------
    q : array (..., h, lq, d), real. Queries; (lq, d) is a single head.
    k : array (..., g, lk, d). Keys. g divides h: each head of `k` and `v` serves h/g consecutive heads of `q`.
    v : array (..., g, lk, dv). A value for each key.
    mask : array that broadcasts to (..., h, lq, lk), or None. Boolean: True where the query may attend to the key.
        Floating: added to the scores; −inf hides the key, as False does.
    causal : query i sees the keys up to i + `query_offset` alone.
    query_offset : integer, or 0-d integer array (which may be traced: a decoder's position under jit). 0 puts the first
        query beside the first key, as torch and JAX do; lk − lq puts the last beside the last; the length of a cache
        puts new queries behind it. Of no effect where `causal` is False.
    scale : number. None: 1/√d.

    Returns
    -------
    array (..., h, lq, dv) of the dtype and device of the arguments. Each row lies within the range of the values that
    its query sees, as long as their sum is a number of that dtype. A query that sees nothing (all is masked, or there
    are no keys) gives 0.

    Raises
    ------
    ShapeError : arrays or a mask that do not fit together, heads that do not divide, no features, a scale that is not
        finite (a traced one is not looked at).
    DTypeError : a mask of integers, a query_offset that is no single integer; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: 2·h·lq·lk·(d + dv) operations and one exponential a score, half of it where `causal` hides half; the gradient
    2.5 times that. On NumPy and JAX, from some thousand numbers on, scores exist in tiles (NumPy: 512 x 512 for each
    thread; JAX: at most 512 queries and all keys of one head), so that memory grows with the length and not with its
    square; elsewhere, and for less, they are one array. Half precision is computed in float32 and rounded once.

    What a query does not see never counts, be it NaN. A query that is not finite, or sees a key or value that is not,
    or a mask of NaN or +inf, has no answer: NaN in its whole row. A score that overflows to +inf is NaN too, one that
    overflows to −inf hides its key. Adding a constant to all scores of a query changes nothing; neither does the order
    of the keys.

    The gradient is derived by hand from the output and the log-sum-exp of the scores, one number a query, and computed
    in the same tiles. A query that sees nothing has gradient 0 and gives none. An additive mask has a gradient of its
    own shape, no larger: that of a mask (lq, lk) is length squared because the mask is. On JAX the rule is a
    ``custom_vjp``, so there is no forward mode (``jax.jvp``, ``jax.jacfwd``), only over the gradient.

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, eq. 1; Ainslie et al. (2023), GQA, for grouped heads; Milakov,
    Gimelshein (2018), Online normalizer calculation for softmax; Dao (2023), FlashAttention-2, for the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> q, k = np.asarray([[1.0, 0.0], [0.0, 1.0]]), np.asarray([[4.0, 0.0], [0.0, 4.0]])
    >>> v = np.asarray([[1.0], [2.0]])
    >>> attention(q, k, v).round(3)
    array([[1.056],
           [1.944]])
    >>> attention(q, k, v, causal=True).round(3)  # the first query sees the first key alone
    array([[1.   ],
           [1.944]])
    >>> attention(q, k, v, mask=np.asarray([[True, True], [False, False]])).round(3)
    array([[1.056],
           [0.   ]])
    >>> attention(
    ...     np.ones((8, 5, 64)), np.ones((2, 7, 64)), np.ones((2, 7, 32))
    ... ).shape  # 4 heads for each of 2
    (8, 5, 32)
    """
    xp = namespace(q)
    e, total, _ = exponentials(scores(q, k, v, mask, causal, query_offset, scale))
    return xp.reshape(xp.matmul(stacked(e, k), finite(v)), (*q.shape[:-1], v.shape[-1])) / total


@attention.check
def _(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> None:
    check("attention", q, k, v, mask, query_offset, scale)


@attention.flops
def _(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Flops:
    """For each pair that is seen: scores, four operations to the weights, values; a mask's pairs are all counted.

    The gradient has the scores again, their exponentials, dv, dp and two operations to ds, dq, dk.
    """
    *lead, lq, d = q.shape
    lk, dv = v.shape[-2:]
    offset = int(query_offset)
    pairs = prod(lead) * (sum(min(max(i + 1 + offset, 0), lk) for i in range(lq)) if causal else lq * lk)
    value = pairs * (2 * d + 4 + 2 * dv)
    return Flops(value, value + pairs * (2 * d + 2 + 2 * dv + 2 * dv + 2 + 2 * d + 2 * d))


@attention.forward
def _(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Any:
    y, log_sum = attention_forward(q, k, v, mask=mask, causal=causal, query_offset=query_offset, scale=scale)
    return y, where_seen(log_sum)


@attention.vjp
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
    residuals: Any,
) -> Any:
    additive = needs.mask and dtype_kind(mask.dtype) == "float"
    options = {"mask": mask, "causal": causal, "query_offset": query_offset, "scale": scale}
    result = attention_backward(g, y, residuals, q, k, v, mask_gradient=additive, **options)
    dq, dk, dv, dscale, dmask = result
    return dq, dk, dv, dmask, None, dscale if needs.scale else None


@operation(domain=_queries_and_keys)
def attention_weights(
    q: Array,
    k: Array,
    /,
    *,
    mask: AnyArray | None = None,
    causal: bool = False,
    query_offset: AnyArray = 0,
    scale: Number | None = None,
) -> Array:
    r"""The weights of attention: softmax(scale·q·kᵀ + mask) over the keys.

    Parameters
    ----------
    q : array (..., h, lq, d), real. Queries; (lq, d) is a single head.
    k : array (..., g, lk, d). Keys; g divides h.
    mask, causal, query_offset, scale : as in :func:`attention`.

    Returns
    -------
    array (..., h, lq, lk) of the dtype and device of the arguments. In [0, 1]; each query's sum to 1 within
    4 eps·√lk, or are all 0 where it sees nothing. For looking at: :func:`attention` never holds them all.

    Raises
    ------
    ShapeError, DTypeError : as :func:`attention`.

    Notes
    -----
    Cost: 2·h·lq·lk·d operations and an exponential a score; memory grows with the length squared, as the result does.
    A hidden key has weight 0, whatever it holds; a query that is not finite, or sees a key that is not, has NaN in its
    whole row.

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> q = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> attention_weights(q, 4 * q, causal=True).round(3)
    array([[1.   , 0.   ],
           [0.056, 0.944]])
    """
    e, total, _ = exponentials(scores(q, k, None, mask, causal, query_offset, scale))
    return e / total


@attention_weights.check
def _(q: Any, k: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> None:
    check("attention_weights", q, k, None, mask, query_offset, scale)


@attention_weights.vjp
def _(
    g: Any,
    y: Any,
    q: Any,
    k: Any,
    /,
    *,
    mask: Any,
    causal: bool,
    query_offset: Any,
    scale: Any,
    needs: Any,
) -> Any:
    ds = y * (g - namespace(y).sum(g * y, axis=-1, keepdims=True))
    dq, dk, dscale, dmask = gradients(ds, q, k, scale, mask if needs.mask else None)
    return dq, dk, dmask, None, dscale if needs.scale else None
