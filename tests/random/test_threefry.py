"""The cipher, bits, split and fold_in: against known answers, Python's integers, and jax.random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import random
from pillars._errors import DTypeError, ShapeError
from pillars.backends import namespace
from pillars.backends.on_numpy import threefry as kernels
from pillars.random import _threefry
from reference_cipher import ANSWERS, threefry2x32, words

SHAPES = [(), (0,), (1,), (3, 5), (2, 0, 4), (7,), (10_001,)]
KEY = (0x12345678, 0x9ABCDEF0)


def key_on(variant: Variant, key: tuple[int, int] = KEY) -> Any:
    return variant.asarray(np.array(key, dtype=np.uint32), "uint32")


def jax_key(key: tuple[int, int] = KEY) -> Any:
    jax = pytest.importorskip("jax")
    return jax.random.wrap_key_data(jax.numpy.asarray(key, dtype=jax.numpy.uint32), impl="threefry2x32")


# ---------------------------------------------------------------------------------------------------------- the cipher
@pytest.mark.parametrize(("counter", "key", "answer"), ANSWERS)
def test_known_answers(
    counter: tuple[int, int], key: tuple[int, int], answer: tuple[int, int], variant: Variant
) -> None:
    assert threefry2x32(key, counter) == answer
    x = [variant.asarray(np.array([word], dtype=np.uint32), "uint32") for word in counter]
    y = _threefry.threefry2x32(key_on(variant, key), *x)
    assert [int(word) for word in (variant.to_numpy(y[0])[0], variant.to_numpy(y[1])[0])] == list(answer)


# ---------------------------------------------------------------------------------------------------------------- bits
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_are_those_of_jax(shape: tuple[int, ...], variant: Variant) -> None:
    jax = pytest.importorskip("jax")
    expected = np.asarray(jax.random.bits(jax_key(), shape, "uint32"))
    got = variant.compiled(lambda key: random.bits(key, shape))(key_on(variant))
    assert namespace(got) is variant.xp
    host = variant.to_numpy(got)
    assert host.dtype == np.uint32
    assert host.shape == shape
    np.testing.assert_array_equal(host, expected)


@pytest.mark.parametrize("n", [0, 1, 6, 7, 1000, 65_536, 65_537, 300_001])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_numpy_kernel_gives_the_bits_of_the_body(
    n: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
    key = np.array(KEY, dtype=np.uint32)
    np.testing.assert_array_equal(kernels.bits(key, n), random.bits.reference(key, n))


def test_bits_by_hand() -> None:
    expected = [a ^ b for a, b in words(KEY, 40)]
    assert random.bits(np.array(KEY, dtype=np.uint32), (8, 5)).ravel().tolist() == expected


def test_a_longer_draw_begins_with_the_shorter() -> None:
    key = random.key(3)
    np.testing.assert_array_equal(random.bits(key, (100_000,))[:999], random.bits(key, (27, 37)).ravel())


def test_a_length_and_numpy_integers_pass_for_a_shape() -> None:
    key = random.key(3)
    np.testing.assert_array_equal(random.bits(key, 5), random.bits(key, (np.int64(5),)))


def test_the_key_is_only_read() -> None:
    key = np.array(KEY, dtype=np.uint32)
    key.flags.writeable = False
    random.bits(key, 100)
    random.split(key, 100)
    random.normal(key, 100)
    assert key.tolist() == list(KEY)


def test_keys_do_not_reach_the_jit_cache() -> None:
    jax = pytest.importorskip("jax")
    traces = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_threefry, "words", lambda *given: (traces.append(1), (given[1], given[1]))[1])
        for seed in range(20):
            random.bits(jax.numpy.asarray([0, seed], dtype="uint32"), (123, 7))
        random.bits.record.cache.clear()  # what was traced with the stand-in must not stay
        random.bits.record.entries.clear()
    assert len(traces) == 1


# --------------------------------------------------------------------------------------------------- split and fold_in
@pytest.mark.parametrize("n", [0, 1, 2, 10, 1000])
def test_split_is_that_of_jax(n: int, variant: Variant) -> None:
    jax = pytest.importorskip("jax")
    expected = np.asarray(jax.random.key_data(jax.random.split(jax_key(), n)))
    got = variant.to_numpy(variant.compiled(lambda key: random.split(key, n))(key_on(variant)))
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, expected)


def test_split_of_many_uses_the_kernel_rightly() -> None:
    key = np.array(KEY, dtype=np.uint32)
    np.testing.assert_array_equal(kernels.split(key, 140_000), random.split.reference(key, 140_000))


@pytest.mark.parametrize("index", [0, 5, 2**31 - 1, 2**31, 2**31 + 7, 2**32 - 1])
def test_fold_in_is_that_of_jax(index: int, variant: Variant) -> None:
    jax = pytest.importorskip("jax")
    expected = np.asarray(jax.random.key_data(jax.random.fold_in(jax_key(), index)))
    traced = variant.compiled(random.fold_in)(key_on(variant), variant.asarray(np.uint32(index), "uint32"))
    np.testing.assert_array_equal(variant.to_numpy(traced), expected)
    for given in (index, np.uint32(index), np.int64(index), np.array(index)):
        got = variant.compiled(lambda key, given=given: random.fold_in(key, given))(key_on(variant))
        np.testing.assert_array_equal(variant.to_numpy(got), expected)
    np.testing.assert_array_equal(kernels.fold(np.array(KEY, dtype=np.uint32), np.array(index)), expected)


@pytest.mark.parametrize("index", [2**32, 2**32 + 5, 7 << 32, 2**63 - 1, 2**63, 2**64 - 1])
def test_fold_in_takes_all_of_64_bits(index: int, variant: Variant) -> None:
    expected = threefry2x32(KEY, (index >> 32, index & 0xFFFFFFFF))
    got = variant.compiled(lambda key: random.fold_in(key, index))(key_on(variant))
    assert variant.to_numpy(got).tolist() == list(expected)
    if variant.wide:
        traced = variant.compiled(random.fold_in)(
            key_on(variant), variant.asarray(np.uint64(index), "uint64")
        )
        assert variant.to_numpy(traced).tolist() == list(expected)


def test_fold_in_of_a_negative_number_is_refused_and_is_one_key_in_every_width(variant: Variant) -> None:
    for index in (-1, np.int64(-1), np.array(-5), 2**64):
        with pytest.raises(ShapeError, match=r"fold_in: index is -?\d+, expected 0 <= index < 2\*\*64"):
            random.fold_in(key_on(variant), index)
    if variant.library == "numpy":  # whose numbers are all at hand
        return
    widths = ("int8", "int16", "int32", "int64") if variant.wide else ("int8", "int16", "int32")
    for dtype in widths:
        got = variant.compiled(random.fold_in)(key_on(variant), variant.asarray(np.array(-3), dtype))
        assert variant.to_numpy(got).tolist() == list(threefry2x32(KEY, (2**32 - 1, 2**32 - 3)))


def test_fold_in_is_a_row_of_split() -> None:
    key = random.key(11)
    np.testing.assert_array_equal(random.fold_in(key, 41), random.split(key, 42)[41])
    assert random.fold_in(key, 41 + 2**32).tolist() != random.fold_in(key, 41).tolist()


def test_children_share_nothing_with_each_other_or_the_parent() -> None:
    key = random.key(0)
    draws = [random.bits(one, 1000) for one in (key, *random.split(key, 20))]
    # some 0.05 collisions are expected among 2**32
    assert len(np.unique(np.concatenate(draws))) > 21_000 - 10


def test_bits_inside_vmap(variant: Variant) -> None:
    keys = random.split(key_on(variant), 4)
    got = variant.to_numpy(variant.compiled(variant.backend.vmap(lambda key: random.bits(key, (3,))))(keys))
    host = np.asarray(variant.to_numpy(keys))
    np.testing.assert_array_equal(got, np.stack([random.bits(one, (3,)) for one in host]))


# ------------------------------------------------------------------------------------------------------------- quality
def test_bits_are_balanced_and_do_not_correlate() -> None:
    n = 200_000
    drawn = random.bits(random.key(1), n)
    ones = np.array([np.sum(drawn >> np.uint32(i) & np.uint32(1)) for i in range(32)])
    # each is binomial(n, 1/2): five standard deviations are exceeded once in 50,000 runs of all 32
    assert np.max(np.abs(ones - n / 2)) < 5 * np.sqrt(n) / 2
    x = drawn / 2**32 - 0.5
    for lag in (1, 2, 3, 64, 1000):
        assert abs(np.mean(x[lag:] * x[:-lag]) * 12) < 5 / np.sqrt(n)


def test_one_bit_of_the_key_or_counter_changes_half_of_the_word() -> None:
    base = random.bits(np.array(KEY, dtype=np.uint32), 64)
    for bit in range(32):
        for place in (0, 1):
            other = np.array(KEY, dtype=np.uint32)
            other[place] ^= np.uint32(1 << bit)
            changed = np.bitwise_count(base ^ random.bits(other, 64)).sum() / (64 * 32)
            assert 0.43 < changed < 0.57  # 2048 bits: six standard deviations are 0.066


# -------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("call", "error", "words_"),
    [
        (lambda: random.bits(np.zeros(2), (3,)), DTypeError, "float64.*uint32.*pillars.random.key"),
        (lambda: random.bits(np.zeros(3, dtype=np.uint32), (3,)), ShapeError, r"\(3,\).*vmap"),
        (lambda: random.bits(random.key(0), (-1,)), ShapeError, "lengths of 0 or more"),
        (lambda: random.bits(random.key(0), (2**17, 2**17)), ShapeError, r"2\*\*32.*split"),
        (lambda: random.bits(random.key(0), (True, 2)), DTypeError, r"bits: shape is \(True, 2\)"),
        (lambda: random.bits(random.key(0), True), DTypeError, "bits: shape is True"),
        (lambda: random.uniform(random.key(0), True), DTypeError, "uniform: shape is True"),
        (
            lambda: random.uniform(random.key(0), np.array([2, 3])),
            DTypeError,
            r"uniform: shape is array\(\[2, 3\]\)",
        ),
        (lambda: random.split(random.key(0), -1), ShapeError, "0 or more"),
        (lambda: random.fold_in(random.key(0), 0.5), DTypeError, "index is 0.5, expected an integer"),
        (lambda: random.fold_in(random.key(0), True), DTypeError, "index is True, expected an integer"),
        (
            lambda: random.fold_in(random.key(0), [1, 2]),
            DTypeError,
            r"index is \[1, 2\], expected an integer",
        ),
        (lambda: random.fold_in(random.key(0), np.array([1, 2])), ShapeError, "vmap"),
    ],
)
def test_errors(call: Any, error: type[Exception], words_: str) -> None:
    with pytest.raises(error, match=words_):
        call()


def test_a_typed_key_of_jax_is_refused_with_the_remedy() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(DTypeError, match=r"jax\.random\.key_data"):
        random.bits(jax.random.key(0), (3,))
    with pytest.raises(DTypeError, match=r"jax\.random\.key_data"):
        random.uniform(jax.random.key(0), (3,))
