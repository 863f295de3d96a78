"""Integers that a draw takes: exact, or refused, on every backend and under jit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import random
from pillars._errors import DTypeError, ShapeError

KEY = np.array([3, 141592653], dtype=np.uint32)


def on(variant: Variant) -> Any:
    return variant.asarray(KEY, "uint32")


@pytest.mark.parametrize("low", [2**31, 2**32 - 9])
def test_host_bounds_above_32_signed_bits_are_exact(low: int, variant: Variant) -> None:
    expected = random.integers(KEY, 50, low, low + 9, dtype="uint32")
    assert int(expected.min()) >= low
    pairs: list[tuple[Any, Any]] = [(low, low + 9), (np.int64(low), np.uint64(low + 9))]
    if variant.library == "numpy" or variant.jit:  # inside a trace host arrays are constants
        pairs += [(np.array([low]), np.array([low + 9])), (np.array([low]), low + 9)]
    for bounds in pairs:
        draw = variant.compiled(lambda key, b=bounds: random.integers(key, 50, *b, dtype="uint32"))
        np.testing.assert_array_equal(variant.to_numpy(draw(on(variant))), expected)


def test_bounds_nobody_looks_at_must_fit_the_result(variant: Variant) -> None:
    if variant.library == "numpy":
        pytest.skip("not applicable: NumPy's numbers are all at hand")
    for given, asked in (("int32", "uint32"), ("int32", "int8"), ("uint32", "int32")):
        draw = variant.compiled(lambda key, high, asked=asked: random.integers(key, 5, 0, high, dtype=asked))
        with pytest.raises(
            DTypeError, match=f"integers: high has dtype {given}, not all of whose numbers {asked}"
        ):
            draw(on(variant), variant.asarray(np.array(7), given))
    draw = variant.compiled(lambda key, high: random.integers(key, 50, 0, high, dtype="int32"))
    np.testing.assert_array_equal(
        variant.to_numpy(draw(on(variant), variant.asarray(np.array(7), "int8"))),
        random.integers(KEY, 50, 0, 7, dtype="int32"),
    )


@pytest.mark.parametrize(("low", "high"), [(5, 5), (5, 2), (0, -(2**31)), (2**31 - 1, -(2**31))])
def test_an_empty_interval_nobody_looked_at_gives_its_lower_end(
    low: int, high: int, variant: Variant
) -> None:
    if variant.library == "numpy":
        with pytest.raises(ShapeError, match="expected low < high"):
            random.integers(KEY, 5, low, high, dtype="int32")
        return
    draw = variant.compiled(lambda key, low, high: random.integers(key, 5, low, high, dtype="int32"))
    ends = (variant.asarray(np.array(end), "int32") for end in (low, high))
    assert variant.to_numpy(draw(on(variant), *ends)).tolist() == [low] * 5


@pytest.mark.parametrize("seed", [2**31, 2**32, 2**53 + 1, 2**64 - 1])
def test_seeds_keep_all_their_bits(seed: int, variant: Variant) -> None:
    for made in (random.key(seed, like=on(variant)), random.as_key(seed, like=on(variant))):
        assert variant.to_numpy(made).tolist() == [seed >> 32, seed & 0xFFFFFFFF]


@pytest.mark.parametrize(
    "call",
    [
        random.split,
        lambda key, n: random.bits(key, (n,)),
        random.normal,
        lambda key, n: random.uniform(key, (2, n)),
        lambda key, n: random.integers(key, n, 0, 5),
        random.permutation,
    ],
)
def test_traced_lengths_are_refused(call: Any) -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises((DTypeError, ShapeError), match=r"(shape|n|x) is .*expected"):
        jax.jit(call)(jax.numpy.asarray(KEY), 3)


@pytest.mark.parametrize("n", [2**32 + 1, 2**40])
def test_more_than_a_key_counts_is_refused(n: int, variant: Variant) -> None:
    for call in (random.split, random.bits, random.normal, random.uniform):
        with pytest.raises(ShapeError, match=r"2\*\*32"):
            call(on(variant), n)
