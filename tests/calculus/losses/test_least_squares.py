"""LeastSquaresLoss: its value, descents that do not read its rows again, when they must, and what it refuses."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import pillars
from contracts._variants import Variant
from pillars import BackendError, DTypeError, ShapeError
from pillars.backends import Draw, backend, fingerprint
from pillars.calculus import (
    LeastSquaresLoss,
    adam,
    check_gradient,
    grad,
    gradient_descent,
    mean_squared_error,
    sgd,
)
from pillars.calculus.losses import _least_squares as module
from running import compilations, eps


def problem(draw: Draw, n: int = 200, d: int = 5, condition: float = 10.0) -> tuple[Any, Any]:
    """Rows whose singular values span `condition`, the largest curvature 2 at n·d entries; a target with noise."""
    u, _ = np.linalg.qr(draw.normal(n, d))
    v, _ = np.linalg.qr(draw.normal(d, d))
    x = (u * np.geomspace(1.0, 1.0 / condition, d)) @ v.T * np.sqrt(n)
    return x, x @ draw.normal(d) + 0.1 * draw.normal(n)


def plain_loop(x: Any, y: Any, w: Any, rate: float, steps: int, momentum: float = 0.0) -> Any:
    velocity, path, losses = np.zeros_like(w), [], []
    for _ in range(steps):
        rest = x @ w - y
        losses.append(np.mean(rest**2))
        velocity = momentum * velocity + (2 / y.size) * (x.T @ rest)
        w = w - rate * velocity
        path.append(w)
    return path, losses


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry each time that a loss is computed from the rows."""
    seen: list[int] = []
    whole = module.of_rows

    def counted(w: Any, x: Any, y: Any) -> Any:
        seen.append(len(y))
        return whole(w, x, y)

    monkeypatch.setattr(module, "of_rows", counted)
    return seen


def test_it_is_the_mean_squared_error_of_a_linear_model(variant: Variant, draw: Draw) -> None:
    x, y = problem(draw)
    for targets in (y, draw.normal(200, 3)):
        w = draw.normal(5, *targets.shape[1:])
        run = variant.compiled(lambda x, y, w: LeastSquaresLoss(x, y)(w))
        got = variant.to_numpy(run(*(variant.asarray(a, variant.default_float) for a in (x, targets, w))))
        assert got.shape == ()
        assert np.isclose(got, np.mean((x @ w - targets) ** 2), rtol=256 * eps(variant))


def test_its_gradient_is_that_of_the_formula(draw: Draw) -> None:
    x, y = problem(draw)
    loss, w = LeastSquaresLoss(x, y), draw.normal(5)
    assert np.allclose(grad(loss)(w), 2 / 200 * x.T @ (x @ w - y), rtol=1e-13, atol=1e-14)
    found = loss.quadratic()
    assert np.isclose(found.value(w), loss(w), rtol=1e-13)
    assert check_gradient(loss, w, gradient=found.gradient).ok
    assert np.allclose(2 * found.matrix, 2 / 200 * x.T @ x, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_iterates_are_those_of_a_plain_loop(seed: int, momentum: float, read: list[int]) -> None:
    draw = Draw(seed)
    d = draw.choice((1, 2, 17, 60))
    x, y = problem(draw, draw.choice((d, 300)), d, draw.choice((1.0, 1e2, 1e5)))
    rate = (
        draw.choice((0.3, 0.9, 1.1))
        * 2
        * (1 + momentum)
        / float(np.linalg.eigvalsh(2 * x.T @ x / len(y))[-1])
    )
    start = draw.normal(d)
    path, losses = plain_loop(x, y, start, rate, 500, momentum)
    for steps in (20, 500):
        optimizer = sgd(rate, momentum=momentum)
        found = gradient_descent(LeastSquaresLoss(x, y), start, optimizer=optimizer, steps=steps)
        scale = np.max(np.abs(path[steps - 1]))
        assert np.max(np.abs(found.params - path[steps - 1])) <= 1e-10 * scale, f"seed {seed}"
        # residuals are known to some 1e-13 of the first ones: where they vanish, so does what is known of the loss
        known, rest = 1e-13 * np.sqrt(losses[0]), np.sqrt(losses[:steps])
        off = np.abs(np.sqrt(found.history.loss) - rest)
        assert np.all(off <= 1e-10 * rest + known), f"seed {seed}"
    assert read == []


def test_single_precision_stays_within_its_digits(draw: Draw) -> None:
    x, y = (a.astype(np.float32) for a in problem(draw, 1000, 20))
    start = np.zeros(20, np.float32)
    found = gradient_descent(LeastSquaresLoss(x, y), start, optimizer=sgd(0.4), steps=500)
    wide, narrow = (
        plain_loop(x.astype(t), y.astype(t), start.astype(t), 0.4, 500)[0][-1] for t in (float, np.float32)
    )
    scale = np.max(np.abs(wide))
    assert found.params.dtype == found.loss.dtype == np.float32
    assert np.max(np.abs(found.params - wide)) < 2e-6 * scale
    assert np.max(np.abs(found.params - narrow)) < 4e-6 * scale


def test_a_loss_far_below_its_start_keeps_its_digits(draw: Draw) -> None:
    # written around 0, its terms are 1e14 times the loss, and cancel
    x, y = problem(draw, condition=2.0)
    y = x @ np.arange(1.0, 6.0) + 1e-7 * draw.normal(200)
    found = gradient_descent(LeastSquaresLoss(x, y), np.zeros(5), optimizer=sgd(0.5), steps=300)
    assert np.isclose(found.loss, np.mean((x @ found.params - y) ** 2), rtol=1e-6)
    assert 0 < found.loss < 1e-13


@pytest.mark.parametrize("kind", ["one column twice", "a column of zeros", "all zeros", "one row"])
def test_rows_without_a_unique_solution_are_descended_alike(draw: Draw, kind: str) -> None:
    x, y = problem(draw)
    match kind:
        case "one column twice":
            x[:, 1] = x[:, 0]
        case "a column of zeros":
            x[:, 1] = 0
        case "all zeros":
            x = 0 * x
        case "one row":
            x, y = x[:1, :1], y[:1]
    start = draw.normal(x.shape[1])
    path, losses = plain_loop(x, y, start, 0.2, 100)
    found = gradient_descent(LeastSquaresLoss(x, y), start, optimizer=sgd(0.2), steps=100)
    assert np.allclose(found.params, path[-1], rtol=1e-10, atol=1e-12)
    assert np.allclose(found.history.loss, losses, rtol=1e-8, atol=1e-20)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_rows_that_are_not_finite_end_the_run_as_they_do_elsewhere(draw: Draw, bad: float) -> None:
    x, y = problem(draw)
    x[3, 2] = bad
    found = gradient_descent(LeastSquaresLoss(x, y), np.zeros(5), steps=50)
    told = gradient_descent(lambda w: mean_squared_error(x @ w, y), np.zeros(5), steps=50)
    assert (found.status, int(found.steps)) == (told.status, int(told.steps))
    assert found.status == "nonfinite"


def test_when_rows_are_read_in_every_step(draw: Draw, read: list[int]) -> None:
    x, y = problem(draw)
    gradient_descent(LeastSquaresLoss(x, y), np.zeros(5), steps=50)
    assert read == []
    gradient_descent(LeastSquaresLoss(x, y), np.zeros(5), steps=2)
    assert set(read) == {200}
    read.clear()
    gradient_descent(LeastSquaresLoss(x[:3], y[:3]), np.zeros(5), steps=50)  # more columns than rows
    assert set(read) == {3}
    read.clear()
    gradient_descent(LeastSquaresLoss(x, y), np.zeros(5), steps=50, batch_size=16)
    assert set(read) == {16, 200}


def test_batches_and_a_gradient_of_ones_own(draw: Draw) -> None:
    x, y = problem(draw, condition=2.0)
    loss, best = LeastSquaresLoss(x, y), np.linalg.lstsq(x, y, rcond=None)[0]
    found = gradient_descent(loss, np.zeros(5), optimizer=adam(0.05), steps=600, batch_size=50, rng=1)
    same = gradient_descent(
        lambda w, x, y: mean_squared_error(x @ w, y), np.zeros(5), x, y,
        optimizer=adam(0.05), steps=600, batch_size=50, rng=1,
    )  # fmt: skip
    assert np.array_equal(found.params, same.params)
    assert np.max(np.abs(found.params - best)) < 0.1
    seen: list[Any] = []

    def gradient(w: Any) -> Any:
        seen.append(w)
        return 2 / 200 * x.T @ (x @ w - y)

    found = gradient_descent(loss, np.zeros(5), gradient=gradient, optimizer=sgd(0.5), steps=50)
    assert len(seen) == 50
    assert np.allclose(found.params, plain_loop(x, y, np.zeros(5), 0.5, 50)[0][-1], rtol=1e-10)


def test_every_backend_descends_alike(variant: Variant, draw: Draw) -> None:
    x, y = problem(draw, condition=3.0)
    put = lambda a: variant.asarray(a, variant.default_float)  # noqa: E731
    run = variant.compiled(
        lambda x, y, w: gradient_descent(LeastSquaresLoss(x, y), w, optimizer=sgd(0.5), steps=60)
    )
    found = run(put(x), put(y), put(np.zeros(5)))
    path, losses = plain_loop(x, y, np.zeros(5), 0.5, 60)
    assert backend(found.params).name == variant.library
    assert found.status == "steps"
    assert np.allclose(variant.to_numpy(found.params), path[-1], rtol=0, atol=64 * eps(variant))
    assert np.allclose(variant.to_numpy(found.history.loss), losses, rtol=256 * eps(variant))


def test_a_sweep_compiles_once_on_jax(draw: Draw) -> None:
    jax = pytest.importorskip("jax")
    x, y = (jax.numpy.asarray(a) for a in problem(draw))
    start = jax.numpy.zeros(5, x.dtype)

    def run(rate: float, shift: float) -> float:
        return float(
            gradient_descent(LeastSquaresLoss(x, y + shift), start, optimizer=sgd(rate), steps=40).loss
        )

    run(0.1, 0.0)
    seen: set[float] = set()
    assert compilations(lambda: seen.update(run(0.01 * i, float(i)) for i in range(1, 6))) == 0
    assert len(seen) == 5


def test_bits_do_not_depend_on_threads(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(draw, 30_000, 12)
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        found.append(LeastSquaresLoss(x, y).quadratic())
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, found[0], strict=True))


def test_equal_where_their_arrays_are(draw: Draw) -> None:
    x, y = problem(draw)
    loss = LeastSquaresLoss(x, y)
    assert loss == LeastSquaresLoss(x.copy(), y.copy())
    assert hash(loss) == hash(LeastSquaresLoss(x.copy(), y.copy()))
    assert loss != LeastSquaresLoss(x, y + 1)
    assert loss != LeastSquaresLoss(x.astype(np.float32), y)
    assert loss != (x, y)
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert repr(loss) == "LeastSquaresLoss(x: (200, 5), y: (200,), float64)"
    kept = hash(loss)
    x[0, 0] += 1
    assert hash(loss) == kept
    before = float(loss(np.ones(5)))
    x[0, 0] += 1  # arrays are kept, not copied
    assert float(loss(np.ones(5))) != before


def test_compiled_programs_know_it_by_its_arrays(draw: Draw) -> None:
    x, y = problem(draw)
    loss = LeastSquaresLoss(x, y)
    assert fingerprint(loss) is None  # these may be refilled
    with pytest.raises(AttributeError):
        loss.y = y + 1  # type: ignore[misc]
    jnp = pytest.importorskip("jax.numpy")
    x, y = jnp.asarray(x), jnp.asarray(y)
    assert fingerprint(LeastSquaresLoss(x, y)) == fingerprint(LeastSquaresLoss(x, y))
    assert fingerprint(LeastSquaresLoss(x, y)) != fingerprint(LeastSquaresLoss(x, y + 1))
    ends = [
        float(
            gradient_descent(
                LeastSquaresLoss(x, y + shift), jnp.zeros(5, x.dtype), steps=5, gradient=lambda w: 0 * w
            ).loss
        )
        for shift in (0.0, 1.0)
    ]
    assert np.allclose(ends, [np.mean(np.asarray(y) ** 2), np.mean((np.asarray(y) + 1) ** 2)], rtol=1e-5)


def test_lists_and_integers_become_floats() -> None:
    loss = LeastSquaresLoss([[1, 0], [1, 1], [1, 2]], [0, 1, 2])
    assert loss.x.dtype == loss.y.dtype == np.float64
    assert float(loss(np.asarray([0.0, 1.0]))) == 0.0


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, r"x has shape \(3,\) and y \(3,\)", lambda: LeastSquaresLoss(np.ones(3), np.ones(3))),
        (ShapeError, r"\(3, 2\) and y \(2,\)", lambda: LeastSquaresLoss(np.ones((3, 2)), np.ones(2))),
        (ShapeError, "at least one row", lambda: LeastSquaresLoss(np.ones((0, 2)), np.ones(0))),
        (ShapeError, "at least one row", lambda: LeastSquaresLoss(np.ones((3, 0)), np.ones(3))),
        (DTypeError, "y has dtype complex128", lambda: LeastSquaresLoss(np.ones((3, 2)), np.ones(3, complex))),
        (DTypeError, "LeastSquaresLoss: .*masked", lambda: LeastSquaresLoss(np.ma.ones((3, 2)), np.ones(3))),
        (ShapeError, r"params has shape \(3,\), expected \(2,\)", lambda: gradient_descent(fit(), np.ones(3))),
        (ShapeError, r"params has shape \(2, 1\), expected \(2,\)", lambda: fit()(np.ones((2, 1)))),
        (DTypeError, "params is a dict", lambda: gradient_descent(fit(), {"w": np.ones(2)})),
        (ShapeError, "holds its own", lambda: gradient_descent(fit(), np.ones(2), np.ones(3))),
        (ShapeError, "batch_size is 4", lambda: gradient_descent(fit(), np.ones(2), batch_size=4)),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words):
        call()


def fit() -> LeastSquaresLoss:
    return LeastSquaresLoss(np.ones((3, 2)), np.ones(3))


def test_two_libraries_are_refused() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match="x is on numpy and y on jax"):
        LeastSquaresLoss(np.ones((3, 2)), jnp.ones(3))
    with pytest.raises(BackendError, match="expected one library"):
        gradient_descent(fit(), jnp.ones(2))
    assert pillars.calculus.LeastSquaresLoss is LeastSquaresLoss


def test_a_loss_is_never_negative() -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(100, 3))
        fit = gradient_descent(
            LeastSquaresLoss(x, x @ [1.0, 2.0, 3.0]), np.zeros(3), optimizer=sgd(0.1), steps=300
        )
        assert 0 <= fit.loss < 1e-20
        assert np.all(fit.history.loss >= 0)
