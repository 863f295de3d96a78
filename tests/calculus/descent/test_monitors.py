"""LossMonitor and EarlyStopping: their rules written out, healthy and diverging histories, kinds, jit, refusals."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytest

import pillars
from contracts._variants import Variant, variant as named
from pillars import BackendError, CapabilityError, DTypeError, ShapeError
from pillars.backends import Draw, namespace
from pillars.calculus import (
    Descent,
    EarlyStopping,
    LossMonitor,
    StoppingState,
    adam,
    gradient_descent,
    sgd,
)
from pillars.calculus.optimizers._float_namespace import scalars


def halts_at(monitor: Any, losses: Sequence[float]) -> int | None:
    """The number of losses seen when it halts, as the eager loop runs it; None where it does not."""
    state = monitor.first()
    for n, loss in enumerate(losses, start=1):
        state = monitor.advance(scalars, float, float(loss), state)
        if state.halted:
            return n
    return None


# ------------------------------------------------------------------------------------------------ rules, written out
def rising_by_hand(losses: Sequence[float], patience: int) -> int | None:
    values = [math.inf if math.isnan(x) else x for x in losses]
    rose = [n > 0 and (x > values[n - 1] or x == math.inf) for n, x in enumerate(values)]
    rose[0] = values[0] == math.inf
    return next(
        (n + 1 for n in range(len(rose)) if n + 1 >= patience and all(rose[n + 1 - patience : n + 1])), None
    )


def robust_by_hand(losses: Sequence[float], patience: int) -> int | None:
    """The docstring's definition, from the whole history anew at every loss."""
    rises = 0
    for n, loss in enumerate(losses):
        before = [x for x in losses[:n] if math.isfinite(x)]
        value = math.inf if math.isnan(loss) else loss
        high = value == math.inf
        if len(before) >= 2 and not high:
            levels, noise = [], 0.0
            for k in range(1, len(before) + 1):
                middle = before[k - 1] if k < 3 else median(before[k - 3 : k])
                last = levels[-1] if levels else 0.0
                levels.append(last + max(1 / k, 0.1) * (middle - last))
                if k > 1:
                    jump = math.sqrt(math.pi) / 2 * abs(before[k - 1] - before[k - 2])
                    noise += max(1 / (k - 1), 0.05) * (jump - noise)
            lowest = levels[-1] if len(levels) <= 10 else min(levels[9:])
            high = value > lowest + 6 * noise + 1e-6 * abs(lowest)
        rises = rises + 1 if high else 0
        if rises >= patience:
            return n + 1
    return None


def histories(draw: Draw) -> list[list[float]]:
    t = np.arange(60)
    falling = 2.3 * np.exp(-t / 15) + 0.1
    made = [falling + 0.05 * draw.normal(60), 1 + 0.2 * draw.normal(60), falling]
    made += [1 + 0.05 * draw.normal(60) + 0.3 * np.maximum(t - 30, 0), 0.1 * 1.3 ** np.maximum(t - 20.0, 0)]
    made += [np.cumsum(draw.normal(60)), 1e-3 * draw.normal(60), -5 + 0.1 * draw.normal(60)]
    odd = (1 + 0.1 * draw.normal(60)).tolist()
    odd[20:22] = [math.nan, math.inf]
    odd[40], odd[50:53] = 1e30, [math.nan, math.inf, math.nan]
    return [list(map(float, x)) for x in made] + [odd, [math.nan] * 4, [math.inf, 1.0, math.nan, 2.0]]


@pytest.mark.parametrize("patience", [1, 2, 3, 5])
@pytest.mark.parametrize(("rule", "by_hand"), [("rising", rising_by_hand), ("robust", robust_by_hand)])
def test_rules_are_what_they_say(draw: Draw, patience: int, rule: str, by_hand: Any) -> None:
    monitor = LossMonitor(patience=patience, rule=rule)
    given = histories(draw)
    found = [halts_at(monitor, losses) for losses in given]
    assert found == [by_hand(losses, patience) for losses in given]
    assert None in found
    assert any(n is not None for n in found)


@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_is_what_it_says(draw: Draw, patience: int, min_delta: float) -> None:
    def by_hand(losses: Sequence[float]) -> int | None:
        best, waited = math.inf, 0
        for n, loss in enumerate(losses, start=1):
            if loss < best - min_delta:
                best, waited = loss, 0
            else:
                waited += 1
            if waited >= patience:
                return n
        return None

    for losses in histories(draw):
        assert halts_at(EarlyStopping(patience=patience, min_delta=min_delta), losses) == by_hand(losses)


MONITORS = [
    LossMonitor(),
    LossMonitor(patience=2, rule="robust"),
    EarlyStopping(patience=3, min_delta=0.01),
]
EACH = pytest.mark.parametrize("monitor", MONITORS, ids=["rising", "robust", "early"])


@EACH
def test_by_hand_it_is_the_same_on_every_backend(variant: Variant, draw: Draw, monitor: Any) -> None:
    for losses in histories(draw):
        # float32, in which the histories are first rounded, and the levels then
        rounded = np.asarray(losses, dtype=variant.default_float)
        state = monitor.init(variant.asarray(rounded[0]))
        update, halted = variant.compiled(monitor.update), None
        for n, loss in enumerate(variant.asarray(rounded), start=1) if not variant.jit else ():
            state = update(loss, state)
            if halted is None and bool(state.halted):
                halted = n
        if variant.jit:
            ends = variant.backend.scan(
                lambda s, x: (monitor.update(x, s),) * 2, state, variant.asarray(rounded)
            )[1]
            places = np.flatnonzero(variant.to_numpy(ends.halted))
            halted = int(places[0]) + 1 if places.size else None
        assert halted == halts_at(monitor, rounded.tolist())


@EACH
def test_states_keep_their_kind(variant: Variant, monitor: Any) -> None:
    state = monitor.init(variant.asarray(np.asarray(1.0), "float32"))
    after = variant.compiled(monitor.update)(variant.asarray(np.asarray(2.0), "float32"), state)
    assert type(after) is type(state)
    for old, new in zip(state, after, strict=True):
        assert (new.shape, new.dtype) == ((), old.dtype)
        assert type(new) is type(old) or variant.jit
    assert state[0].dtype == variant.xp.float32
    assert not bool(variant.to_numpy(state.halted))


def test_states_may_be_made_without_an_example() -> None:
    with pillars.using("numpy", dtype="float32"):
        assert EarlyStopping(patience=1).init()[0].dtype == np.float32
    jnp = pytest.importorskip("jax.numpy")
    with pillars.using("jax"):
        assert isinstance(LossMonitor().init().last, jnp.ndarray)
    params = {"w": np.zeros(2, np.float32), "b": np.zeros(1)}
    assert LossMonitor().init(params).last.dtype == np.float64
    assert LossMonitor().init(np.asarray(3)).last.dtype == np.float64


def test_halted_stays_halted() -> None:
    monitor = EarlyStopping(patience=1)
    state = monitor.init()
    for loss in (1.0, 1.0, 0.5):
        state = monitor.update(loss, state)
    assert bool(state.halted)
    assert isinstance(state, StoppingState)
    assert float(state.best) == 0.5


def test_numbers_of_every_kind_are_losses() -> None:
    monitor = EarlyStopping(patience=2)
    for loss in (1, 1.0, np.float32(1), np.asarray(1.0), np.asarray(1)):
        assert float(monitor.update(loss, monitor.init()).best) == 1.0


def test_monitors_compare_and_pickle_by_value() -> None:
    assert LossMonitor() == LossMonitor(patience=3, rule="rising")
    assert hash(LossMonitor()) == hash(LossMonitor())
    assert len({*MONITORS, LossMonitor(patience=4), EarlyStopping(patience=3)}) == 5
    assert [pickle.loads(pickle.dumps(monitor)) for monitor in MONITORS] == MONITORS


# --------------------------------------------------------------------------------------- healthy, and diverging runs
LONG = 1000


def noises(random: np.random.Generator) -> dict[str, Any]:
    return {
        "normal": random.standard_normal(LONG),
        "student, 3 degrees": random.standard_t(3, LONG),
        "student, 2 degrees": random.standard_t(2, LONG),
        "log-normal": np.exp(random.standard_normal(LONG)),
        "exponential": random.exponential(size=LONG),
        "growing": random.standard_normal(LONG) * np.linspace(0.2, 3.0, LONG),
    }


def trends() -> dict[str, Any]:
    t = np.arange(LONG)
    return {
        "plateau": np.ones(LONG),
        "falling": 2.3 * np.exp(-t / 200) + 0.1,
        "fast": 2.3 * np.exp(-t / 10) + 0.1,
        "power": 2.3 / np.sqrt(1 + t),
    }


def test_noise_does_not_halt_a_healthy_run() -> None:
    runs, robust, raw = 0, 0, 0
    for seed in range(8):
        for noise in noises(np.random.default_rng(seed)).values():
            for trend in trends().values():
                losses = trend + 0.05 * noise
                runs += 1
                robust += halts_at(LossMonitor(rule="robust"), losses) is not None
                raw += halts_at(LossMonitor(), losses[:100]) is not None
    assert runs == 192
    assert robust <= 4  # heavy tails alone, where the noise has no standard deviation
    assert raw >= 0.9 * runs  # what the rule without noise is not for


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize(("growth", "within"), [(30.0, 4), (2.0, 7), (1.2, 12), (1.05, 16), (1.01, 40)])
def test_growth_halts_a_run(growth: float, within: int, noise: float) -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        u = np.minimum(np.arange(100), 600 / math.log(growth))
        losses = 2.4 * growth**u + noise * random.standard_normal(100)
        found = halts_at(LossMonitor(rule="robust"), losses)
        assert found is not None
        assert 3 <= found <= within + 3
        assert noise or halts_at(LossMonitor(), losses) == 4
        healthy = 2.3 * np.exp(-np.arange(200) / 50) + 0.1 + noise * random.standard_normal(200)
        late = np.concatenate([healthy, losses])
        found = halts_at(LossMonitor(rule="robust"), late)
        assert found is not None
        assert 200 < found <= 203 + within


def test_one_odd_loss_neither_halts_nor_blinds() -> None:
    random = np.random.default_rng(5)
    monitor = LossMonitor(rule="robust")
    for odd in (50.0, -50.0, 1e12, math.nan, math.inf):
        losses = 1.0 + 0.05 * random.standard_normal(400)
        losses[100] = losses[230] = odd
        assert halts_at(monitor, losses) is None
        # an odd loss is forgotten from the noise in some hundred losses, unless it is beyond all measure
        if abs(odd) < 1e3 or not math.isfinite(odd):
            losses[350:] += np.arange(50)
            assert 350 < (halts_at(monitor, losses) or 0) < 360


def test_what_is_not_finite_halts_in_a_row() -> None:
    for rule in ("rising", "robust"):
        assert halts_at(LossMonitor(rule=rule), [1.0, 1.0, math.nan, math.inf, math.nan]) == 5
        assert halts_at(LossMonitor(rule=rule), [1.0, 1.0, math.nan, math.inf, 0.5, math.nan]) is None


def test_rounding_is_no_rise() -> None:
    flat = np.full(100, 0.3)
    flat[60:] *= 1 + 4 * 2.0**-23
    assert halts_at(LossMonitor(rule="robust"), flat) is None


# ------------------------------------------------------------------------------------------------------ in a descent
X = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0])
Y = np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])


def line_loss(w: Any, x: Any, y: Any) -> Any:
    return namespace(x).mean((w * x - y) ** 2)


def descend(variant: Variant, **options: Any) -> Descent:
    place = lambda x: variant.asarray(x, variant.default_float)  # noqa: E731
    run = variant.compiled(lambda w, x, y: gradient_descent(line_loss, w, x, y, **options))
    return run(place(np.asarray(0.0)), place(X), place(Y))


def test_a_rising_loss_halts_a_descent(variant: Variant) -> None:
    found = descend(variant, optimizer=sgd(0.1), steps=50, monitor=LossMonitor(patience=3))
    assert found.status == "halted"
    assert int(variant.to_numpy(found.steps)) == 3
    losses = variant.to_numpy(found.history.loss)
    assert losses.shape == (50 if variant.jit else 3,)
    assert np.all(np.isnan(losses[3:]))
    seen = [*losses[:3].tolist(), float(variant.to_numpy(found.loss))]
    assert sorted(seen) == seen  # the fourth loss is that of the parameters that came back
    w = float(variant.to_numpy(found.params))
    assert math.isclose(seen[3], float(np.mean((w * X - Y) ** 2)), rel_tol=1e-5)
    assert math.isclose(float(variant.to_numpy(found.limit)), 2 / 22, rel_tol=1e-3)
    assert "the monitor halted the run after 3 steps: the loss had gone from 44.18 to" in found.advice
    assert "0.0909" in found.advice


def test_a_loss_that_stands_still_halts_a_descent(variant: Variant) -> None:
    options: dict[str, Any] = {"optimizer": sgd(0.02), "steps": 200}
    found = descend(variant, monitor=EarlyStopping(patience=4, min_delta=1e-3), **options)
    plain = descend(variant, **options)
    losses = variant.to_numpy(plain.history.loss).astype(np.float64).tolist()
    n = halts_at(EarlyStopping(patience=4, min_delta=1e-3), losses)
    assert n is not None
    assert found.status == "halted"
    assert int(variant.to_numpy(found.steps)) == n - 1 < 40
    assert np.isnan(variant.to_numpy(found.limit))
    assert "no loss has beaten" in found.advice


@EACH
def test_a_monitor_that_does_not_halt_changes_nothing(variant: Variant, monitor: Any) -> None:
    options: dict[str, Any] = {"optimizer": sgd(0.001), "steps": 10}
    watched, plain = descend(variant, monitor=monitor, **options), descend(variant, **options)
    assert watched.status == plain.status == "steps"
    for a, b in zip(watched.history, plain.history, strict=True):
        assert np.allclose(variant.to_numpy(a), variant.to_numpy(b), rtol=1e-6)
    assert math.isclose(
        float(variant.to_numpy(watched.loss)), float(variant.to_numpy(plain.loss)), rel_tol=1e-6
    )


class Counted(NamedTuple):
    seen: Any
    halted: Any


class Third:
    """A monitor of one's own: halts at the third loss."""

    def init(self, like: Any) -> Counted:
        xp = namespace(like)
        return Counted(0 * like, xp.zeros_like(like, dtype=xp.bool))

    def update(self, loss: Any, state: Counted) -> Counted:
        return Counted(state.seen + 1, state.seen + 1 >= 3)


def test_a_monitor_of_ones_own(variant: Variant) -> None:
    found = descend(variant, optimizer=sgd(0.01), steps=9, monitor=Third())
    assert (found.status, int(variant.to_numpy(found.steps))) == ("halted", 2)
    assert "the monitor's own rule" in found.advice


def digits() -> tuple[Any, Any]:
    found = pillars.measure.load_digits()
    return (found.x[:500] / 16).astype(np.float32), found.y[:500]


def softmax_loss(p: Any, x: Any, y: Any) -> Any:
    return pillars.probability.cross_entropy(pillars.layers.linear(x, p["w"], p["b"]), y)


@pytest.mark.parametrize(
    ("optimizer", "size"), [(sgd(0.3), 16), (adam(0.01), 32), (sgd(0.1, momentum=0.9), 8)]
)
def test_batches_halt_the_raw_rule_and_not_the_robust_one(optimizer: Any, size: int) -> None:
    x, y = digits()
    start = {"w": np.zeros((64, 10), np.float32), "b": np.zeros(10, np.float32)}
    options: dict[str, Any] = {"optimizer": optimizer, "steps": 1500, "batch_size": size}
    healthy = gradient_descent(softmax_loss, start, x, y, monitor=LossMonitor(rule="robust"), **options)
    assert healthy.status == "steps"
    assert float(healthy.loss) < 0.2
    assert gradient_descent(softmax_loss, start, x, y, monitor=LossMonitor(), **options).status == "halted"


@pytest.mark.parametrize("rate", [50.0, 300.0])
def test_batches_that_diverge_halt_the_robust_rule(rate: float) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((256, 4))
    y = x @ np.asarray([1.0, -2.0, 0.5, 3.0]) + 0.1 * random.standard_normal(256)
    loss = lambda w, x, y: namespace(x).mean((x @ w - y) ** 2)  # noqa: E731
    found = gradient_descent(
        loss, np.zeros(4), x, y,
        optimizer=sgd(rate / 50), steps=300, batch_size=16, monitor=LossMonitor(rule="robust"),
    )  # fmt: skip
    assert found.status == "halted"
    assert int(found.steps) < 15


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_callbacks_come_until_it_halts(name: str) -> None:
    seen: list[int] = []
    found = descend(
        named(name),
        optimizer=sgd(0.1),
        steps=50,
        monitor=LossMonitor(patience=7),
        callback=lambda step, metrics: seen.append(step),
        every=3,
    )
    assert (found.status, int(found.steps)) == ("halted", 7)
    assert seen == [3, 6]


def test_equal_monitors_compile_once_and_others_anew() -> None:
    pytest.importorskip("jax")
    from pillars.calculus.descent import _program_cache

    def kept(monitor: Any) -> set[Any]:
        descend(named("jax"), optimizer=sgd(0.001), steps=13, monitor=monitor)
        return set(_program_cache.programs)

    before = kept(LossMonitor(patience=11))
    assert kept(LossMonitor(patience=11)) == before
    assert len(kept(LossMonitor(patience=12)) - before) == 1


def test_a_sweep_under_vmap_halts_each_for_itself() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def run(rate: Any) -> Descent:
        return gradient_descent(
            line_loss, jnp.asarray(0.0), jnp.asarray(X), jnp.asarray(Y),
            optimizer=sgd(rate), steps=20, monitor=LossMonitor(),
        )  # fmt: skip

    found = jax.jit(jax.vmap(run))(jnp.asarray([0.001, 0.1, 0.5]))
    assert found.status == ["steps", "halted", "halted"]
    assert np.asarray(found.steps).tolist() == [20, 3, 3]


# ----------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, "LossMonitor: patience is 0, expected at least 1", lambda: LossMonitor(patience=0)),
        (ShapeError, "patience is -2", lambda: EarlyStopping(patience=-2)),
        (DTypeError, "patience is 1.5, expected an integer", lambda: LossMonitor(patience=1.5)),
        (DTypeError, "patience is True", lambda: EarlyStopping(patience=True)),
        (DTypeError, "patience is None", lambda: EarlyStopping(patience=None)),
        (ShapeError, "rule is 'raw', expected 'rising' or 'robust'", lambda: LossMonitor(rule="raw")),
        (ShapeError, "min_delta is -0.1", lambda: EarlyStopping(patience=1, min_delta=-0.1)),
        (ShapeError, "min_delta is nan", lambda: EarlyStopping(patience=1, min_delta=math.nan)),
        (ShapeError, r"loss has shape \(2,\)", lambda: LossMonitor().update(np.ones(2), LossMonitor().init())),
        (DTypeError, "loss is '1'", lambda: LossMonitor().update("1", LossMonitor().init())),
        (DTypeError, "dtype complex128", lambda: LossMonitor().update(np.asarray(1j), LossMonitor().init())),
        (DTypeError, "state is 1.0, expected what init", lambda: LossMonitor().update(LossMonitor().init(), 1.0)),
        (DTypeError, "monitor is 3, expected one monitor", lambda: gradient_descent(line_loss, 0.0, X, Y, monitor=3)),
        (DTypeError, "expected one monitor", lambda: gradient_descent(line_loss, 0.0, X, Y, monitor=LossMonitor)),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words):
        call()


def test_another_library_s_loss_is_refused() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match=r"loss is on jax and the state on numpy.*init\(loss\)"):
        LossMonitor().update(jnp.asarray(1.0), LossMonitor().init(np.asarray(1.0)))


def test_words_stay_outside_a_jit() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(CapabilityError, match="outside the compiled function"):
        jax.jit(lambda w: gradient_descent(lambda w: w**2, w, steps=2, monitor=LossMonitor()).advice)(1.0)
