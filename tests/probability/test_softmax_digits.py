"""What is nearly certain keeps its digits: values, first and second derivatives, against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from contracts._variants import Variant
from pillars import grad
from pillars.backends import forced_kernels
from pillars.calculus import jacobian
from pillars.probability import cross_entropy, log_softmax, logsumexp, softmax
from running import ONCE, eps, on, pullback

# one certain entry, two that share nearly all, ties of the largest, and short and long rows of each
ROWS = [
    [0.0, -40.0],
    [-40.0, 3.0, -33.0, -39.5],
    [5.0, 5.0, -30.0],
    [0.0, 0.0, 0.0, -1.0],
    [0.0, *[-35.0 - j / 7 for j in range(40)]],
    [12.0, *[-8.0 - j / 7 for j in range(40)]],
    [400.0, *[370.0 - j / 7 for j in range(40)]],
]


def rest(row: list[float]) -> Any:
    """log Σ exp(x − max), in 40 digits."""
    with mpmath.workdps(60):
        return mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(v) - mpmath.mpf(max(row))) for v in row))


def seen(variant: Variant, row: list[float]) -> list[float]:
    """The numbers as the variant holds them."""
    return np.asarray(row, dtype=variant.default_float).astype(np.float64).tolist()


def bound(variant: Variant, row: list[float]) -> float:
    return 4 * eps(variant) * (max(row) - min(row) + 8 + len(row) ** 0.5)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]:g} and {len(row) - 1}")
def test_the_logarithm_of_a_sum_near_its_largest_term(variant: Variant, row: list[float]) -> None:
    row = seen(variant, row)
    total, top = rest(row), row.index(max(row))
    true = np.asarray([float(mpmath.mpf(v - max(row)) - total) for v in row])

    def every(x: Any) -> Any:
        return log_softmax(x), logsumexp(x)

    with forced_kernels():
        log_p, sum_ = on(variant, every, np.asarray(row))
    assert np.all(np.abs(log_p / true - 1) <= bound(variant, row))
    assert log_p.max() <= 0
    exact = float(mpmath.mpf(max(row)) + total)
    assert abs(sum_ - exact) <= bound(variant, row) * abs(exact)
    labels = np.asarray([top])
    loss = on(variant, cross_entropy, np.asarray([row]), labels)
    assert abs(loss / float(total) - 1) <= bound(variant, row)
    others = on(variant, cross_entropy, np.asarray([row]), np.asarray([len(row) - 1]))
    assert abs(others / -true[-1] - 1) <= bound(variant, row)


def test_several_axes_and_a_temperature(variant: Variant) -> None:
    x = np.asarray([[0.0, -40.0], [-41.0, -50.0]])
    true = -float(rest(x.ravel().tolist()))
    got = on(variant, lambda v: (log_softmax(v, axis=None), log_softmax(v.T, axis=(1, 0))), x)
    for log_p in got:
        assert log_p[0, 0] == pytest.approx(true, rel=64 * eps(variant), abs=0)
    warm = on(variant, log_softmax, x, axis=(0, 1), temperature=2.0)
    assert warm[0, 0] == pytest.approx(-float(rest((x / 2).ravel().tolist())), rel=64 * eps(variant), abs=0)


@ONCE
def test_first_derivatives(variant: Variant) -> None:
    for given in ROWS[:2] + ROWS[4:]:
        row = seen(variant, given)
        p = np.asarray([float(mpmath.exp(mpmath.mpf(v - max(row)) - rest(row))) for v in row])
        top = int(np.argmax(row))
        others = float(sum(p[j] for j in range(len(row)) if j != top))
        g = np.zeros(len(row))
        g[top] = 1.0
        close = {"rel": 4 * bound(variant, row), "abs": 0}
        assert pullback(variant, softmax, g, np.asarray(row))[0][top] == pytest.approx(
            p[top] * others, **close
        )
        assert pullback(variant, log_softmax, g, np.asarray(row))[0][top] == pytest.approx(others, **close)
        for labels in (np.asarray([top]), np.eye(len(row))[[top]]):
            dlogits = pullback(variant, cross_entropy, 1.0, np.asarray([row]), labels)[0][0]
            assert dlogits[top] == pytest.approx(-others, **close)
            assert np.delete(dlogits, top) == pytest.approx(np.delete(p, top), **close)


def test_second_derivatives() -> None:
    x = np.asarray([0.0, -40.0])
    q = float(mpmath.exp(-40) / (1 + mpmath.exp(-40)) ** 2)
    hessian = np.asarray([[q, -q], [-q, q]])
    labels = np.asarray([0])
    for f in (
        logsumexp,
        lambda v: -log_softmax(v)[0],
        lambda v: cross_entropy(v[None, :], labels),
        lambda v: -softmax(v)[0],
    ):
        assert np.allclose(jacobian(grad(f), x), hessian, rtol=1e-13, atol=0)


def test_jax_has_those_derivatives_too() -> None:
    jax = pytest.importorskip("jax")
    x, labels = jax.numpy.asarray([0.0, -40.0]), jax.numpy.asarray([0])
    q = float(mpmath.exp(-40))
    slope, hessian = np.asarray([q, -q]), np.asarray([[q, -q], [-q, q]])

    @jax.jit
    def all_of_them(x: Any) -> Any:
        signs = (
            (lambda v: log_softmax(v)[0], 1),
            (lambda v: softmax(v)[0], 1),
            (lambda v: cross_entropy(v[None, :], labels), -1),
        )
        return [(s, jax.grad(f)(x), jax.jacfwd(f)(x), jax.hessian(f)(x)) for f, s in signs]

    for sign, backward, forward, second in all_of_them(x):
        assert np.allclose(sign * backward, slope, rtol=1e-5, atol=0)
        assert np.allclose(sign * forward, slope, rtol=1e-5, atol=0)
        assert np.allclose(sign * second, -hessian, rtol=1e-5, atol=0)


def test_in_float32_and_in_half_precision() -> None:
    logits = np.asarray([[0.0, -17.0]], dtype=np.float32)
    assert cross_entropy(logits, np.asarray([0])) == pytest.approx(float(rest([0.0, -17.0])), rel=1e-6)
    half = log_softmax(np.asarray([0.0, -9.0], dtype=np.float16))
    assert half[0] == np.float16(-float(rest([0.0, -9.0])))


@pytest.mark.parametrize("k", [2, 10, 33, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_sure_beside_rows_that_are_not(k: int, dtype: str) -> None:
    """Few of a block, most of it, all of it: each way its kernels go."""
    rng = np.random.default_rng(k)
    for share in (0.05, 0.7, 1.0):
        x = rng.standard_normal((200, k)) * 2 + rng.choice([-30.0, 0.0, 12.0, 200.0], (200, 1))
        top, sure = rng.integers(0, k, 200), rng.uniform(0, 1, 200) < share
        x[np.arange(200), top] += np.where(sure, rng.uniform(2, 30, 200), 0)
        x = x.astype(dtype)
        z = (x - x.max(-1, keepdims=True).astype(np.longdouble)).astype(np.longdouble)
        e = np.exp(z)
        e[np.arange(200), x.argmax(-1)] = 0
        true = z - np.log1p(e.sum(-1, keepdims=True))
        own = -true[np.arange(200), top]
        limit = 4 * np.finfo(dtype).eps * (np.abs(z).max(-1) + 8 + k**0.5)
        with forced_kernels():
            log_p = log_softmax(x)
            losses = cross_entropy(x, top, reduction="none")
        assert np.all(np.abs(log_p / true - 1) <= limit[:, None])
        assert np.all(np.abs(losses / own - 1) <= limit)
        dlogits = grad(lambda z, top=top: cross_entropy(z, top, reduction="sum"))(x)
        p = np.exp(true)
        p[np.arange(200), top] = np.expm1(true[np.arange(200), top])
        assert np.all(np.abs(dlogits - p) <= 4 * limit[:, None] * np.abs(p) + np.finfo(dtype).tiny)
