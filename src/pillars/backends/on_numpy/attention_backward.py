"""The backward pass of attention in tiles, from the log-sum-exp that the forward pass kept.

A part of one head's keys, with all queries that the head serves, is one item of the queue: its cotangents of k and v
are summed in place, and what it adds to that of q is kept apart and summed in order, so that no bit depends on the
threads. As in the forward pass, tiles are computed without care first; where a result is not finite they are done again
as the specification has it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends.on_numpy.attention import Problem, finite, for_blas, problem, run_queue

__all__ = ["attention_backward"]

_PARTS = 16  # items for the threads to share, as long as every part has a tile of keys


class _Incoming(NamedTuple):
    """What the forward pass kept, and the cotangent of its output."""

    g: Any
    log_sum: Any
    mean: Any  # Σ g·y of each query: what its weights' cotangents are taken against


@kernel(minimum_size=2**15)
def attention_backward(
    g: Any,
    y: Any,
    log_sum: Any,
    q: Any,
    k: Any,
    v: Any,
    /,
    *,
    mask: Any,
    causal: bool,
    query_offset: Any,
    scale: Any,
    mask_gradient: bool,
) -> Any:
    """Cotangents of q, k, v, the scale, and the mask where it was asked for."""
    p = problem(q, k, v, mask, causal, query_offset, scale)
    g = for_blas(g.astype(p.q.dtype, copy=False))
    incoming = _Incoming(g, log_sum, (g * y).sum(axis=-1))
    dk, dv = np.zeros(p.k.shape, p.q.dtype), np.zeros(p.v.shape, p.q.dtype)
    served: dict[Any, list[Any]] = {backend: [] for backend in np.ndindex(p.k.shape[:-2])}
    for place, backend in p.heads():
        served[backend].append(place)
    parts = _parts(p, len(served))
    slopes = np.zeros((len(parts), *p.q.shape), p.q.dtype)

    def worker(items: Iterator[Any]) -> None:
        buffers = np.empty((2, p.tile * p.tile), p.q.dtype)
        for backend, number in items:
            for careful in (False, True):
                pieces = [dk[backend][parts[number]], dv[backend][parts[number]]]
                pieces += [slopes[number][place] for place in served[backend]]
                for piece in pieces:
                    piece[...] = 0
                for place in served[backend]:
                    _one_head(
                        p,
                        incoming,
                        place,
                        backend,
                        parts[number],
                        pieces[:2],
                        slopes[number][place],
                        buffers,
                        careful,
                    )
                if all(np.isfinite(piece).all() for piece in pieces):
                    break

    items = [(backend, number) for number in range(len(parts)) for backend in served]
    run_queue(items, worker, 2 * log_sum.size * p.k.shape[-2] * (p.q.shape[-1] + p.v.shape[-1]))
    slope = slopes[0]
    for other in slopes[1:]:
        slope += other
    dscale = np.asarray((finite(p.q) * slope).sum())
    slope *= p.q.dtype.type(p.scale)
    return slope, dk, dv, dscale, _of_mask(p, incoming, mask.shape) if mask_gradient else None


def _parts(p: Problem, heads: int) -> list[slice]:
    """The keys in parts of whole tiles."""
    tiles = max(1, -(-p.k.shape[-2] // p.tile))
    parts = min(tiles, -(-_PARTS // max(heads, 1)))
    bounds = [min(tiles * part // parts * p.tile, p.k.shape[-2]) for part in range(parts + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _one_head(
    p: Problem,
    incoming: _Incoming,
    place: Any,
    backend: Any,
    part: slice,
    cotangents: list[Any],
    slope: Any,
    buffers: Any,
    careful: bool,
) -> None:
    """Add what the queries of one head give to `part` of the keys, and they to it."""
    dk, dv = cotangents
    for rows in p.rows():
        q, g, k = p.q[place][rows], incoming.g[place][rows], p.k[backend]
        if careful:
            q, g, k = finite(q), finite(g), finite(k)
        q = q * q.dtype.type(p.scale)
        for keys in p.keys(place, rows, part):
            if careful:
                weights, slopes = _careful_tile(p, incoming, place, backend, rows, keys)
            else:
                weights, slopes = _tile(p, incoming, q, place, backend, rows, keys, buffers)
            here = slice(keys.start - part.start, keys.stop - part.start)
            dv[here] += weights.T @ g
            dk[here] += slopes.T @ q
            slope[rows] += slopes @ k[keys]


def _tile(
    p: Problem, incoming: _Incoming, q: Any, place: Any, backend: Any, rows: slice, keys: slice, buffers: Any
) -> tuple[Any, Any]:
    """A tile's weights, and the cotangents of its scores."""
    shape = len(q), keys.stop - keys.start
    e, d = (buffer[: shape[0] * shape[1]].reshape(shape) for buffer in buffers)
    np.matmul(q, p.k[backend][keys].T, out=e)
    if p.additive:
        e += p.mask[place][rows, keys]
    e -= incoming.log_sum[place][rows, None]
    np.exp(e, out=e)
    seen = p.seen(place, rows, keys)
    if seen is not None:
        e *= seen
    np.matmul(incoming.g[place][rows], p.v[backend][keys].T, out=d)
    d -= incoming.mean[place][rows, None]
    d *= e
    return e, d


def _careful_tile(
    p: Problem, incoming: _Incoming, place: Any, backend: Any, rows: slice, keys: slice
) -> tuple[Any, Any]:
    """The same, where something is hidden that is no number, or seen."""
    s = p.guarded_scores(place, backend, rows, keys)
    hidden, g = s == -np.inf, incoming.g[place][rows]
    s += ((0 * g).sum(axis=-1) - incoming.log_sum[place][rows])[:, None]
    e = np.where(hidden, 0, np.exp(s, out=s))
    d = finite(g) @ finite(p.v[backend][keys]).T - incoming.mean[place][rows, None]
    return e, np.where(hidden, 0, e * d)


def _of_mask(p: Problem, incoming: _Incoming, shape: tuple[int, ...]) -> Any:
    """The cotangent of an additive mask: sums over what it was broadcast along, in one array of its own shape."""
    full = (1,) * (p.q.ndim - len(shape)) + shape
    result = np.zeros(full, p.q.dtype)
    # −inf of queries or keys would pass for a hidden key here, where it meets no other sum
    whole = [np.isfinite(np.add.reduce(x, axis=(-2, -1))) for x in (p.q, p.k)]

    def worker(items: Iterator[slice]) -> None:
        buffers = np.empty((2, p.tile * p.tile), p.q.dtype)
        for part in items:
            for place, backend in p.heads():
                own = tuple(0 if n == 1 else at for n, at in zip(full[:-2], place, strict=True))
                for rows in p.rows():
                    q = p.q[place][rows] * p.q.dtype.type(p.scale)
                    for keys in p.keys(place, rows, part):
                        slopes = _tile(p, incoming, q, place, backend, rows, keys, buffers)[1]
                        if not (whole[0][place] and whole[1][backend] and np.isfinite(slopes).all()):
                            slopes = _careful_tile(p, incoming, place, backend, rows, keys)[1]
                        if full[-2] == 1:
                            slopes = slopes.sum(axis=0, keepdims=True)
                        if full[-1] == 1:
                            slopes = slopes.sum(axis=1, keepdims=True)
                        result[own][
                            rows if full[-2] > 1 else slice(0, 1), keys if full[-1] > 1 else slice(0, 1)
                        ] += slopes

    # each item has columns of its own to add to; a mask without columns is summed by one
    lk = p.k.shape[-2]
    items = (
        [slice(0, lk)] if full[-1] == 1 else [slice(at, min(at + p.tile, lk)) for at in range(0, lk, p.tile)]
    )
    run_queue(items, worker, incoming.log_sum.size * lk * (p.q.shape[-1] + p.v.shape[-1]))
    return result.reshape(shape)
