"""The linear layer of rows that a loop holds: the body's numbers and derivatives, and where it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pillars.backends import Draw, backend, explain
from pillars.calculus import adam, gradient_descent
from pillars.layers import linear

jax = pytest.importorskip("jax")
jnp = jax.numpy


def arrays(draw: Draw, n: int = 7, i: int = 4, o: int = 3) -> tuple[Any, Any, Any]:
    return tuple(jnp.asarray(x) for x in (draw.normal(n, i), draw.normal(i, o), draw.normal(o)))


def in_a_loop(f: Callable[..., Any], x: Any, *rest: Any) -> Any:
    """f(x, *rest) in the second turn of a compiled loop that holds x."""

    def whole(x: Any, *rest: Any) -> Any:
        with backend("jax").held([x]):
            return jax.lax.fori_loop(0, 2, lambda _, found: f(x, *rest), f(x, *rest))

    return jax.jit(whole)(x, *rest)


def products(jaxpr: Any) -> list[tuple[tuple[int, ...], Any]]:
    """The left operand's shape and the contracted axes of every product, in whatever it is nested."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append((equation.invars[0].aval.shape, equation.params["dimension_numbers"][0]))
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += products(inner)
    return found


@pytest.mark.parametrize("activation", [None, "tanh", "gelu"])
def test_values_and_derivatives_are_the_body_s(draw: Draw, activation: str | None) -> None:
    x, weight, bias = arrays(draw)

    def loss(weight: Any, bias: Any, x: Any) -> Any:
        return jnp.sum(jnp.sin(linear(x, weight, bias, activation=activation)))

    def second(weight: Any, bias: Any, x: Any) -> Any:
        along = jax.grad(loss)
        return jax.jvp(lambda w: along(w, bias, x), (weight,), (weight,))[1]

    # each entry is a sum over n or i of products of numbers of about 1
    eps = float(jnp.finfo(x.dtype).eps)
    for f in (loss, jax.grad(loss, (0, 1, 2)), second, jax.jacfwd(loss)):
        expected = f(weight, bias, x)
        found = in_a_loop(lambda x, w, b, f=f: f(w, b, x), x, weight, bias)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert a.dtype == b.dtype
            size = 1 + float(jnp.max(jnp.abs(b)))
            assert np.allclose(a, b, rtol=0, atol=200 * eps * size)


def test_the_weight_s_gradient_is_taken_along_the_transpose(draw: Draw) -> None:
    x, weight, _ = arrays(draw, 7, 4, 3)

    def step(weight: Any, x: Any) -> Any:
        return weight - jax.grad(lambda w: jnp.sum(linear(x, w) ** 2))(weight)

    def program(weight: Any, x: Any) -> Any:
        with backend("jax").held([x]):
            return jax.lax.fori_loop(0, 2, lambda _, w: step(w, x), weight)

    along = ((7, 3), ((0,), (1,)))  # dz by the transpose: (7, 3) and (4, 7)
    assert along in products(jax.make_jaxpr(program)(weight, x).jaxpr)
    assert along not in products(jax.make_jaxpr(step)(weight, x).jaxpr)


def test_only_what_a_loop_holds(draw: Draw) -> None:
    x, weight, _ = arrays(draw)
    seen = []

    def look(x: Any, other: Any, weight: Any) -> Any:
        with backend("jax").held({"x": x}):
            seen.append(explain(linear, x, weight).kernel)
            seen.append(explain(linear, other, weight).kernel)
            seen.append(explain(linear, 2 * x, weight).kernel)
        seen.append(explain(linear, x, weight).kernel)
        return x

    jax.jit(look)(x, x + 1, weight)
    assert seen == ["on_jax.linear:linear", "body", "body", "body"]


def test_a_descent_holds_its_data(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = arrays(draw, 40, 4, 3)
    y = jnp.asarray(draw.normal(40, 3))
    seen = []

    def loss(params: Any, x: Any, y: Any) -> Any:
        seen.append(explain(linear, x, params["weight"]).kernel)
        return jnp.mean((linear(x, params["weight"], params["bias"]) - y) ** 2)

    def plain(params: Any, x: Any, y: Any) -> Any:
        return jnp.mean((x @ params["weight"] + params["bias"] - y) ** 2)

    start = {"weight": weight, "bias": bias}
    found = gradient_descent(loss, start, x, y, optimizer=adam(0.01), steps=20)
    assert "on_jax.linear:linear" in seen
    expected = gradient_descent(plain, start, x, y, optimizer=adam(0.01), steps=20)
    eps = float(jnp.finfo(x.dtype).eps)
    # twenty steps of 0.01 each, whose directions rounding turns by some eps of their size or, near 0, by more
    assert np.allclose(found.history.loss, expected.history.loss, rtol=1e4 * eps)
    seen.clear()
    gradient_descent(loss, start, x, y, optimizer=adam(0.01), steps=20, batch_size=8, rng=0)
    assert set(seen) == {"body"}
