"""Shuffled arrays, items with and without replacement: one order everywhere, right frequencies, nothing impossible."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import pillars
from contracts._variants import Variant
from pillars import random
from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends import namespace
from reference_cipher import words

KEY = (3, 141592653)
HOST = np.array(KEY, dtype=np.uint32)


def summed(x: Any) -> Any:
    return namespace(x).sum(x)


def on(variant: Variant) -> Any:
    return variant.asarray(HOST, "uint32")


# --------------------------------------------------------------------------------------------------- shuffled arrays
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_each_slice_is_sorted_by_its_own_words(axis: int, variant: Variant) -> None:
    x = np.arange(60).reshape(3, 4, 5)
    pairs = np.empty(60, object)
    pairs[:] = words(KEY, 60)
    expected = np.empty_like(x)
    rows = (np.moveaxis(a, axis, -1).reshape(-1, x.shape[axis]) for a in (x, pairs.reshape(x.shape)))
    sorted_rows = [[v for _, v in sorted(zip(w, row, strict=True))] for row, w in zip(*rows, strict=True)]
    moved = np.moveaxis(x, axis, -1)
    expected = np.moveaxis(np.array(sorted_rows).reshape(moved.shape), -1, axis)
    shuffle = variant.compiled(lambda k, a: random.permutation(k, a, axis=axis, independent=True))
    for dtype in ("int32", "float32"):
        got = variant.to_numpy(shuffle(on(variant), variant.asarray(x, dtype)))
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_rows_stay_rows_unless_independent(axis: int, variant: Variant) -> None:
    x = np.arange(35.0, dtype=np.float32).reshape(5, 7)
    shuffle = variant.compiled(lambda k, a: random.permutation(k, a, axis=axis))
    got = variant.to_numpy(shuffle(on(variant), variant.asarray(x, "float32")))
    np.testing.assert_array_equal(got, np.take(x, random.permutation(HOST, x.shape[axis]), axis=axis))
    alone = variant.asarray(x.ravel(), "float32")
    for independent in (True, False):  # of a single slice there is one order
        got = random.permutation(on(variant), alone, independent=independent)
        np.testing.assert_array_equal(variant.to_numpy(got), x.ravel()[random.permutation(HOST, 35)])


def test_small_dtypes_and_empty_arrays_are_shuffled(variant: Variant) -> None:
    many = np.arange(300) % 100
    got = variant.to_numpy(random.permutation(on(variant), variant.asarray(many, "int8"), independent=True))
    assert got.dtype == np.int8
    assert sorted(got.tolist()) == sorted(many.tolist())
    for shape in ((0,), (0, 3), (3, 0)):
        empty = variant.asarray(np.zeros(shape), "float32")
        for independent in (True, False):
            assert random.permutation(on(variant), empty, independent=independent).shape == shape


def test_the_orders_of_slices_are_independent_and_even() -> None:
    orders = random.permutation(HOST, np.tile(np.arange(3), (6000, 1)), axis=1, independent=True)
    names = list(itertools.permutations(range(3)))
    which = np.array([names.index(tuple(order)) for order in orders.tolist()])
    assert stats.chisquare(np.bincount(which, minlength=6)).pvalue > 1e-3
    pairs = np.bincount(6 * which[0::2] + which[1::2], minlength=36)
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_a_shuffle_is_differentiated(variant: Variant) -> None:
    x, w = (variant.asarray(np.arange(6.0).reshape(2, 3) + shift, "float32") for shift in (0, 5))
    key = on(variant)
    for independent in (True, False):
        slope = pillars.grad(lambda x, i=independent: summed(random.permutation(key, x, independent=i) * w))
        got = variant.to_numpy(slope(x))
        back = variant.to_numpy(random.permutation(key, x, independent=independent))
        expected = np.zeros(6)
        expected[back.astype(int).ravel()] = variant.to_numpy(w).ravel()
        np.testing.assert_array_equal(got, expected.reshape(2, 3))


# -------------------------------------------------------------------------------------------------------------- choice
WEIGHTS = [0.0, 1.0, 2.0, 0.0, 5.0, 1e-300]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS, np.array(WEIGHTS)], ids=["alike", "list", "array"])
def test_choices_are_the_same_everywhere(replace: bool, weights: Any, variant: Variant) -> None:
    draw = variant.compiled(lambda k: random.choice(k, 6, (2, 2), p=weights, replace=replace))
    expected = random.choice(HOST, 6, (2, 2), p=weights, replace=replace)
    np.testing.assert_array_equal(variant.to_numpy(draw(on(variant))), expected)
    assert replace or len(set(expected.ravel().tolist())) == 4
    x = np.arange(12.0).reshape(2, 6)
    there = random.choice(
        on(variant), variant.asarray(x, "float32"), (2, 2), p=weights, replace=replace, axis=1
    )
    np.testing.assert_array_equal(variant.to_numpy(there), np.take(x, expected, axis=1))


def test_choice_beside_what_it_is_made_of() -> None:
    np.testing.assert_array_equal(random.choice(HOST, 9, 4, replace=False), random.permutation(HOST, 9)[:4])
    np.testing.assert_array_equal(random.choice(HOST, 9, 4), random.integers(HOST, 4, 0, 9))
    logits = np.log([0.2, 0.3, 0.5])
    for n, replace in ((7, True), (3, False)):
        drawn = random.choice(HOST, 3, n, p=[2, 3, 5], replace=replace)
        np.testing.assert_array_equal(drawn, random.categorical(HOST, logits, n=n, replace=replace))
    first = random.categorical(HOST, logits, n=1, replace=False)
    assert first.tolist() == [int(random.categorical(HOST, logits))]
    assert random.choice(HOST, 5).shape == ()
    assert random.choice(HOST, 0, (2, 0)).shape == (2, 0)
    assert random.choice(HOST, 5, 3, dtype="int8").dtype == np.int8


def test_orders_by_weight_have_their_probabilities() -> None:
    """P(i, j, k) = pᵢ · pⱼ/(1 − pᵢ) · 1: among those that are left, in proportion."""
    p = np.array([0.1, 0.2, 0.7])
    drawn = random.categorical(HOST, np.log(np.tile(p, (12_000, 1))), n=2, replace=False)
    pairs = list(itertools.permutations(range(3), 2))
    counts = [int(np.sum((drawn == pair).all(axis=1))) for pair in pairs]
    expected = [12_000 * p[i] * p[j] / (1 - p[i]) for i, j in pairs]
    assert sum(counts) == 12_000
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    again = random.categorical(HOST, np.log(p), n=12_000)
    assert stats.chisquare(np.bincount(again, minlength=3), 12_000 * p).pvalue > 1e-3


@pytest.mark.parametrize("replace", [True, False])
def test_weight_zero_is_never_drawn(replace: bool, variant: Variant) -> None:
    n = 1000
    weights = np.where(np.arange(n) % 5 == 0, 1.0, 0.0)
    for p in (weights / weights.sum(), variant.asarray(weights / weights.sum(), "float32")):
        drawn = variant.to_numpy(random.choice(on(variant), n, 200, p=p, replace=replace))
        assert np.all(weights[drawn] == 1)
        assert replace or sorted(drawn.tolist()) == list(range(0, n, 5))


def test_rare_items_are_drawn_as_rarely_as_they_weigh() -> None:
    """A thousand items of 1e-12 among one: they come second, each as often."""
    p = np.full(1001, 1e-12)
    p[500] = 1.0
    seconds = []
    for key in random.split(HOST, 300):
        drawn = random.choice(key, 1001, 2, p=p, replace=False).tolist()
        assert drawn[0] == 500
        seconds.append(drawn[1])
    assert stats.kstest(seconds, stats.randint(0, 1001).cdf).pvalue > 1e-3


def test_where_nothing_is_left_there_is_no_number(variant: Variant) -> None:
    logits = np.array(
        [[0.0, -np.inf, 1.0], [-np.inf, -np.inf, -np.inf], [0.0, np.nan, 1.0], [0.0, np.inf, 1.0]]
    )
    there = variant.asarray(logits, "float32")
    draw = variant.compiled(lambda k, z: random.categorical(k, z, n=3, replace=False))
    got = variant.to_numpy(draw(on(variant), there))
    assert sorted(got[0].tolist()) == [-1, 0, 2]
    assert got[0][2] == -1
    assert got[1:].tolist() == [[-1] * 3] * 3
    again = variant.to_numpy(random.categorical(on(variant), there, n=4))
    assert set(again[0].tolist()) <= {0, 2}
    assert again[1:].tolist() == [[-1] * 4] * 3
    if variant.library == "numpy":  # whose weights are looked at
        return
    p = variant.asarray(np.array([0.0, 1.0, 2.0]), "float32")
    pick = variant.compiled(lambda k, x, p: random.choice(k, x, 3, p=p, replace=False))
    items = variant.to_numpy(pick(on(variant), variant.asarray(np.arange(6.0).reshape(3, 2), "float32"), p))
    assert sorted(items[:2].tolist()) == [[2.0, 3.0], [4.0, 5.0]]
    assert np.isnan(items[2]).all()
    numbers = variant.to_numpy(random.choice(on(variant), 3, 3, p=p, replace=False))
    assert sorted(numbers.tolist()) == [-1, 1, 2]
    with pytest.raises(DTypeError, match="choice: x has dtype int32, which has no NaN"):
        pick(on(variant), variant.asarray(np.arange(3), "int32"), p)
    for bad in ([0.0, 0.0, 0.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]):
        wrong = variant.asarray(np.array(bad), "float32")
        assert variant.to_numpy(random.choice(on(variant), 3, 2, p=wrong)).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: random.choice(HOST, 5, 6, replace=False),
            ShapeError,
            r"asks for 6 items, expected at most 5",
        ),
        (
            lambda: random.choice(HOST, 5, 3, p=[0, 0, 1, 1, 0], replace=False),
            ShapeError,
            r"2 weights.*at least 3",
        ),
        (
            lambda: random.choice(HOST, 2, 1, p=[0.0, 0.0]),
            ShapeError,
            "0 weights above 0, expected at least 1",
        ),
        (
            lambda: random.choice(HOST, 2, 1, p=[1.0, -0.5]),
            ShapeError,
            r"p\[1\] is -0.5, expected finite weights",
        ),
        (lambda: random.choice(HOST, 2, 1, p=[math.nan, 1.0]), ShapeError, r"p\[0\] is nan"),
        (lambda: random.choice(HOST, 2, 1, p=[math.inf, 1.0]), ShapeError, r"p\[0\] is inf"),
        (lambda: random.choice(HOST, 3, 1, p=[1.0, 1.0]), ShapeError, r"p has shape \(2,\), expected \(3,\)"),
        (lambda: random.choice(HOST, 2, 1, p=["a", "b"]), DTypeError, "expected real numbers"),
        (lambda: random.choice(HOST, 0, 1), ShapeError, "no items"),
        (lambda: random.choice(HOST, -1, 1), ShapeError, "0 or more"),
        (lambda: random.choice(HOST, 2.5, 1), DTypeError, "choice: x is 2.5"),
        (
            lambda: random.choice(HOST, np.ones((2, 3)), 1, axis=2),
            ShapeError,
            "axis is 2, expected one of the 2 axes",
        ),
        (
            lambda: random.choice(HOST, np.ones(3), 1, dtype="int32"),
            DTypeError,
            "dtype or like with an array",
        ),
        (lambda: random.permutation(HOST, np.ones(3), axis=-2), ShapeError, "axis is -2"),
        (lambda: random.permutation(HOST, 10, axis=3), ShapeError, "axis is 3, expected 0"),
        (lambda: random.choice(HOST, 10, axis=1), ShapeError, "axis is 1, expected 0"),
        (lambda: random.permutation(HOST, np.ones(3), axis=None), ShapeError, "axis is None"),
        (
            lambda: random.permutation(HOST, np.ones(3), like=np.ones(1)),
            DTypeError,
            "dtype or like with an array",
        ),
        (
            lambda: random.permutation(HOST, ["a", "b"]),
            DTypeError,
            r"permutation: x is \['a', 'b'\].*key, 2\)",
        ),
        (
            lambda: random.choice(HOST, ["a", "b", "c"]),
            DTypeError,
            r"choice: x is \['a', 'b', 'c'\].*draw places",
        ),
        (lambda: random.choice(HOST, [[1], [1, 2]]), ShapeError, "rows of equal length"),
        (lambda: random.choice(HOST, []), ShapeError, "no items"),
        (lambda: random.categorical(HOST, np.zeros(3), n=4, replace=False), ShapeError, "n is 4.*at most 3"),
        (lambda: random.categorical(HOST, np.zeros(3), n=-1), ShapeError, "n is -1, expected 0 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_words_for_yes_and_no_are_refused() -> None:
    with pytest.raises(DTypeError, match="permutation: independent is 'no', expected True or False"):
        random.permutation(HOST, np.arange(4), independent="no")  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="choice: replace is 0, expected True or False"):
        random.choice(HOST, 4, 2, replace=0)  # type: ignore[arg-type]


def test_lists_of_numbers_are_arrays(variant: Variant) -> None:
    numbers = [[10, 20, 30], (5,), (0.5, 1.5), [[1, 2], [3, 4]], range(3, 7)]
    for x in numbers:
        array = np.asarray(x)
        array = variant.asarray(array, "int32" if array.dtype.kind == "i" else "float32")
        shuffle = variant.compiled(lambda k, x=x: random.permutation(k, x))
        draw = variant.compiled(lambda k, x=x: random.choice(k, x, 2))
        for got, expected in (
            (shuffle(on(variant)), random.permutation(on(variant), array)),
            (draw(on(variant)), random.choice(on(variant), array, 2)),
        ):
            assert type(got) is type(expected)
            np.testing.assert_array_equal(variant.to_numpy(got), variant.to_numpy(expected))


def test_weights_of_another_library_are_refused() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match=r"choice: got key on numpy and p on jax"):
        random.choice(HOST, 2, 1, p=jnp.ones(2))
    with pytest.raises(BackendError, match=r"permutation: got a key on jax and like on numpy"):
        random.permutation(jnp.asarray(HOST), np.ones(3))
