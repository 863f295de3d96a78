"""Attention's blocks on JAX against the bodies: loops and batches, blocks that are not full, and how much memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import x64
from pillars import explain
from pillars.algorithms import attention
from pillars.backends import Call, Draw, tree_leaves
from pillars.layers.attention._passes import attention_backward, attention_forward

jax = pytest.importorskip("jax")

kernels = pytest.importorskip("pillars.backends.on_jax.attention")
DTYPE = "float64" if x64() else "float32"
OPERATIONS = pytest.mark.parametrize(
    "f", [attention, attention_forward, attention_backward], ids=lambda f: f.record.name
)
WAYS = pytest.mark.parametrize("few", [0, 2**20], ids=["loops", "batched"])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Blocks of which a few queries make many, not all full, and parts of few keys; one after another above `few`."""
    monkeypatch.setattr(kernels, "_ROWS", 5)
    monkeypatch.setattr(kernels, "_LEAST", 4)
    monkeypatch.setattr(kernels, "_PARTED", 3)
    monkeypatch.setattr(kernels, "_FEW", few)


def by_kernel(f: Any, call: Call) -> list[Any]:
    """The kernel itself: what is below its size threshold, and would go to the body."""
    values = f.record.bind(call.args, call.options)
    placed = [
        jax.numpy.asarray(x, dtype=DTYPE if np.asarray(x).dtype.kind == "f" else None)
        if p.is_array and x is not None
        else x
        for p, x in zip(f.record.parameters, values, strict=True)
    ]
    inside = [i for i, x in enumerate(placed) if hasattr(x, "shape")]

    def program(*given: Any) -> Any:
        values = list(placed)
        for i, x in zip(inside, given, strict=True):
            values[i] = x
        positional, options = f.record.split(values)
        return getattr(kernels, f.__name__)(*positional, **options)

    return [np.asarray(y) for y in tree_leaves(jax.jit(program)(*[placed[i] for i in inside]))]


def by_body(f: Any, call: Call) -> list[Any]:
    def seen(x: Any) -> Any:
        return x.astype(DTYPE).astype(np.float64) if getattr(x, "dtype", np.dtype(bool)).kind == "f" else x

    options = {name: seen(x) for name, x in call.options.items()}
    return tree_leaves(f.reference(*map(seen, call.args), **options))


def same(got: list[Any], expected: list[Any]) -> None:
    """Sums of some dozen numbers of size one; what is no number must be so in both."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == DTYPE
        known = np.isfinite(other)
        assert np.array_equal(one[~known], other[~known], equal_nan=True)
        scale = max(1.0, np.abs(other[known]).max(initial=0.0))
        assert np.abs(one[known] - other[known]).max(initial=0.0) <= 200 * np.finfo(DTYPE).eps * scale


@OPERATIONS
@WAYS
@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_the_body(f: Any, few: int) -> None:
    for seed in range(2 if few else 5):
        call = f.record.domain(Draw(seed, scale=14))
        same(by_kernel(f, call), by_body(f, call))


@OPERATIONS
@WAYS
@pytest.mark.usefixtures("small_blocks")
def test_what_is_no_number_is_so_in_the_same_places(f: Any) -> None:
    """Rows that fill up a block see nothing, be it that no query sees it."""
    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal((2, length, 3)) for length in (13, 9, 9))
    mask = random.standard_normal((13, 9)) > -1.0
    q[0, 2, 1], k[0, 4, 0], k[1, 7, 2], v[0, 5, 1] = np.nan, -np.inf, np.inf, np.nan
    mask[:, 7] = False
    arrays = [q, k, v]
    if f is attention_backward:
        g, y = (random.standard_normal((2, 13, 3)) for _ in range(2))
        g[1, 5, 0] = np.nan
        arrays = [g, y, random.standard_normal((2, 13)), *arrays]
    for options in ({"mask": mask}, {"mask": np.where(mask, 0.5, -np.inf), "causal": True}, {}):
        call = Call(tuple(arrays), options)
        same(by_kernel(f, call), by_body(f, call))


@pytest.mark.parametrize("length", [1, 255, 256, 257, 509, 512, 600, 1021])
def test_blocks_cover_the_queries(length: int) -> None:
    blocks, rows = kernels._cut(length)
    assert rows <= 256
    assert (blocks - 1) * rows < length <= blocks * rows
    assert blocks * rows == length or length in {257, 509, 1021}  # primes


@pytest.mark.parametrize("length", [512, 331])
def test_the_rule_runs_the_kernels(length: int) -> None:
    random = np.random.default_rng(0)
    q, k, v, g = (
        jax.numpy.asarray(random.standard_normal((2, length, 16)), dtype="float32") for _ in range(4)
    )
    assert explain(attention, q, k, v).kernel == "on_jax.attention:attention"
    assert explain(attention, q[:, :4], k, v).kernel == "body"
    assert "no keys" in explain(attention, q, k[:, :0], v[:, :0]).reason

    def slopes(f: Any) -> Any:
        return jax.jit(jax.grad(lambda *given: (f(*given, causal=True) * g).sum(), (0, 1, 2)))(q, k, v)

    for one, other in zip(slopes(attention), slopes(attention.reference), strict=True):
        assert np.abs(one - other).max() <= 200 * np.finfo(np.float32).eps * np.abs(other).max()
    batched = jax.vmap(
        jax.grad(lambda *given: (attention(*given[:3], causal=True) * given[3]).sum(), (0, 1, 2))
    )
    for one, other in zip(batched(q, k, v, g), slopes(attention), strict=True):
        assert np.abs(one - other).max() <= 200 * np.finfo(np.float32).eps * np.abs(other).max()


def temporary(f: Any, *shapes: Any) -> float:
    """Megabytes that the compiled program needs beside arguments and results."""
    given = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return float(jax.jit(f).lower(*given).compile().memory_analysis().temp_size_in_bytes) / 1e6


def test_no_array_of_length_squared() -> None:
    shape = (2, 4096, 16)  # 134 MB would be all scores, and 0.5 each argument; a block of them is 4

    def gradient(q: Any, k: Any, v: Any) -> Any:
        return jax.grad(lambda *given: (attention(*given) ** 2).sum(), (0, 1, 2))(q, k, v)

    assert temporary(attention, shape, shape, shape) < 12
    assert temporary(gradient, shape, shape, shape) < 24
