"""Symmetric eigenvalues: signs, equal eigenvalues in the gradient, stacks of matrices, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import ShapeError
from pillars.backends import namespace
from pillars.calculus import grad
from pillars.linalg import eigh

EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_it_diagonalises_stacks_of_matrices(d: int, variant: Variant) -> None:
    a = np.random.default_rng(d).standard_normal((3, d, d))
    a = a + np.swapaxes(a, 1, 2)
    found = variant.compiled(eigh)(variant.asarray(a))
    values, vectors = (variant.to_numpy(part) for part in found)
    near = 20 * d**1.5 * float(np.finfo(values.dtype).eps) * np.abs(a).max()
    np.testing.assert_allclose(a @ vectors, vectors * values[:, None, :], atol=near)
    np.testing.assert_allclose(np.swapaxes(vectors, 1, 2) @ vectors, np.tile(np.eye(d), (3, 1, 1)), atol=near)
    assert np.all(np.diff(values, axis=-1) >= 0)


def test_a_tie_for_the_largest_entry_is_the_firsts() -> None:
    """(1, −1)/√2: which of the two is larger is rounding's business, and must not turn the vector round."""
    for noise in (0.0, 1e-15, -1e-15):
        vectors = eigh(np.asarray([[2.0, -1.0], [-1.0, 2.0 + noise]])).eigenvectors
        assert np.all(vectors[0] > 0)


def test_a_tie_is_the_firsts_in_every_dtype(variant: Variant) -> None:
    """Entries that float32 tells apart from its rounding but just, and float64 well: one sign for both."""
    for gap in (1e-4, 1e-6, 1e-9, 0.0, -1e-9, -1e-6, -1e-4):
        direction = np.asarray([1.0, -1.0 - gap, 0.5])
        direction /= np.linalg.norm(direction)
        a = np.outer(direction, direction)
        for dtype in variant.floats:
            vectors = variant.to_numpy(variant.compiled(eigh)(variant.asarray(a, dtype)).eigenvectors)
            assert vectors[0, -1] > 0, (gap, dtype)
    clear = np.asarray([1.0, -1.01])
    vectors = variant.to_numpy(eigh(variant.asarray(np.outer(clear, clear))).eigenvectors)
    assert vectors[1, -1] > 0


def test_of_other_matrices_the_symmetric_part_counts() -> None:
    a = np.asarray([[1.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(eigh(a).eigenvalues, [-1.0, 3.0], atol=8 * EPS)


def plane_of(a: Any, b: Any, **options: Any) -> Any:
    plane = eigh(a, **options).eigenvectors[:, :2]
    return namespace(a).sum((plane @ plane.T) * b)


def test_a_function_of_a_subspace_has_its_gradient_where_the_caller_says_so(variant: Variant) -> None:
    """tr(P B) with P the projection on the plane of two equal eigenvalues: dP = −(a − λ)⁺ da P + its transpose."""
    a, b = np.diag([1.0, 1.0, 3.0]), np.random.default_rng(0).standard_normal((3, 3))
    weights = variant.asarray(b)
    found = variant.compiled(grad(lambda a: plane_of(a, weights, repeated="subspace")))(variant.asarray(a))
    s = (b + b.T) / 2
    expected = np.zeros((3, 3))
    expected[:2, 2] = expected[2, :2] = -s[:2, 2] / 2.0
    near = 16 * float(np.finfo(variant.to_numpy(found).dtype).eps)
    np.testing.assert_allclose(variant.to_numpy(found), expected, atol=near)
    unsaid = variant.compiled(grad(lambda a: plane_of(a, weights)))(variant.asarray(a))
    assert np.all(np.isnan(variant.to_numpy(unsaid)))


def test_the_vectors_of_a_repeated_eigenvalue_have_no_gradient(variant: Variant) -> None:
    """(V √Λ Vᵀ)[0, 1] at the identity: 0.25 in truth, which V and Λ do not tell."""

    def entry(a: Any) -> Any:
        xp = namespace(a)
        values, vectors = eigh(a)
        return xp.matmul(vectors * xp.sqrt(values), xp.matrix_transpose(vectors))[0, 1]

    for a in (np.eye(2), np.diag([1.0, 1.0 + float(np.finfo(variant.default_float).eps)])):
        assert np.all(np.isnan(variant.to_numpy(variant.compiled(grad(entry))(variant.asarray(a)))))


def test_eigenvalues_alone_keep_their_gradient_where_they_are_repeated(variant: Variant) -> None:
    eye = variant.asarray(np.eye(3))
    near = 64 * float(np.finfo(variant.default_float).eps)
    whole = variant.compiled(grad(lambda a: namespace(a).sum(namespace(a).exp(eigh(a).eigenvalues))))(eye)
    np.testing.assert_allclose(variant.to_numpy(whole), np.e * np.eye(3), atol=near)
    # of one of three that are equal, an even share
    largest = variant.compiled(grad(lambda a: eigh(a).eigenvalues[-1]))(eye)
    np.testing.assert_allclose(variant.to_numpy(largest), np.eye(3) / 3, atol=near)


def test_what_is_refused() -> None:
    for shape in ((3,), (2, 3), (0, 0)):
        with pytest.raises(ShapeError, match="expected \\(\\.\\.\\., d, d\\)"):
            eigh(np.ones(shape))
    with pytest.raises(ShapeError, match="repeated is 'zero', expected 'nan' or 'subspace'"):
        eigh(np.eye(2), repeated="zero")
    with pytest.raises(ShapeError, match="NaN or infinite"):
        eigh(np.full((2, 2), np.nan))
    jnp = pytest.importorskip("jax").numpy
    assert np.all(np.isnan(eigh(jnp.full((2, 2), jnp.nan)).eigenvalues))
