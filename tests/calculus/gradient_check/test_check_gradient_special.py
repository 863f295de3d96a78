"""check_gradient at special points: zeros, repeated eigenvalues, triangles, several results, NaN by convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import linalg
from pillars.backends import namespace
from pillars.calculus import check_gradient
from pillars.linalg import Eigh
from running import ONCE

pytestmark = ONCE  # what is checked is compiled wherever the library compiles


def put(variant: Variant, x: Any) -> Any:
    return variant.asarray(x, variant.default_float)


# -------------------------------------------------------------------------------------------- where all slopes are 0
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_zeros_is_right_where_the_function_is_flat(variant: Variant, dtype: str) -> None:
    """Im f(ih)/h of a cubic is −h², which is all there is: no fault of the gradient."""
    if dtype == "float64" and not variant.wide:
        pytest.skip("not applicable: no float64")

    def cubes(x: Any) -> Any:
        return namespace(x).sum(x * x * x)

    def network(w: Any) -> Any:
        xp = namespace(w)
        return xp.sum(xp.tanh(w @ xp.ones_like(w)) ** 3)

    for f, at in ((cubes, np.zeros(3)), (cubes, np.zeros(())), (network, np.zeros((2, 2)))):
        x = variant.asarray(at, dtype)
        found = check_gradient(f, x)
        assert found.ok is True, str(found)
        assert check_gradient(f, x, gradient=lambda x: 0 * x).ok is True
        for off in (1e-6, 1e-2):
            wrong = check_gradient(f, x, gradient=lambda x, off=off: x + off)
            assert wrong.ok is False, str(wrong)


def test_large_arguments_are_confirmed_in_float32(variant: Variant) -> None:
    """Sums of many products round by more than one entry does."""
    x = variant.asarray(np.random.default_rng(0).normal(size=20_000), "float32")
    found = check_gradient(
        lambda x: namespace(x).sum(namespace(x).sin(x) * x), x, methods=("central", "taylor")
    )
    assert found.ok is True, str(found)


# ------------------------------------------------------------------------------------------------- repeated eigenvalues
def root(eigh: Any) -> Any:
    """(V √Λ Vᵀ) at one entry, as people write the root of a matrix."""

    def f(a: Any) -> Any:
        xp = namespace(a)
        values, vectors = eigh(0.5 * (a + xp.matrix_transpose(a)))
        return xp.matmul(vectors * xp.sqrt(values), xp.matrix_transpose(vectors))[0, 1]

    return f


@pytest.mark.parametrize("size", [2, 3, 5])
def test_zero_is_not_confirmed_for_the_root_of_the_identity(variant: Variant, size: int) -> None:
    """Its slope at [0, 1] is 1/4, half of it in either triangle: a direction that splits the eigenvalues shows it."""
    a = put(variant, np.eye(size))
    for f in (root(linalg.eigh), root(lambda a: namespace(a).linalg.eigh(a))):
        assert check_gradient(f, a).ok is not True
        for methods in (None, ("autodiff",), ("central",)):
            found = check_gradient(f, a, gradient=lambda a: 0 * a, methods=methods)
            assert found.ok is not True, str(found)


def matrix_root(weights: Any) -> tuple[Any, Any]:
    """⟨C, √A⟩, and its gradient: whole, or without what splitting equal eigenvalues changes."""

    def f(a: Any) -> Any:
        values, vectors = np.linalg.eigh(0.5 * (a + a.T))
        return np.sum(weights * ((vectors * np.sqrt(values)) @ vectors.T))

    def gradient(a: Any, *, whole: bool) -> Any:
        values, vectors = np.linalg.eigh(0.5 * (a + a.T))
        roots = np.sqrt(values)
        slopes = 1 / (roots[:, None] + roots)  # Daleckii and Krein's, of the root
        equal = np.abs(values[:, None] - values) < 1e-14 * values[-1]
        if not whole:
            slopes = np.where(equal & ~np.eye(len(values), dtype=bool), 0.0, slopes)
        return vectors @ (slopes * (vectors.T @ (0.5 * (weights + weights.T)) @ vectors)) @ vectors.T

    return f, gradient


@pytest.mark.parametrize("seed", range(12))
def test_what_leaves_out_the_split_is_never_confirmed(variant: Variant, seed: int) -> None:
    """The convention's gradient changes with the last place of the point, which is not rounding of the function."""
    if variant.library != "numpy":
        pytest.skip("not applicable: said of NumPy arrays")
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 7))
    values = np.sort(draw.uniform(0.5, 3.0, n))
    values[: int(draw.integers(2, n + 1))] = values[0]
    q = np.linalg.qr(draw.normal(size=(n, n)))[0] if seed % 3 else np.eye(n)
    a = (q * values) @ q.T
    a = 0.5 * (a + a.T)
    f, gradient = matrix_root(draw.normal(size=(n, n)))
    assert not np.allclose(gradient(a, whole=True), gradient(a, whole=False), rtol=1e-3)
    for methods in (None, ("autodiff",), ("taylor",), ("central", "autodiff")):
        found = check_gradient(f, a, gradient=lambda a: gradient(a, whole=False), methods=methods)
        assert found.ok is not True, str(found)
    right = check_gradient(f, a, gradient=lambda a: gradient(a, whole=True))
    assert right.ok is not False, str(right)


def test_what_depends_on_the_subspace_alone_is_confirmed(variant: Variant) -> None:
    """The projector on two equal eigenvalues' vectors has a derivative, and the rest of the matrix shows it."""
    draw = np.random.default_rng(0)
    q = np.linalg.qr(draw.normal(size=(4, 4)))[0]
    a = (q * np.asarray([1.0, 1.0, 2.0, 3.5])) @ q.T
    weights = draw.normal(size=(4, 4))
    weights = put(variant, weights + weights.T)
    gap = np.asarray([[0 if (i < 2) == (j < 2) else 1 / (1.0 - max(x, y)) for j, y in enumerate([1, 1, 2, 3.5])]
                      for i, x in enumerate([1, 1, 2, 3.5])])  # fmt: skip
    inner = q.T @ np.asarray(variant.to_numpy(weights)) @ q
    slope = q @ (gap * inner) @ q.T

    def f(a: Any) -> Any:
        xp = namespace(a)
        vectors = xp.linalg.eigh(0.5 * (a + xp.matrix_transpose(a)))[1][:, :2]
        return xp.sum(weights * xp.matmul(vectors, xp.matrix_transpose(vectors)))

    found = check_gradient(
        f,
        put(variant, 0.5 * (a + a.T)),
        gradient=lambda a: put(variant, slope),
        methods=("central", "taylor"),
    )
    assert found.ok is True, str(found)


# --------------------------------------------------------------------------------------------------------- triangles
def test_entries_are_moved_one_by_one_whatever_triangle_is_read(variant: Variant) -> None:
    """cholesky(tril(a)) reads one triangle: its gradient is there, twice what a symmetric one would have."""
    draw = np.random.default_rng(1)
    a = draw.normal(size=(3, 3))
    a = a @ a.T + 3 * np.eye(3)
    low = np.linalg.cholesky(a)
    inverse = np.linalg.inv(low)
    half = np.tril(np.ones((3, 3))) - 0.5 * np.eye(3)
    slope = np.zeros((3, 3))
    for i in range(3):
        for j in range(i + 1):
            change = np.zeros((3, 3))
            change[i, j] = change[j, i] = 1.0
            slope[i, j] = np.sum(low @ (half * (inverse @ change @ inverse.T)))

    def f(a: Any) -> Any:
        xp = namespace(a)
        lower = xp.tril(a)
        whole = lower + xp.matrix_transpose(xp.tril(a, k=-1))
        return xp.sum(xp.linalg.cholesky(whole))

    at, methods = put(variant, a), ("central", "taylor")
    assert check_gradient(f, at, gradient=lambda a: put(variant, slope), methods=methods).ok is True
    symmetric = 0.5 * (slope + slope.T)
    assert check_gradient(f, at, gradient=lambda a: put(variant, symmetric), methods=methods).ok is False


# --------------------------------------------------------------------------------------------------- several results
def test_every_part_of_a_result_is_checked(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    a = put(variant, np.diag([1.0, 2.0, 3.5]) + 0.1)

    def nested(a: Any) -> Any:
        xp = namespace(a)
        return xp.sin(a), [a[0, :], {"x": xp.sum(a * a)}]

    def with_counts(a: Any) -> Any:
        return namespace(a).sum(a**2), 3, variant.asarray([1, 2])

    def named(a: Any) -> Any:
        xp = namespace(a)
        return xp.linalg.eigh(0.5 * (a + xp.matrix_transpose(a)))

    for f in (nested, with_counts, named, linalg.eigh):
        found = check_gradient(f, a)
        assert found.ok is True, str(found)
    rule = linalg.eigh.record.rules.vjp

    def faulty(g: Any, y: Any, a: Any, /, **options: Any) -> Any:
        return rule(Eigh(g.eigenvalues, 1.01 * g.eigenvectors), y, a, **options)

    monkeypatch.setattr(linalg.eigh.record.rules, "vjp", faulty)
    assert check_gradient(linalg.eigh, a).ok is False


# ------------------------------------------------------------------------------------------------- NaN by convention
def test_no_answer_is_not_a_wrong_one(variant: Variant) -> None:
    """The spread of one entry is 0 whatever it is, but a square root of 0 on the way has no slope."""

    def spread(x: Any) -> Any:
        return namespace(x).sqrt(namespace(x).var(x))

    def through_a_root(x: Any) -> Any:
        xp = namespace(x)
        return xp.sum(xp.sqrt(x * x) ** 2) + x[1]

    # JAX's own std has a root on the way too
    right = None if variant.library == "jax" else True
    assert check_gradient(lambda x: namespace(x).std(x), put(variant, [1.0])).ok is right
    for f, at in ((spread, [1.0]), (through_a_root, [0.0, 1.0])):
        found = check_gradient(f, put(variant, at))
        assert found.ok is None, str(found)
        assert "no answer" in found.rows[-1].note
        assert "find_nonfinite" in found.rows[-1].note
        assert "WRONG" not in str(found)


def test_a_right_gradient_is_not_accused_where_autodiff_has_none(variant: Variant) -> None:
    def f(x: Any) -> Any:
        xp = namespace(x)
        return xp.sum(xp.sqrt(x * x) ** 2)

    x = put(variant, [0.0, 1.0])
    right = check_gradient(f, x, gradient=lambda x: 2 * x)
    assert right.ok is True, str(right)
    assert "no answer" in right.rows[0].note
    assert check_gradient(f, x, gradient=lambda x: 2.1 * x).ok is False
    assert check_gradient(f, x, gradient=lambda x: x * float("nan")).ok is False


def test_kinks_are_called_kinks(variant: Variant) -> None:
    for f, at in (
        (lambda x: namespace(x).sum(namespace(x).abs(x)), [0.0]),
        (lambda x: namespace(x).max(x), [1.0, 1.0]),
    ):
        found = check_gradient(f, put(variant, at))
        assert found.ok is None
        assert "kink" in found.rows[-1].note
