"""Attention's tiles against the bodies that they replace: every cut, every edge, any threads, and how much memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.algorithms import attention
from pillars.backends import Draw, forced_kernels, forward_and_pullback, tree_leaves
from pillars.backends.on_numpy import attention as kernels
from pillars.layers.attention._passes import attention_backward, attention_forward

OPERATIONS = pytest.mark.parametrize(
    "f", [attention, attention_forward, attention_backward], ids=lambda f: f.record.name
)
ODD = (np.nan, np.inf, -np.inf)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of which a few numbers make many, and threads for all of them."""
    monkeypatch.setattr(kernels, "_TILE", 4)
    monkeypatch.setattr(kernels, "_CAUSAL_TILE", 3)
    monkeypatch.setattr(kernels, "_THREADED", 1)


def by_kernel(f: Any, call: Any) -> list[Any]:
    with forced_kernels():
        return tree_leaves(f(*call.args, **call.options))


def by_body(f: Any, call: Any) -> list[Any]:
    return tree_leaves(f.reference(*call.args, **call.options))


def same(got: list[Any], expected: list[Any]) -> None:
    """Sums of some dozen numbers of size one, in another order; what is no number must be so in both."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        known = np.isfinite(other)
        assert np.array_equal(one[~known], other[~known], equal_nan=True)
        scale = max(1.0, np.abs(other[known]).max(initial=0.0))
        assert np.abs(one[known] - other[known]).max(initial=0.0) <= 100 * np.finfo(np.float64).eps * scale


def spoiled(x: Any, random: np.random.Generator) -> Any:
    """Some of it no numbers, half of the time."""
    if x.dtype.kind != "f" or random.random() < 0.5:
        return x
    odd = random.random(x.shape) < 0.04
    return np.where(odd, random.choice(ODD, x.shape), x)


@OPERATIONS
@pytest.mark.usefixtures("small_tiles")
def test_tiles_are_the_body(f: Any) -> None:
    for seed in range(40):
        call = f.record.domain(Draw(seed, scale=14))
        same(by_kernel(f, call), by_body(f, call))


@OPERATIONS
@pytest.mark.usefixtures("small_tiles")
def test_what_is_no_number_is_so_in_the_same_places(f: Any) -> None:
    """Hidden or seen, in any argument: the tiles that are done again give what the body gives."""
    for seed in range(80):
        random = np.random.default_rng(seed)
        call = f.record.domain(Draw(seed, scale=14))
        args = [spoiled(x, random) for x in call.args]
        # what the forward pass kept is NaN where its query has no answer, and no infinity
        if f is attention_backward:
            args[1:3] = call.args[1:3]
        options = dict(call.options)
        if "mask" in options:
            options["mask"] = spoiled(options["mask"], random)
        call = call._replace(args=tuple(args), options=options)
        same(by_kernel(f, call), by_body(f, call))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e150])
def test_large_scores_are_done_again(draw: Draw, size: float) -> None:
    q, k, v = draw.normal(2, 9, 5), draw.normal(2, 11, 5), draw.normal(2, 11, 3)
    q[:, 4] *= size  # one row of a tile, and all of them
    k[:, 7] *= size
    for given in ((q, k, v), (size * q, k, v), (-size * np.abs(q), np.abs(k), v)):
        with forced_kernels():
            got = attention(*given)
        # scores of a thousand, right to half a unit, are weights right to a thousand units
        room = np.finfo(np.float64).eps * 100 * min(size, 1e3) ** 2
        assert np.allclose(got, attention.reference(*given), rtol=0, atol=room, equal_nan=True)


@OPERATIONS
@pytest.mark.usefixtures("small_tiles")
def test_threads_change_no_bit(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        call = f.record.domain(Draw(seed, scale=20))
        found = []
        for threads in ("1", "2", "5"):
            monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
            found.append(by_kernel(f, call))
        for other in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_threads_change_no_bit_of_whole_tiles(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_THREADED", 1)
    q, k, v, g = (draw.normal(2, 1030, 16).astype(np.float32) for _ in range(4))
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        y, pullback = forward_and_pullback(attention.record, attention.record.bind((q, k, v), {}))
        found.append([y, *pullback(g)[:3]])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert explain(attention, q, k, v).kernel == "on_numpy.attention:attention"
    wide = forward_and_pullback(
        attention.record, attention.record.bind([x.astype(float) for x in (q, k, v)], {})
    )
    for one, other in zip(found[0], [wide[0], *wide[1](g.astype(float))[:3]], strict=True):
        assert np.abs(one - other).max() <= 200 * np.finfo(np.float32).eps * np.abs(other).max()


def test_little_work_takes_no_threads(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def counted(f: Any, items: Any) -> list[Any]:
        lengths.append(len(list(items)))
        return [f(item) for item in items]

    monkeypatch.setattr(kernels, "pool_map", counted)
    monkeypatch.setenv("PILLARS_NUM_THREADS", "2")
    attention(*(draw.normal(32, 64, 16) for _ in range(3)))
    assert lengths == [1]
    attention(*(draw.normal(1, 1024, 64) for _ in range(3)))
    assert lengths == [1, 2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout(draw: Draw, dtype: str) -> None:
    q, k, v = (draw.normal(4, 8, 64, 16).astype(dtype) for _ in range(3))
    expected = attention(q, k, v)
    assert explain(attention, q, k, v).kernel == "on_numpy.attention:attention"

    def odd(x: Any) -> list[Any]:
        wide = np.repeat(x[..., None], 2, axis=-1)
        return [
            np.asfortranarray(x),
            np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2),
            np.flip(np.flip(x).copy()),
            wide[..., 0],
            np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
        ]

    for a, b, c in zip(odd(q), odd(k), odd(v), strict=True):
        for given in ((a, k, v), (q, b, v), (q, k, c), (a, b, c)):
            assert np.array_equal(attention(*given), expected)
    one = np.broadcast_to(k[:1], k.shape)
    assert np.array_equal(attention(q, one, v), attention(q, one.copy(), v))


def test_a_mask_of_another_dtype(draw: Draw) -> None:
    q, k, v = (draw.normal(2, 64, 64).astype(np.float32) for _ in range(3))
    mask = draw.normal(64, 64)
    got = attention(q, k, v, mask=mask)
    assert got.dtype == np.float64
    wide = attention.reference(*(x.astype(np.float64) for x in (q, k, v)), mask=mask)
    assert np.abs(got - wide).max() <= 1e-13
    narrow = attention(*(x.astype(np.float64) for x in (q, k, v)), mask=mask.astype(np.float32))
    assert np.abs(narrow - wide).max() <= 1e-5


def peak(f: Any) -> float:
    """Megabytes that a call adds, its result included."""
    f()
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, {"causal": True}], ids=["plain", "causal"])
def test_no_array_of_length_squared(
    draw: Draw, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "2")
    q, k, v = (draw.normal(1, 4096, 8).astype(np.float32) for _ in range(3))

    def gradient() -> Any:
        return forward_and_pullback(attention.record, attention.record.bind((q, k, v), options))[1](v)

    # 67 MB would be all scores; two threads have a tile or two of one, and eight parts of the keys a gradient of q each
    assert peak(lambda: attention(q, k, v, **options)) < 6
    assert peak(gradient) < 12


def test_a_gradient_of_the_mask_is_as_large_as_the_mask(draw: Draw) -> None:
    q, k, v = (draw.normal(4, 1024, 8).astype(np.float32) for _ in range(3))
    mask = draw.normal(1, 1024).astype(np.float32)

    def gradient() -> Any:
        values = attention.record.bind((q, k, v), {"mask": mask})
        return forward_and_pullback(attention.record, values)[1](v)

    assert gradient()[3].shape == (1, 1024)
    assert peak(gradient) < 14  # 17 MB would be all scores
