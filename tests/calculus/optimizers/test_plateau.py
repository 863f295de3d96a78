"""reduce_on_plateau: when the rate falls, in optax and here, by hand and in descents, and what is refused."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw, namespace, tree_leaves
from pillars.calculus import Optimizer, adam, cosine_decay, gradient_descent, reduce_on_plateau, sgd
from running import eps


def rates(optimizer: Optimizer, losses: list[float], variant: Variant | None = None) -> list[float]:
    """The rate of every update."""
    put = np.asarray if variant is None else variant.asarray
    params = put(np.asarray([1.0], np.float32))
    update = (
        optimizer.update
        if variant is None
        else variant.compiled(lambda g, state, p, value: optimizer.update(g, state, p, value=value))
    )
    state, found = optimizer.init(params), []
    for loss in losses:
        value = put(np.asarray(loss, np.float32))
        step = (
            update(0 * params, state, params, value=value)
            if variant is None
            else update(0 * params, state, params, value)
        )
        state = step.state
        found.append(float(step.learning_rate))
    return found


def by_hand(losses: list[float], factor: float, patience: int) -> list[float]:
    best, waited, scale, found = math.inf, 0, 1.0, []
    for loss in losses:
        if loss < (best if best == math.inf else best - 1e-4 * abs(best)):
            best, waited = loss, 0
        else:
            waited += 1
            if waited == patience:
                scale, waited = scale * factor, 0
        found.append(scale)
    return found


def wandering(draw: Draw, n: int = 60) -> list[float]:
    """Falling, standing still, negative, rising, not finite."""
    walk = 3.0 + np.cumsum(draw.normal(n) - 0.2) + draw.normal(n)
    walk[draw.integers(0, n, 4)] = [np.nan, np.inf, walk[0], walk[1]]
    return [float(x) for x in walk.astype(np.float32)]


@pytest.mark.parametrize(("seed", "patience"), [(0, 1), (1, 2), (2, 5)])
def test_the_rate_falls_when_the_losses_say_so(variant: Variant, seed: int, patience: int) -> None:
    losses = wandering(Draw(seed))
    got = rates(reduce_on_plateau(sgd(0.5), factor=0.25, patience=patience), losses, variant)
    expected = [0.5 * scale for scale in by_hand(losses, 0.25, patience)]
    assert np.allclose(got, expected, rtol=1e-5), f"seed {seed}"
    assert got[-1] < got[0]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_optax_s_where_losses_are_positive(seed: int) -> None:
    contrib = pytest.importorskip("optax.contrib")
    jnp = pytest.importorskip("jax.numpy")
    losses = [abs(x) + 0.1 for x in wandering(Draw(seed)) if math.isfinite(x)]
    theirs = contrib.reduce_on_plateau(factor=0.5, patience=3)
    update = pytest.importorskip("jax").jit(theirs.update)
    state, expected = theirs.init(jnp.ones(1)), []
    for loss in losses:
        updates, state = update(jnp.ones(1), state, value=loss)
        expected.append(float(updates[0]))
    assert np.allclose(
        rates(reduce_on_plateau(sgd(1.0), factor=0.5, patience=3), losses), expected, rtol=1e-6
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("patience", "cooldown", "least"), [(1, 0, 0.0), (2, 3, 0.01), (3, 1, 0.02), (1, 5, 0.2), (2, 0, 0.3)]
)
def test_it_is_torch_s(seed: int, patience: int, cooldown: int, least: float) -> None:
    torch = pytest.importorskip("torch")
    losses = [abs(x) + 0.1 for x in wandering(Draw(seed), 100) if math.isfinite(x)]
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=0.7, patience=patience - 1, cooldown=cooldown, min_lr=least, eps=0.0
    )
    expected = []
    for loss in losses:
        schedule.step(loss)
        expected.append(theirs.param_groups[0]["lr"])
    ours = reduce_on_plateau(sgd(0.3), factor=0.7, patience=patience, cooldown=cooldown, min_rate=least)
    params, got = np.asarray([1.0]), []
    state = ours.init(params)
    for loss in losses:
        step = ours.update(0 * params, state, params, value=loss)
        state = step.state
        got.append(float(step.learning_rate))
    assert np.allclose(got, expected, rtol=1e-12, atol=0)
    assert got[-1] < 0.3 or least == 0.3
    assert min(got) >= least


@pytest.mark.parametrize("cooldown", [0, 1, 4])
def test_cooldowns_are_optax_s(cooldown: int) -> None:
    contrib = pytest.importorskip("optax.contrib")
    jnp = pytest.importorskip("jax.numpy")
    losses = [abs(x) + 0.1 for x in wandering(Draw(7)) if math.isfinite(x)]
    theirs = contrib.reduce_on_plateau(factor=0.5, patience=2, cooldown=cooldown, min_scale=0.1)
    update = pytest.importorskip("jax").jit(theirs.update)
    state, expected = theirs.init(jnp.ones(1)), []
    for loss in losses:
        updates, state = update(jnp.ones(1), state, value=loss)
        expected.append(float(updates[0]))
    ours = reduce_on_plateau(sgd(1.0), factor=0.5, patience=2, cooldown=cooldown, min_rate=0.1)
    assert np.allclose(rates(ours, losses), expected, rtol=1e-6)


def test_losses_of_a_cooldown_do_not_count(variant: Variant) -> None:
    # a fall after every two, which are counted anew only when the cooldown is over
    plain = rates(reduce_on_plateau(sgd(1.0), factor=0.5, patience=2), [1.0] * 8, variant)
    assert plain == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    cooled = rates(reduce_on_plateau(sgd(1.0), factor=0.5, patience=2, cooldown=3), [1.0] * 13, variant)
    assert cooled == [1.0, 1.0, *[0.5] * 5, *[0.25] * 5, 0.125]
    # the best one may be among them, and is then the one to beat
    losses = [1.0, 1.0, 0.2, 1.0, 0.5, 0.5]
    assert rates(reduce_on_plateau(sgd(1.0), factor=0.5, patience=1, cooldown=2), losses, variant) == [
        1.0, 0.5, 0.5, 0.5, 0.25, 0.25
    ]  # fmt: skip


def test_the_least_rate_is_reached_exactly_and_raises_nothing(variant: Variant) -> None:
    found = rates(reduce_on_plateau(sgd(1.0), factor=0.5, patience=1, min_rate=0.3), [1.0] * 5, variant)
    assert found == [1.0, 0.5, *[float(np.float32(0.3))] * 3]
    falling = cosine_decay(1.0, 10)
    got = rates(reduce_on_plateau(sgd(falling), factor=0.5, patience=3, min_rate=0.3), [1.0] * 10, variant)
    assert np.all(np.asarray(got) <= np.asarray([falling(t) for t in range(10)]) * (1 + 1e-6))
    assert np.isclose(got[3], max(0.3, falling(3) / 2), rtol=1e-6)
    assert got[-1] < 0.3
    assert (
        rates(reduce_on_plateau(sgd(0.1), factor=0.5, patience=1, min_rate=0.3), [1.0] * 3)
        == [float(np.float32(0.1))] * 3
    )


def test_a_loss_that_hardly_falls_has_not_fallen() -> None:
    optimizer = reduce_on_plateau(sgd(1.0), factor=0.5, patience=2)
    assert rates(optimizer, [1.0, 0.99995, 0.99991])[-1] == 0.5
    assert rates(optimizer, [1.0, 0.9998, 0.9996])[-1] == 1.0
    assert rates(optimizer, [-1.0, -0.99995, -0.9999])[-1] == 0.5  # these have risen
    assert rates(optimizer, [-1.0, -1.0002, -1.0004])[-1] == 1.0
    assert rates(optimizer, [0.0, 0.0, 0.0])[-1] == 0.5
    assert rates(optimizer, [math.nan, math.nan])[-1] == 0.5


def test_a_schedule_is_scaled() -> None:
    schedule = cosine_decay(1.0, 10)
    got = rates(reduce_on_plateau(sgd(schedule), factor=0.5, patience=2), [1.0] * 7)
    scales = by_hand([1.0] * 7, 0.5, 2)
    assert np.allclose(got, [schedule(t) * scale for t, scale in enumerate(scales)], rtol=1e-6)


def test_the_rate_in_the_state_can_be_changed() -> None:
    optimizer, params = reduce_on_plateau(sgd(0.1), factor=0.5, patience=1), np.asarray([1.0])
    state = optimizer.init(params)._replace(learning_rate=np.asarray(0.8))
    first = optimizer.update(params, state, params, value=1.0)
    second = optimizer.update(params, first.state, params, value=1.0)
    assert (first.learning_rate, second.learning_rate) == (0.8, 0.4)
    assert np.isclose(first.params[0], 1 - 0.8)


def stuck(p: Any) -> Any:
    """Falls to a minimum that is not 0: near it, by less than counts."""
    xp = namespace(p["w"])
    return 1.0 + xp.sum(p["w"] * p["w"]) / 2 + p["b"] ** 2


def start(variant: Variant) -> Any:
    put = lambda a: variant.asarray(np.asarray(a), variant.default_float)  # noqa: E731
    return {"w": put([0.31, -0.77, 1.13]), "b": put(0.5)}


@pytest.mark.parametrize("cooldown", [0, 3], ids=["", "cooled"])
@pytest.mark.parametrize(
    "inner",
    [sgd(0.2), sgd(0.1, momentum=0.5), adam(0.1), adam(cosine_decay(0.1, 200))],
    ids=["sgd", "momentum", "adam", "scheduled adam"],
)
def test_a_descent_is_its_update_with_the_losses(variant: Variant, inner: Optimizer, cooldown: int) -> None:
    optimizer = reduce_on_plateau(inner, factor=0.5, patience=3, cooldown=cooldown, min_rate=0.001 * cooldown)
    run = variant.compiled(lambda p: gradient_descent(stuck, p, optimizer=optimizer, steps=80))
    found = run(start(variant))
    params = {key: np.asarray(variant.to_numpy(leaf)) for key, leaf in start(variant).items()}
    state, used = optimizer.init(params), []
    for t in range(80):
        grads = {"w": params["w"], "b": 2 * params["b"]}
        # losses as the run has them: one that is rounded otherwise may tip a comparison
        value = variant.to_numpy(found.history.loss)[t]
        assert np.isclose(value, stuck(params), rtol=1e3 * eps(variant))
        step = optimizer.update(grads, state, params, value=value)
        params, state = step.params, step.state
        used.append(float(step.learning_rate))
    assert used[-1] < 0.3 * max(used)
    assert np.allclose(variant.to_numpy(found.history.learning_rate), used, rtol=64 * eps(variant))
    for a, b in zip(tree_leaves(variant.to_numpy(found.params)), tree_leaves(params), strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e3 * eps(variant))


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
def test_it_is_resumed_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    from contracts._variants import variant as named

    place = start(named(name))
    optimizer = reduce_on_plateau(adam(0.1), factor=0.5, patience=3, cooldown=4, min_rate=0.02)
    options: dict[str, Any] = {"optimizer": optimizer, "every": 7}
    whole = gradient_descent(stuck, place, checkpoint=tmp_path / "whole", steps=80, **options)
    for steps in (21, 42, 80):
        found = gradient_descent(stuck, place, checkpoint=tmp_path / "run", steps=steps, **options)
    host = named(name).to_numpy
    for a, b in zip(tree_leaves(host(found)), tree_leaves(host(whole)), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    with pytest.raises(
        ValueError,
        match=r"times 0.5 after 3, then 4 that do not count, down to 0.02, expected .* times 0.5 after 4\.",
    ):
        gradient_descent(
            stuck, place, checkpoint=tmp_path / "run", steps=80,
            optimizer=reduce_on_plateau(adam(0.1), factor=0.5, patience=4),
        )  # fmt: skip


def test_an_optimizer_of_ones_own_inside() -> None:
    made = sgd(0.2)
    own = Optimizer(made.init, lambda g, s, p: made.update(grads=g, state=s, params=p))
    params = {"w": np.asarray([0.31, -0.77]), "b": np.asarray(0.5)}
    found, plain = (
        gradient_descent(stuck, params, optimizer=reduce_on_plateau(one, factor=0.5, patience=3), steps=60)
        for one in (own, made)
    )
    assert np.array_equal(found.history.learning_rate, plain.history.learning_rate)
    assert found.history.learning_rate[-1] < 0.1


def test_it_compares_hashes_and_pickles_by_value() -> None:
    one = reduce_on_plateau(sgd(0.1), factor=0.5, patience=3)
    assert one == reduce_on_plateau(sgd(0.1), factor=0.5, patience=3)
    assert one != reduce_on_plateau(sgd(0.1), factor=0.5, patience=4)
    assert hash(one.update) == hash(reduce_on_plateau(sgd(0.2), factor=0.5, patience=3).update)
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, "factor is 1", lambda: reduce_on_plateau(sgd(0.1), factor=1.0, patience=3)),
        (ShapeError, "factor is 0", lambda: reduce_on_plateau(sgd(0.1), factor=0.0, patience=3)),
        (ShapeError, "factor is nan", lambda: reduce_on_plateau(sgd(0.1), factor=math.nan, patience=3)),
        (ShapeError, "patience is 0", lambda: reduce_on_plateau(sgd(0.1), factor=0.5, patience=0)),
        (ShapeError, "cooldown is -1", lambda: reduce_on_plateau(sgd(0.1), factor=0.5, patience=3, cooldown=-1)),
        (DTypeError, "cooldown is 1.5", lambda: reduce_on_plateau(sgd(0.1), factor=0.5, patience=3, cooldown=1.5)),
        (ShapeError, "min_rate is -1", lambda: reduce_on_plateau(sgd(0.1), factor=0.5, patience=3, min_rate=-1.0)),
        (DTypeError, "patience is 2.5", lambda: reduce_on_plateau(sgd(0.1), factor=0.5, patience=2.5)),
        (DTypeError, "optimizer is 0.1", lambda: reduce_on_plateau(0.1, factor=0.5, patience=3)),
        (DTypeError, "value is None", lambda: once(value=None)),
        (ShapeError, r"shape \(2,\)", lambda: once(value=np.ones(2))),
        (DTypeError, "complex128", lambda: once(value=np.asarray(1j))),
        (DTypeError, "'low'", lambda: once(value="low")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=f"reduce_on_plateau: .*{words}"):
        call()


def once(**options: Any) -> Any:
    optimizer, params = reduce_on_plateau(sgd(0.1), factor=0.5, patience=3), np.ones(2)
    return optimizer.update(params, optimizer.init(params), params, **options)
