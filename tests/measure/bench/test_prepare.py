"""The split is stratified, seeded and leak-free; standardisation uses the training rows alone; 1/L never overshoots."""

from __future__ import annotations

import numpy as np
import pytest

import pillars
from pillars.measure import DataError, Dataset, load_digits
from pillars.measure.bench._prepare import prepare, smoothness, split


def dataset(x: np.ndarray, y: np.ndarray) -> Dataset:
    names = tuple(f"f{i}" for i in range(x.shape[1]))
    return Dataset("made", x, y, names, tuple(str(i) for i in range(int(y.max()) + 1)))


def test_the_split_is_a_partition_in_proportion() -> None:
    y = load_digits().y
    train, held_out = split(y, held_out=0.25, rng=3)
    assert sorted([*train, *held_out]) == list(range(len(y)))
    sizes = np.bincount(y)
    np.testing.assert_array_equal(np.bincount(y[held_out]), np.round(sizes * 0.25))


def test_the_split_is_seeded_and_the_same_whatever_backend_is_chosen() -> None:
    y = load_digits().y
    first = split(y, rng=0)
    pytest.importorskip("jax")
    with pillars.using("jax"):
        again = split(y, rng=0)
    for a, b in zip(first, again, strict=True):
        assert isinstance(b, np.ndarray)
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[1], split(y, rng=1)[1])


def test_the_split_depends_on_order_only_through_the_seed() -> None:
    """Within a class every row is as likely to be held out: no row always is, none never."""
    y = np.repeat([0, 1], 20)
    times = sum(np.isin(np.arange(40), split(y, held_out=0.5, rng=seed)[1]) for seed in range(60))
    assert times.min() > 10
    assert times.max() < 50


def test_a_rare_class_keeps_a_row_for_training() -> None:
    y = np.array([0] * 8 + [1] + [2, 2])
    for held_out in (0.25, 0.9):
        train, _ = split(y, held_out=held_out)
        assert set(y[train]) == {0, 1, 2}


def test_standardised_by_the_training_rows() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3)) * [1.0, 1e4, 1e-3] + [0.0, 5e4, 1.0]
    y = draw.integers(0, 2, 200)
    problem = prepare(dataset(x, y))
    assert problem.x.dtype == problem.x_held_out.dtype == np.float32
    np.testing.assert_allclose(problem.x.mean(axis=0, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(problem.x.std(axis=0, dtype=float), 1, atol=1e-6)
    train, held_out = split(y)
    expected = (x[held_out] - x[train].mean(axis=0)) / x[train].std(axis=0)
    np.testing.assert_allclose(problem.x_held_out, expected, rtol=1e-5, atol=1e-6)
    assert problem.constant == ()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3, -7e-20])
def test_a_constant_feature_is_named_and_stays_zero(value: float) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(100) % 2
    x = np.stack([draw.normal(size=100), np.full(100, value)], axis=1)
    problem = prepare(dataset(x, y))
    assert problem.constant == (1,)
    assert not problem.x[:, 1].any()
    assert not problem.x_held_out[:, 1].any()


def test_a_small_spread_is_not_constant() -> None:
    y = np.arange(100) % 2
    x = np.stack([np.linspace(0, 1, 100), 1e3 + 1e-6 * np.arange(100)], axis=1)
    assert prepare(dataset(x, y)).constant == ()


def test_the_digits() -> None:
    problem = prepare(load_digits())
    assert problem.x.shape == (1347, 64)
    assert problem.x_held_out.shape == (450, 64)
    assert set(problem.constant) >= {0, 32, 39}
    assert np.isfinite(problem.x_held_out).all()


def test_too_few_rows_to_hold_any_out() -> None:
    with pytest.raises(DataError, match="Add rows"):
        prepare(dataset(np.arange(4.0)[:, None], np.array([0, 1, 0, 1])))


def hessian_norm(x: np.ndarray, w: np.ndarray) -> float:
    """The Hessian of the mean cross-entropy, in full, by its definition."""
    z = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    e = np.exp(z @ w - (z @ w).max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    whole = sum(
        np.kron(np.diag(q) - np.outer(q, q), np.outer(v, v)) for q, v in zip(p, z, strict=True)
    ) / len(z)
    return float(np.linalg.eigvalsh(whole)[-1])


@pytest.mark.parametrize("shape", [(30, 4), (4, 30)])
def test_smoothness_bounds_the_hessian_everywhere(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=shape)
    bound = smoothness(x)
    z = np.concatenate([x, np.ones((shape[0], 1))], axis=1)
    assert bound == pytest.approx(np.linalg.norm(z, 2) ** 2 / shape[0] / 2, rel=1e-12)
    for scale in (0.0, 0.1, 1.0, 10.0):
        for k in (2, 3):
            assert hessian_norm(x, scale * draw.normal(size=(shape[1] + 1, k))) <= bound * (1 + 1e-12)
    # and it is reached: two classes at equal odds
    assert hessian_norm(x, np.zeros((shape[1] + 1, 2))) == pytest.approx(bound, rel=1e-12)


def test_smoothness_of_many_features_is_still_a_bound() -> None:
    x = np.random.default_rng(2).normal(size=(1100, 1100))
    z = np.concatenate([x, np.ones((1100, 1))], axis=1)
    exact = np.linalg.eigvalsh(z.T @ z)[-1] / 1100 / 2
    assert exact <= smoothness(x) < 30 * exact
