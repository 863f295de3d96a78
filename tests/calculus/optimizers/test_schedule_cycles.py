"""Schedules of several pieces, and delays: closed forms, optax and torch, exact ends and counts, refusals."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import namespace
from pillars.calculus import (
    adam,
    constant,
    cosine_decay,
    cosine_restarts,
    exponential_decay,
    gradient_descent,
    join_schedules,
    linear_warmup,
    one_cycle,
    piecewise,
    polynomial_decay,
    sgd,
    step_decay,
    warmup_cosine,
)
from running import eps


def cosine(high: float, low: float, share: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def restarted(t: int, steps: int, growth: int) -> float:
    while t >= steps:
        t, steps = t - steps, steps * growth
    return cosine(0.1, 0.01, t / steps)


def cycled(t: int) -> float:
    if t < 18:
        return cosine(0.3 / 25, 0.3, t / 18)
    return cosine(0.3, 0.3 / 25e4, min((t - 18) / 42, 1.0))


# ours, what it is in plain words, and what computes the same in optax
TABLE: dict[str, tuple[Any, Any, Any]] = {
    "piecewise": (
        piecewise([0.1, 0.05, 0.01], [0, 20, 55]),
        lambda t: 0.1 if t < 20 else 0.05 if t < 55 else 0.01,
        lambda optax: optax.piecewise_constant_schedule(0.1, {20: 0.5, 55: 0.2}),
    ),
    "piecewise, on lines": (
        piecewise([0.1, 0.2, 0.04], [0, 20, 55], interpolation="linear"),
        lambda t: float(np.interp(t, [0, 20, 55], [0.1, 0.2, 0.04])),
        lambda optax: optax.piecewise_interpolate_schedule("linear", 0.1, {20: 2.0, 55: 0.2}),
    ),
    "piecewise, along cosines": (
        piecewise([0.1, 0.2, 0.04], [0, 20, 55], interpolation="cosine"),
        lambda t: cosine(0.1, 0.2, t / 20) if t < 20 else cosine(0.2, 0.04, min((t - 20) / 35, 1)),
        lambda optax: optax.piecewise_interpolate_schedule("cosine", 0.1, {20: 2.0, 55: 0.2}),
    ),
    "polynomial_decay": (
        polynomial_decay(0.1, 50, power=2.5, final=0.01),
        lambda t: 0.01 + 0.09 * (1 - min(t / 50, 1)) ** 2.5,
        lambda optax: optax.polynomial_schedule(0.1, 0.01, 2.5, 50),
    ),
    "polynomial_decay, delayed": (
        polynomial_decay(0.1, 50, delay=13),
        lambda t: 0.1 * (1 - min(max(t - 13, 0) / 50, 1)),
        lambda optax: optax.polynomial_schedule(0.1, 0.0, 1, 50, 13),
    ),
    "exponential_decay, delayed": (
        exponential_decay(0.1, 7, factor=0.6, delay=13),
        lambda t: 0.1 * 0.6 ** (max(t - 13, 0) / 7),
        lambda optax: optax.exponential_decay(0.1, 7, 0.6, 13),
    ),
    "cosine_decay, delayed": (
        cosine_decay(0.1, 40, final=0.01, delay=13),
        lambda t: cosine(0.1, 0.01, min(max(t - 13, 0) / 40, 1)),
        lambda optax: optax.join_schedules(
            [optax.constant_schedule(0.1), optax.cosine_decay_schedule(0.1, 40, 0.1)], [13]
        ),
    ),
    "one_cycle": (one_cycle(0.3, 60), cycled, lambda optax: optax.cosine_onecycle_schedule(60, 0.3)),
    "one_cycle, in three phases": (
        one_cycle(0.3, 60, interpolation="linear", back=0.85),
        lambda t: float(np.interp(t, [0, 18, 51, 60], [0.012, 0.3, 0.012, 0.3 / 25e4])),
        lambda optax: optax.linear_onecycle_schedule(60, 0.3),
    ),
    "cosine_restarts": (cosine_restarts(0.1, 12, final=0.01), lambda t: restarted(t, 12, 1), None),
    "cosine_restarts, longer": (
        cosine_restarts(0.1, 9, growth=3, final=0.01),
        lambda t: restarted(t, 9, 3),
        None,
    ),
    "join_schedules": (
        join_schedules(
            [warmup_cosine(0.3, 5, 40, start=0.0), warmup_cosine(0.2, 5, 45, start=0.0, final=0.1)], [40]
        ),
        lambda t: (
            (0.3 * t / 5 if t < 5 else cosine(0.3, 0, (t - 5) / 35))
            if t < 40
            else (0.2 * (t - 40) / 5 if t < 45 else cosine(0.2, 0.1, min((t - 45) / 40, 1)))
        ),
        lambda optax: optax.sgdr_schedule(
            [
                {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 5, "decay_steps": 40},
                {
                    "init_value": 0.0,
                    "peak_value": 0.2,
                    "warmup_steps": 5,
                    "decay_steps": 45,
                    "end_value": 0.1,
                },
            ]
        ),
    ),
}
ROWS = pytest.mark.parametrize("name", TABLE)
ROUNDINGS = 32


@ROWS
def test_they_are_their_formulas(variant: Variant, name: str) -> None:
    schedule, formula, _ = TABLE[name]
    steps = np.arange(90)
    expected = np.asarray([formula(int(t)) for t in steps])
    got = variant.compiled(schedule)(variant.asarray(steps, "int32"))
    assert got.dtype == variant.backend.default_float
    unit = ROUNDINGS * eps(variant)
    assert np.allclose(variant.to_numpy(got), expected, rtol=unit, atol=unit * np.max(expected))
    floats = [schedule(int(t)) for t in steps]
    assert all(type(rate) is float for rate in floats)
    assert np.allclose(
        floats, expected, rtol=ROUNDINGS * 2.0**-52, atol=ROUNDINGS * 2.0**-52 * np.max(expected)
    )
    single = variant.compiled(schedule)(variant.asarray(np.asarray(33), "int32"))
    assert single.shape == ()


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row[2]])
def test_they_are_those_of_optax(name: str) -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    ours, _, make = TABLE[name]
    theirs = make(optax)
    expected = np.asarray([theirs(jnp.asarray(t)) for t in range(90)], dtype=np.float64)
    unit = float(np.finfo(jnp.asarray(0.0).dtype).eps)
    host = [ours(t) for t in range(90)]
    # optax's own cosines and products of factors are good to a few units of the largest rate
    assert np.allclose(host, expected, rtol=64 * unit, atol=8 * unit * np.max(expected))


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (cosine_restarts(0.1, 7, final=0.01), lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 7, 1, 0.01)),
        (cosine_restarts(0.1, 3, growth=2), lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 3, 2)),
        (polynomial_decay(0.1, 30, power=1.5), lambda s, opt: s.PolynomialLR(opt, 30, 1.5)),
        # its phases end one step earlier: at a count of steps less one
        (
            piecewise([0.1 / 25, 0.1, 0.1 / 25e4], [0, 11, 39], interpolation="cosine"),
            lambda s, opt: s.OneCycleLR(opt, 0.1, total_steps=40, pct_start=0.3, cycle_momentum=False),
        ),
        (
            piecewise([0.1 / 25, 0.1, 0.1 / 25e4], [0, 11, 39], interpolation="linear"),
            lambda s, opt: s.OneCycleLR(
                opt, 0.1, total_steps=40, pct_start=0.3, anneal_strategy="linear", cycle_momentum=False
            ),
        ),
        (
            join_schedules([constant(0.1), exponential_decay(0.1, 1, factor=0.9)], [12]),
            lambda s, opt: s.SequentialLR(opt, [s.ConstantLR(opt, 1.0, 99), s.ExponentialLR(opt, 0.9)], [12]),
        ),
    ],
    ids=["restarts", "growing restarts", "power", "one cycle", "one cycle on lines", "joined"],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_they_are_those_of_torch(ours: Any, make: Any) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = make(torch.optim.lr_scheduler, optimizer)
    for t in range(40):
        assert math.isclose(ours(t), theirs.get_last_lr()[0], rel_tol=1e-12, abs_tol=1e-17), t
        optimizer.step()
        if t < 39:
            theirs.step()


def test_ends_and_places_are_exact(variant: Variant) -> None:
    dtype = np.dtype(variant.default_float).type
    at = lambda schedule, *steps: variant.to_numpy(  # noqa: E731
        variant.compiled(schedule)(variant.asarray(np.asarray(steps), "int32"))
    ).tolist()
    for kind in ("constant", "linear", "cosine"):
        assert at(
            piecewise([0.1, 0.7, 0.0, 0.3], [3, 7, 11, 17], interpolation=kind), 0, 3, 7, 11, 17, 99
        ) == [*map(dtype, (0.1, 0.1, 0.7, 0.0, 0.3, 0.3))]
    assert at(one_cycle(0.7, 10, start=0.1, final=1e-9), 0, 3, 10, 11) == [
        *map(dtype, (0.1, 0.7, 1e-9, 1e-9))
    ]
    assert at(polynomial_decay(0.7, 9, power=0.3, final=0.1, delay=2), 0, 2, 11, 12) == [
        *map(dtype, (0.7, 0.7, 0.1, 0.1))
    ]
    assert at(cosine_restarts(0.7, 3, growth=2, delay=1), 0, 1, 4, 10, 22) == [dtype(0.7)] * 5
    # a long fall to a small rate keeps the small one's digits
    late = at(one_cycle(1.0, 100_000), 99_999)[0]
    assert math.isclose(late, 1 / 25e4 + (math.pi / 2 / 70_000) ** 2, rel_tol=1e-5)


def test_large_counts_stay_exact(variant: Variant) -> None:
    # float32 has no 2^24 + 1
    n = 2**24
    steps = variant.asarray(np.asarray([n, n + 1]), "int32")
    for schedule, expected in (
        (piecewise([1.0, 0.5], [0, n + 1]), [1.0, 0.5]),
        (join_schedules([constant(1.0), constant(0.5)], [n + 1]), [1.0, 0.5]),
        (step_decay(1.0, [5], factor=0.5), [0.5, 0.5]),
        (cosine_restarts(1.0, n + 1), [(math.pi / 2 / (n + 1)) ** 2, 1.0]),
        (cosine_restarts(1.0, 1, growth=2), [math.cos(math.pi / 2 * k / n) ** 2 for k in (1, 2)]),
        (linear_warmup(1.0, 2, start=0.5), [1.0, 1.0]),
        (cosine_decay(1.0, 2, delay=n), [1.0, 0.5]),
        (polynomial_decay(1.0, 2, delay=n), [1.0, 0.5]),
        (exponential_decay(1.0, 1, factor=0.5, delay=n), [1.0, 0.5]),
    ):
        assert np.allclose(variant.to_numpy(variant.compiled(schedule)(steps)), expected, rtol=1e-5, atol=0)
    last = variant.asarray(np.asarray([2**31 - 1, 2**31 - 2]), "int32")
    for schedule in (cosine_restarts(1.0, 3, growth=7), cosine_restarts(1.0, 2**30, growth=5)):
        host = [schedule(2**31 - 1), schedule(2**31 - 2)]
        got = variant.to_numpy(variant.compiled(schedule)(last))
        assert np.allclose(got, host, rtol=1e-5)
        assert np.all((got >= 0) & (got <= 1))


def test_odd_steps() -> None:
    for schedule, _, _ in TABLE.values():
        assert schedule(-5) == schedule(0)
        assert min(schedule(7), schedule(8)) <= schedule(7.5) <= max(schedule(7), schedule(8))
        assert np.array_equal(schedule(np.arange(90, dtype=np.uint8)), schedule(np.arange(90)))
        assert np.array_equal(schedule(np.arange(90, dtype=np.int8)), schedule(np.arange(90)))
        with pytest.raises(DTypeError, match="step is nan, expected a count of steps"):
            schedule(math.nan)
    more = (
        step_decay(0.5, [15], factor=0.3),
        piecewise([0.1, 0.2], [1, 3]),
        constant(0.1),
        linear_warmup(0.1, 1000),
    )
    for schedule in more:
        assert np.isnan(schedule(np.asarray([1.0, math.nan]))).tolist() == [False, True]
        assert np.array_equal(schedule(np.arange(90, dtype=np.uint8)), schedule(np.arange(90)))


def test_they_compare_hash_and_pickle_by_their_numbers() -> None:
    made = [schedule for schedule, _, _ in TABLE.values()]
    assert len(set(made)) == len(made)
    assert [pickle.loads(pickle.dumps(schedule)) for schedule in made] == made
    assert cosine_decay(0.1, 10, delay=0) == cosine_decay(0.1, 10)
    assert cosine_decay(0.1, 10, delay=1) != cosine_decay(0.1, 10)


@ROWS
def test_a_descent_takes_their_rates(variant: Variant, name: str) -> None:
    schedule, formula, _ = TABLE[name]

    def run(params: Any) -> Any:
        loss = lambda p: namespace(p).sum(p * p)  # noqa: E731
        return gradient_descent(loss, params, optimizer=adam(schedule), steps=60).history.learning_rate

    rates = variant.to_numpy(variant.compiled(run)(variant.asarray(np.ones(2), "float32")))
    assert np.allclose(rates, [formula(t) for t in range(60)], rtol=ROUNDINGS * 2.0**-23, atol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", "strict", "jax"])
def test_a_run_is_taken_up_in_the_midst_of_them(backend: str, tmp_path: Any) -> None:
    from contracts._variants import variant as named

    start = named(backend).asarray(np.asarray([1.0, -2.0]), "float32")
    loss = lambda p: namespace(p).sum(p * p)  # noqa: E731
    schedules = cosine_restarts(0.1, 4, growth=2), one_cycle(0.1, 30), polynomial_decay(0.1, 20, delay=5)
    for i, schedule in enumerate(schedules):
        options: dict[str, Any] = {"optimizer": sgd(schedule, momentum=0.9), "every": 7}
        whole = gradient_descent(loss, start, steps=30, checkpoint=tmp_path / f"whole{i}", **options)
        for steps in (7, 14, 30):
            found = gradient_descent(loss, start, steps=steps, checkpoint=tmp_path / f"run{i}", **options)
        host = named(backend).to_numpy
        assert host(found.params).tobytes() == host(whole.params).tobytes()
        assert host(found.history.learning_rate).tobytes() == host(whole.history.learning_rate).tobytes()


def test_peaks_and_rates_may_be_traced() -> None:
    jax = pytest.importorskip("jax")
    for make, step, slope in (
        (lambda r: one_cycle(r, 10), 3, 1.0),
        (lambda r: one_cycle(r, 10), 10, 1 / 25e4),
        (lambda r: piecewise([0.0, r], [0, 10], interpolation="linear"), 5, 0.5),
        (lambda r: polynomial_decay(r, 10), 5, 0.5),
        (lambda r: cosine_restarts(r, 10, growth=2), 20, 0.5),
        (lambda r: cosine_decay(r, 10, delay=5), 10, 0.5),
    ):
        found = jax.jit(jax.grad(lambda r, make=make, step=step: make(r)(step)))(0.1)
        assert math.isclose(float(found), slope, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ShapeError, "piecewise: got 2 rates and 1 steps, expected as many", lambda: piecewise([0.1, 0.2], [0])),
        (ShapeError, r"piecewise: steps is \[3, 3\], expected each later", lambda: piecewise([0.1, 0.2], [3, 3])),
        (ShapeError, r"piecewise: rates\[1\] is -1, expected it finite", lambda: piecewise([0.1, -1.0], [0, 3])),
        (ShapeError, r"rates\[0\] is nan", lambda: piecewise([math.nan], [0])),
        (DTypeError, r"rates\[0\] is '1', expected a number", lambda: piecewise(["1"], [0])),
        (DTypeError, r"rates\[0\] is False, expected a number", lambda: piecewise([False], [0])),
        (DTypeError, r"rates is \[\], expected a list of one or more", lambda: piecewise([], [])),
        (DTypeError, r"steps\[0\] is 0.5, expected an integer", lambda: piecewise([0.1], [0.5])),
        (ShapeError, "interpolation is 'linar', expected one of", lambda: piecewise([0.1], [0], interpolation="linar")),
        (ShapeError, "interpolation is None", lambda: piecewise([0.1], [0], interpolation=None)),
        (ShapeError, "power is 0, expected it finite and above 0", lambda: polynomial_decay(0.1, 5, power=0.0)),
        (ShapeError, "final is 0.2 and peak 0.1", lambda: polynomial_decay(0.1, 5, final=0.2)),
        (ShapeError, "delay is -1, expected at least 0", lambda: polynomial_decay(0.1, 5, delay=-1)),
        (DTypeError, "cosine_decay: delay is 1.5", lambda: cosine_decay(0.1, 5, delay=1.5)),
        (ShapeError, "one_cycle: steps is 1, expected at least 2", lambda: one_cycle(0.1, 1)),
        (ShapeError, "rise is 1, expected it above 0 and below 1", lambda: one_cycle(0.1, 9, rise=1.0)),
        (ShapeError, "back is 0.2, expected it above 0.3", lambda: one_cycle(0.1, 9, back=0.2)),
        (ShapeError, "steps is 4, of which the phases end at", lambda: one_cycle(0.1, 4, back=0.4)),
        (ShapeError, "start is 0.2 and peak 0.1", lambda: one_cycle(0.1, 9, start=0.2)),
        (ShapeError, "interpolation is 'line', expected 'cosine'", lambda: one_cycle(0.1, 9, interpolation="line")),
        (ShapeError, "growth is 0, expected at least 1", lambda: cosine_restarts(0.1, 5, growth=0)),
        (DTypeError, "growth is 1.5, expected an integer", lambda: cosine_restarts(0.1, 5, growth=1.5)),
        (DTypeError, r"schedules\[1\] is 0.1, expected a", lambda: join_schedules([constant(0.1), 0.1], [5])),
        (ShapeError, r"steps is \[5\], expected 2 for 3 schedules", lambda: join_schedules([constant(0.1)] * 3, [5])),
        (ShapeError, r"steps is \[5, 4\], expected each later", lambda: join_schedules([constant(0.1)] * 3, [5, 4])),
        (DTypeError, r"schedules is \[\]", lambda: join_schedules([], [])),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, make: Any) -> None:
    with pytest.raises(error, match=words):
        make()
