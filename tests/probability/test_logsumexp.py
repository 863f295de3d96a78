"""logsumexp: infinities, weights of either sign and of 0, signs, masks; their first and second derivatives."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

from contracts._variants import Variant
from pillars import ShapeError, explain, grad
from pillars.backends import Draw
from pillars.calculus import jacobian
from pillars.probability import SignedLog, logsumexp
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
EDGES = [
    ([-INF, -INF, -INF], -INF),
    ([INF, 0.0, 1.0], INF),
    ([INF, INF, -INF], INF),
    ([INF, NAN, 0.0], NAN),
    ([-INF, NAN, 0.0], NAN),
    ([-INF, 2.0, -INF], 2.0),
]


def test_a_sum_of_nothing_and_of_too_much(variant: Variant) -> None:
    rows, expected = np.asarray([row for row, _ in EDGES]), np.asarray([y for _, y in EDGES])
    long = np.repeat(rows, 20, axis=1)

    def ways(x: Any, wide: Any, ones: Any) -> Any:
        return logsumexp(x), logsumexp(wide), logsumexp(wide.T, axis=0), logsumexp(x, b=ones)

    got, wide, transposed, weighted = on(variant, ways, rows, long, np.ones(3))
    known = ~np.isnan(expected) & (expected != 2.0)
    for y in (got, wide, transposed, weighted):
        assert np.array_equal(y[known], expected[known])
        assert np.array_equal(np.isnan(y), np.isnan(expected))
    assert got[-1] == 2.0
    assert wide[-1] == pytest.approx(2.0 + np.log(20), rel=8 * eps(variant))


@ONCE
def test_where_it_is_infinite_it_has_no_gradient_but_for_what_does_not_count(variant: Variant) -> None:
    rows = np.asarray([row for row, y in EDGES if y in (INF, -INF)])
    assert np.all(np.isnan(pullback(variant, logsumexp, np.ones(len(rows)), rows)[0]))
    nothing = variant.asarray(np.zeros(rows.shape, dtype=bool))
    dx = pullback(variant, logsumexp, np.ones(len(rows)), rows, where=nothing)[0]
    assert np.array_equal(dx, np.zeros(rows.shape))


def test_second_derivatives_at_infinities() -> None:
    assert np.all(np.isnan(jacobian(grad(logsumexp), np.asarray([-INF, -INF]))))
    p = special.softmax([0.0, 1.0])
    hessian = jacobian(grad(logsumexp), np.asarray([-INF, 0.0, 1.0]))
    assert np.all(hessian[0] == 0)
    assert np.allclose(hessian[1:, 1:], np.diag(p) - np.outer(p, p), rtol=1e-13)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [-1, None, (0, 2)], ids=str)
def test_weights_and_signs(variant: Variant, draw: Draw, axis: Any, keepdims: bool) -> None:
    x, b = draw.normal(3, 4, 5, scale=3.0), draw.normal(4, 1)
    b[1] = 0.0
    log, sign = on(
        variant, lambda v, w: logsumexp(v, b=w, axis=axis, keepdims=keepdims, return_sign=True), x, b
    )
    expected, signs = special.logsumexp(x, b=b, axis=axis, keepdims=keepdims, return_sign=True)
    assert log.shape == sign.shape == np.shape(expected)
    assert np.array_equal(sign, signs)
    empty = expected == -INF
    assert np.array_equal(log == -INF, empty)
    log, expected = np.where(empty, 0.0, log), np.where(empty, 0.0, expected)
    whole = special.logsumexp(x, b=np.abs(b), axis=axis, keepdims=keepdims)
    # weights that cancel leave fewer digits
    size = np.where(empty, 0.0, np.exp(np.where(empty, 0.0, whole) - expected))
    assert np.all(np.abs(log - expected) <= 80 * eps(variant) * (size + np.abs(expected)))
    plain = on(variant, lambda v, w: logsumexp(v, b=w, axis=axis, keepdims=keepdims), x, b)
    assert np.array_equal(np.isnan(plain), signs < 0)


def test_the_edges_of_weights(variant: Variant) -> None:
    x = np.asarray(
        [[1.0, 2.0], [0.0, 0.0], [5.0, 7.0], [NAN, 1.0], [INF, 1.0], [INF, INF], [-INF, -INF], [INF, 0.0]]
    )
    b = np.asarray(
        [[1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [0.0, 2.0], [0.0, -2.0], [1.0, -1.0], [2.0, -3.0], [-2.0, 1.0]]
    )
    log, sign = on(variant, lambda v, w: logsumexp(v, b=w, return_sign=True), x, b)
    close = {"rel": 8 * eps(variant), "abs": 0}
    assert log[0] == pytest.approx(np.log(np.e**2 - np.e), **close)
    assert log[3] == log[4] == pytest.approx(1 + np.log(2), **close)
    assert np.array_equal(log[[1, 2, 6, 7]], [-INF, -INF, -INF, INF])
    assert np.isnan(log[5])
    assert np.array_equal(sign[[0, 1, 2, 3, 4, 6, 7]], [-1.0, 0.0, 0.0, 1.0, -1.0, 0.0, -1.0])


def test_a_weighted_sum_near_1(variant: Variant) -> None:
    """Of a difference of numbers near 1 as of a sum."""
    x, tiny = np.asarray([0.0, -40.0]), float(mpmath.exp(-40))
    for sign in (1.0, -1.0):
        got = on(variant, lambda v, w: logsumexp(v, b=w), x, np.asarray([1.0, sign]))
        assert got == pytest.approx(sign * tiny, rel=64 * eps(variant), abs=0)


def test_weights_of_any_size() -> None:
    x, b = np.asarray([-1000.0, 0.0]), np.asarray([1e300, 1e-300])
    with mpmath.workdps(50):
        true = mpmath.log(mpmath.mpf(1e300) * mpmath.exp(-1000) + mpmath.mpf(1e-300))
    assert logsumexp(x, b=b) == pytest.approx(float(true), rel=1e-15)
    assert logsumexp(np.zeros(4), b=np.full(4, 1e308)) == pytest.approx(
        np.log(4) + 308 * np.log(10), rel=1e-15
    )


@ONCE
def test_gradients_of_weights(variant: Variant, draw: Draw) -> None:
    x, b, g = draw.normal(4, 5), draw.normal(5) + 3.0, draw.normal(4)
    b[1] = 0.0
    e = np.exp(x)
    total = (b * e).sum(-1, keepdims=True)
    for signed in (False, True):
        cotangent = SignedLog(
            variant.asarray(g, variant.default_float), variant.asarray(g, variant.default_float)
        )
        back = grads(variant, x, b, cotangent if signed else cotangent.log, signed)
        assert np.allclose(back[0], g[:, None] * b * e / total, rtol=60 * eps(variant), atol=0)
        # at 0 a weight has a derivative too
        assert np.allclose(
            back[1], (g[:, None] * e / total).sum(0), rtol=60 * eps(variant), atol=20 * eps(variant)
        )


def grads(variant: Variant, x: Any, b: Any, g: Any, signed: bool) -> Any:
    from pillars.backends import forward_and_pullback

    record = logsumexp.record
    dtype = variant.default_float
    values = record.bind(
        (variant.asarray(x, dtype),), {"b": variant.asarray(b, dtype), "return_sign": signed}
    )
    return variant.to_numpy(forward_and_pullback(record, values)[1](g)[:2])


def test_second_derivatives_of_weights() -> None:
    x, b = np.asarray([0.0, 1.0, 2.0]), np.asarray([1.0, 0.0, 2.0])
    e = np.exp(x)
    p = b * e / (b * e).sum()
    by_weight = e / (b * e).sum()
    assert np.allclose(
        jacobian(grad(lambda w: logsumexp(x, b=w)), b), -np.outer(by_weight, by_weight), rtol=1e-13
    )
    assert np.allclose(
        jacobian(grad(lambda v: logsumexp(v, b=b)), x), np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-17
    )
    mixed = jacobian(lambda w: grad(lambda v: logsumexp(v, b=w))(x), b)
    assert np.allclose(mixed, np.diag(by_weight) - np.outer(p, by_weight), rtol=1e-13, atol=1e-17)


def test_jax_agrees_in_both_modes() -> None:
    jax = pytest.importorskip("jax")
    x, b = jax.numpy.asarray([0.0, 1.0, 2.0]), jax.numpy.asarray([1.0, 0.0, -2.0])

    @jax.jit
    def both(x: Any, b: Any) -> Any:
        ours = lambda x, b: logsumexp(x, b=b, return_sign=True).log  # noqa: E731
        theirs = lambda x, b: jax.scipy.special.logsumexp(x, b=b, return_sign=True)[0]  # noqa: E731
        ways = (jax.jacrev, jax.jacfwd, jax.hessian)
        return [[way(f)(x, b) for way in ways] for f in (ours, theirs)]

    ours, theirs = both(x, b)
    for got, expected in zip(ours, theirs, strict=True):
        assert np.allclose(got, expected, rtol=1e-5, atol=1e-6)
    rows = jax.vmap(lambda v, w: logsumexp(v, b=w, return_sign=True))(
        jax.numpy.stack([x, x]), jax.numpy.stack([b, -b])
    )
    assert np.array_equal(rows.sign, [-1.0, 1.0])


def test_a_mask(variant: Variant, draw: Draw) -> None:
    x, counts = draw.normal(4, 6), draw.uniform(0, 1, 4, 6) < 0.6
    counts[0], counts[1:, 0] = False, True
    x[~counts] = NAN
    expected = special.logsumexp(np.where(counts, x, -INF), axis=-1)
    plain, weighted = on(
        variant, lambda v, m, w: (logsumexp(v, where=m), logsumexp(v, where=m, b=w)), x, counts, np.ones(6)
    )
    for got in (plain, weighted):
        assert got[0] == -INF
        assert np.allclose(got[1:], expected[1:], rtol=20 * eps(variant), atol=20 * eps(variant))


def test_refusals(variant: Variant) -> None:
    with pytest.raises(
        ShapeError, match=r"logsumexp: x has shape \(2, 3\) and b has \(2,\), expected shapes that broad"
    ):
        on(variant, lambda v, w: logsumexp(v, b=w), np.ones((2, 3)), np.ones(2))


def test_which_kernel_serves() -> None:
    x = np.ones((64, 300))
    assert explain(logsumexp, x).kernel == "on_numpy.softmax:logsumexp"
    assert explain(logsumexp, x[:, :5]).kernel == "on_numpy.softmax:logsumexp_in_place"
    found = explain(logsumexp, x, b=x)
    assert found.kernel == "body"
    assert "b=, return_sign= or where= is given" in found.reason


@pytest.mark.parametrize(
    ("x", "b", "log", "sign"),
    [
        ([1e9], [1e-8], 1e9, 1.0),
        ([1e9, 1e9], [1e-8, -3e-8], 1e9, -1.0),
        ([1.8e30, 9.7e28], [1e-30, -1.0], 1.8e30, 1.0),
        ([np.inf], [1e-30], np.inf, 1.0),
        ([np.inf, np.inf], [1e-30, -1.0], np.nan, np.nan),
    ],
)
def test_a_weight_that_the_shift_swallows_still_counts(
    variant: Variant, x: list[float], b: list[float], log: float, sign: float
) -> None:
    found = logsumexp(variant.asarray(x, "float32"), b=variant.asarray(b, "float32"), return_sign=True)
    assert float(found.log) == pytest.approx(log, rel=2.0**-23, nan_ok=True)
    assert float(found.sign) == pytest.approx(sign, nan_ok=True)
