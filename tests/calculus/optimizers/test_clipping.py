"""clip_by_global_norm: norms before and after, direction, parity with optax and torch, edges, what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import BackendError, DTypeError, ShapeError
from pillars.backends import Draw, backend, tree_leaves, tree_map
from pillars.calculus import Clipped, clip_by_global_norm, clip_by_value
from running import eps


def norm(tree: Any) -> float:
    return math.sqrt(sum(float(np.sum(np.asarray(x, dtype=np.float64) ** 2)) for x in tree_leaves(tree)))


def clipped(variant: Variant, tree: Any, bound: Any, dtype: str | None = None) -> Clipped:
    """On a variant, host arrays in and out."""
    placed = tree_map(lambda x: variant.asarray(x, dtype or variant.default_float), tree)
    return variant.to_numpy(variant.compiled(lambda g: clip_by_global_norm(g, bound))(placed))


def drawn(draw: Draw, scale: float = 1.0) -> Any:
    return {
        "w": scale * draw.normal(3, 4),
        "layers": [scale * draw.normal(5), scale * draw.normal()],
        "none": None,
    }


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_larger_norm_becomes_the_bound(variant: Variant, draw: Draw, scale: float) -> None:
    tree = drawn(draw, scale)
    entries = sum(x.size for x in tree_leaves(tree))
    found = clipped(variant, tree, 0.25 * scale)
    assert math.isclose(float(found.norm), norm(tree), rel_tol=(entries + 4) * eps(variant))
    assert math.isclose(norm(found.grads), 0.25 * scale, rel_tol=(entries + 8) * eps(variant))
    factor = 0.25 * scale / norm(tree)
    for mine, given in zip(tree_leaves(found.grads), tree_leaves(tree), strict=True):
        assert mine.shape == given.shape
        assert np.allclose(mine, factor * given, rtol=(entries + 8) * eps(variant), atol=0)


def test_a_smaller_norm_changes_no_bit(variant: Variant, draw: Draw) -> None:
    tree = drawn(draw)
    for bound in (2 * norm(tree), math.inf):
        found = clipped(variant, tree, bound)
        for mine, given in zip(tree_leaves(found.grads), tree_leaves(tree), strict=True):
            assert np.array_equal(mine, given.astype(mine.dtype))
    exact = clipped(variant, np.asarray([3.0, 4.0]), 5.0)
    assert exact.grads.tolist() == [3.0, 4.0]


def test_kinds_are_kept(variant: Variant) -> None:
    tree = {
        "a": variant.asarray(np.ones(2), "float32"),
        "b": variant.asarray(np.ones(()), variant.default_float),
    }
    found = variant.compiled(lambda g: clip_by_global_norm(g, 1.0))(tree)
    for key, given in tree.items():
        leaf = found.grads[key]
        assert (leaf.shape, leaf.dtype) == (given.shape, given.dtype)
        assert backend(leaf).name == variant.library
    assert found.norm.dtype == tree["b"].dtype  # the widest
    assert isinstance(found, Clipped)


def test_half_precision_is_measured_wide() -> None:
    found = clip_by_global_norm(np.full(100, 6e4, np.float16), 1.0)
    assert found.norm.dtype == np.float32
    assert math.isclose(float(found.norm), 10 * float(np.float16(6e4)), rel_tol=1e-6)
    assert found.grads.dtype == np.float16
    assert np.allclose(found.grads, 0.1, rtol=2.0**-11)


def test_it_is_that_of_optax() -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    random = np.random.default_rng(0)
    tree = {"a": jnp.asarray(random.standard_normal((3, 2))), "b": jnp.asarray(random.standard_normal(4))}
    precision = float(jnp.finfo(tree["a"].dtype).eps)
    for bound in (0.1, 1.0, 100.0):
        theirs, _ = optax.clip_by_global_norm(bound).update(tree, optax.EmptyState())
        found = clip_by_global_norm(tree, bound)
        assert math.isclose(float(found.norm), float(optax.tree.norm(tree)), rel_tol=8 * precision)
        for a, b in zip(tree_leaves(found.grads), tree_leaves(theirs), strict=True):
            assert np.allclose(a, b, rtol=8 * precision, atol=0)


def test_it_is_that_of_torch_but_for_its_millionth() -> None:
    torch = pytest.importorskip("torch")
    g = np.asarray([3.0, -4.0, 12.0])
    leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    leaf.grad = torch.tensor(g)
    before = torch.nn.utils.clip_grad_norm_([leaf], 2.0)
    found = clip_by_global_norm(g, 2.0)
    assert float(found.norm) == float(before) == 13.0
    assert np.allclose(leaf.grad.numpy() * (1 + 1e-6 / 13.0), found.grads, rtol=1e-15)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_has_no_direction_comes_back_as_it_is(variant: Variant, odd: float) -> None:
    tree = {"a": np.asarray([1.0, odd]), "b": np.asarray([5.0])}
    found = clipped(variant, tree, 1.0)
    assert not math.isfinite(float(found.norm))
    assert math.isnan(float(found.norm)) == math.isnan(odd)
    assert np.array_equal(found.grads["a"], tree["a"], equal_nan=True)
    assert found.grads["b"].tolist() == [5.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_norm_beyond_the_dtype_is_clipped_all_the_same(variant: Variant, dtype: str) -> None:
    if dtype not in variant.floats:
        pytest.skip("not applicable: no float64 here")
    largest = float(np.finfo(dtype).max)
    found = clipped(variant, np.asarray([0.9 * largest, -0.9 * largest, 0.0]), 1.0, dtype)
    assert math.isinf(float(found.norm))
    assert np.allclose(found.grads, [math.sqrt(0.5), -math.sqrt(0.5), 0.0], rtol=8 * eps(variant, dtype))


def test_zeros_and_empty_leaves(variant: Variant) -> None:
    found = clipped(variant, {"a": np.zeros(3), "b": np.zeros((0, 2))}, 1.0)
    assert float(found.norm) == 0.0
    assert found.grads["a"].tolist() == [0.0] * 3
    assert found.grads["b"].shape == (0, 2)


def test_bounds_and_gradients_may_be_traced() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    g = jnp.asarray([3.0, 4.0])
    slope = jax.jit(jax.grad(lambda bound: jnp.sum(clip_by_global_norm(g, bound).grads)))(1.0)
    assert math.isclose(float(slope), 1.4, rel_tol=1e-6)
    # the norm's own slope at 0 is infinite, and must not turn up where nothing is clipped
    flat = jax.grad(lambda g: jnp.sum(clip_by_global_norm(g, 1.0).grads))(jnp.zeros(2))
    assert np.asarray(flat).tolist() == [1.0, 1.0]


def test_inputs_are_not_written() -> None:
    g = np.asarray([3.0, 4.0])
    g.flags.writeable = False
    assert clip_by_global_norm(g, 1.0).grads is not g
    assert g.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, "max_norm is 0, expected it above 0", lambda: clip_by_global_norm(np.ones(2), 0.0)),
        (ShapeError, "max_norm is -1", lambda: clip_by_global_norm(np.ones(2), -1.0)),
        (ShapeError, "max_norm is nan", lambda: clip_by_global_norm(np.ones(2), math.nan)),
        (DTypeError, "max_norm is None", lambda: clip_by_global_norm(np.ones(2), None)),
        (ShapeError, r"max_norm has shape \(2,\)", lambda: clip_by_global_norm(np.ones(2), np.ones(2))),
        (ShapeError, "grads has no leaves", lambda: clip_by_global_norm({}, 1.0)),
        (DTypeError, r"grads\['w'\] has dtype int64", lambda: clip_by_global_norm({"w": np.ones(2, int)}, 1.0)),
        (DTypeError, r"grads\[1\] is 2.0, expected an array", lambda: clip_by_global_norm([np.ones(2), 2.0], 1.0)),
        (DTypeError, "is a masked array", lambda: clip_by_global_norm(np.ma.masked_array([1.0, 2.0], [0, 1]), 1.0)),
        (DTypeError, "dtype complex128", lambda: clip_by_global_norm(np.ones(2, complex), 1.0)),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words):
        call()


def test_two_libraries_are_refused() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match="expected one library"):
        clip_by_global_norm([np.ones(2), jnp.ones(2)], 1.0)


# ------------------------------------------------------------------------------------------------------- entry by entry
def by_value(variant: Variant, tree: Any, limit: Any, dtype: str | None = None) -> Clipped:
    placed = tree_map(lambda x: variant.asarray(x, dtype or variant.default_float), tree)
    return variant.to_numpy(variant.compiled(lambda g: clip_by_value(g, limit))(placed))


def test_entries_are_brought_within_the_limit(variant: Variant, draw: Draw) -> None:
    tree = drawn(draw, 2.0)
    found = by_value(variant, tree, 0.7)
    dtype = np.dtype(variant.default_float).type
    for got, g in zip(tree_leaves(found.grads), tree_leaves(tree), strict=True):
        assert got.dtype == dtype
        assert np.array_equal(got, np.clip(np.asarray(g).astype(dtype), dtype(-0.7), dtype(0.7)))
    entries = sum(x.size for x in tree_leaves(tree))
    assert math.isclose(float(found.norm), norm(tree), rel_tol=(entries + 4) * eps(variant))
    assert found.grads["none"] is None
    for same in (by_value(variant, tree, math.inf), by_value(variant, tree, 1e30)):
        for got, g in zip(tree_leaves(same.grads), tree_leaves(tree), strict=True):
            assert np.array_equal(got, np.asarray(g).astype(dtype))


def test_by_value_is_optax_s_and_torch_s(draw: Draw) -> None:
    tree = {"b": draw.normal(5), "w": draw.normal(3, 4)}
    found = clip_by_value(tree, 0.4).grads
    torch = pytest.importorskip("torch")
    leaves = [torch.zeros(x.shape, dtype=torch.float64, requires_grad=True) for x in tree.values()]
    for leaf, g in zip(leaves, tree.values(), strict=True):
        leaf.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_value_(leaves, 0.4)
    for leaf, mine in zip(leaves, found.values(), strict=True):
        assert np.array_equal(leaf.grad.numpy(), mine)
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    placed = tree_map(jnp.asarray, tree)
    theirs, _ = optax.clip(0.4).update(placed, optax.clip(0.4).init(placed))
    for a, b in zip(tree_leaves(clip_by_value(placed, 0.4).grads), tree_leaves(theirs), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_comes_back_by_value_too(variant: Variant, odd: float) -> None:
    tree = {"a": np.asarray([5.0, odd]), "b": np.asarray([-7.0])}
    found = by_value(variant, tree, 1.0)
    assert np.array_equal(found.grads["a"], tree["a"], equal_nan=True)
    assert found.grads["b"].tolist() == [-7.0]
    assert not np.isfinite(found.norm)
    # entries whose norm alone overflows are clipped
    big = by_value(variant, {"a": np.full(4, 3e38)}, 2.0, "float32")
    assert np.isinf(big.norm)
    assert big.grads["a"].tolist() == [2.0] * 4


def test_by_value_half_precision_and_traced_limits() -> None:
    found = clip_by_value(np.asarray([1e4, -0.25], np.float16), 1e6)
    assert found.grads.tolist() == [1e4, -0.25]
    assert clip_by_value(np.asarray([1e4, -0.25], np.float16), 0.5).grads.tolist() == [0.5, -0.25]
    jax = pytest.importorskip("jax")
    slope = jax.jit(jax.grad(lambda limit: clip_by_value(jax.numpy.asarray([3.0, -0.1]), limit).grads.sum()))(
        1.0
    )
    assert float(slope) == 1.0


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_limits_that_are_none_are_refused(limit: float) -> None:
    with pytest.raises(ShapeError, match="clip_by_value: limit is"):
        clip_by_value(np.ones(2), limit)
    with pytest.raises(DTypeError, match=r"clip_by_value: grads\['n'\] has dtype int64"):
        clip_by_value({"n": np.ones(2, np.int64)}, 1.0)
    with pytest.raises(ShapeError, match="no leaves"):
        clip_by_value({}, 1.0)
