"""Attention in tiles: scores of 512 queries and 512 keys at a time, and mostly no pass for their maximum.

One (head, block of queries) after another comes off a queue that the threads share, each with one BLAS thread.
Subtracting a query's largest score guards the exponentials against overflow; where the plain sums come out finite and
not tiny, nothing that matters was lost. A block where they do not (large scores, NaN, queries that see nothing) is done
again as the specification has it, with a maximum that grows from tile to tile. What is divided by the sums is the small
product with the values, not the weights.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.lib import introspect

from pillars.backends._kernels import kernel
from pillars.backends._threads import num_threads, pool_map, single_threaded_blas

__all__ = ["Problem", "attention", "attention_forward", "finite", "for_blas", "problem", "run_queue"]

T = TypeVar("T")

_TILE = 512  # queries and keys: a megabyte of scores, in reach of a core's own cache
_CAUSAL_TILE = 256  # smaller, because half of every tile on the diagonal is thrown away
_THREADED = 2**26  # multiplications below which handing work to a thread costs more than it saves


class Problem(NamedTuple):
    """A call's arguments made ready: BLAS can take every matrix, and the mask has an entry for every score."""

    q: Any
    k: Any
    v: Any
    mask: Any
    offset: int | None  # None: not causal
    scale: float
    tile: int
    # of boolean tiles that were looked at: all seen, nothing, or (None) some of both
    known: dict[Any, bool | None]

    @property
    def additive(self) -> bool:
        """Whether the mask is added to the scores."""
        return self.mask is not None and self.mask.dtype != bool

    def heads(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Each query head's place, and that of the key head that serves it."""
        group = self.q.shape[-3] // self.k.shape[-3] if self.q.ndim > 2 else 1
        places = np.ndindex(self.q.shape[:-2])
        return [(place, (*place[:-1], place[-1] // group) if place else ()) for place in places]

    def rows(self) -> list[slice]:
        """The queries, a tile at a time."""
        return _cut(0, self.q.shape[-2], self.tile)

    def keys(self, place: tuple[int, ...], rows: slice, within: slice | None = None) -> list[slice]:
        """The keys, a tile at a time, without the tiles of which these queries see nothing."""
        first, last = (0, self.k.shape[-2]) if within is None else (within.start, within.stop)
        tiles = _cut(first, last if self.offset is None else min(last, rows.stop + self.offset), self.tile)
        if self.mask is None or self.additive:
            return tiles
        return [keys for keys in tiles if self._whole(place, rows, keys) is not False]

    def _whole(self, place: tuple[int, ...], rows: slice, keys: slice) -> bool | None:
        """Whether a tile of a boolean mask is True (or False) all over: looked at once for all heads that share it."""
        tile = self.mask[place][rows, keys]
        key = tile.__array_interface__["data"][0], tile.shape
        if key not in self.known:
            self.known[key] = True if tile.all() else None if tile.any() else False
        return self.known[key]

    def seen(self, place: tuple[int, ...], rows: slice, keys: slice) -> Any:
        """What to multiply a tile's weights with: booleans, or None where all of it is seen."""
        seen = None
        if self.mask is not None and not self.additive and not self._whole(place, rows, keys):
            seen = self.mask[place][rows, keys]
        if self.offset is None or keys.stop - 1 <= rows.start + self.offset:
            return seen
        lengths = rows.stop - rows.start, keys.stop - keys.start
        before = _before(*lengths, rows.start + self.offset - keys.start)
        return before if seen is None else seen & before

    def guarded_scores(
        self, place: tuple[int, ...], backend: tuple[int, ...], rows: slice, keys: slice
    ) -> Any:
        """A tile of scores as the specification has them: −inf where hidden, NaN where what is seen is no number."""
        q, k, v = self.q[place][rows], self.k[backend][keys], self.v[backend][keys]
        s = (finite(q) * q.dtype.type(self.scale)) @ finite(k).T
        s += (0 * q).sum(axis=-1)[:, None]
        s += (0 * k).sum(axis=-1) + (0 * v).sum(axis=-1)
        seen = self.seen(place, rows, keys)
        if self.additive:
            added = self.mask[place][rows, keys]
            s += added
            kept = added != -np.inf
            seen = kept if seen is None else seen & kept
        return s if seen is None else np.where(seen, s, -np.inf)


def _cut(first: int, last: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, last)) for start in range(first, last, step)]


@functools.lru_cache(maxsize=16)
def _before(queries: int, keys: int, shift: int) -> Any:
    return np.tri(queries, keys, k=shift, dtype=bool)


@functools.cache
def _exponential() -> tuple[Any, float]:
    """The faster of exp x and, of x/log 2, exp2, which is so only where NumPy has vector instructions for it."""
    result = introspect.opt_func_info(func_name="^exp2$", signature="float32")
    fast = all(
        "baseline" not in one["current"] for one in result.get("exp2", {"": {"current": "baseline"}}).values()
    )
    return (np.exp2, 1 / math.log(2)) if fast else (np.exp, 1.0)


def finite(x: Any) -> Any:
    """`x` with 0 for what is no number."""
    return np.where(np.isfinite(x), x, x.dtype.type(0))


def problem(q: Any, k: Any, v: Any, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Problem:
    """The arguments of a call, made ready; what BLAS could not take is copied."""
    dtype = np.result_type(*[x.dtype for x in (q, k, v, mask) if x is not None and x.dtype != bool])
    q, k, v = (for_blas(x.astype(dtype, copy=False)) for x in (q, k, v))
    lq, lk = q.shape[-2], k.shape[-2]
    if mask is not None:
        mask = np.broadcast_to(mask, (*q.shape[:-1], lk))
    # beyond the lengths an offset says no more
    offset = max(-lq, min(int(query_offset), lk)) if causal else None
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return Problem(q, k, v, mask, offset, scale, _CAUSAL_TILE if causal else _TILE, {})


def for_blas(x: Any) -> Any:
    """`x` itself where the rows of its matrices are contiguous and apart; matmul crawls with anything else."""
    rows_apart = x.strides[-2] >= x.shape[-1] * x.itemsize
    return x if x.flags.aligned and x.strides[-1] == x.itemsize and rows_apart else np.ascontiguousarray(x)


def run_queue(items: Sequence[T], worker: Callable[[Iterator[T]], None], multiplications: int) -> None:
    """``worker(items)``, on every thread where there is enough to do: each takes the next item when it is free."""
    threads = min(num_threads(), len(items)) if multiplications >= _THREADED else 1
    tickets = itertools.count()  # next() on it is atomic

    def taken() -> Iterator[T]:
        while (ticket := next(tickets)) < len(items):
            yield items[ticket]

    def run(_: int) -> None:
        with np.errstate(all="ignore"):
            worker(taken())

    with single_threaded_blas():
        pool_map(run, range(threads))


@kernel(minimum_size=2**15)
def attention_forward(
    q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any
) -> Any:
    """The output, and the logarithm of each query's sum."""
    p = problem(q, k, v, mask, causal, query_offset, scale)
    y = np.empty((*p.q.shape[:-1], p.v.shape[-1]), p.q.dtype)
    log_sum = np.empty(p.q.shape[:-1], p.q.dtype)
    # the sum over a head's keys tells whether one of them is no number, at a thousandth of the cost
    trusted = np.isfinite(np.add.reduce(p.k, axis=(-2, -1)))

    def worker(items: Iterator[Any]) -> None:
        buffer = np.empty(p.tile * min(p.tile, p.k.shape[-2]), p.q.dtype)
        for place, backend, rows in items:
            out, sums = y[place][rows], log_sum[place][rows]
            if not (trusted[backend] and _plain(p, place, backend, rows, buffer, out, sums)):
                _guarded(p, place, backend, rows, out, sums)

    # the last queries see most: theirs is the longest work where keys are hidden
    items = [(place, backend, rows) for rows in reversed(p.rows()) for place, backend in p.heads()]
    run_queue(items, worker, log_sum.size * p.k.shape[-2] * (p.q.shape[-1] + p.v.shape[-1]))
    return y, log_sum


def _plain(p: Problem, place: Any, backend: Any, rows: slice, buffer: Any, out: Any, log_sum: Any) -> bool:
    """Exponentials as they are; whether that was good enough."""
    exponential, unit = (np.exp, 1.0) if p.additive else _exponential()
    q = p.q[place][rows] * p.q.dtype.type(p.scale * unit)
    k, v = p.k[backend], p.v[backend]
    sums, product = np.zeros(len(q), q.dtype), np.empty_like(out)
    out[...] = 0
    ones = np.ones(p.tile, q.dtype)
    for keys in p.keys(place, rows):
        width = keys.stop - keys.start
        e = buffer[: len(q) * width].reshape(len(q), width)
        np.matmul(q, k[keys].T, out=e)
        if p.additive:
            e += p.mask[place][rows, keys]
        exponential(e, out=e)
        seen = p.seen(place, rows, keys)
        if seen is not None:
            e *= seen
        sums += e @ ones[:width]
        # scores that are large are so in the first tile, mostly
        if keys.start == 0 and not np.isfinite(sums).all():
            return False
        out += np.matmul(e, v[keys], out=product)
    # exponentials below the smallest number are lost: less than a part in 2⁶² of such a sum
    if not (sums >= math.sqrt(np.finfo(q.dtype).tiny)).all() or not np.isfinite(out).all():
        return False
    out /= sums[:, None]
    np.log(sums, out=log_sum)
    return True


def _guarded(p: Problem, place: Any, backend: Any, rows: slice, out: Any, log_sum: Any) -> None:
    """The maximum subtracted, what was summed before scaled down whenever it grows."""
    sums, largest = np.zeros(len(out), out.dtype), np.full(len(out), -np.inf, out.dtype)
    out[...] = 0
    for keys in p.keys(place, rows):
        s = p.guarded_scores(place, backend, rows, keys)
        grown = np.maximum(largest, s.max(axis=-1))
        shift = np.where(grown == -np.inf, 0, grown)
        e = np.exp(np.subtract(s, shift[:, None], out=s), out=s)
        shrink = np.exp(largest - shift)
        sums = sums * shrink + e.sum(axis=-1)
        out *= shrink[:, None]
        out += e @ finite(p.v[backend][keys])
        largest = grown
    sums = np.where(sums == 0, 1, sums)
    out /= sums[:, None]
    log_sum[...] = largest + np.log(sums)


@kernel(minimum_size=2**15)
def attention(q: Any, k: Any, v: Any, /, *, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Any:
    """The output alone."""
    return attention_forward(q, k, v, mask=mask, causal=causal, query_offset=query_offset, scale=scale)[0]
