"""What moves the parameters in a Python loop: optimisers in place, leaves joined, and nothing of anyone's written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError
from pillars.backends import namespace, tree_leaves, tree_map
from pillars.calculus import Optimizer, adam, adamw, clip_by_global_norm, gradient_descent, linear_warmup, sgd
from pillars.calculus.descent import _eager_updates as moves
from pillars.calculus.descent._eager_updates import _JOINED

OPTIMIZERS = {
    "sgd": sgd(0.05),
    "decay": sgd(0.05, weight_decay=0.1),
    "momentum": sgd(0.05, momentum=0.9),
    "nesterov and decay": sgd(0.05, momentum=0.8, nesterov=True, weight_decay=0.05),
    "adam": adam(0.02),
    "adam without momentum": adam(0.02, beta1=0.0),
    "adamw": adamw(0.02, weight_decay=0.5),
    "warm adamw": adamw(linear_warmup(0.02, 7), weight_decay=0.5),
}
EACH = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def tree(dtype: Any = np.float64, other: Any = None) -> dict[str, Any]:
    """Leaves of no, one and two axes, an empty one, one not contiguous, and one too large to be joined."""
    random = np.random.default_rng(0)
    return {
        "scalar": np.asarray(0.7, dtype),
        "vector": random.standard_normal(5).astype(other or dtype),
        "nested": [random.standard_normal((4, 3)).astype(dtype).T, (np.zeros((0, 2), dtype),)],
        "large": random.standard_normal((_JOINED // 64 + 1, 64)).astype(dtype),
    }


def loss(params: Any) -> Any:
    return sum(namespace(p).sum((p - 1) ** 2 + 0.1 * p**4) for p in tree_leaves(params)) / 2


def gradient(params: Any) -> Any:
    return tree_map(lambda p: (p - 1) + 0.2 * p**3, params)


def by_hand(optimizer: Any, params: Any, steps: int, clip: float | None = None) -> Any:
    state = optimizer.init(params)
    for _ in range(steps):
        grads = gradient(params)
        grads = grads if clip is None else clip_by_global_norm(grads, clip).grads
        step = optimizer.update(grads, state, params)
        params, state = step.params, step.state
    return params


@EACH
@pytest.mark.parametrize("dtypes", [(np.float64, None), (np.float32, None), (np.float32, np.float64)])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_descent_is_the_public_update_again_and_again(optimizer: Any, dtypes: Any, clip: Any) -> None:
    params = tree(*dtypes)
    options: dict[str, Any] = {"optimizer": optimizer, "steps": 25, "clip_norm": clip}
    expected = by_hand(optimizer, params, 25, clip)
    leaves = tree_leaves(expected)
    # clipping by one norm takes the digits of the leaf that has fewest to all of them
    coarsest = max(np.finfo(leaf.dtype).eps for leaf in leaves)
    for found in (
        gradient_descent(loss, params, gradient=gradient, **options),
        gradient_descent(loss, params, **options),
    ):
        for a, b in zip(tree_leaves(found.params), leaves, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            # each step rounds a few times more or less: bias corrections, the clipping factor, the gradient's terms
            bound = 25 * 32 * (np.finfo(a.dtype).eps if clip is None else coarsest)
            assert np.allclose(a, b, rtol=bound, atol=bound)


@EACH
def test_nothing_that_was_shown_is_written_later(optimizer: Any) -> None:
    shown: list[tuple[Any, Any]] = []

    def seen(params: Any) -> Any:
        shown.append((params, tree_map(np.copy, params)))
        return gradient(params)

    start = tree()
    before = tree_map(np.copy, start)
    gradient_descent(loss, start, gradient=seen, optimizer=optimizer, steps=6)
    assert len(shown) == 6
    for given, copy in [*shown, (start, before)]:
        for a, b in zip(tree_leaves(given), tree_leaves(copy), strict=True):
            assert np.array_equal(a, b)


@EACH
def test_a_gradient_that_is_the_caller_s_own_is_not_written(optimizer: Any) -> None:
    kept = tree()
    for leaf in tree_leaves(kept):
        leaf.flags.writeable = False
    params = tree_map(np.ones_like, kept)
    first = gradient_descent(
        loss, params, gradient=lambda p: kept, optimizer=optimizer, steps=3, clip_norm=0.1
    )
    again = gradient_descent(
        loss, params, gradient=lambda p: kept, optimizer=optimizer, steps=3, clip_norm=0.1
    )
    for a, b in zip(tree_leaves(first.params), tree_leaves(again.params), strict=True):
        assert np.array_equal(a, b)
    own = gradient_descent(loss, params, gradient=lambda p: p, optimizer=sgd(0.5), steps=1)
    assert all(np.all(leaf == 0.5) for leaf in tree_leaves(own.params))


@EACH
def test_a_state_from_further_on_goes_on_from_there(optimizer: Any) -> None:
    params, state = tree(), optimizer.init(tree())
    for _ in range(5):
        step = optimizer.update(gradient(params), state, params)
        params, state = step.params, step.state
    mine = Optimizer(lambda params: state, optimizer.update)
    found = gradient_descent(loss, params, gradient=gradient, optimizer=mine, steps=7)
    for a, b in zip(tree_leaves(found.params), tree_leaves(by_hand(optimizer, tree(), 12)), strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)


@EACH
@pytest.mark.parametrize("layout", ["C", "F"])
def test_large_leaves_are_moved_by_spans_whatever_the_threads(
    optimizer: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "_SPAN", 1000)
    random = np.random.default_rng(5)
    params = np.asarray(random.standard_normal((211, 113)), order=layout)
    assert params.size > _JOINED
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        found.append(gradient_descent(loss, params, gradient=gradient, optimizer=optimizer, steps=9))
    for other in found[1:]:
        assert np.array_equal(other.params, found[0].params)
    expected = by_hand(optimizer, params, 9)
    assert np.allclose(found[0].params, expected, rtol=1e-12, atol=1e-12)


def test_a_large_leaf_that_is_not_finite_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "_SPAN", 1000)
    params = np.full(20_000, 1e200)  # squares overflow, the numbers do not
    found = gradient_descent(lambda p: 0 * p[0], params, gradient=lambda p: -p, optimizer=sgd(0.5), steps=3)
    assert found.status == "steps"
    params[12_345] = 1.7e308
    found = gradient_descent(lambda p: 0 * p[0], params, gradient=lambda p: -p, optimizer=sgd(0.5), steps=3)
    assert (found.status, int(found.steps)) == ("nonfinite", 1)


def test_a_state_that_is_the_caller_s_own_is_not_written() -> None:
    params = np.ones(3)
    state = adam(0.1).init(params)
    mine = Optimizer(lambda params: state, adam(0.1).update)
    for _ in range(2):
        gradient_descent(lambda p: p @ p, params, optimizer=mine, steps=5)
    assert np.array_equal(state.first_moment, np.zeros(3))
    assert np.array_equal(state.second_moment, np.zeros(3))


def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    x, y = random.standard_normal((300, 40)), random.integers(0, 7, 300)
    import pillars

    def net(p: Any, x: Any, y: Any) -> Any:
        hidden = pillars.linear(x, p["first"], activation="tanh")
        return pillars.probability.cross_entropy(pillars.linear(hidden, p["second"]), y)

    start = {"first": 0.1 * random.standard_normal((40, 30)), "second": np.zeros((30, 7))}
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        found.append(gradient_descent(net, start, x, y, optimizer=adam(0.01), steps=20, batch_size=64))
    for other in found[1:]:
        assert np.array_equal(other.history.loss, found[0].history.loss)
        for a, b in zip(tree_leaves(other.params), tree_leaves(found[0].params), strict=True):
            assert np.array_equal(a, b)


def test_functions_that_write_into_their_parameters_are_refused() -> None:
    start = np.asarray([1.0, 2.0, 3.0])

    def writes(p: Any) -> Any:
        p *= 2
        return p

    def loss(p: Any) -> Any:
        return np.sum(p * p)

    for options in ({"gradient": writes}, {"gradient": lambda p: 2 * p}):
        f = loss if options["gradient"] is writes else lambda p: loss(writes(p))
        with pytest.raises(CapabilityError, match=r"writes into its parameters .*p = 2 \* p, not p \*= 2"):
            gradient_descent(f, start, optimizer=sgd(0.1), steps=2, **options)
    assert start.tolist() == [1.0, 2.0, 3.0]
    fit = gradient_descent(loss, start, gradient=lambda p: 2 * p, optimizer=sgd(0.1), steps=2)
    assert fit.params.flags.writeable
    np.testing.assert_allclose(fit.params, 0.64 * start)


def test_a_singular_matrix_ends_a_run_and_does_not_lose_it() -> None:
    with np.errstate(all="ignore"):
        fit = gradient_descent(lambda a: np.linalg.slogdet(a)[1], np.eye(2), optimizer=sgd(1.0), steps=9)
    assert fit.status == "nonfinite"
