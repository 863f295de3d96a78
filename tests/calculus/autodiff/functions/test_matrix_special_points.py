"""Factorisations under `grad` where they have no unique answer, or read one triangle: right, or NaN.

Closed forms of first and second order stand in :mod:`pillars.measure.audit.cases`, and the audit goes through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calculus._traced_cases import central
from pillars.calculus import check_gradient, grad, value_and_grad
from pillars.calculus.autodiff._rule import RULES
from pillars.linalg import eigh

EPS = float(np.finfo(np.float64).eps)
RANDOM = np.random.default_rng(20)
SQUARE = RANDOM.standard_normal((4, 4))
WEIGHTS = RANDOM.standard_normal((4, 4))


# ---------------------------------------------------------------------------------------------------------- repetition
def root(a: Any) -> Any:
    values, vectors = np.linalg.eigh(a)
    return np.sum(((vectors * np.sqrt(values)) @ vectors.T) * WEIGHTS[: len(a), : len(a)])


@pytest.mark.parametrize("gap", [0.0, 1.0, 2.0, 4.0, 10.0])
def test_within_rounding_of_a_repeated_eigenvalue_there_is_no_number(gap: float) -> None:
    basis = np.linalg.qr(SQUARE)[0]
    for a in (
        np.diag([1.0, 1.0 + gap * EPS, 2.0, 2.0]),
        (basis * (1.0, 1.0 + gap * EPS, 2.0, 3.0)) @ basis.T,
    ):
        assert np.all(np.isnan(np.tril(grad(root)(a))[np.tril_indices(4)]))
        assert not check_gradient(root, a).ok


@pytest.mark.parametrize("gap", [1e-8, 1e-5, 1e-2])
def test_eigenvalues_that_are_apart_have_their_digits(gap: float) -> None:
    """Daleckii and Krein's formula; d·eps over the gap is what the vectors are off by."""
    basis = np.linalg.qr(SQUARE)[0]
    values = np.asarray([1.0, 1.0 + gap, 2.0, 3.0])
    a = (basis * values) @ basis.T
    roots = np.sqrt(values)
    inner = (basis.T @ WEIGHTS @ basis) / (roots[:, None] + roots[None, :])
    full = basis @ ((inner + inner.T) / 2) @ basis.T
    expected = np.tril(2.0 * full) - np.diag(np.diag(full))
    np.testing.assert_allclose(grad(root)(a), expected, atol=100 * EPS / gap)


def test_an_entry_of_a_repeated_pair_is_not_made_up_where_its_cotangent_vanishes() -> None:
    """(V Λ Vᵀ)[1, 2] is a[1, 2]; at eigenvalues of 0 the cotangents of their vectors are 0, and tell nothing."""

    def entry(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return ((vectors * values) @ vectors.T)[2, 1]

    assert np.isnan(grad(entry)(np.diag([1.0, 0.0, 0.0]))[2, 1])


def test_of_vectors_that_are_used_alone_the_others_may_be_repeated() -> None:
    basis = np.linalg.qr(RANDOM.standard_normal((5, 5)))[0]
    a = (basis * (1.0, 1.0, 3.0, 3.0, 7.0)) @ basis.T
    for f in (np.linalg.eigh, eigh):
        found = grad(lambda a, f=f: np.sum(f(a)[1][:, -1] ** 4))(a)
        near = central(lambda x, f=f: np.sum(f(x)[1][:, -1] ** 4), [a], 0)
        np.testing.assert_allclose(found, near, atol=1e-8)
        assert np.isnan(grad(lambda a, f=f: np.sum(f(a)[1][:, -2] ** 4))(a)).any()


def test_ties_of_singular_values_share_and_an_arbitrary_vector_has_no_gradient() -> None:
    np.testing.assert_allclose(grad(lambda x: np.linalg.norm(x, 2))(np.eye(3)), np.eye(3) / 3, atol=8 * EPS)
    np.testing.assert_array_equal(
        grad(lambda x: np.linalg.norm(x, "nuc"))(np.diag([2.0, 0.0])), np.diag([1.0, 0.0])
    )
    low = RANDOM.standard_normal((6, 3)) @ RANDOM.standard_normal((3, 6))

    def rebuilt(x: Any) -> Any:
        u, s, vh = np.linalg.svd(x)
        return np.sum((u * s) @ vh)

    def first(x: Any) -> Any:
        return np.sum(np.linalg.svd(x)[0][:, 0] ** 4)

    assert np.all(np.isnan(grad(rebuilt)(low)))
    near = central(first, [low], 0)
    np.testing.assert_allclose(grad(first)(low), near, atol=1e-8 * (1.0 + np.abs(near).max()))


def test_eigenvalues_of_any_matrix_at_a_repetition() -> None:
    squares = grad(lambda a: np.real(np.sum(np.linalg.eigvals(a) ** 2)))
    np.testing.assert_allclose(squares(np.eye(2)), 2.0 * np.eye(2))
    # 2 aᵀ in truth; there is no basis of eigenvectors to compute it with
    assert np.all(np.isnan(squares(np.asarray([[0.0, 1.0], [0.0, 0.0]]))))
    assert np.all(np.isnan(grad(lambda a: np.sum(np.abs(np.linalg.eig(a)[1]) ** 4))(np.eye(2))))


# ----------------------------------------------------------------------------------------------------------- triangles
DEFINITE = SQUARE @ SQUARE.T + np.eye(4)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.sum(np.linalg.cholesky(a) * WEIGHTS),
        lambda a: np.sum(np.linalg.cholesky(a, upper=True) * WEIGHTS),
        lambda a: np.sum(np.linalg.cholesky(np.tril(a)) * WEIGHTS),
        lambda a: np.sum(np.linalg.eigvalsh(a) ** 3),
        lambda a: np.sum(np.linalg.eigvalsh(a, UPLO="U") ** 3),
        lambda a: np.sum(np.linalg.eigh(a, UPLO="U")[1] ** 4),
        lambda a: np.sum(np.linalg.pinv(a, hermitian=True) * WEIGHTS),
    ],
)
def test_what_numpy_reads_is_what_is_differentiated(f: Any) -> None:
    a = DEFINITE + np.triu(RANDOM.uniform(0.0, 0.1, (4, 4)), 1)
    value, gradient = value_and_grad(f)(a)
    np.testing.assert_allclose(value, f(a), rtol=1e-13)
    near = central(f, [a], 0)
    np.testing.assert_allclose(gradient, near, atol=1e-7 * (1.0 + np.abs(near).max()))
    assert check_gradient(f, a).ok


# ---------------------------------------------------------------------------------------------------------------- rank
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
@pytest.mark.parametrize("options", [{}, {"rcond": 0.5}, {"rtol": 0.5}])
def test_pinv_with_a_cut_off(shape: tuple[int, int], options: dict[str, float]) -> None:
    x = np.random.default_rng(3).standard_normal(shape)
    w = np.random.default_rng(4).standard_normal(shape[::-1])

    def f(a: Any) -> Any:
        return np.sum(np.linalg.pinv(a, **options) * w)

    def slope(a: Any) -> Any:
        return np.sum(grad(f)(a) * w.T)

    for each in (f, slope):
        near = central(each, [x], 0)
        np.testing.assert_allclose(grad(each)(x), near, atol=1e-6 * (1.0 + np.abs(near).max()))


def test_qr_of_dependent_columns() -> None:
    x = np.zeros((5, 3))
    x[:, 0], x[:, 2] = RANDOM.standard_normal((2, 5))
    x[:, 1] = 2.0 * x[:, 0]
    squares = grad(lambda a: np.sum(np.linalg.qr(a)[1] ** 2))
    np.testing.assert_allclose(squares(x), 2.0 * x, atol=64 * EPS)

    def before(a: Any) -> Any:
        q, r = np.linalg.qr(a)
        return q[0, 0] + r[0, 1] * r[0, 2]

    np.testing.assert_allclose(grad(before)(x), central(before, [x], 0), atol=1e-8)
    for after in (lambda a: np.linalg.qr(a)[1][1, 1], lambda a: np.sum(np.matmul(*np.linalg.qr(a)))):
        assert np.all(np.isnan(grad(after)(x)))
    stack = np.stack([RANDOM.standard_normal((5, 3)), x])
    assert np.isnan(grad(lambda a: np.sum(np.linalg.qr(a)[0] ** 3))(stack)).all(axis=(1, 2)).tolist() == [
        False,
        True,
    ]


def test_what_lapack_refuses_going_backward_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(RULES["inv"], "pulls", (refuse,))
    with pytest.raises(
        np.linalg.LinAlgError, match=r"at which inv cannot be differentiated \(Singular matrix\)"
    ):
        grad(lambda a: np.sum(np.linalg.inv(a)))(np.eye(2))
