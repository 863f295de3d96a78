"""There and back along components: stacks of fits, half precision, components without scale, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import BackendError, ShapeError
from pillars.linalg import PrincipalComponents, pca
from pillars.linalg._projection import inverse_transform, transform

N, D, K = 6, 5, 3


def fit(seed: int, *lead: int) -> tuple[Any, Any, Any]:
    """Mean, orthonormal components, and scale."""
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.standard_normal((*lead, D, K)))[0]
    return (
        random.standard_normal((*lead, D)),
        np.swapaxes(basis, -1, -2),
        random.uniform(0.5, 2.0, (*lead, K)),
    )


def bound(dtype: Any) -> float:
    """Sums of D products of numbers of some units."""
    return 16.0 * D * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("lead", [(), (2,), (4, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_scores_of_rows_that_have_them_come_back(seed: int, lead: tuple[int, ...], variant: Variant) -> None:
    scores = np.random.default_rng(seed).standard_normal((2, N, K))
    given = [variant.asarray(part) for part in (scores, *fit(seed, *lead))]

    def there_and_back(scores: Any, *parts: Any) -> tuple[Any, Any]:
        rows = inverse_transform(scores, *parts)
        return rows, transform(rows, *parts)

    rows, back = (variant.to_numpy(part) for part in variant.compiled(there_and_back)(*given))
    assert rows.shape == (*np.broadcast_shapes(lead, (2,)), N, D)
    np.testing.assert_allclose(
        back, np.broadcast_to(scores, back.shape), atol=8 * bound(back.dtype), err_msg=f"seed {seed}"
    )


def test_moving_the_rows_and_the_mean_changes_nothing() -> None:
    mean, components, scale = fit(0)
    x = np.random.default_rng(1).standard_normal((N, D))
    scores = transform(x, mean, components, scale)
    np.testing.assert_allclose(
        transform(x + 3.0, mean + 3.0, components, scale), scores, atol=4 * bound(float)
    )
    np.testing.assert_allclose(transform(x, mean, components, 2.0 * scale), 2.0 * scores, atol=bound(float))
    np.testing.assert_allclose(transform(mean[None, :], mean, components, scale), 0.0, atol=0.0)


def test_a_component_without_scale_adds_nothing() -> None:
    """And its scores, whatever they are, give neither NaN nor an infinity."""
    mean, components, scale = fit(0)
    scale[1] = 0.0
    scores = np.random.default_rng(1).standard_normal((N, K))
    without = np.delete(scores, 1, 1), mean, np.delete(components, 1, 0), np.delete(scale, 1)
    back = inverse_transform(scores, mean, components, scale)
    np.testing.assert_allclose(back, inverse_transform(*without), atol=bound(float))


def test_half_precision_is_rounded_once(variant: Variant) -> None:
    if variant.library == "strict":
        pytest.skip("not applicable: it has no half precision")
    exact = fit(0)
    x = np.random.default_rng(1).standard_normal((N, D)).astype(np.float16)
    parts = [part.astype(np.float16) for part in exact]
    got = transform(*(variant.asarray(part, "float16") for part in (x, *parts)))
    expected = transform(*(part.astype(np.float64) for part in (x, *parts)))
    # half a unit in the last place, and float32's own
    half = 0.5 * float(np.finfo(np.float16).eps) * np.abs(expected)
    assert np.all(np.abs(variant.to_numpy(got).astype(np.float64) - expected) <= half + bound(np.float32))


def test_lists_follow_the_fit() -> None:
    found = PrincipalComponents(*(np.asarray(part, np.float32) for part in pca([[0, 0], [3, 4], [6, 8]], 1)))
    scores = found.transform([[3, 4], [6, 8]])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [[0.0], [5.0]], atol=5 * bound(np.float32))
    np.testing.assert_allclose(found.inverse_transform([[5.0]]), [[6.0, 8.0]], atol=10 * bound(np.float32))


def test_rows_of_another_library_are_refused() -> None:
    jnp = pytest.importorskip("jax").numpy
    with pytest.raises(BackendError, match="x on jax and mean on numpy"):
        pca(np.eye(3)).transform(jnp.eye(3))


@pytest.mark.parametrize(
    ("function", "first", "changed", "message"),
    [
        (transform, (N, D + 1), {}, r"x has 6 columns, expected the 5 that pca was fitted on[^\[]*$"),
        (transform, (D,), {}, r"Use x\[None, :\]"),
        (inverse_transform, (N, K + 1), {}, r"scores has 4 columns, expected the 3 that scores have[^\[]*$"),
        (transform, (D + 1,), {}, r"x has shape \(6,\), expected \(\.\.\., n, 5\)[^\[]*$"),
        (inverse_transform, (K,), {}, r"Use scores\[None, :\]"),
        (transform, (N, D), {0: (D - 1,)}, r"mean \(4,\), components \(3, 5\) and scale \(3,\) are no fit"),
        (transform, (N, D), {2: (K + 1,)}, "are no fit"),
        (inverse_transform, (N, K), {0: (2, D)}, "are no fit"),
        (transform, (4, N, D), {0: (3, D), 1: (3, K, D), 2: (3, K)}, r"the fit leading axes \(3,\)"),
    ],
)
def test_what_is_refused(function: Any, first: tuple[int, ...], changed: Any, message: str) -> None:
    parts = [np.ones(changed[i]) if i in changed else part for i, part in enumerate(fit(0))]
    with pytest.raises(ShapeError, match=message):
        function(np.ones(first), *parts)
