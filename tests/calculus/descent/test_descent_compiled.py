"""Descents compiled on JAX: the same numbers, one compilation, inside other transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calculus.descent._line import X, Y, line_loss
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.calculus import (
    Descent,
    gradient_descent,
    sgd,
)
from running import compilations


# --------------------------------------------------------------------------------------------------- compiled on JAX
@pytest.fixture
def jnp() -> Any:
    return pytest.importorskip("jax.numpy")


def test_a_closure_that_changes_is_seen(jnp: Any) -> None:
    target = 1.0
    box = {"target": jnp.asarray(1.0)}
    array = np.asarray([1.0])

    class Holder:
        target = 1.0

    def by_cell(w: Any) -> Any:
        return (w - target) ** 2

    def by_dict(w: Any) -> Any:
        return (w - box["target"]) ** 2

    def by_array(w: Any) -> Any:
        return (w - array[0]) ** 2

    def by_object(w: Any, holder: Any = Holder) -> Any:
        return (w - holder.target) ** 2

    def solve(loss: Any) -> float:
        return float(gradient_descent(loss, jnp.asarray(0.0), optimizer=sgd(0.5), steps=2).params)

    assert [solve(loss) for loss in (by_cell, by_dict, by_array, by_object)] == [1.0] * 4
    target = 2.0
    box["target"] = jnp.asarray(2.0)
    array[0] = 2.0
    Holder.target = 2.0
    assert [solve(loss) for loss in (by_cell, by_dict, by_array, by_object)] == [2.0] * 4


def test_a_program_traced_again_is_traced_from_the_function_at_hand(jnp: Any) -> None:
    def make(target: float) -> tuple[Any, Any]:
        def loss(w: Any) -> Any:
            return jnp.sum((w - target) ** 2)

        def change(to: float) -> None:
            nonlocal target
            target = to

        return loss, change

    def solve(loss: Any, n: int) -> list[float]:
        return gradient_descent(loss, jnp.zeros(n), optimizer=sgd(0.5), steps=3).params.tolist()

    first, change = make(7.0)
    assert solve(first, 1) == [7.0]
    change(8.0)
    second, _ = make(7.0)  # equal to what the first one was, and of a shape not compiled yet
    assert solve(second, 2) == [7.0, 7.0]
    assert solve(first, 2) == [8.0, 8.0]


SCALE = 1.0


def scaled_loss(w: Any) -> Any:
    return (w - SCALE) ** 2


def test_a_global_that_changes_is_seen(jnp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def solve() -> float:
        return float(gradient_descent(scaled_loss, jnp.asarray(0.0), optimizer=sgd(0.5), steps=2).params)

    assert solve() == 1.0
    monkeypatch.setitem(scaled_loss.__globals__, "SCALE", 5.0)
    assert solve() == 5.0


def test_a_sweep_of_rates_and_of_data_compiles_once(jnp: Any) -> None:
    def run(rate: float, shift: float) -> None:
        x, y = jnp.asarray(X), jnp.asarray(Y + shift)
        loss = lambda w, x, y: jnp.mean((w * x - y) ** 2)  # noqa: E731 - a new function object in every call
        gradient_descent(loss, jnp.asarray(0.0), x, y, optimizer=sgd(rate), steps=11)

    run(0.01, 0.0)
    assert compilations(lambda: [run(0.001 * i, float(i)) for i in range(1, 21)]) == 0


def test_under_the_callers_vmap_and_grad(jnp: Any) -> None:
    import jax

    x, y = jnp.asarray(X), jnp.asarray(Y)

    def final(rate: Any) -> Descent:
        return gradient_descent(line_loss, jnp.asarray(0.0), x, y, optimizer=sgd(rate), steps=50)

    swept = jax.jit(jax.vmap(final))(jnp.asarray([0.001, 0.01, 0.1]))
    assert swept.status == ["steps", "steps", "diverged"]
    assert np.allclose(np.asarray(swept.params), [1.3448, 2.0036, -18231.97], rtol=1e-3)
    assert len(swept.advice) == 3
    slope = jax.grad(lambda rate: final(rate).loss)(0.001)
    step = 1e-4
    numeric = (final(0.001 + step).loss - final(0.001 - step).loss) / (2 * step)
    assert np.isclose(float(slope), float(numeric), rtol=2e-2)


def test_words_are_refused_inside_a_jit(jnp: Any) -> None:
    import jax

    def inside(w: Any) -> Any:
        found = gradient_descent(lambda w: w**2, w, steps=2)
        assert found.status_code.shape == ()
        return found.status

    with pytest.raises(CapabilityError, match="outside the compiled function"):
        jax.jit(inside)(jnp.asarray(1.0))
    with pytest.raises(CapabilityError, match="callback"):
        jax.jit(lambda w: gradient_descent(lambda w: w**2, w, callback=print).params)(jnp.asarray(1.0))


@pytest.mark.parametrize("name", ["steps", "tolerance", "clip_norm"])
def test_an_option_that_is_traced_is_refused_in_a_line(jnp: Any, name: str) -> None:
    import jax

    def descended(value: Any) -> Any:
        return gradient_descent(lambda w: w**2, jnp.asarray(1.0), **{name: value}).params

    with pytest.raises(DTypeError, match=f"gradient_descent: {name} is traced, expected a plain value"):
        jax.jit(descended)(3)
    with pytest.raises(DTypeError, match="sgd: momentum is traced, expected a plain value"):
        jax.jit(lambda m: sgd(0.1, momentum=m).init(jnp.asarray(1.0)))(0.5)


def test_steps_are_whole_on_every_library(jnp: Any) -> None:
    assert int(gradient_descent(lambda w: w**2, jnp.asarray(1.0), steps=jnp.asarray(3)).steps) == 3
    for steps in (jnp.asarray(3.7), np.float64(3.0), np.asarray(3.0), np.asarray(0.1, dtype=object), None):
        with pytest.raises(DTypeError, match=r"gradient_descent: steps is .*, expected an integer"):
            gradient_descent(lambda w: w**2, jnp.asarray(1.0), steps=steps)


def test_numbers_beyond_the_floats_and_trees_without_an_end_are_refused() -> None:
    with pytest.raises(ShapeError, match="sgd: learning_rate is inf"):
        sgd(10**400)
    with pytest.raises(DTypeError, match=r"params is 1000.*…, an integer, expected a float.*Write inf"):
        gradient_descent(lambda w: w**2, 10**400)
    cyclic: dict[str, Any] = {"w": np.ones(1)}
    cyclic["all"] = cyclic
    with pytest.raises(ShapeError, match="contains itself"):
        gradient_descent(lambda p: p["w"], cyclic)


def test_numpy_data_are_constants_in_a_trace(jnp: Any) -> None:
    import jax

    found = jax.jit(lambda w: gradient_descent(line_loss, w, X, Y, steps=50).params)(jnp.asarray(0.0))
    assert np.isclose(float(found), 2.0036, rtol=1e-4)
