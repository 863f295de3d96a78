"""Principal components: scikit-learn's figures, what turning, moving and repeating rows does, edges, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

import pillars
from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import namespace
from pillars.linalg import PrincipalComponents, pca

SOLVERS = ("covariance", "full", "randomized")
N, D, K = 60, 5, 3


def rows(seed: int, n: int = N, d: int = D) -> Any:
    """Columns of standard deviation 1, 2, ..., turned, about a mean that is not 0."""
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.standard_normal((d, d)))[0]
    return random.standard_normal((n, d)) * (1.0 + np.arange(d)) @ turn + 10.0 * random.standard_normal(d)


def bound(dtype: Any, n: int = N, d: int = D) -> float:
    """Sums of n squares, and a decomposition of order d, relative to the largest; gaps here are above a tenth of it."""
    return 40.0 * n**0.5 * d * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_scikit_learns_figures(solver: str, seed: int, variant: Variant) -> None:
    x = rows(seed)
    theirs = PCA(K, svd_solver="full").fit(x)
    given = variant.asarray(x)
    found = variant.compiled(lambda x: pca(x, K, solver=solver))(given)
    near = bound(str(given.dtype).rpartition(".")[2])
    scale = theirs.explained_variance_[0]
    for ours, expected, size in (
        (found.mean, theirs.mean_, np.abs(theirs.mean_).max()),
        (found.explained_variance, theirs.explained_variance_, scale),
        (found.explained_variance_ratio, theirs.explained_variance_ratio_, 1.0),
        (found.singular_values, theirs.singular_values_, theirs.singular_values_[0]),
        (np.abs(variant.to_numpy(found.components)), np.abs(theirs.components_), 10.0),
    ):
        got = ours if isinstance(ours, np.ndarray) else variant.to_numpy(ours)
        np.testing.assert_allclose(got, expected, rtol=0, atol=near * size, err_msg=f"seed {seed}")
    components = variant.to_numpy(found.components)
    assert np.all(np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1) > 0)
    scores = variant.to_numpy(found.transform(given))
    np.testing.assert_allclose(np.abs(scores), np.abs(theirs.transform(x)), rtol=0, atol=near * 10 * scale)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_what_moving_turning_scaling_and_repeating_rows_does(solver: str, seed: int) -> None:
    x, near = rows(seed), bound(np.float64)
    turn = np.linalg.qr(np.random.default_rng(seed + 100).standard_normal((D, D)))[0]
    plain = pca(x, K, solver=solver)
    moved, scaled, turned, twice = (
        pca(z, K, solver=solver) for z in (x + 100.0, 4.0 * x, x @ turn, np.concatenate([x, x]))
    )
    variances, scale = plain.explained_variance, float(plain.explained_variance[0])
    np.testing.assert_allclose(moved.explained_variance, variances, rtol=0, atol=100 * near * scale)
    np.testing.assert_allclose(scaled.explained_variance, 16 * variances, rtol=0, atol=16 * near * scale)
    np.testing.assert_allclose(turned.explained_variance, variances, rtol=0, atol=near * scale)
    np.testing.assert_allclose(
        np.abs(np.sum(turned.components @ turn.T * plain.components, axis=1)), 1.0, atol=10 * near
    )
    shrunk = variances * 2 * (N - 1) / (2 * N - 1)
    np.testing.assert_allclose(twice.explained_variance, shrunk, rtol=0, atol=near * scale)


@pytest.mark.parametrize("solver", SOLVERS)
def test_whitened_scores_have_variance_one_and_go_back(solver: str) -> None:
    x = rows(0)
    found = pca(x, D, solver=solver, whiten=True)
    scores = found.transform(x)
    np.testing.assert_allclose(np.cov(scores.T), np.eye(D), atol=bound(np.float64) * D**2)
    np.testing.assert_allclose(found.inverse_transform(scores), x, atol=bound(np.float64) * np.abs(x).max())


@pytest.mark.parametrize("solver", SOLVERS)
def test_constant_columns_and_fewer_rows_than_columns(solver: str) -> None:
    x = rows(1, 4, 7)
    x[:, 2] = 0.1
    found = pca(x, solver=solver, whiten=True)
    assert found.components.shape == (4, 7)
    scale = float(found.explained_variance[0])
    assert found.explained_variance[3] <= bound(np.float64) * scale  # four rows span three directions
    assert np.all(np.isfinite(found.transform(x)))
    assert found.scale[3] == 0
    np.testing.assert_allclose(found.components[:3, 2], 0.0, atol=bound(np.float64) * 10)
    np.testing.assert_allclose(np.sum(found.explained_variance_ratio), 1.0, atol=bound(np.float64))
    still = pca(np.ones((5, 2)), solver=solver)
    assert np.all(still.explained_variance == 0)
    assert np.all(np.isnan(still.explained_variance_ratio))


def test_equal_variances_span_the_same_plane() -> None:
    x = np.asarray([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0.1], [0, 0, -0.1]])
    for solver in SOLVERS:
        found = pca(x, 2, solver=solver)
        plane = found.components.T @ found.components
        np.testing.assert_allclose(plane, np.diag([1.0, 1.0, 0.0]), atol=bound(np.float64))


def test_float32_rows_far_from_zero_keep_their_digits() -> None:
    """One pass in float32 over rows a thousand deviations from 0 would keep one digit of the variance."""
    x = (np.random.default_rng(3).standard_normal((40_000, 8)) * (1 + np.arange(8)) + 1000.0).astype(
        np.float32
    )
    x[:200] += 50.0  # the rough mean is off at first
    truth = np.linalg.eigvalsh(np.cov(x.astype(np.float64).T))[::-1]
    found = pca(x, solver="covariance")
    np.testing.assert_allclose(found.explained_variance, truth, rtol=32 * float(np.finfo(np.float32).eps))
    assert found.mean.dtype == found.scale.dtype == np.float32


def test_blocks_and_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((30_000, 16)).astype(np.float32)
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        found.append(pca(x, 4))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_auto_goes_by_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    from pillars.linalg._pca import _by_shape

    assert _by_shape(2000, 100, 100) == "covariance"
    assert _by_shape(500, 100, 10) == "full"
    assert _by_shape(2000, 1500, 20) == "randomized"
    assert _by_shape(2000, 1500, 1000) == "full"


@pytest.mark.parametrize("solver", SOLVERS)
def test_under_jit_and_vmap_results_are_trees(solver: str) -> None:
    jax = pytest.importorskip("jax")
    x = np.stack([rows(seed) for seed in range(3)])
    given = jax.numpy.asarray(x)
    found = jax.jit(jax.vmap(lambda x: pca(x, 2, solver=solver, whiten=True)))(given)
    assert isinstance(found, PrincipalComponents)
    scores = found.transform(given)
    assert scores.shape == (3, N, 2)
    for i in range(3):
        alone = pca(given[i], 2, solver=solver, whiten=True)
        np.testing.assert_allclose(scores[i], alone.transform(given[i]), atol=bound(given.dtype) * 30)
    back = found.inverse_transform(scores)
    assert back.shape == given.shape


@pytest.mark.parametrize("solver", ["covariance", "full"])
def test_gradients_agree_on_every_backend(solver: str) -> None:
    """Of a weighted sum of everything that comes out, against central differences."""
    from pillars.calculus import check_gradient, grad

    x = rows(2, 9, 4)
    random = np.random.default_rng(5)
    weights = [random.standard_normal(s) for s in ((4,), (2, 4), (2,), (2,), (2,), (2,), ())]

    def total(x: Any) -> Any:
        return sum(
            (w * part).sum() for w, part in zip(weights, pca(x, 2, solver=solver, whiten=True), strict=True)
        )

    checked = check_gradient(total, x, methods=["taylor", "central"])
    assert checked.ok, str(checked)
    jax = pytest.importorskip("jax")
    ours = np.asarray(jax.grad(total)(jax.numpy.asarray(x)))
    size = float(np.abs(grad(total)(x)).max())
    np.testing.assert_allclose(ours, grad(total)(x), atol=100 * bound(ours.dtype) * size)


@pytest.mark.parametrize("solver", ["covariance", "full"])
def test_what_does_not_vary_leaves_the_gradient_of_the_others(solver: str, variant: Variant) -> None:
    """Five rows of eight columns: four directions are repeated, without any variance."""
    from pillars.calculus import grad

    x = rows(3, 5, 8)

    def loadings(x: Any, k: int, at: int) -> Any:
        return namespace(x).sum(pca(x, k, solver=solver).components[at, :] ** 3)

    found = variant.to_numpy(variant.compiled(grad(lambda x: loadings(x, 2, 0)))(variant.asarray(x)))
    expected = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = 1e-5
        ends = [np.sum(pca(x + s * step, 2, solver=solver).components[0] ** 3) for s in (1.0, -1.0)]
        expected[at] = (ends[0] - ends[1]) / 2e-5
    near = max(1e-8, 1e4 * bound(found.dtype)) * float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=near)
    last = variant.compiled(grad(lambda x: loadings(x, 5, 4)))(variant.asarray(x))
    assert np.all(np.isnan(variant.to_numpy(last)))


def test_rows_that_are_not_finite_are_named() -> None:
    x = rows(0)
    x[[7, 9, 11, 20, 30, 40], 1] = np.nan
    x[9, 0] = np.inf
    for solver in SOLVERS:
        with pytest.raises(ShapeError, match=r"in 6 of 60 rows \(7, 9, 11, 20, 30, \.\.\., counted from 0\)"):
            pca(x, 2, solver=solver)
    jnp = pytest.importorskip("jax").numpy
    assert np.all(np.isnan(pca(jnp.asarray(x), 2, solver="covariance").explained_variance))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones(3),), {}, ShapeError, "Use x\\[:, None\\]"),
        ((np.ones((1, 3)),), {}, ShapeError, "one row"),
        ((np.ones((0, 3)),), {}, ShapeError, "neither of them 0"),
        ((np.ones((4, 3)), 0), {}, ShapeError, "n_components is 0, expected 1 to 3"),
        ((np.ones((4, 3)), 4), {}, ShapeError, "n_components is 4, expected 1 to 3"),
        ((np.ones((4, 3)), 1.5), {}, DTypeError, "n_components is 1.5"),
        ((np.ones((4, 3), complex),), {}, DTypeError, "complex128"),
        ((np.ones((4, 3)),), {"solver": "arpack"}, ShapeError, "'arpack', expected one of 'auto'"),
        ((np.ones((4, 3)),), {"whiten": 1}, DTypeError, "whiten is 1"),
        ((np.ones((4, 3)),), {"solver": "randomized", "rng": "a"}, DTypeError, "rng"),
    ],
)
def test_what_is_refused(arguments: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        pca(*arguments, **options)


class _Frame:
    """What a data frame shows of itself."""

    def __init__(self, rows: Any) -> None:
        self.columns, self.rows = ["a", "b"], rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.rows, dtype)


def test_lists_frames_and_integers() -> None:
    x = [[0, 0], [3, 4], [6, 8]]
    for given in (x, np.asarray(x), _Frame(x)):
        assert np.allclose(pca(given, 1).components, [[0.6, 0.8]])
    with pytest.raises(ShapeError, match="Use x\\[None, :\\]"):
        pca(x, 1).transform([1.0, 2.0])
    with pytest.raises(DTypeError, match=r"^pca: x"):
        pca([["a", "b"], ["c", "d"]])


def test_half_precision_is_computed_in_float32_and_rounded_once() -> None:
    x = (100.0 * rows(0)).astype(np.float16)
    found, exact = pca(x, K, whiten=True), pca(x.astype(np.float32), K, whiten=True)
    assert np.isinf(found.explained_variance[0])  # as the docstring says
    for got, expected in zip(found, exact, strict=True):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, expected.astype(np.float16))
    assert found.transform(x).dtype == np.float16


@pytest.mark.parametrize("solver", SOLVERS)
def test_small_numbers_keep_their_directions_and_too_large_ones_are_refused(solver: str) -> None:
    """float32, whose squares float32 does not hold: below they are 0, above they are refused, in either place."""
    x = np.random.default_rng(0).standard_normal((40_000, D)).astype(np.float32) * (
        1.0 + np.arange(D, dtype=np.float32)
    )
    tiny = np.float32(2.0**-70)
    plain, small = pca(x, K, solver=solver, whiten=True), pca(x * tiny, K, solver=solver, whiten=True)
    near = bound(np.float32)
    np.testing.assert_allclose(small.singular_values / tiny, plain.singular_values, rtol=near)
    np.testing.assert_allclose(small.scale * tiny, plain.scale, rtol=near)
    np.testing.assert_allclose(np.abs(small.components), np.abs(plain.components), atol=near)
    with pytest.raises(ShapeError, match=r"pca: x has entries of up to .*e\+2\d, expected .* float32 holds"):
        pca(x * np.float32(2.0**70), K, solver=solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_many_float32_rows_leave_small_variances_their_scale(solver: str) -> None:
    """Rounding grows like the root of the rows at most: a thousandth of the largest deviation is no rounding."""
    x = np.random.default_rng(0).standard_normal((50_000, 3)) * (1.0, 0.1, 0.01)
    scores = pca(x.astype(np.float32), 3, solver=solver, whiten=True).transform(x)
    np.testing.assert_allclose(np.var(scores, axis=0, ddof=1), 1.0, rtol=0.01)


@pytest.mark.parametrize("solver", SOLVERS)
def test_of_a_stack_the_member_with_infinities_alone_is_nan(solver: str) -> None:
    jax = pytest.importorskip("jax")
    x = np.stack([rows(0), rows(1)])
    x[0, 7, 2] = np.inf
    found = jax.jit(jax.vmap(lambda x: pca(x, 2, solver=solver)))(jax.numpy.asarray(x))
    assert np.all(np.isnan(found.explained_variance[0]))
    assert all(np.all(np.isfinite(part[1])) for part in found)


def test_a_number_of_components_that_is_traced_is_refused() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(DTypeError, match=r"n_components is .*Pass a plain one, untraced"):
        jax.jit(lambda k: pca(np.ones((4, 3)), k))(2)


def test_it_stands_at_the_front_door() -> None:
    assert pillars.pca is pca


def test_it_prints_in_one_line() -> None:
    found = pca(np.random.default_rng(0).standard_normal((50, 40)))
    assert repr(found).startswith("PrincipalComponents(40 of 40 columns, explained_variance_ratio: 0.")
    assert len(repr(found)) < 120


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_mean_far_from_0_costs_no_variance(solver: str, variant: Variant) -> None:
    """What a mean is rounded by, squared, is added to every variance: 1e-3 here, were it added up row after row."""
    mean = 1e6 if solver == "full" else 1e4  # the others take the mean once, and so its rounding stays
    x = (np.random.default_rng(5).standard_normal((60_000, 3)) * [3.0, 2.0, 1.0] + mean).astype(np.float32)
    true = pca(x.astype(np.float64), solver="full").explained_variance
    if "strict" in variant.id or (solver == "covariance" and "numpy" not in variant.id):
        pytest.skip("sums are NumPy's own there, or all squares are float32")
    found = variant.compiled(lambda x: pca(x, solver=solver))(variant.asarray(x, "float32"))
    got = variant.to_numpy(found.explained_variance)
    once = 0.0 if solver == "full" else 2 * (mean * 2.0**-23) ** 2  # of variances of 1
    assert np.all(np.abs(got / true - 1) <= 20 * np.finfo(np.float32).eps + once)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_whose_squares_vanish_are_refused(solver: str) -> None:
    with pytest.raises(ShapeError, match=r"pca: x has entries of up to .* whose variance is 0, expected"):
        pca(rows(0) * 1e-200, K, solver=solver)
    for constant in (np.zeros((9, 3)), np.full((9, 3), 1e-200)):
        assert np.array_equal(pca(constant, 2, solver=solver).explained_variance, np.zeros(2))
