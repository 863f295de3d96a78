"""sgd, adam and adamw: parity with torch and optax, closed forms, state, and what they refuse."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import BackendError, DTypeError, ShapeError
from pillars.backends import Draw, backend, namespace, tree_leaves, tree_map
from pillars.calculus import Optimizer, adam, adamw, gradient_descent, sgd, warmup_cosine
from running import eps

STEPS = 100


def problem(seed: int) -> tuple[Any, Any]:
    """Parameters of two shapes, and a gradient that depends on them: x - target scaled, and a wave."""
    random = np.random.default_rng(seed)
    params = {"a": random.standard_normal((3, 2)), "b": random.standard_normal(4)}
    scale = {"a": random.uniform(0.1, 3.0, (3, 2)), "b": random.uniform(0.1, 3.0, 4)}

    def gradient(p: Any) -> Any:
        return {key: scale[key] * p[key] + 0.1 * np.sin(7 * p[key]) for key in p}

    return params, gradient


def run(optimizer: Optimizer, params: Any, gradient: Any, steps: int = STEPS) -> list[Any]:
    state, path = optimizer.init(params), []
    for _ in range(steps):
        step = optimizer.update(gradient(params), state, params)
        params, state = step.params, step.state
        path.append(params)
    return path


def sgd_by_hand(
    p: Any, gradient: Any, lr: float, momentum: float = 0, nesterov: bool = False, weight_decay: float = 0
) -> Any:
    velocity = {key: np.zeros_like(p[key]) for key in p}
    path = []
    for _ in range(STEPS):
        g = gradient(p)
        new = {}
        for key in p:
            d = g[key] + weight_decay * p[key]
            velocity[key] = momentum * velocity[key] + d
            new[key] = p[key] - lr * (d + momentum * velocity[key] if nesterov else velocity[key])
        p = new
        path.append(p)
    return path


def adam_by_hand(
    p: Any,
    gradient: Any,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0,
) -> Any:
    m = {key: np.zeros_like(p[key]) for key in p}
    v = {key: np.zeros_like(p[key]) for key in p}
    path = []
    for t in range(1, STEPS + 1):
        g, new = gradient(p), {}
        for key in p:
            m[key] = beta1 * m[key] + (1 - beta1) * g[key]
            v[key] = beta2 * v[key] + (1 - beta2) * g[key] ** 2
            m_hat, v_hat = m[key] / (1 - beta1**t), v[key] / (1 - beta2**t)
            new[key] = p[key] - lr * weight_decay * p[key] - lr * m_hat / (np.sqrt(v_hat) + epsilon)
        p = new
        path.append(p)
    return path


def assert_same_path(got: list[Any], expected: list[Any], rtol: float = 1e-12) -> None:
    for mine, theirs in zip(got, expected, strict=True):
        for a, b in zip(tree_leaves(mine), tree_leaves(theirs), strict=True):
            assert np.allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b)))


class Row(NamedTuple):
    """One optimiser, and what computes the same: written out, in torch, in optax."""

    ours: Any
    by_hand: Any
    options: dict[str, Any]
    rate: float
    torch: Any  # (torch.optim, tensors) -> its optimizer
    optax: Any  # optax -> its transformation


def _sgd_row(**options: Any) -> Row:
    decay = options.get("weight_decay", 0.0)
    rest = {key: value for key, value in options.items() if key != "weight_decay"}
    return Row(
        sgd,
        sgd_by_hand,
        options,
        0.05,
        lambda optim, leaves: optim.SGD(leaves, lr=0.05, **options),
        lambda optax: optax.chain(optax.add_decayed_weights(decay), optax.sgd(0.05, **rest)),
    )


def _adam_row(**options: Any) -> Row:
    theirs = {"beta1": "b1", "beta2": "b2", "epsilon": "eps", "weight_decay": "weight_decay"}
    betas = options.get("beta1", 0.9), options.get("beta2", 0.999)
    eps = options.get("epsilon", 1e-8)
    if "weight_decay" not in options:
        return Row(
            adam,
            adam_by_hand,
            options,
            0.02,
            lambda optim, leaves: optim.Adam(leaves, lr=0.02, betas=betas, eps=eps),
            lambda optax: optax.adam(0.02, **{theirs[key]: value for key, value in options.items()}),
        )
    decay = options["weight_decay"]
    return Row(
        adamw,
        adam_by_hand,
        options,
        0.02,
        lambda optim, leaves: optim.AdamW(leaves, lr=0.02, betas=betas, eps=eps, weight_decay=decay),
        lambda optax: optax.adamw(0.02, **{theirs[key]: value for key, value in options.items()}),
    )


TABLE = {
    "sgd": _sgd_row(),
    "momentum": _sgd_row(momentum=0.9),
    "nesterov": _sgd_row(momentum=0.9, nesterov=True),
    "decay": _sgd_row(weight_decay=0.1),
    "nesterov and decay": _sgd_row(momentum=0.8, nesterov=True, weight_decay=0.05),
    "adam": _adam_row(),
    "short adam": _adam_row(beta1=0.5, beta2=0.9, epsilon=1e-3),
    "adam without momentum": _adam_row(beta1=0.0),
    "adamw": _adam_row(weight_decay=0.01),
    "strong adamw": _adam_row(beta1=0.8, beta2=0.99, epsilon=1e-6, weight_decay=2.0),
    "adamw without decay": _adam_row(weight_decay=0.0),
}
ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


@ROWS
def test_they_are_the_written_out_loops(row: Row) -> None:
    params, gradient = problem(0)
    got = run(row.ours(row.rate, **row.options), params, gradient)
    assert_same_path(got, row.by_hand(params, gradient, row.rate, **row.options))


@ROWS
def test_they_are_torch(row: Row) -> None:
    params, gradient = problem(2)
    assert_same_path(
        run(row.ours(row.rate, **row.options), params, gradient), torch_path(row, params, gradient)
    )


@ROWS
def test_they_are_optax(row: Row) -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    mine, theirs = row.ours(row.rate, **row.options), row.optax(optax)
    host, gradient = problem(4)
    params = tree_map(jnp.asarray, host)
    wide = params["b"].dtype == jnp.float64
    state, own = theirs.init(params), mine.init(params)
    for _ in range(STEPS if wide else 1):
        g = tree_map(jnp.asarray, gradient(tree_map(np.asarray, params)))
        step = mine.update(g, own, params)
        moved, state = theirs.update(g, state, params)
        expected = optax.apply_updates(params, moved)
        tolerance = 1e-12 if wide else 1e-6
        for a, b in zip(tree_leaves(step.params), tree_leaves(expected), strict=True):
            assert np.allclose(a, b, rtol=tolerance, atol=tolerance)
        params, own = step.params, step.state


def torch_path(row: Row, params: Any, gradient: Any, schedule: Any = None) -> list[Any]:
    torch = pytest.importorskip("torch")
    leaves = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    theirs, path = row.torch(torch.optim, list(leaves.values())), []
    for t in range(STEPS):
        if schedule is not None:
            theirs.param_groups[0]["lr"] = schedule(t)
        found = gradient({key: leaf.detach().numpy() for key, leaf in leaves.items()})
        for key, leaf in leaves.items():
            leaf.grad = torch.tensor(found[key])
        theirs.step()
        path.append({key: leaf.detach().numpy().copy() for key, leaf in leaves.items()})
    return path


@ROWS
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
def test_descents_are_torch(row: Row, scheduled: bool) -> None:
    # the loop's own arithmetic, in place, is not that of update
    params, gradient = problem(6)
    schedule = warmup_cosine(2 * row.rate, 10, STEPS) if scheduled else None
    shown: list[Any] = []

    def seen(p: Any) -> Any:
        shown.append(p)
        return gradient(p)

    found = gradient_descent(
        lambda p: p["a"][0, 0], params,
        optimizer=row.ours(schedule or row.rate, **row.options), gradient=seen, steps=STEPS,
    )  # fmt: skip
    assert_same_path([*shown[1:], found.params], torch_path(row, params, gradient, schedule))


@ROWS
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
def test_compiled_descents_are_optax(row: Row, scheduled: bool) -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    host, _ = problem(8)
    params = tree_map(jnp.asarray, host)
    if params["b"].dtype != jnp.float64:
        pytest.skip("100 steps are compared in float64, which is off")

    def gradient(p: Any) -> Any:
        return {key: (0.5 + key.count("a")) * p[key] + 0.1 * jnp.sin(7 * p[key]) for key in p}

    schedule = warmup_cosine(2 * row.rate, 10, STEPS) if scheduled else None
    found = gradient_descent(
        lambda p: p["a"][0, 0], params,
        optimizer=row.ours(schedule or row.rate, **row.options), gradient=gradient, steps=STEPS,
    )  # fmt: skip
    theirs = row.optax(optax) if schedule is None else row.optax(_Scheduled(optax, schedule))
    state, expected = theirs.init(params), params
    for _ in range(STEPS):
        moved, state = theirs.update(gradient(expected), state, expected)
        expected = optax.apply_updates(expected, moved)
    assert_same_path([found.params], [expected])


class _Scheduled:
    """optax, whose optimisers are given a schedule in the place of their rate."""

    def __init__(self, optax: Any, schedule: Any) -> None:
        self.chain, self.add_decayed_weights = optax.chain, optax.add_decayed_weights
        for name in ("sgd", "adam", "adamw"):
            make = getattr(optax, name)
            setattr(self, name, lambda _, make=make, **options: make(schedule, **options))


def test_decoupled_decay_is_not_that_of_the_gradient() -> None:
    params, g = np.asarray([1.0, -2.0]), np.asarray([1e6, 0.0])
    moved = adamw(0.1, weight_decay=0.5).update(g, adamw(0.1).init(params), params).params
    assert np.allclose(moved, [0.95 * 1.0 - 0.1, 0.95 * -2.0], rtol=1e-12)  # whatever the gradient's size


@pytest.mark.parametrize(
    "optimizer",
    [sgd(0.05, momentum=0.9, nesterov=True), adam(0.02), adamw(0.02, weight_decay=0.3)],
    ids=["sgd", "adam", "adamw"],
)
def test_every_backend_takes_the_same_step(variant: Variant, draw: Draw, optimizer: Optimizer) -> None:
    host = {"a": draw.normal(3, 2), "b": [draw.normal(4), draw.normal()]}
    g = {"a": draw.normal(3, 2), "b": [draw.normal(4), draw.normal()]}

    def two(params: Any, grads: Any) -> Any:
        state = optimizer.init(params)
        step = optimizer.update(grads, state, params)
        return optimizer.update(grads, step.state, step.params)

    expected = two(tree_map(np.asarray, host), tree_map(np.asarray, g))
    put = lambda tree: tree_map(lambda x: variant.asarray(x, variant.default_float), tree)  # noqa: E731
    got = variant.compiled(two)(put(host), put(g))
    for a, b in zip(tree_leaves(variant.to_numpy(got)), tree_leaves(expected), strict=True):
        assert a.shape == np.shape(b)
        assert np.allclose(a, b, rtol=64 * eps(variant), atol=64 * eps(variant))
    for leaf in tree_leaves(got.params):
        assert str(leaf.dtype).endswith(variant.default_float)


def test_adams_first_step_is_the_rate_in_every_coordinate() -> None:
    g = np.asarray([3.0, -400.0, 1e-9])
    params = np.zeros(3)
    moved = adam(0.001).update(g, adam(0.001).init(params), params).params
    assert np.allclose(moved, -0.001 * g / (np.abs(g) + 1e-8), rtol=1e-12, atol=0)


def test_adam_keeps_its_digits_in_float32() -> None:
    # 1 - 0.999**1 in float32 is off by 1e-5; the ratio m/sqrt(v) must still be the gradient's sign
    params = np.zeros(1, np.float32)
    moved = adam(1.0, epsilon=0.0).update(np.full(1, 0.3, np.float32), adam(1.0).init(params), params).params
    assert abs(moved[0] + 1.0) < 4 * np.finfo(np.float32).eps


def test_a_step_tells_norm_rate_and_ratio() -> None:
    params = {"w": np.asarray([3.0, 0.0]), "b": np.asarray(4.0)}
    step = sgd(0.5).update({"w": np.asarray([0.0, 6.0]), "b": np.asarray(8.0)}, sgd(0.5).init(params), params)
    assert (step.grad_norm, step.learning_rate, step.update_ratio) == (10.0, 0.5, 1.0)
    assert (step.state.step, step.state.learning_rate) == (1, 0.5)
    from_zero = sgd(0.5).update(np.ones(2), sgd(0.5).init(np.zeros(2)), np.zeros(2))
    assert np.isinf(from_zero.update_ratio)


def test_the_norm_survives_numbers_whose_squares_do_not(variant: Variant) -> None:
    params = variant.asarray(np.ones(2), "float32")
    for size in (1e30, 1e-30, 6e37):  # 1/6e37 is subnormal, and flushed to 0 by compilers
        g = variant.asarray(np.asarray([3.0, 4.0]) * size, "float32")
        step = variant.compiled(lambda g: sgd(1e-9).update(g, sgd(1e-9).init(params), params).grad_norm)(g)
        assert np.isclose(float(variant.to_numpy(step)), 5 * size, rtol=1e-6)


def test_the_rate_sits_in_the_state_and_can_be_changed_there() -> None:
    params = np.asarray([1.0])
    state = sgd(0.1).init(params)
    step = sgd(0.1).update(np.asarray([1.0]), state._replace(learning_rate=np.asarray(0.5)), params)
    assert step.params == 0.5
    assert step.state.learning_rate == 0.5


def test_a_schedule_is_asked_for_the_rate_of_every_step() -> None:
    optimizer = sgd(lambda step: 0.1 * 0.5**step)
    params, state, rates = np.asarray([1.0]), optimizer.init(np.asarray([1.0])), []
    for _ in range(3):
        step = optimizer.update(np.asarray([0.0]), state, params)
        state = step.state
        rates.append(float(step.learning_rate))
    assert rates == [0.1, 0.05, 0.025]


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (lambda step: np.asarray([0.1, 0.2]), ShapeError, r"returned shape \(2,\), expected one number"),
        (lambda step: "fast", DTypeError, "returned 'fast', expected a number"),
        (lambda step: None, DTypeError, "returned None, expected a number"),
        (lambda step: np.asarray(True), DTypeError, "returned dtype bool, expected a real number"),
        (lambda step: 0.1 - 0.1 * step, ShapeError, "returned -0.1, expected a number of at least 0"),
        (lambda step: 0.1 if step < 1 else float("nan"), ShapeError, "returned nan, expected a number"),
    ],
)
def test_what_a_schedule_may_not_return(rate: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        gradient_descent(lambda p: p @ p, np.ones(2), optimizer=adam(rate), steps=4)
    optimizer, params = sgd(rate), np.ones(2)

    def by_hand() -> None:
        state = optimizer.init(params)
        for _ in range(4):
            state = optimizer.update(params, state, params).state

    with pytest.raises(error, match=message):
        by_hand()


@pytest.mark.parametrize("kind", ["negative", "nan", "wide"])
def test_what_a_schedule_may_not_return_on_jax(kind: str) -> None:
    jnp = pytest.importorskip("jax").numpy
    rates = {
        "negative": lambda step: 0.1 - 0.1 * step,
        "nan": lambda step: jnp.where(step < 1, 0.1, jnp.nan),
        "wide": lambda step: jnp.asarray([0.1, 0.2]) * step,
    }
    with pytest.raises(ShapeError, match="learning_rate, a schedule, returned"):
        gradient_descent(lambda p: p @ p, jnp.ones(2), optimizer=sgd(rates[kind]), steps=4)


def test_a_schedule_may_end_at_zero(variant: Variant) -> None:
    params = variant.asarray(np.ones(2))
    optimizer = sgd(lambda step: 0 * step)
    found = gradient_descent(lambda p: namespace(p).sum(p * p), params, optimizer=optimizer, steps=2)
    assert np.array_equal(variant.to_numpy(found.params), [1.0, 1.0])


def test_optimizers_compare_and_pickle_by_value() -> None:
    assert sgd(0.1, momentum=0.9) == sgd(0.1, momentum=0.9)
    assert hash(adam(0.1)) == hash(adam(0.1))
    assert sgd(0.1) != sgd(0.2)
    assert adam(0.1, beta1=0.8).update != adam(0.1).update
    assert sgd(0.1).update == sgd(0.2).update  # the rate is state, so that a sweep compiles once
    assert sgd(0.5, momentum=0.9).update != adam(0.5, beta1=0.9).update
    assert adamw(0.5, weight_decay=0.0).update != adam(0.5).update
    assert adamw(0.5, weight_decay=0.1).update != adamw(0.5, weight_decay=0.2).update
    assert pickle.loads(pickle.dumps(adamw(0.1))) == adamw(0.1)


def test_half_precision_is_stepped_wide_and_rounded_once() -> None:
    params = np.asarray([1.0, 2.0], np.float16)
    state = adam(0.001).init(params)
    step = adam(0.001).update(np.asarray([1e-6, 3.0], np.float16), state, params)
    assert step.params.dtype == np.float16
    assert step.state.second_moment.dtype == np.float32
    assert np.all(np.isfinite(step.params))
    assert np.array_equal(step.params, np.asarray([0.999, 1.999], np.float16))


def test_a_traced_rate_can_be_differentiated() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    params, g = jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])

    def moved(rate: Any) -> Any:
        optimizer = sgd(rate)
        return jnp.sum(optimizer.update(g, optimizer.init(params), params).params)

    assert float(jax.jit(jax.grad(moved))(0.1)) == -7.0


@pytest.mark.parametrize("make", [sgd, adam, adamw])
@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_rates_out_of_range_are_refused(make: Any, rate: float) -> None:
    with pytest.raises(ShapeError, match=r"learning_rate is .* expected it finite and above 0"):
        make(rate)


@pytest.mark.parametrize("rate", ["0.1", None, True, [0.1]])
def test_rates_that_are_no_numbers_are_refused(rate: Any) -> None:
    with pytest.raises(DTypeError, match="learning_rate"):
        sgd(rate)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sgd(0.1, momentum=1.0),
        lambda: sgd(0.1, momentum=-0.1),
        lambda: sgd(0.1, nesterov=True),
        lambda: sgd(0.1, weight_decay=-1.0),
        lambda: adam(0.1, beta1=1.0),
        lambda: adam(0.1, beta2=float("nan")),
        lambda: adam(0.1, epsilon=-1e-8),
        lambda: adamw(0.1, weight_decay=-0.01),
        lambda: adamw(0.1, weight_decay=float("inf")),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ShapeError):
        make()


def test_what_does_not_fit_is_named() -> None:
    params = {"w": np.zeros((2, 3)), "b": np.zeros(3)}
    state = sgd(0.1).init(params)
    with pytest.raises(ShapeError, match=r"\['w'\] has shape \(3, 2\), expected \(2, 3\)"):
        sgd(0.1).update({"w": np.zeros((3, 2)), "b": np.zeros(3)}, state, params)
    with pytest.raises(ShapeError, match="structure"):
        sgd(0.1).update({"w": np.zeros((2, 3))}, state, params)
    with pytest.raises(DTypeError, match=r"params\['w'\] has dtype int64"):
        sgd(0.1).init({"w": np.zeros(2, np.int64)})
    for other in (adam(0.1).init(params), None, (1, 2), "state"):
        with pytest.raises(DTypeError, match="expected the SgdState"):
            sgd(0.1).update(params, other, params)
    for bad in ({"w": np.zeros((2, 3))}, {"w": np.zeros((2, 3)), "b": np.zeros((3, 1))}):
        with pytest.raises(ShapeError, match="it is of other parameters"):
            adam(0.1).update(params, adam(0.1).init(bad), params)
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match="expected an array of numpy"):
        sgd(0.1).update({"w": jnp.zeros((2, 3)), "b": np.zeros(3)}, state, params)
    assert backend(state.step).name == "numpy"
