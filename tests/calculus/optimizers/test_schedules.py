"""Schedules: closed forms, parity with optax and torch, ends that are exact, equality, jit, and what they refuse."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, PillarsError, ShapeError
from pillars.backends import namespace
from pillars.calculus import (
    adam,
    constant,
    cosine_decay,
    exponential_decay,
    gradient_descent,
    linear_warmup,
    sgd,
    step_decay,
    warmup_cosine,
)
from running import eps

# ours, what it is in plain words, and what computes the same in optax
TABLE: dict[str, tuple[Any, Any, Any]] = {
    "constant": (constant(0.3), lambda t: 0.3, lambda optax: optax.constant_schedule(0.3)),
    "linear_warmup": (
        linear_warmup(0.01, 40, start=1e-4),
        lambda t: 1e-4 + (0.01 - 1e-4) * min(t / 40, 1),
        lambda optax: optax.linear_schedule(1e-4, 0.01, 40),
    ),
    "cosine_decay": (
        cosine_decay(0.2, 50, final=0.02),
        lambda t: 0.02 + 0.18 * (1 + math.cos(math.pi * min(t / 50, 1))) / 2,
        lambda optax: optax.cosine_decay_schedule(0.2, 50, alpha=0.1),
    ),
    "warmup_cosine": (
        warmup_cosine(0.1, 10, 70, start=0.001, final=0.005),
        lambda t: (
            0.001 + 0.099 * t / 10
            if t < 10
            else 0.005 + 0.095 * (1 + math.cos(math.pi * min((t - 10) / 60, 1))) / 2
        ),
        lambda optax: optax.warmup_cosine_decay_schedule(0.001, 0.1, 10, 70, end_value=0.005),
    ),
    "exponential_decay": (
        exponential_decay(0.1, 7, factor=0.6),
        lambda t: 0.1 * 0.6 ** (t / 7),
        lambda optax: optax.exponential_decay(0.1, 7, 0.6),
    ),
    "exponential_decay, in steps, with an end": (
        exponential_decay(0.1, 7, factor=0.6, staircase=True, final=0.01),
        lambda t: max(0.01, 0.1 * 0.6 ** (t // 7)),
        lambda optax: optax.exponential_decay(0.1, 7, 0.6, staircase=True, end_value=0.01),
    ),
    "step_decay": (
        step_decay(0.5, 20, factor=0.3),
        lambda t: 0.5 * 0.3 ** (t // 20),
        lambda optax: optax.exponential_decay(0.5, 20, 0.3, staircase=True),
    ),
    "step_decay at places": (
        step_decay(0.5, [15, 40, 41], factor=0.3),
        lambda t: 0.5 * 0.3 ** sum(t >= m for m in (15, 40, 41)),
        lambda optax: optax.piecewise_constant_schedule(0.5, {15: 0.3, 40: 0.3, 41: 0.3}),
    ),
}
ROWS = pytest.mark.parametrize("name", TABLE)
# a power or a sine of an argument below 12 that is itself rounded: 12 roundings of it, and those of the products
ROUNDINGS = 32


@ROWS
def test_they_are_their_formulas(variant: Variant, name: str) -> None:
    schedule, formula, _ = TABLE[name]
    steps = np.arange(90)
    expected = np.asarray([formula(int(t)) for t in steps])
    got = variant.compiled(schedule)(variant.asarray(steps, "int32"))
    assert got.dtype == variant.backend.default_float
    tolerance = ROUNDINGS * eps(variant) * np.max(expected)
    assert np.allclose(variant.to_numpy(got), expected, rtol=ROUNDINGS * eps(variant), atol=tolerance)
    single = variant.compiled(schedule)(variant.asarray(np.asarray(33), "int32"))
    assert single.shape == ()
    assert np.isclose(float(variant.to_numpy(single)), expected[33], rtol=ROUNDINGS * eps(variant))
    floats = [schedule(int(t)) for t in steps]
    assert all(type(rate) is float for rate in floats)
    assert np.allclose(floats, expected, rtol=ROUNDINGS * 2.0**-52, atol=1e-16)


@ROWS
def test_they_are_those_of_optax(name: str) -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    ours, _, make = TABLE[name]
    steps, theirs = jnp.arange(90), make(optax)
    # optax's piecewise schedule takes one step, the others take many
    expected = np.asarray([theirs(t) for t in steps], dtype=np.float64)
    precision = float(np.finfo(ours(steps).dtype).eps)
    # 1 + cos cancels near the end in optax: there it is good to a few units of the peak's last place
    assert np.allclose(ours(steps), expected, rtol=64 * precision, atol=8 * precision * np.max(expected))


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (exponential_decay(0.1, 1, factor=0.9), lambda s, opt: s.ExponentialLR(opt, 0.9)),
        (step_decay(0.1, 3, factor=0.5), lambda s, opt: s.StepLR(opt, 3, 0.5)),
        (step_decay(0.1, [2, 7, 9]), lambda s, opt: s.MultiStepLR(opt, [2, 7, 9], 0.1)),
        (cosine_decay(0.1, 20, final=0.01), lambda s, opt: s.CosineAnnealingLR(opt, 20, 0.01)),
    ],
    ids=["exponential", "steps", "places", "cosine"],
)
def test_they_are_those_of_torch(ours: Any, make: Any) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = make(torch.optim.lr_scheduler, optimizer)
    for t in range(20):
        # torch multiplies from step to step: one rounding more each
        assert math.isclose(ours(t), theirs.get_last_lr()[0], rel_tol=(t + 8) * 2.0**-52, abs_tol=1e-16)
        optimizer.step()
        theirs.step()


def test_both_ends_are_exact(variant: Variant) -> None:
    both = warmup_cosine(0.1, 3, 9, start=1e-7, final=0.007)
    dtype = np.dtype(variant.default_float).type
    rates = variant.to_numpy(variant.compiled(both)(variant.asarray(np.arange(11), "int32")))
    assert (rates[0], rates[3], rates[9], rates[10]) == tuple(map(dtype, (1e-7, 0.1, 0.007, 0.007)))
    warm = variant.to_numpy(variant.compiled(linear_warmup(0.3, 7))(variant.asarray([0, 7, 8], "int32")))
    assert warm.tolist() == [dtype(1e-7), dtype(0.3), dtype(0.3)]


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_a_cosine_has_its_mean(steps: int) -> None:
    decay = cosine_decay(0.1, steps)
    rates = [decay(t) for t in range(steps)]
    assert math.isclose(sum(rates) / steps, 0.1 * (steps + 1) / (2 * steps), rel_tol=1e-13)
    assert all(math.isclose(decay(t) + decay(steps - t), 0.1, rel_tol=1e-14) for t in range(steps + 1))


def test_digits_are_kept_near_the_end_of_a_cosine() -> None:
    # (1 + cos(pi x))/2 in float32 is 0 here
    jnp = pytest.importorskip("jax.numpy")
    rate = cosine_decay(1.0, 100_000)(jnp.asarray(99_999))
    assert math.isclose(float(rate), (math.pi / 2e5) ** 2, rel_tol=1e-5)


def test_large_counts_stay_exact_in_float32() -> None:
    jnp = pytest.importorskip("jax.numpy")
    late = step_decay(1.0, 2**24 + 1, factor=0.5)  # float32 has no such number
    assert np.asarray(late(jnp.asarray([2**24, 2**24 + 1]))).tolist() == [1.0, 0.5]


def test_steps_below_zero_and_odd_kinds_of_steps() -> None:
    warm = linear_warmup(0.1, 10)
    assert warm(-5) == warm(0) == 1e-7
    assert warm(np.int64(5)) == warm(5) == warm(np.asarray(5)) == warm(5.0)
    unsigned = warm(np.arange(3, dtype=np.uint8))
    assert np.array_equal(unsigned, warm(np.arange(3)))
    both = warmup_cosine(0.1, 2, 4)
    assert np.array_equal(both(np.arange(5, dtype=np.uint8)), both(np.arange(5)))
    for odd in ("1", None, True):
        with pytest.raises(DTypeError, match="expected a count of steps"):
            warm(odd)
    with pytest.raises(DTypeError, match="dtype bool"):
        warm(np.asarray([True]))


def test_they_compare_hash_and_pickle_by_their_numbers() -> None:
    for schedule, _, _ in TABLE.values():
        copy = pickle.loads(pickle.dumps(schedule))
        assert copy == schedule
        assert hash(copy) == hash(schedule)
    made = [schedule for schedule, _, _ in TABLE.values()]
    assert len(set(made)) == len(made)
    assert linear_warmup(0.1, 10) != linear_warmup(0.1, 11)
    assert adam(linear_warmup(0.1, 10)) == adam(linear_warmup(0.1, 10))
    assert adam(linear_warmup(0.1, 10)).update != adam(linear_warmup(0.1, 12)).update


@ROWS
def test_a_descent_takes_their_rates(variant: Variant, name: str) -> None:
    schedule, formula, _ = TABLE[name]

    def run(params: Any) -> Any:
        loss = lambda p: namespace(p).sum(p * p)  # noqa: E731
        return gradient_descent(loss, params, optimizer=sgd(schedule), steps=60).history.learning_rate

    rates = variant.to_numpy(variant.compiled(run)(variant.asarray(np.ones(2), "float32")))
    assert rates.dtype == np.float32
    assert np.allclose(rates, [formula(t) for t in range(60)], rtol=ROUNDINGS * 2.0**-23, atol=1e-9)


def test_a_peak_may_be_traced() -> None:
    jax = pytest.importorskip("jax")
    slope = jax.jit(jax.grad(lambda peak: linear_warmup(peak, 10)(5)))(0.1)
    assert math.isclose(float(slope), 0.5, rel_tol=1e-6)
    peaks = jax.vmap(lambda peak: warmup_cosine(peak, 2, 10)(2))(jax.numpy.asarray([0.1, 0.2]))
    assert np.allclose(peaks, [0.1, 0.2])


def test_equal_schedules_compile_once() -> None:
    jnp = pytest.importorskip("jax.numpy")
    from pillars.calculus.descent import _program_cache

    def loss(p: Any) -> Any:
        return jnp.sum(p * p)

    def run() -> None:
        gradient_descent(loss, jnp.ones(2), optimizer=sgd(cosine_decay(0.1, 17)), steps=17)

    run()
    kept = len(_program_cache.programs)
    run()
    assert len(_program_cache.programs) == kept


RATES = [0.0, -0.1, math.nan, math.inf]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "make",
    [
        constant,
        lambda rate: linear_warmup(rate, 10),
        lambda rate: cosine_decay(rate, 10),
        lambda rate: warmup_cosine(rate, 2, 10),
        lambda rate: exponential_decay(rate, 10, factor=0.5),
        lambda rate: step_decay(rate, 10),
    ],
    ids=["constant", "warmup", "cosine", "both", "exponential", "steps"],
)
def test_peaks_out_of_range_are_refused(make: Any, rate: float) -> None:
    with pytest.raises(ShapeError, match=r"(peak|learning_rate) is .*, expected it finite and above 0"):
        make(rate)


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ShapeError, "linear_warmup: steps is 0, expected at least 1", lambda: linear_warmup(0.1, 0)),
        (ShapeError, "steps is -3, expected at least 1", lambda: cosine_decay(0.1, -3)),
        (ShapeError, "steps is 4294967296, expected at most", lambda: cosine_decay(0.1, 2**32)),
        (DTypeError, "steps is 1.5, expected an integer", lambda: cosine_decay(0.1, 1.5)),
        (DTypeError, "steps is True, expected an integer", lambda: cosine_decay(0.1, True)),
        (ShapeError, "start is 0.2 and peak 0.1, expected start to be", lambda: linear_warmup(0.1, 5, start=0.2)),
        (ShapeError, "start is 1e-07 and peak 1e-09", lambda: linear_warmup(1e-9, 5)),
        (ShapeError, "start is -1, expected it finite and at least 0", lambda: linear_warmup(0.1, 5, start=-1.0)),
        (ShapeError, "final is 0.2 and peak 0.1", lambda: cosine_decay(0.1, 5, final=0.2)),
        (ShapeError, "final is nan", lambda: cosine_decay(0.1, 5, final=math.nan)),
        (ShapeError, "warmup_steps is 20 and steps 10, expected more steps", lambda: warmup_cosine(0.1, 20, 10)),
        (ShapeError, "warmup_steps is 10 and steps 10", lambda: warmup_cosine(0.1, 10, 10)),
        (ShapeError, "warmup_steps is 0, expected at least 1", lambda: warmup_cosine(0.1, 0, 10)),
        (ShapeError, "factor is 0, expected it above 0 and at most 1", lambda: exponential_decay(0.1, 5, factor=0.0)),
        (ShapeError, "factor is 10, expected it above 0 and at most 1", lambda: step_decay(0.1, 5, factor=10)),
        (DTypeError, "staircase is 1, expected True", lambda: exponential_decay(0.1, 5, factor=0.5, staircase=1)),
        (ShapeError, r"steps is \[\], expected one or more", lambda: step_decay(0.1, [])),
        (ShapeError, r"steps is \[5, 5\], expected one or more steps, each later", lambda: step_decay(0.1, [5, 5])),
        (ShapeError, r"steps\[0\] is 0, expected at least 1", lambda: step_decay(0.1, [0, 5])),
        (DTypeError, "peak is '0.1', expected a number", lambda: cosine_decay("0.1", 5)),
        (ShapeError, r"peak has shape \(2,\), expected one number", lambda: cosine_decay(np.ones(2), 5)),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, make: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, PillarsError)
