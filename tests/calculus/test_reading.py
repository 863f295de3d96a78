"""The readings of a trace besides the gradient: the first non-finite value, shapes, cost."""

from __future__ import annotations

import inspect
from typing import Any

import array_api_strict
import numpy as np
import pytest

from pillars import CapabilityError
from pillars.backends import namespace
from pillars.calculus import grad
from pillars.calculus._reading_cost import cost_of, shapes_of
from pillars.calculus._reading_nonfinite import Range, first_nonfinite
from pillars.layers import layer_norm, linear
from pillars.probability import cross_entropy, softmax


def here(offset: int = 0) -> str:
    """The caller's line, as readings tell it."""
    frame = inspect.currentframe().f_back
    return f"{__file__}:{frame.f_lineno + offset} in {frame.f_code.co_name}"


# ---------------------------------------------------------------------------------------------------- not finite
def test_the_operation_its_line_and_its_inputs_are_told() -> None:
    lines = []

    def f(x: Any) -> Any:
        y = np.tanh(x) * 1000.0
        lines.append(here(1))
        z = np.exp(y)
        return np.sum(z - z)  # infinity less infinity: NaN, which inherits

    x = np.asarray([[0.1, 1.0], [2.0, -1.0]])
    found = first_nonfinite(f, x)
    assert found.operation == "exp"
    assert found.location == lines[0]
    y = np.tanh(x) * 1000.0
    assert found.input_ranges == (Range((2, 2), "float64", y.min(), y.max(), 0),)


def test_nothing_is_told_of_what_is_finite() -> None:
    assert first_nonfinite(np.sum, np.ones(3)) is None
    with np.errstate(all="raise"):  # what the reading looks for raises no warnings on the way
        assert (
            first_nonfinite(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0)), np.asarray([0.0, 1.0])) is None
        )
        assert first_nonfinite(lambda x: 1.0 / (1.0 + np.exp(x)), np.asarray(1e4)) is None


def test_a_value_that_where_leaves_out_is_no_culprit() -> None:
    found = first_nonfinite(
        lambda x: np.sum(np.where(x > 0, np.log(x), 1.0 / (x - 3.0))), np.asarray([-1.0, 0.0])
    )
    assert found is None
    found = first_nonfinite(lambda x: np.sum(np.where(x > 0, np.log(x), 1.0 / x)), np.asarray([2.0, 0.0]))
    assert found.operation == "divide"
    found = first_nonfinite(lambda x: np.sum(np.where(x >= 0, np.log(x), 1.0 / x)), np.asarray([2.0, 0.0]))
    assert found.operation == "log"


def test_two_culprits_are_told_apart_by_the_result() -> None:
    def f(x: Any) -> Any:
        first, second = np.log(x - x), 1.0 / (x - x)
        return {"a": second, "b": first}

    assert first_nonfinite(f, np.ones(2)).operation == "divide"
    assert first_nonfinite(lambda x: f(x)["b"], np.ones(2)).operation == "log"


def test_what_came_in_is_named() -> None:
    bad = {"w": np.asarray([1.0, np.nan]), "b": np.ones(2)}
    found = first_nonfinite(lambda p, q: np.sum(p["b"] * p["w"]) + q, bad, 1.0)
    assert found.operation == "argument 0['w']"
    assert found.location == here(-2).replace("test_what_came_in_is_named", "<lambda>")
    assert found.input_ranges[1] == Range((2,), "float64", 1.0, 1.0, 1)
    assert first_nonfinite(lambda p: p["w"], bad).operation == "argument 0['w']"
    captured = np.asarray([np.inf, np.inf])
    found = first_nonfinite(lambda x: x @ captured, np.ones(2))
    assert found.operation == "captured array"
    assert np.isnan(found.input_ranges[1].minimum)
    assert found.input_ranges[1].nonfinite == 2
    assert (
        first_nonfinite(lambda x: np.asarray(np.nan), np.ones(2)).operation
        == "a value that no argument reaches"
    )
    number = first_nonfinite(lambda x: np.sum(x * float("inf")), np.ones(2))
    assert number.operation == "captured array"
    assert number.input_ranges[1].dtype == "float"


def test_operations_are_named_with_their_layer() -> None:
    p = {"x": np.full((1, 2), 1e200), "w": np.full((2, 3), 1e200)}
    f = lambda p: cross_entropy(linear(p["x"], p["w"], name="encoder.1"), np.asarray([0]))  # noqa: E731
    found = first_nonfinite(f, p)
    assert found.operation == "layers.linear 'encoder.1'"
    assert found.location == here(-3).replace("test_operations_are_named_with_their_layer", "<lambda>")
    assert [r.maximum for r in found.input_ranges[:2]] == [1e200, 1e200]


def test_a_gradient_is_followed_too() -> None:
    found = first_nonfinite(grad(lambda x: np.sum(np.sqrt(x))), np.asarray([0.0, 1.0]))
    assert found.operation == "divide"
    assert found.input_ranges[1].minimum == 0.0
    assert first_nonfinite(grad(lambda x: np.sum(softmax(x) ** 2)), np.asarray([0.0, 1.0])) is None


def test_an_error_after_it_does_not_hide_it() -> None:
    found = first_nonfinite(lambda x: np.linalg.svd(np.log(x))[1], np.zeros((2, 2)))
    assert found.operation == "log"
    with pytest.raises(ZeroDivisionError):
        first_nonfinite(lambda x: 1 / 0, np.ones(2))


def test_it_reads_what_is_half_and_complex_and_of_other_libraries() -> None:
    assert first_nonfinite(lambda x: x * x, np.full(2, 300.0, np.float16)).operation == "multiply"
    assert first_nonfinite(lambda x: np.abs(np.fft.fft(x) / (x - x)), np.ones(2)).operation == "divide"
    x = array_api_strict.asarray([0.0, 1.0])
    found = first_nonfinite(lambda x: namespace(x).log(x), x)
    assert found.operation == "log"
    assert found.input_ranges == (Range((2,), "float64", 0.0, 1.0, 0),)


def test_on_jax_the_primitive_and_the_line_are_told() -> None:
    jax = pytest.importorskip("jax")
    jnp, lines = jax.numpy, []

    @jax.jit
    def inner(x: Any) -> Any:
        lines.append(here(1))
        return jnp.exp(x * 1000.0)

    def f(p: Any) -> Any:
        y = inner(p["x"])
        return {"loss": jnp.sum(softmax(y)), "x": p["x"]}

    found = first_nonfinite(f, {"x": jnp.asarray([0.5, 1.0])})
    assert found.operation == "exp"
    assert found.location == lines[0]
    assert found.input_ranges[0].maximum == 1000.0
    safe = lambda x: jnp.sum(jnp.where(x > 0, jnp.log(x), 0.0))  # noqa: E731
    assert first_nonfinite(safe, jnp.asarray([0.0, 1.0])) is None
    followed = first_nonfinite(jax.grad(safe), jnp.asarray([0.0, 1.0]))
    assert followed.operation == "div"  # JAX's gradient there is NaN
    assert "test_reading.py" in followed.location
    assert first_nonfinite(lambda x: x, jnp.asarray([jnp.nan])).operation == "argument 0"
    by_operation = first_nonfinite(lambda x: jnp.sum(linear(x, x)), jnp.full((2, 2), 1e38, jnp.float32))
    assert by_operation.operation == "dot_general"
    assert by_operation.location == here(-2).replace(
        "test_on_jax_the_primitive_and_the_line_are_told", "<lambda>"
    )


def test_on_jax_shapes_are_told_and_costs_are_the_compilers() -> None:
    jnp = pytest.importorskip("jax").numpy
    rows = shapes_of(lambda x: jnp.tanh(x @ x.T), jnp.ones((2, 3)))
    assert rows[-1].operation == "tanh"
    assert rows[-1].outputs == ((2, 2),)
    with pytest.raises(CapabilityError, match="cost_analysis"):
        cost_of(jnp.sum, jnp.ones(2))


# ------------------------------------------------------------------------------------------------------------ shapes
def test_shapes_in_the_order_of_the_program() -> None:
    def f(x: Any, w: Any) -> Any:
        h = layer_norm(linear(x, w, name="encoder.0"))
        return np.mean(h.T[:2])

    rows = shapes_of(f, np.ones((4, 3)), np.ones((3, 5)))
    assert [(r.operation, r.layer, r.inputs, r.outputs) for r in rows] == [
        ("layers.linear", "encoder.0", ((4, 3), (3, 5)), ((4, 5),)),
        ("layers.layer_norm", "", ((4, 5),), ((4, 5),)),
        ("permute_dims", "", ((4, 5),), ((5, 4),)),
        ("gather", "", ((5, 4),), ((2, 4),)),
        ("mean", "", ((2, 4),), ((),)),
    ]
    assert rows[0].location.endswith(f"{f.__code__.co_firstlineno + 1} in f")
    assert rows[-1].location.endswith(f"{f.__code__.co_firstlineno + 2} in f")


def test_results_of_several_parts() -> None:
    [row] = shapes_of(lambda x: np.linalg.svd(x, full_matrices=False), np.ones((2, 4, 3)))
    assert row.outputs == ((2, 4, 3), (2, 3), (2, 3, 3))


# -------------------------------------------------------------------------------------------------------------- cost
N = 6
COSTS = {
    "matmul": (lambda x: x @ x, 2 * N**3, 3 * 8 * N * N),
    "matvec": (lambda x: x @ np.ones(N), 2 * N * N, 8 * (N * N + 2 * N)),
    "elementwise": (np.exp, N * N, 2 * 8 * N * N),
    "with a number": (lambda x: 2.0 * x, N * N, 2 * 8 * N * N),
    "sum": (np.sum, N * N, 8 * (N * N + 1)),
    "a view": (lambda x: x.T.reshape(-1), 0, 0),
    "a copy": (lambda x: np.concatenate([x, x]), 0, 4 * 8 * N * N),
    "solve": (lambda x: np.linalg.solve(x + 0, np.eye(N)), N * N + 2 / 3 * N**3 + 2 * N**3, 5 * 8 * N * N),
    "cholesky": (lambda x: np.linalg.cholesky(np.eye(N) + x), N * N + N**3 / 3, 5 * 8 * N * N),
    "einsum": (lambda x: np.einsum("ij,kj->ik", x, x), 2 * N**3, 3 * 8 * N * N),
    "fft": (lambda x: np.fft.fft(x, 8).real, 5 * 8 * N * 3, 8 * N * N + 16 * N * N + 16 * N * N + 16 * N * 8),
}


@pytest.mark.parametrize("what", COSTS)
def test_what_an_operation_costs(what: str) -> None:
    f, flops, moved = COSTS[what]
    x = np.random.default_rng(0).normal(size=(N, N)) * 0.01
    rows = cost_of(f, x)
    assert sum(row.flops for row in rows) == pytest.approx(flops)
    assert sum(row.bytes for row in rows) == pytest.approx(moved)


def test_operations_of_pillars_cost_what_their_record_says() -> None:
    rows = cost_of(
        lambda x, w: linear(x, w, name="a"), np.ones((4, 3), np.float32), np.ones((3, 5), np.float32)
    )
    assert [(r.operation, r.layer, r.flops, r.bytes) for r in rows] == [
        ("layers.linear", "a", 2 * 4 * 3 * 5, 4 * (12 + 15 + 20))
    ]


def test_a_gradient_costs_about_three_times_its_value() -> None:
    w, x = np.ones((40, 30)), np.ones((50, 40))
    f = lambda w, x: np.sum(np.tanh(x @ w))  # noqa: E731
    value = sum(row.flops for row in cost_of(f, w, x))
    gradient = sum(row.flops for row in cost_of(grad(f), w, x))
    assert 1.9 < gradient / value < 2.2  # the product again once: x has no gradient here
