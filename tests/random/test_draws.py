"""The distributions: by hand from the cipher's words, alike on every backend, and with the right frequencies."""

from __future__ import annotations

import itertools
import math
import warnings
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from contracts._variants import Variant
from pillars import random
from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends import backend
from pillars.backends.on_numpy import threefry as kernels
from pillars.random import _bodies
from reference_cipher import fraction, words

KEY = (3, 141592653)
SHAPES = [(), (0,), (3, 5), (1001,)]


@pytest.fixture
def key() -> Any:
    return np.array(KEY, dtype=np.uint32)


def on(variant: Variant) -> Any:
    return variant.asarray(np.array(KEY, dtype=np.uint32), "uint32")


def ulps(got: Any, expected: Any) -> float:
    """The largest difference in units of the last place of the expected value."""
    return float(
        np.max(np.abs(got.astype(float) - expected.astype(float)) / np.spacing(np.abs(expected)), initial=0)
    )


# ------------------------------------------------------------------------------------------------------------- uniform
def test_uniform_by_hand(key: Any) -> None:
    pairs = words(KEY, 200)
    assert random.uniform(key, 200).tolist() == [(a // 2**5 * 2**26 + b // 2**6) / 2**53 for a, b in pairs]
    assert random.uniform(key, 200, dtype="float32").tolist() == [a // 2**8 / 2**24 for a, _ in pairs]


@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_has_the_same_bits_everywhere(shape: tuple[int, ...], variant: Variant, key: Any) -> None:
    for dtype in variant.floats:
        got = variant.to_numpy(
            variant.compiled(lambda k, d=dtype: random.uniform(k, shape, dtype=d))(on(variant))
        )
        assert got.dtype == dtype
        assert got.shape == shape
        np.testing.assert_array_equal(got, random.uniform(key, shape, dtype=dtype))


def test_uniform_between_bounds_is_the_same_everywhere_within_rounding(variant: Variant, key: Any) -> None:
    for dtype in variant.floats:
        got = variant.to_numpy(random.uniform(on(variant), 1000, low=-3.3, high=7.7, dtype=dtype))
        expected = random.uniform(key, 1000, low=-3.3, high=7.7, dtype=dtype)
        # a fused multiply-add rounds once: one rounding of the product, of up to 11, apart
        assert np.max(np.abs(got - expected)) <= 8 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.5, 4.0), (1e6, 1e6 + 1), (5.0, 5.0)])
def test_the_uniform_kernel_is_the_body(dtype: str, bounds: tuple[float, float], key: Any) -> None:
    low, high = (np.array(bound, dtype=dtype) for bound in bounds)
    options: dict[str, Any] = {"shape": (70_001,), "dtype": dtype}
    np.testing.assert_array_equal(
        kernels.draw_uniform(key, low, high, **options),
        _bodies.draw_uniform.reference(key, low, high, **options),
    )


def test_uniform_never_reaches_the_upper_end(variant: Variant) -> None:
    # numbers in [10⁶, 10⁶ + 1) are 1/16 apart in float32: without care one in 32 would be the end itself
    drawn = variant.to_numpy(random.uniform(on(variant), 20_000, low=1e6, high=1e6 + 1, dtype="float32"))
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, 1e6 + np.arange(16) / 16)
    assert stats.chisquare(counts).pvalue > 1e-4  # and the lower end has its whole share


def test_uniform_frequencies(key: Any) -> None:
    for dtype in ("float32", "float64"):
        drawn = random.uniform(key, 100_000, low=2, high=5, dtype=dtype).astype(np.float64)
        assert stats.kstest(drawn, stats.uniform(2, 3).cdf).pvalue > 1e-3


def test_single_precision_is_double_precision_cut_short(key: Any) -> None:
    single, double = (random.uniform(key, 10_000, dtype=dtype) for dtype in ("float32", "float64"))
    assert np.all((single <= double) & (double < single + 2.0**-24))


def test_equal_and_crossed_bounds(key: Any, variant: Variant) -> None:
    np.testing.assert_array_equal(random.uniform(key, 5, low=2, high=2), np.full(5, 2.0))
    with pytest.raises(ShapeError, match=r"low 3 and high 2.*Swap"):
        random.uniform(key, 5, low=3, high=2)
    for low, high in ((np.float32(2), np.float32(1)), (np.array(2.0), 1), (2, np.float16(1))):
        with pytest.raises(ShapeError, match=r"uniform: got low 2.* and high 1.*Swap"):
            random.uniform(on(variant), 5, low=low, high=high)


def test_bounds_may_be_numbers_of_any_kind(key: Any) -> None:
    expected = random.uniform(key, 9, low=-1.0, high=2.5, dtype="float32")
    for low, high in (
        (-1, np.float32(2.5)),
        (np.array(-1), np.float64(2.5)),
        (np.float16(-1), np.array(2.5)),
    ):
        np.testing.assert_array_equal(random.uniform(key, 9, low=low, high=high, dtype="float32"), expected)
    with pytest.raises(ShapeError, match=r"uniform: high has shape \(2,\)"):
        random.uniform(key, 9, high=np.ones(2))


@pytest.mark.parametrize("bound", ["a", "2", None, True, 1j, np.array("2"), np.array(1j)])
def test_bounds_that_are_no_real_numbers_are_refused(bound: Any, key: Any) -> None:
    with pytest.raises(DTypeError, match=r"uniform: low is .*, expected a real number"):
        random.uniform(key, 9, low=bound)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float16", 0, 1e6),
        ("float16", 7e4, 8e4),
        ("float16", -65520, 0),
        ("float32", 0, 1e39),
        ("float64", 0, 10**400),
        ("float64", -math.inf, 0),
        ("float32", 0, math.nan),
    ],
)
def test_bounds_that_the_dtype_does_not_hold_are_refused(
    dtype: str, low: float, high: float, key: Any
) -> None:
    with pytest.raises(ShapeError, match=rf"uniform: (low|high) is .*finite number that {dtype} holds"):
        random.uniform(key, 9, low=low, high=high, dtype=dtype)


def test_half_precision_reaches_from_end_to_end(key: Any) -> None:
    drawn = random.uniform(key, 20_000, low=-65504, high=65504, dtype="float16").astype(np.float64)
    assert stats.kstest(drawn, stats.uniform(-65504, 2 * 65504).cdf).pvalue > 1e-3
    with pytest.raises(ShapeError, match="distance float64 holds"):
        random.uniform(key, 9, low=-1e308, high=1e308)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (0.0, math.inf), (-3e38, 3e38), (math.nan, 1.0)])
def test_bounds_that_are_not_looked_at_give_nan(bounds: tuple[float, float]) -> None:
    jax = pytest.importorskip("jax")
    key = jax.numpy.asarray(KEY, dtype="uint32")
    low, high = (jax.numpy.asarray(bound, dtype="float32") for bound in bounds)
    for run in (lambda f: f, jax.jit):
        drawn = run(lambda low, high: random.uniform(key, 50, low=low, high=high, dtype="float32"))(low, high)
        assert bool(jax.numpy.all(jax.numpy.isnan(drawn)))
    if bounds[1] > 1.0:
        drawn = random.uniform(key, 50, high=jax.numpy.float32(1e5), dtype="float16")
        assert bool(jax.numpy.all(jax.numpy.isnan(drawn)))


def test_bounds_are_differentiated_on_numpy(key: Any) -> None:
    slope = backend("numpy").grad(lambda high: random.uniform(key, 100, low=-1.0, high=high).sum())
    expected = random.uniform(key, 100).sum()
    assert float(slope(np.array(2.0))) == pytest.approx(expected, rel=1e-12)


def test_traced_bounds_compile_once_and_differentiate() -> None:
    jax = pytest.importorskip("jax")
    key = jax.numpy.asarray(KEY, dtype="uint32")
    draw = jax.jit(lambda high: random.uniform(key, 1000, low=0.0, high=high))
    for high in (1.0, 2.0, 3.5):
        assert 0.9 * high < float(draw(high).max()) < high
    slope = jax.grad(lambda high: draw(high).sum())(2.0)
    assert float(slope) == pytest.approx(float(draw(2.0).sum()) / 2, rel=1e-5)


# -------------------------------------------------------------------------------------------------------------- normal
def by_hand(i: int) -> Any:
    """Number i in 30 digits, from all of its bits."""
    bits = fraction(KEY, i // 2)
    a, b, c, d = (bits >> shift & (2**32 - 1) for shift in (96, 64, 32, 0))
    with mpmath.workdps(30):
        u = (mpmath.mpf(a * 2**32 + c) + mpmath.mpf(0.5)) / 2**64
        turn = mpmath.mpf(b % 2**30) + (mpmath.mpf(d) + 0.5) / 2**32
        angle = mpmath.pi / 2 * (turn / 2**30 - mpmath.mpf(0.5))
        sign = -1 if b >> 31 else 1
        pair = [sign * mpmath.cos(angle), mpmath.sin(angle)]
        if b >> 30 & 1:
            pair.reverse()
        return mpmath.sqrt(-2 * mpmath.log(u)) * pair[i % 2]


def test_normal_by_hand(key: Any, variant: Variant) -> None:
    exact = np.array([float(by_hand(i)) for i in range(102)])
    for dtype in variant.floats:
        got = variant.to_numpy(random.normal(on(variant), 101, dtype=dtype))
        # a handful of roundings; that of u matters as 1/r² near u = 1, where its logarithm is near 0
        square = np.repeat(exact[0::2] ** 2 + exact[1::2] ** 2, 2)
        unit = np.spacing(np.abs(exact)) if dtype == "float64" else 2.0**-23 * np.maximum(np.abs(exact), 1)
        assert np.all(np.abs(got - exact[:101]) <= (4 * unit * (1 + 1 / square))[:101])


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_agrees_everywhere(shape: tuple[int, ...], variant: Variant, key: Any) -> None:
    for dtype in variant.floats:
        got = variant.to_numpy(
            variant.compiled(lambda k, d=dtype: random.normal(k, shape, dtype=d))(on(variant))
        )
        assert got.dtype == dtype
        assert got.shape == shape
        assert ulps(got, random.normal(key, shape, dtype=dtype)) <= 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_normal_kernel_is_the_body(dtype: str, key: Any) -> None:
    for n in (0, 1, 2, 11, 12, 13, 140_001):
        got = kernels.draw_normal(key, shape=(n,), dtype=dtype)
        assert got.dtype == dtype
        assert ulps(got, _bodies.draw_normal.reference(key, shape=(n,), dtype=dtype)) <= 6


def test_a_longer_normal_draw_begins_with_the_shorter(key: Any) -> None:
    np.testing.assert_array_equal(random.normal(key, 1001)[:333], random.normal(key, 333))


def test_normal_in_single_precision_is_near_double(key: Any) -> None:
    error = np.abs(random.normal(key, 100_000, dtype="float32") - random.normal(key, 100_000))
    assert np.mean(error > 1e-6) < 5e-4
    assert np.max(error) < 4e-4


def test_normal_frequencies(key: Any) -> None:
    for dtype in ("float32", "float64"):
        drawn = random.normal(key, 200_000, dtype=dtype).astype(np.float64)
        assert stats.kstest(drawn, stats.norm.cdf).pvalue > 1e-3
        # tails, in which the empirical distribution sees little: counts beyond 3 and 4 are Poisson
        for limit in (3.0, 4.0):
            expected = 2 * stats.norm.sf(limit) * drawn.size
            assert abs(np.sum(np.abs(drawn) > limit) - expected) < 5 * math.sqrt(expected)
    pairs = random.normal(key, (100_000, 2))
    assert abs(np.mean(pairs[:, 0] * pairs[:, 1])) < 5 / math.sqrt(100_000)
    assert abs(np.mean((pairs[:, 0] ** 2 - 1) * (pairs[:, 1] ** 2 - 1))) < 5 * 2 / math.sqrt(100_000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_normal_is_finite_at_the_extremes_of_the_words(
    dtype: str, word: int, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    extreme = np.full(4, word, dtype=np.uint32)
    monkeypatch.setattr(_bodies, "words", lambda *_, **__: (extreme, extreme))
    drawn = _bodies.draw_normal.reference(key, shape=(4,), dtype=dtype)
    reach = {"float32": math.sqrt(66 * math.log(2)), "float64": math.sqrt(130 * math.log(2))}[dtype]
    assert np.all(np.abs(drawn) <= reach)
    assert np.max(np.abs(drawn)) > (0.5 * reach if word == 0 else -1)


def test_half_precision_is_a_rounded_single(key: Any) -> None:
    single = random.normal(key, 1000, dtype="float32")
    np.testing.assert_array_equal(random.normal(key, 1000, dtype="float16"), single.astype(np.float16))
    drawn = random.uniform(key, 20_000, dtype="float16")
    assert drawn.dtype == np.float16
    assert np.max(drawn) < 1


def test_bfloat16_on_jax() -> None:
    jax = pytest.importorskip("jax")
    drawn = random.uniform(jax.numpy.asarray(KEY, dtype="uint32"), 5000, dtype="bfloat16")
    assert drawn.dtype == jax.numpy.bfloat16
    assert float(drawn.max()) < 1


# ------------------------------------------------------------------------------------------------------------ integers
RANGES = [
    ("int32", 0, 10),
    ("int32", -5, 3),
    ("int32", -(2**31), 2**31),
    ("uint32", 0, 2**32),
    ("int8", -128, 128),
    ("int32", 7, 8),
    ("int64", 0, 10),
    ("int64", -3, 2**32 - 3),
    ("int64", 5, 2**40),
    ("int64", -(2**63), 2**63),
    ("uint64", 1, 2**64),
]


@pytest.mark.parametrize(("dtype", "low", "high"), RANGES)
def test_integers_by_hand(dtype: str, low: int, high: int, variant: Variant) -> None:
    if dtype.endswith("64") and not variant.wide:
        pytest.skip("not applicable: no 64-bit integers here")
    bits = 64 if high - low <= 2**32 else 128
    expected = [low + (high - low) * (fraction(KEY, i) >> (128 - bits)) // 2**bits for i in range(200)]
    draw = variant.compiled(lambda k: random.integers(k, (200,), low, high, dtype=dtype))
    got = variant.to_numpy(draw(on(variant)))
    assert got.dtype == dtype
    assert got.tolist() == expected


def test_the_integers_kernel_is_the_body(key: Any) -> None:
    low, reach = np.asarray(-7, dtype=np.int32), np.asarray(2**32 - 1, dtype=np.uint32)
    for shape in ((0,), (3, 5), (140_001,)):
        got = kernels.draw_integers(key, low, reach, shape=shape, dtype="int32")
        np.testing.assert_array_equal(
            got, _bodies.draw_integers.reference(key, low, reach, shape=shape, dtype="int32")
        )


@pytest.mark.parametrize("half", [16, 32])
def test_every_carry_counts(half: int, monkeypatch: pytest.MonkeyPatch, key: Any) -> None:
    """Words near the ends of their range, whose carries random ones would meet once in 2³²."""
    w, kind = 2 * half, {16: np.uint32, 32: np.uint64}[half]
    ends = [0, 1, 2, 2**half - 1, 2**half, 2 ** (w - 1), 2**w - 2, 2**w - 1]
    cases = list(itertools.product(ends, repeat=3))
    a, b, reach = (np.array(column, dtype=kind) for column in zip(*cases, strict=True))
    streams = [(a, b)]
    if half == 32:
        streams = [((x >> np.uint64(32)).astype(np.uint32), x.astype(np.uint32)) for x in (a, b)]
    monkeypatch.setattr(_bodies, "words", lambda *_, stream=0: streams[stream])
    got = _bodies.draw_integers.reference(key, kind(0), reach, shape=(len(cases),), dtype=f"uint{w}")
    assert got.tolist() == [(x * 2**w + y) * (z + 1) >> 2 * w for x, y, z in cases]
    if half == 16:
        for value in ends:
            run = [words_.copy() for words_ in streams[0]]
            monkeypatch.setattr(kernels, "_run", lambda _, n, finish, run=run: finish(slice(0, n), run))
            got = kernels.draw_integers(
                key, np.uint32(0), np.array(value, dtype=kind), shape=(len(cases),), dtype="uint32"
            )
            assert got.tolist() == [(x * 2**w + y) * (value + 1) >> 2 * w for x, y, _ in cases]


def test_array_bounds_broadcast(variant: Variant) -> None:
    low = variant.asarray(np.array([0, 100, -50]), "int32")
    high = variant.asarray(np.array([1, 110, 50]), "int32")
    draw = variant.compiled(lambda k, low, high: random.integers(k, (1000, 3), low, high, dtype="int32"))
    got = variant.to_numpy(draw(on(variant), low, high))
    assert [(column.min(), column.max()) for column in got.T] == [(0, 0), (100, 109), (-50, 49)]
    alone = variant.to_numpy(random.integers(on(variant), (1000, 3), -50, 50, dtype="int32"))
    np.testing.assert_array_equal(got[:, 2], alone[:, 2])


@pytest.mark.parametrize("kind", [np.int64, np.int16, np.array])
def test_bounds_of_numpy_are_those_of_python(kind: Any, variant: Variant) -> None:
    dtype = "int64" if variant.wide else "int32"
    expected = random.integers(on(variant), 50, -3, 1000, dtype=dtype)
    for low, high in ((kind(-3), kind(1000)), (-3, kind(1000)), (kind(-3), 1000)):
        got = random.integers(on(variant), 50, low, high, dtype=dtype)
        np.testing.assert_array_equal(variant.to_numpy(got), variant.to_numpy(expected))


def test_the_widest_bounds_of_numpy_do_not_overflow(key: Any) -> None:
    low, high = np.array(-(2**63)), np.array(2**63 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = random.integers(key, 50, low, high)
    np.testing.assert_array_equal(got, random.integers(key, 50, -(2**63), 2**63 - 1))


def test_a_bound_that_is_traced_takes_a_host_key_along() -> None:
    jax = pytest.importorskip("jax")
    key = np.array(KEY, dtype=np.uint32)
    draw = jax.jit(lambda high: random.integers(key, 40, 0, high))
    expected = random.integers(jax.numpy.asarray(key), 40, 0, jax.numpy.asarray(9))
    np.testing.assert_array_equal(draw(9), expected)
    there = jax.jit(lambda high: random.uniform(key, 40, high=high, dtype="float32"))(2.0)
    np.testing.assert_array_equal(there, random.uniform(key, 40, high=2.0, dtype="float32"))
    constant = jax.jit(lambda key: random.integers(key, 2, np.array([0, 100]), np.array([9, 109])))
    assert constant(jax.numpy.asarray(key)).tolist()[1] >= 100


def test_bounds_of_another_library_are_refused(key: Any) -> None:
    jnp = pytest.importorskip("jax.numpy")
    words = r"(?=.*on jax)(?=.*on numpy).*expected one library.*pillars\.move"
    for here, bound in ((key, jnp.asarray([4, 5])), (jnp.asarray(key), np.array([4, 5]))):
        with pytest.raises(BackendError, match="integers: got key" + words):
            random.integers(here, 2, 0, bound)
    with pytest.raises(BackendError, match="uniform: got key" + words):
        random.uniform(key, 2, high=jnp.asarray(2.0))


def test_array_bounds_of_64_bits(key: Any) -> None:
    low, high = np.array([-(2**62), 0]), np.array([2**62, 3])
    got = random.integers(key, (500, 2), low, high)
    expected = [-(2**62) + (2**63 * fraction(KEY, 2 * i) >> 128) for i in range(500)]
    assert got[:, 0].tolist() == expected
    assert set(got[:, 1].tolist()) == {0, 1, 2}


def test_integer_frequencies(key: Any) -> None:
    counts = np.bincount(random.integers(key, 70_000, 0, 7), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3
    # three values of 2³⁰ each over 32 bits: taking the word modulo 3·2³⁰ would favour the first by a third
    third = random.integers(key, 60_000, 0, 3 * 2**30) // 2**30
    assert stats.chisquare(np.bincount(third, minlength=3)).pvalue > 1e-3


def test_the_stated_bias_of_integers() -> None:
    """The number of 64-bit fractions that lead to a value differs from its share by less than one."""
    for values in (3, 10, 2**32 - 5):
        share = Fraction(2**64, values)
        for value in (0, 1, values // 2, values - 1):
            first, after = (-(-(v * 2**64) // values) for v in (value, value + 1))
            assert abs(after - first - share) < 1


@pytest.mark.parametrize(
    ("low", "high", "options", "error", "text"),
    [
        (5, 5, {}, ShapeError, "low 5 and high 5, expected low < high"),
        (5, 2, {}, ShapeError, "low < high"),
        (0, 129, {"dtype": "int8"}, ShapeError, "high is 129, which int8 does not reach"),
        (-1, 3, {"dtype": "uint32"}, ShapeError, "low is -1"),
        (0, 2**63 + 1, {}, ShapeError, "wider dtype"),
        (0.0, 3, {}, DTypeError, "low is 0.0, expected an integer"),
        (0, np.array(2.5), {}, DTypeError, "high is array"),
        (0, True, {}, DTypeError, "high is True, expected an integer"),
        (0, np.int64(1000), {"dtype": "int8"}, ShapeError, "high is 1000, which int8 does not reach"),
        (np.int64(-5), 3, {"dtype": "uint8"}, ShapeError, "low is -5, which uint8 does not reach"),
        (0, np.uint64(2**64 - 1), {}, ShapeError, f"high is {2**64 - 1}, which int64"),
        (0, np.array([5, 300, 7]), {"dtype": "int8"}, ShapeError, "high is 300, which int8"),
        (np.int64(10), np.int64(2), {}, ShapeError, "low 10 and high 2, expected low < high"),
        (np.array([0, 5, 9]), 5, {}, ShapeError, "low and high out of order in 2 places"),
        (0, np.array([3, 4]), {}, ShapeError, r"high has shape \(2,\), expected one that broadcasts"),
        (np.zeros((2, 3), dtype=int), 5, {}, ShapeError, r"low has shape \(2, 3\)"),
    ],
)
def test_integers_errors(
    low: Any, high: Any, options: dict[str, Any], error: type[Exception], text: str, key: Any
) -> None:
    with pytest.raises(error, match=text):
        random.integers(key, 3, low, high, **options)


# --------------------------------------------------------------------------------------------------------- permutation
@pytest.mark.parametrize("n", [0, 1, 2, 100, 1500])
def test_permutation_sorts_the_words(n: int, variant: Variant) -> None:
    pairs = words(KEY, n)
    expected = sorted(range(n), key=pairs.__getitem__)
    got = variant.to_numpy(variant.compiled(lambda k: random.permutation(k, n))(on(variant)))
    assert got.tolist() == expected


def test_the_permutation_kernel_is_the_body(key: Any) -> None:
    got = kernels.permute(key, n=140_001, dtype="int64")
    np.testing.assert_array_equal(got, _bodies.permute.reference(key, n=140_001, dtype="int64"))


def test_ties_keep_their_order(monkeypatch: pytest.MonkeyPatch, key: Any) -> None:
    generator = np.random.default_rng(5)
    a, b = (generator.integers(0, 3, 2000).astype(np.uint32) for _ in range(2))  # nine different pairs
    expected = np.lexsort((b, a))
    monkeypatch.setattr(_bodies, "words", lambda *_: (a, b))
    np.testing.assert_array_equal(_bodies.permute.reference(key, n=2000, dtype="int64"), expected)
    monkeypatch.setattr(kernels, "_run", lambda _, n, finish: finish(slice(0, n), [a, b]))
    np.testing.assert_array_equal(kernels.permute(key, n=2000, dtype="int64"), expected)


def test_every_order_is_equally_frequent() -> None:
    orders = [tuple(random.permutation(one, 4).tolist()) for one in random.split(random.key(8), 4800)]
    counts = [orders.count(order) for order in itertools.permutations(range(4))]
    assert sum(counts) == 4800
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_number_of_rows_that_is_none_is_refused(key: Any) -> None:
    np.testing.assert_array_equal(random.permutation(key, np.int8(5)), random.permutation(key, 5))
    for n in (True, 2.0, None):
        with pytest.raises(DTypeError, match=r"permutation: n is .*, expected a plain integer"):
            random.permutation(key, n)


def test_a_dtype_that_cannot_number_the_rows_is_refused(key: Any) -> None:
    assert random.permutation(key, 128, dtype="int8").max() == 127
    with pytest.raises(ShapeError, match="n is 129, more than int8"):
        random.permutation(key, 129, dtype="int8")


# --------------------------------------------------------------------------------------------- exponential, categorical
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential_keeps_its_digits_near_zero(dtype: str, key: Any) -> None:
    drawn = _bodies.draw_exponential(key, shape=(3000,), dtype=dtype)
    assert stats.kstest(drawn.astype(np.float64), stats.expon.cdf).pvalue > 1e-3
    for i, (a, b) in enumerate(words(KEY, 3000)):
        p = mpmath.mpf(a * 2**32 + b) / 2**64
        # near p = 1 the conversion to the dtype loses digits; near 0, where the race is decided, none
        loss = 4 * float(np.finfo(dtype).eps) * (1 + float(p / (1 - p)))
        assert float(drawn[i]) == pytest.approx(float(-mpmath.log1p(-p)), rel=loss)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_exponential_kernel_is_the_body(dtype: str, key: Any) -> None:
    got = kernels.draw_exponential(key, shape=(140_001,), dtype=dtype)
    assert ulps(got, _bodies.draw_exponential.reference(key, shape=(140_001,), dtype=dtype)) <= 4


@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_exponential_is_finite_and_positive_at_the_extremes(
    word: int, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    extreme = np.full(2, word, dtype=np.uint32)
    monkeypatch.setattr(_bodies, "words", lambda *_: (extreme, extreme))
    monkeypatch.setattr(
        kernels, "_run", lambda _, n, finish: finish(slice(0, n), [extreme.copy(), extreme.copy()])
    )
    for dtype in ("float32", "float64"):
        for draw in (_bodies.draw_exponential.reference, kernels.draw_exponential):
            drawn = draw(key, shape=(2,), dtype=dtype)
            assert np.all((drawn > 0) & np.isfinite(drawn))


def test_categorical_frequencies(key: Any) -> None:
    probabilities = np.array([0.5, 0.2, 0.0, 0.299, 0.001])
    with np.errstate(divide="ignore"):
        logits = np.broadcast_to(np.log(probabilities) + 37.0, (60_000, 5))
    for dtype in (np.float32, np.float64):
        counts = np.bincount(random.categorical(key, logits.astype(dtype)), minlength=5)
        assert counts[2] == 0
        kept = [0, 1, 3, 4]
        assert stats.chisquare(counts[kept], 60_000 * probabilities[kept]).pvalue > 1e-3


def test_categorical_is_the_same_everywhere(variant: Variant, key: Any, draw: Any) -> None:
    logits = draw.normal(500, 7)
    for dtype in variant.floats:
        got = variant.compiled(random.categorical)(on(variant), variant.asarray(logits, dtype))
        expected = random.categorical(key, logits.astype(dtype))
        assert np.mean(variant.to_numpy(got) != expected) <= 0.002  # a race closer than rounding


def test_categorical_of_no_distribution_is_minus_one(variant: Variant) -> None:
    inf, nan = math.inf, math.nan
    logits = variant.asarray(
        np.array([[0.0, nan], [inf, 0.0], [-inf, -inf], [-inf, 0.0], [inf, inf], [0.0, -inf]])
    )
    got = variant.to_numpy(variant.compiled(random.categorical)(on(variant), logits))
    assert got.tolist() == [-1, -1, -1, 1, -1, 0]


def test_categorical_of_one_row_is_a_number_and_lists_pass(key: Any) -> None:
    assert random.categorical(key, [0.0, 0.0, 50.0]).shape == ()
    assert int(random.categorical(key, [0, 0, 50])) == 2
    with pytest.raises(ShapeError, match="at least one category"):
        random.categorical(key, np.zeros((3, 0)))


# ----------------------------------------------------------------------------------------------------------- transforms
def test_every_draw_inside_vmap(variant: Variant) -> None:
    keys = random.split(on(variant), 3)
    logits = variant.asarray(np.zeros((2, 4)), "float32")

    def draws(key: Any) -> tuple[Any, ...]:
        return (
            random.uniform(key, (2,), dtype="float32"),
            random.normal(key, (3,), dtype="float32"),
            random.integers(key, (2, 2), -4, 9, dtype="int32"),
            random.permutation(key, 5, dtype="int32"),
            random.categorical(key, logits),
        )

    mapped = variant.compiled(variant.backend.vmap(draws))(keys)
    for row in range(3):
        one = draws(keys[row, ...])
        for together, alone in zip(mapped, one, strict=True):
            np.testing.assert_allclose(
                variant.to_numpy(together)[row], variant.to_numpy(alone), rtol=4e-6, atol=1e-6
            )


def test_shapes_and_keys_are_checked_under_the_name_that_was_called(key: Any) -> None:
    for f in (random.uniform, random.normal):
        with pytest.raises(ShapeError, match=f"^{f.__name__}: shape is"):
            f(key, (3, -1))
        with pytest.raises(DTypeError, match=f"^{f.__name__}: shape is"):
            f(key, (3, 1.5))
        with pytest.raises(DTypeError, match=f"^{f.__name__}: key is"):
            f([1, 2], (3,))
    with pytest.raises(DTypeError, match=r"^integers: key is"):
        random.integers(42, (3,), 0, 1)
    assert random.categorical.record.name == "random.categorical"


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, np.inf), (-np.inf, 0.0), (np.nan, 1.0), (0.0, np.nan), (-1e308, 1e308)]
)
def test_bounds_that_no_draw_lies_between_are_refused(low, high):
    with pytest.raises(ShapeError, match=r"uniform: .*expected (a )?finite number"):
        random.uniform(random.key(0), (2,), low=low, high=high)


def test_a_truth_value_is_no_seed():
    with pytest.raises(DTypeError, match="seed"):
        random.key(True)
