"""Leading singular values: against LAPACK, with each backend's own products, and the same draw everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.linalg import randomized_svd


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30)])
@pytest.mark.parametrize("seed", range(3))
def test_a_falling_spectrum_is_found_to_the_last_digits(
    shape: tuple[int, int], seed: int, variant: Variant
) -> None:
    random = np.random.default_rng(seed)
    u, _, vh = np.linalg.svd(random.standard_normal(shape), full_matrices=False)
    s = 2.0 ** -np.arange(min(shape))
    x = variant.asarray(u * s @ vh)
    found = randomized_svd(x, 5)
    near = 20 * max(shape) * float(np.finfo(str(x.dtype).rpartition(".")[2]).eps)
    ours = [variant.to_numpy(part) for part in found]
    np.testing.assert_allclose(ours[1], s[:5], atol=near, err_msg=f"seed {seed}")
    np.testing.assert_allclose(ours[0] * ours[1] @ ours[2], u[:, :5] * s[:5] @ vh[:5], atol=near)
    np.testing.assert_allclose(ours[0].T @ ours[0], np.eye(5), atol=near)
    assert np.all(np.take_along_axis(ours[2], np.abs(ours[2]).argmax(1)[:, None], 1) > 0)


def test_the_seed_decides() -> None:
    x = np.random.default_rng(0).standard_normal((40, 30))
    assert np.array_equal(randomized_svd(x, 3, rng=7).s, randomized_svd(x, 3, rng=7).s)
    assert not np.array_equal(randomized_svd(x, 3, rng=7).s, randomized_svd(x, 3, rng=8).s)


def test_what_is_refused() -> None:
    with pytest.raises(ShapeError, match="k is 0, expected 1 to 3"):
        randomized_svd(np.ones((4, 3)), 0)
    with pytest.raises(DTypeError, match="k is 'a'"):
        randomized_svd(np.ones((4, 3)), "a")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="NaN or infinite"):
        randomized_svd(np.full((4, 3), np.nan), 1)
