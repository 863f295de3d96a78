"""softmax and log_softmax of some entries, and of several axes: what is left out counts for nothing, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from contracts._variants import Variant
from pillars import DTypeError, ShapeError, explain, grad
from pillars.backends import Draw
from pillars.calculus import jacobian
from pillars.probability import log_softmax, logsumexp, softmax
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
BOTH = pytest.mark.parametrize("f", [softmax, log_softmax], ids=lambda f: f.__name__)
PEERS = {softmax: special.softmax, log_softmax: special.log_softmax}
OUT = {softmax: 0.0, log_softmax: -INF}


@pytest.mark.parametrize("axis", [None, (0, 2), (1,), (2, 0, 1)], ids=str)
@BOTH
def test_several_axes(variant: Variant, draw: Draw, f: Any, axis: Any) -> None:
    x = draw.normal(3, 4, 5, scale=2.0)
    close = {"rtol": 40 * eps(variant), "atol": 0}
    assert np.allclose(on(variant, f, x, axis=axis), PEERS[f](x, axis=axis), **close)


@BOTH
def test_of_some_it_is_that_of_those_alone(variant: Variant, draw: Draw, f: Any) -> None:
    x, counts = draw.normal(4, 6), draw.uniform(0, 1, 4, 6) < 0.6
    counts[:, 2] = True
    x[~counts] = NAN
    for mask in (counts, counts.astype("int32")):
        y = on(variant, lambda v, m: f(v, where=m, temperature=1.5), x, mask)
        assert np.all(y[~counts] == OUT[f])
        for row, m, got in zip(x, counts, y, strict=True):
            assert np.allclose(got[m], PEERS[f](row[m] / 1.5), rtol=40 * eps(variant), atol=0)


@BOTH
def test_of_none_there_is_nothing(variant: Variant, f: Any) -> None:
    x = np.asarray([[1.0, NAN, INF], [1.0, 2.0, -INF], [-INF, -INF, 5.0]])
    mask = np.asarray([[False] * 3, [True, True, True], [True, True, False]])
    y = on(variant, lambda v, m: f(v, where=m), x, mask)
    assert np.all(y[0] == OUT[f])
    assert np.all(y[1] == on(variant, f, x[1]))
    # what counts is all -inf: no answer, but for what does not count
    assert np.all(np.isnan(y[2, :2]))
    assert y[2, 2] == OUT[f]


@ONCE
@BOTH
def test_no_gradient_comes_to_it_or_from_it(variant: Variant, f: Any) -> None:
    """Large, infinite and NaN entries that a mask leaves out, a whole slice of them too."""
    x = np.asarray([[1.0, 1.5, 1e4], [NAN, INF, -INF], [0.5, NAN, 2.0]])
    mask = np.asarray([[True, True, False], [False] * 3, [True, False, True]])
    g = np.where(mask, [[1.0, 2.0, 3.0]], NAN)
    dx, dt, _ = pullback(variant, f, g, x, temperature=2.0, where=variant.asarray(mask))
    assert np.all(dx[~mask] == 0)
    assert np.isfinite(dt)
    for row in (0, 2):
        kept = mask[row]
        alone = pullback(variant, f, g[row][kept], x[row][kept], temperature=2.0)[0]
        assert np.allclose(dx[row][kept], alone, rtol=40 * eps(variant), atol=4 * eps(variant))


@BOTH
def test_nor_a_second_one(f: Any) -> None:
    x, mask = np.asarray([1.0, 2.0, NAN]), np.asarray([True, True, False])
    hessian = jacobian(grad(lambda v: f(v, where=mask)[0]), x)
    assert np.all(hessian[2] == 0)
    assert np.all(hessian[:, 2] == 0)
    assert np.allclose(hessian[:2, :2], jacobian(grad(lambda v: f(v)[0]), x[:2]), rtol=1e-13)


def test_jax_maps_and_differentiates_masks() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([[36.0, 1e4], [NAN, 1.0]])
    mask = jax.numpy.asarray([[True, False], [False, True]])

    @jax.jit
    def everything(x: Any) -> Any:
        rows = [jax.vmap(lambda v, m, f=f: f(v, where=m))(x, mask) for f in PEERS]
        both = (jax.jacrev, jax.jacfwd)
        return rows, [way(lambda v, f=f: f(v, where=mask[0])[0])(x[0]) for f in PEERS for way in both]

    rows, slopes = everything(x)
    assert np.array_equal(rows[0], [[1.0, 0.0], [0.0, 1.0]])
    assert np.array_equal(rows[1], [[0.0, -INF], [-INF, 0.0]])
    assert all(np.array_equal(slope, [0.0, 0.0]) for slope in slopes)


@pytest.mark.parametrize("f", [softmax, log_softmax, logsumexp], ids=lambda f: f.__name__)
def test_refusals(variant: Variant, f: Any) -> None:
    x = np.ones((2, 3))

    def masked(v: Any, m: Any) -> Any:
        return f(v, where=m)

    with pytest.raises(DTypeError, match=rf"{f.__name__}: where has dtype float.*Write where != 0"):
        on(variant, masked, x, np.ones((2, 3)))
    with pytest.raises(
        ShapeError, match=rf"{f.__name__}: where has shape \(2, 2\).*broadcasts to .*\(2, 3\)"
    ):
        on(variant, masked, x, np.ones((2, 2), dtype=bool))
    with pytest.raises(ShapeError, match=rf"{f.__name__}: axis is .*expected each axis once"):
        on(variant, f, x, axis=(1, -1))
    with pytest.raises(ShapeError, match=rf"{f.__name__}: .*x has shape \(\)"):
        on(variant, f, np.asarray(1.0), axis=None)


def test_explain_says_that_no_kernel_serves_a_mask() -> None:
    x, mask = np.ones((128, 100)), np.ones(100, dtype=bool)
    assert "where= leaves some entries out" in explain(softmax, x, where=mask).reason
    assert explain(log_softmax, x, axis=(1,)).kernel == "on_numpy.softmax:log_softmax"
    assert "not the last one" in explain(log_softmax, x, axis=None).reason
