"""Sums along any axis in any layout against float64, and what stands on them within its own stated bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars.backends import Draw
from pillars.backends.on_numpy._sums import tree_sum
from pillars.calculus import vjp
from pillars.layers import layer_norm, linear, rms_norm
from pillars.probability import log_softmax, logsumexp, softmax

EPS = float(np.finfo(np.float32).eps)
LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: np.flip(np.ascontiguousarray(np.flip(x, 0)), 0),
    "broadcast": lambda x: np.broadcast_to(x[:, :1], x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(9000, 3), (3, 9000), (129, 161), (70, 200, 30), (128, 1), (1, 300), (0, 5)]
)
def test_a_sum_along_any_axis_is_rounded_like_one_in_pairs(
    draw: Draw, shape: tuple[int, ...], layout: Any
) -> None:
    # of one sign, so that what is lost in adding to a large sum does not cancel
    x = layout(draw.positive(*shape).astype(np.float32)) if 0 not in shape else np.zeros(shape, np.float32)
    axes = [None, 0, -1, *range(len(shape)), (0, len(shape) - 1), tuple(range(len(shape)))]
    for axis in axes:
        for keepdims in (False, True):
            got, expected = (
                tree_sum(x, axis, keepdims=keepdims),
                np.sum(x, axis, np.float64, keepdims=keepdims),
            )
            assert got.shape == expected.shape
            assert got.dtype == np.float32
            # 31 additions in a run, for each of three levels, and 127 at the end: random roundings of these
            assert np.all(np.abs(got - expected) <= 12 * EPS * expected), (axis, keepdims)


def long(draw: Draw, *, scale: float = 1.0) -> Any:
    return (scale * draw.normal(300_000, 2)).astype(np.float32)


def test_probabilities_of_many_classes_on_the_first_axis_keep_their_bounds(draw: Draw) -> None:
    x = long(draw, scale=0.01)
    wide = np.exp(x.astype(np.float64))
    wide /= wide.sum(0)
    bound = (8 + len(x) ** 0.5) * EPS
    for found in (softmax(x, axis=0), np.exp(log_softmax(x, axis=0).astype(np.float64))):
        assert np.all(np.abs(found - wide) <= bound * wide)
        assert np.all(np.abs(found.astype(np.float64).sum(0) - 1) <= 4 * EPS * len(x) ** 0.5)
    exact = np.log(np.exp(x.astype(np.float64)).sum(0))
    assert np.all(np.abs(logsumexp(x, axis=0) - exact) <= 4 * EPS * exact)
    below_the_kernels = (0.01 * draw.normal(1667, 3)).astype(np.float32)
    sums = softmax(below_the_kernels, axis=-2, temperature=1e3).astype(np.float64).sum(0)
    assert np.all(np.abs(sums - 1) <= 20 * EPS)


@pytest.mark.parametrize("f", [layer_norm, rms_norm], ids=lambda f: f.__name__)
def test_features_on_the_first_axis_keep_their_bound(draw: Draw, f: Any) -> None:
    x = long(draw, scale=100.0)
    wide = f.reference(x.astype(np.float64), axis=0)
    assert np.all(np.abs(f(x, axis=0) - wide) <= 100 * EPS * (1 + np.abs(wide)))


def test_a_bias_of_many_rows_gets_all_of_its_gradient(draw: Draw) -> None:
    """Of the operation, with and without its kernel for a relu, and of the traced operators."""
    x, weight = draw.normal(200_000, 2).astype(np.float32), np.zeros((2, 2), np.float32)
    g = draw.positive(200_000, 2).astype(np.float32)
    forms: list[Any] = [lambda b: linear(x, weight, b), lambda b: linear(x, weight, b, activation="relu")]
    for form in (*forms, lambda b: x @ weight + b):
        _, pullback = vjp(form, np.ones(2, np.float32))
        (found,) = pullback(g)
        exact = g.sum(0, dtype=np.float64)
        assert np.all(np.abs(found - exact) <= 20 * EPS * exact)
