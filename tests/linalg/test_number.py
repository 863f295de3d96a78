"""How many components: a share of the variance, the likeliest number, and what neither can be said of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

from contracts._variants import Variant
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.calculus import grad
from pillars.linalg import pca
from pillars.linalg._number import likeliest_number, number_of_share

EPS = 2.0**-52


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits, load_breast_cancer])
@pytest.mark.parametrize("wanted", [0.5, 0.95, 0.999, "mle"])
def test_scikit_learns_numbers(load: Any, wanted: Any) -> None:
    x = load().data
    theirs = PCA(wanted, svd_solver="full").fit(x)
    for solver in ("full", "covariance", "auto"):
        found = pca(x, wanted, solver=solver)
        assert found.components.shape[0] == theirs.n_components_
        largest = theirs.explained_variance_[0]
        np.testing.assert_allclose(found.noise_variance, theirs.noise_variance_, atol=1e-12 * largest)


@pytest.mark.parametrize("wanted", [0.9, "mle"])
def test_on_every_backend_but_not_inside_a_trace(wanted: Any, variant: Variant) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 8)) * (9.0, 7.0, 5.0, 0.1, 0.1, 0.1, 0.1, 0.1)
    given = variant.asarray(x)
    if variant.jit:
        with pytest.raises(CapabilityError, match=r"inside jit, vmap or grad.*Call it outside"):
            variant.compiled(lambda x: pca(x, wanted))(given)
        return
    assert pca(given, wanted).components.shape == (3, 8)
    if variant.library == "numpy":
        with pytest.raises(CapabilityError, match="Call it outside"):
            grad(lambda x: pca(x, wanted).explained_variance.sum())(given)


def test_the_share_is_passed() -> None:
    """By more than it, as elsewhere; all components where rounding says that no number is enough."""
    assert number_of_share([2.0, 1.0, 1.0], 0.5, EPS) == 2
    assert number_of_share([2.0, 1.0, 1.0], 0.49, EPS) == 1
    assert number_of_share([2.0, 1.0, 1.0], 1.0 - 2.0**-53, EPS) == 3
    for dtype in (np.float32, np.float64):
        x = load_iris().data.astype(dtype)
        share = float(pca(x).explained_variance_ratio.cumsum()[-2])
        assert pca(x, share).components.shape[0] == 4
    assert pca(np.diag([3.0, 2.0, 1.0]), np.float32(0.5)).components.shape[0] == 1


@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_the_likeliest_number_has_no_unit(size: float) -> None:
    """A fixed smallest variance would find no component in small units."""
    random = np.random.default_rng(1)
    x = random.standard_normal((100, 6)) * (8.0, 4.0, 0.1, 0.1, 0.1, 0.1)
    assert pca(x * size, "mle").components.shape[0] == 2


def test_equal_variances_and_none() -> None:
    assert likeliest_number([4.0, 4.0, 1.0, 1.0, 1.0], 1000, EPS) == 2
    # a column twice: its variance is rounding, and no component
    assert likeliest_number([4.0, 1.0, 1e-17, 0.0], 1000, EPS) == 2
    assert likeliest_number([3.0, 3.0], 10, EPS) == 1
    x = np.random.default_rng(0).standard_normal((60, 3))
    assert pca(np.concatenate([x, x], axis=1), "mle").components.shape[0] <= 3


def test_the_evidence_is_minkas() -> None:
    """The whole of his equation (76), once more, of two spectra."""
    random = np.random.default_rng(0)
    for n, d in ((30, 5), (300, 9)):
        spectrum = sorted(random.uniform(0.1, 10.0, d), reverse=True)

        def evidence(k: int, n: int = n, d: int = d, s: Any = spectrum) -> float:
            v = sum(s[k:]) / (d - k)
            prior = sum(
                math.lgamma((d - i + 1) / 2) - (d - i + 1) / 2 * math.log(math.pi) for i in range(1, k + 1)
            )
            hat = s[:k] + [v] * (d - k)
            z = sum(
                math.log(1 / hat[j] - 1 / hat[i]) + math.log(s[i] - s[j]) + math.log(n)
                for i in range(k)
                for j in range(i + 1, d)
            )
            m = d * k - k * (k + 1) / 2
            return (
                prior
                - k * math.log(2)
                - n / 2 * sum(map(math.log, s[:k]))
                - n * (d - k) / 2 * math.log(v)
                + (m + k) / 2 * math.log(2 * math.pi)
                - z / 2
                - k / 2 * math.log(n)
            )

        assert likeliest_number(spectrum, n, EPS) == max(range(1, d), key=evidence)


@pytest.mark.parametrize(
    ("shape", "wanted", "options", "error", "message"),
    [
        ((4, 6), "mle", {}, ShapeError, "4 rows of 6 columns.*Say a number"),
        ((4, 1), "mle", {}, ShapeError, "at least 2"),
        ((6, 4), "most", {}, ShapeError, "'most', expected a number of components, a share"),
        ((6, 4), 0.9, {"solver": "randomized"}, ShapeError, "solver='full'"),
        ((6, 4), 0.0, {}, DTypeError, "between 0 and 1"),
        ((6, 4), 1.0, {}, DTypeError, "between 0 and 1"),
        ((6, 4), float("nan"), {}, DTypeError, "between 0 and 1"),
        ((6, 4), True, {}, DTypeError, "n_components is True"),
        ((6, 4), 0.9, {}, ShapeError, "no column of x varies"),
        ((6, 4), "mle", {}, ShapeError, "no column of x varies"),
    ],
)
def test_what_is_refused(shape: Any, wanted: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        pca(np.ones(shape), wanted, **options)
