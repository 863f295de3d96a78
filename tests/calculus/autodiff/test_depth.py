"""Gradients of gradients, four deep: every rule's cases along a line, and closed forms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import pillars
from calculus._traced_cases import NUMBERED, arguments, weights_of
from contracts._variants import Variant
from derivatives_along import DEEPEST, agree, fitted, nested
from pillars.backends import backend, namespace
from pillars.calculus import grad, hvp, jacobian, vjp
from pillars.measure.audit.cases import CASES, Case
from running import ONCE

# what rounds has no differences
SMOOTH = [p for p in NUMBERED if p.values[0].rule != "astype"]
STRICT = [p for p in SMOOTH if p.values[0].strict]


def along(case: Case, library: str) -> Any:
    """exp of the case's weighted sum along a line, scaled: of a linear rule too no derivative is 0."""
    seed, args = arguments(case, 2)
    home = backend(library)
    rng = np.random.default_rng(seed)
    directions = [home.asarray(rng.uniform(-1.0, 1.0, x.shape)) for x in args]
    weights = home.asarray(weights_of(case, args, seed))
    given = [home.asarray(np.asarray(x)) for x in args]

    def total(xs: list[Any]) -> Any:
        xp = np if library == "numpy" else namespace(xs[0])
        return xp.sum(case.f(xp, *xs) * weights)

    scale = 1.0 / (1.0 + abs(float(np.sum(case.f(np, *args) * weights_of(case, args, seed)))))

    def f(t: Any) -> Any:
        y = total([t * d + x for x, d in zip(given, directions, strict=True)]) * scale
        return namespace(y).exp(y)

    return f


@functools.cache
def by_fit(number: int) -> tuple[list[float], list[float]]:
    slope = nested(along(CASES[number], "numpy"), 1)
    return fitted(lambda t: float(slope(np.asarray(t))))


@pytest.mark.parametrize("case", SMOOTH)
def test_every_rule_on_numpy(case: Case) -> None:
    f, known = along(case, "numpy"), by_fit(CASES.index(case))
    for order in range(2, DEEPEST + 1):
        agree(nested(f, order)(np.asarray(0.0)), order, known, case.name)


@pytest.mark.parametrize("case", STRICT)
def test_every_rule_on_strict(case: Case) -> None:
    home = backend("strict")
    found = nested(along(case, "strict"), DEEPEST)(home.asarray(np.asarray(0.0)))
    agree(found, DEEPEST, by_fit(CASES.index(case)), case.name)


def cubic(x: Any) -> Any:
    return x[0] ** 3 * x[1]


@ONCE
def test_indices_three_and_four_deep(variant: Variant) -> None:
    x = variant.asarray([2.0, 5.0])
    compiled = variant.backend.jit  # JAX once, not eager and jitted
    third = compiled(lambda x: jacobian(lambda x: jacobian(grad(cubic), x), x))(x)
    expected = np.zeros((2, 2, 2))
    expected[0, 0] = [30.0, 12.0]
    expected[0, 1, 0] = expected[1, 0, 0] = 12.0
    np.testing.assert_array_equal(variant.to_numpy(third), expected)

    fourth = compiled(lambda x: jacobian(lambda x: jacobian(lambda x: jacobian(grad(cubic), x), x), x))(x)
    expected = np.zeros((2, 2, 2, 2))
    expected[1, 0, 0, 0] = expected[0, 1, 0, 0] = expected[0, 0, 1, 0] = expected[0, 0, 0, 1] = 6.0
    np.testing.assert_array_equal(variant.to_numpy(fourth), expected)


def test_a_determinant_of_three_columns_is_linear_in_each() -> None:
    a = np.random.default_rng(5).standard_normal((3, 3))

    def third(a: Any) -> Any:
        return jacobian(lambda a: jacobian(grad(np.linalg.det), a), a)

    found = third(a).reshape((9,) * 3)
    # ∂³ det / ∂a₀ᵢ ∂a₁ⱼ ∂a₂ₖ is the sign of the permutation ijk
    sign = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        sign[i, j, k], sign[k, j, i] = 1.0, -1.0
    np.testing.assert_allclose(found[:3, 3:6, 6:], sign, atol=1e-12)
    np.testing.assert_allclose(found[:3, :3], 0.0, atol=1e-12)
    # and beyond the third nothing is left
    along_a_line = nested(lambda t: np.linalg.det(a + t * np.eye(3)), 4)
    assert abs(float(along_a_line(np.asarray(0.3)))) < 1e-10


def test_five_deep() -> None:
    assert float(nested(lambda t: np.prod(t * np.arange(1.0, 6.0)), 5)(2.0)) == pytest.approx(120.0 * 120.0)


@pytest.mark.parametrize("solver", ["covariance", "full"])
def test_principal_components(solver: str) -> None:
    rng = np.random.default_rng(3)
    x, d = rng.standard_normal((7, 3)) * (1.0, 2.0, 4.0), rng.standard_normal((7, 3))

    def f(t: Any) -> Any:
        fit = pillars.linalg.pca(x + t * d, 2, solver=solver)
        return np.sum(fit.explained_variance * np.asarray([1.0, 2.0])) + np.sum(fit.components**3)

    slope = nested(f, 1)
    known = fitted(lambda t: float(slope(np.asarray(t))))
    for order in (2, 3, 4):
        agree(nested(f, order)(np.asarray(0.0)), order, known, solver)


def test_a_hessian_product_of_a_hessian_product() -> None:
    x, v = np.asarray([2.0, 5.0]), np.asarray([1.0, -1.0])
    third = hvp(lambda x: np.sum(hvp(cubic, x, v) * v), x, v)
    # v'Hv = 6 x0 x1 - 6 x0²: its Hessian is [[-12, 6], [6, 0]]
    np.testing.assert_allclose(third, np.asarray([[-12.0, 6.0], [6.0, 0.0]]) @ v)


def test_a_pullback_at_plain_values_is_differentiated_in_its_cotangent() -> None:
    x = np.asarray([0.5, -1.0, 2.0])
    _, pullback = vjp(lambda x: np.cumsum(x)[1:] * x[:2], x)

    def total(g: Any) -> Any:
        return np.sum(pullback(g)[0] ** 3)

    g = np.asarray([1.5, -0.5])
    rows = np.stack([pullback(unit)[0] for unit in np.eye(2)])
    np.testing.assert_allclose(grad(total)(g), rows @ (3.0 * (rows.T @ g) ** 2))
    np.testing.assert_allclose(
        jacobian(lambda g: jacobian(grad(total), g), g), np.einsum("ai,bi,ci->abc", rows, rows, 6.0 * rows)
    )
