"""Cross-entropy on JAX without the pass for the maxima: rows that need one, edges, transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.probability import cross_entropy

jax = pytest.importorskip("jax")
NAN, INF = float("nan"), float("inf")
EPS = float(np.finfo(np.float32).eps)


def edges(draw: Draw) -> Any:
    x = draw.normal(12, 40)
    x[1] += 60
    x[2] -= 60
    x[3] *= 100
    x[4, 3], x[5, 3], x[6, :], x[7, 3] = NAN, INF, -INF, -INF
    x[8, :] = -300.0
    x[9, 3] = 500.0
    x[10, ::2] = -INF
    return x.astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.25}, {"label_smoothing": 0.1}, {"label_smoothing": 0.2, "temperature": 3.0}],
    ids=str,
)
def test_edges(draw: Draw, options: Any) -> None:
    x, labels = edges(draw), draw.integers(0, 40, 12)
    labels[7] = 3  # a class at −inf
    for rows in (slice(None), slice(0, 1), slice(3, 4), slice(6, 9)):
        wide = x[rows].astype(np.float64)
        true = cross_entropy.reference(wide, labels[rows], reduction="none", **options)
        arrays = jax.numpy.asarray(x[rows]), jax.numpy.asarray(labels[rows])

        def one(*a: Any) -> Any:
            return cross_entropy(*a, reduction="none", **options)

        for way in (one, jax.jit(one), jax.vmap(one)):
            got = np.asarray(way(*arrays), np.float64)
            known = np.isfinite(true)
            assert np.array_equal(got[~known], true[~known], equal_nan=True)
            size = np.abs(np.where(np.isfinite(wide), wide, 0.0)).max(-1) / options.get("temperature", 1.0)
            assert np.all(np.abs(got[known] - true[known]) <= (8 * EPS * (8 + 40**0.5 + size))[known])


def test_a_row_keeps_its_bits_beside_one_that_is_redone(draw: Draw) -> None:
    x, labels = draw.normal(8, 30).astype(np.float32), jax.numpy.asarray(draw.integers(0, 30, 8))
    plain = cross_entropy(jax.numpy.asarray(x), labels, reduction="none")
    x[5] *= 1000
    beside = cross_entropy(jax.numpy.asarray(x), labels, reduction="none")
    assert np.array_equal(np.delete(plain, 5), np.delete(beside, 5))


def test_labels_of_no_class_and_a_temperature_that_is_none(draw: Draw) -> None:
    x = jax.numpy.asarray(draw.normal(4, 3), "float32")
    losses = cross_entropy(x, jax.numpy.asarray([0, 3, -1, 2]), reduction="none")
    assert np.array_equal(np.isnan(losses), [False, True, True, False])
    assert bool(
        jax.numpy.isnan(cross_entropy(x, jax.numpy.zeros(4, int), temperature=jax.numpy.asarray(-1.0)))
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_and_derivatives(draw: Draw, reduction: Any) -> None:
    x, labels = (
        jax.numpy.asarray(draw.normal(5, 2, 7), "float32"),
        jax.numpy.asarray(draw.integers(0, 7, 5, 2)),
    )
    got = cross_entropy(x, labels, reduction=reduction)
    true = cross_entropy.reference(np.asarray(x, np.float64), np.asarray(labels), reduction=reduction)
    assert np.allclose(got, true, rtol=40 * EPS, atol=40 * EPS)

    def total(z: Any, t: Any) -> Any:
        return jax.numpy.sum(cross_entropy(z, labels, reduction=reduction, temperature=t))

    def written_out(z: Any, t: Any) -> Any:
        p = jax.nn.log_softmax(z / t)
        losses = -jax.numpy.take_along_axis(p, labels[..., None], -1)
        return jax.numpy.mean(losses) if reduction == "mean" else jax.numpy.sum(losses)

    for argument in (0, 1):
        slopes = [jax.jit(jax.grad(f, argument))(x, 1.5) for f in (total, written_out)]
        assert np.allclose(*slopes, rtol=1e-4, atol=1e-5)
    assert np.allclose(
        *(jax.jvp(lambda z, f=f: f(z, 1.5), (x,), (x,))[1] for f in (total, written_out)), rtol=1e-4
    )


def test_what_it_serves() -> None:
    x, labels = jax.numpy.ones((2, 3)), jax.numpy.asarray([0, 1])
    assert explain(cross_entropy, x, labels).kernel == "on_jax.softmax:cross_entropy"
    assert "probabilities" in explain(cross_entropy, x, x / 3).reason
