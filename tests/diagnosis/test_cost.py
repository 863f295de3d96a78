"""The cost of a function and the shapes on its way, operation by operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError
from pillars.calculus import grad
from pillars.diagnosis import cost, find_nonfinite, shapes
from pillars.layers import layer_norm, linear


def test_on_jax_shapes_are_told_and_costs_are_the_compilers() -> None:
    jnp = pytest.importorskip("jax").numpy
    rows = shapes(lambda x: jnp.tanh(x @ x.T), jnp.ones((2, 3)))
    assert rows[-1].operation == "tanh"
    assert rows[-1].outputs == ((2, 2),)
    with pytest.raises(CapabilityError, match="cost_analysis"):
        cost(jnp.sum, jnp.ones(2))


# ------------------------------------------------------------------------------------------------------------ shapes
def test_shapes_in_the_order_of_the_program() -> None:
    def f(x: Any, w: Any) -> Any:
        h = layer_norm(linear(x, w, name="encoder.0"))
        return np.mean(h.T[:2])

    rows = shapes(f, np.ones((4, 3)), np.ones((3, 5)))
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
    [row] = shapes(lambda x: np.linalg.svd(x, full_matrices=False), np.ones((2, 4, 3)))
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
    found = cost(f, x)
    assert found.flops == pytest.approx(flops) == pytest.approx(sum(row.flops for row in found.operations))
    assert found.bytes == pytest.approx(moved) == pytest.approx(sum(row.bytes for row in found.operations))


def test_operations_of_pillars_cost_what_their_record_says() -> None:
    f = lambda x, w: linear(x, w, name="a")  # noqa: E731
    rows = cost(f, np.ones((4, 3), np.float32), np.ones((3, 5), np.float32)).operations
    assert [(r.operation, r.layer, r.flops, r.bytes) for r in rows] == [
        ("layers.linear", "a", 2 * 4 * 3 * 5, 4 * (12 + 15 + 20))
    ]


def test_a_gradient_costs_about_three_times_its_value() -> None:
    w, x = np.ones((40, 30)), np.ones((50, 40))
    f = lambda w, x: np.sum(np.tanh(x @ w))  # noqa: E731
    # the product again once: x has no gradient here
    assert 1.9 < cost(grad(f), w, x).flops / cost(f, w, x).flops < 2.2


@pytest.mark.parametrize("read", [cost, shapes, find_nonfinite])
def test_errors_name_the_function_that_was_called(read: Any) -> None:
    for f in (lambda x: float(x[0]), np.unpackbits, lambda x: np.add(x, 1.0, out=np.ones(2))):
        with pytest.raises(CapabilityError, match=rf"^{read.__name__}: "):
            read(f, np.ones(2))


def test_costs_and_shapes_print_as_words() -> None:
    f = lambda x, w: np.tanh(linear(x, w, name="encoder.0"))  # noqa: E731
    first, *rows = str(cost(f, np.ones((8, 4)), np.ones((4, 2)))).split("\n")
    assert first == "144 flops, 704 bytes in 2 operations"
    assert rows[0].split()[:6] == ["layers.linear", "'encoder.0'", "128", "flops", "448", "bytes"]
    assert "in <lambda>" in rows[0]
    assert "layers.linear 'encoder.0'" in str(shapes(f, np.ones((8, 4)), np.ones((4, 2)))[0])
    assert "(8, 4) (4, 2) -> (8, 2)" in str(shapes(f, np.ones((8, 4)), np.ones((4, 2)))[0])
    # of many operations the dearest
    many = str(cost(lambda x: np.sum(np.sin(np.cos(np.tanh(np.exp(np.exp(x) @ x))))), np.ones((3, 3))))
    assert len(many.split("\n")) == 6
    assert "matmul" in many.split("\n")[1]
