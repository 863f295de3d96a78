"""find_nonfinite: the operation, the user's line and the ranges, forward and in gradients, on every backend."""

from __future__ import annotations

import inspect
from typing import Any

import array_api_strict
import numpy as np
import pytest

from pillars import CapabilityError
from pillars.backends import namespace
from pillars.calculus import grad, hvp
from pillars.diagnosis import Range, find_nonfinite
from pillars.layers import linear
from pillars.probability import cross_entropy, softmax


def here(offset: int = 0) -> str:
    """The caller's line, as readings tell it."""
    frame = inspect.currentframe().f_back
    return f"{__file__}:{frame.f_lineno + offset} in {frame.f_code.co_name}"


def test_the_operation_its_line_and_its_inputs_are_told() -> None:
    lines = []

    def f(x: Any) -> Any:
        y = np.tanh(x) * 1000.0
        lines.append(here(1))
        z = np.exp(y)
        return np.sum(z - z)  # infinity less infinity: NaN, which inherits

    x = np.asarray([[0.1, 1.0], [2.0, -1.0]])
    found = find_nonfinite(f, x)
    assert found.operation == "exp"
    assert found.location == lines[0]
    y = np.tanh(x) * 1000.0
    assert found.input_ranges == (Range((2, 2), "float64", y.min(), y.max(), 0),)


def test_nothing_is_told_of_what_is_finite() -> None:
    assert find_nonfinite(np.sum, np.ones(3)) is None
    with np.errstate(all="raise"):  # what the reading looks for raises no warnings on the way
        assert (
            find_nonfinite(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0)), np.asarray([0.0, 1.0])) is None
        )
        assert find_nonfinite(lambda x: 1.0 / (1.0 + np.exp(x)), np.asarray(1e4)) is None


def test_an_infinity_that_disappears_again_is_not_counted() -> None:
    x = np.asarray([0.0, 2.0])
    assert find_nonfinite(lambda x: np.sum(1.0 / (1.0 / x)), x) is None
    # what is not finite later was made of the finite numbers that came of it
    assert find_nonfinite(lambda x: np.sum(np.log(1.0 / (1.0 / x))), x).operation == "log"


def test_a_value_that_where_leaves_out_is_no_culprit() -> None:
    found = find_nonfinite(
        lambda x: np.sum(np.where(x > 0, np.log(x), 1.0 / (x - 3.0))), np.asarray([-1.0, 0.0])
    )
    assert found is None
    found = find_nonfinite(lambda x: np.sum(np.where(x > 0, np.log(x), 1.0 / x)), np.asarray([2.0, 0.0]))
    assert found.operation == "divide"
    found = find_nonfinite(lambda x: np.sum(np.where(x >= 0, np.log(x), 1.0 / x)), np.asarray([2.0, 0.0]))
    assert found.operation == "log"


def test_two_culprits_are_told_apart_by_the_result() -> None:
    def f(x: Any) -> Any:
        first, second = np.log(x - x), 1.0 / (x - x)
        return {"a": second, "b": first}

    assert find_nonfinite(f, np.ones(2)).operation == "divide"
    assert find_nonfinite(lambda x: f(x)["b"], np.ones(2)).operation == "log"


def test_what_came_in_is_named() -> None:
    bad = {"w": np.asarray([1.0, np.nan]), "b": np.ones(2)}
    found = find_nonfinite(lambda p, q: np.sum(p["b"] * p["w"]) + q, bad, 1.0)
    assert found.operation == "argument 0['w']"
    assert found.location == here(-2).replace("test_what_came_in_is_named", "<lambda>")
    assert found.input_ranges[1] == Range((2,), "float64", 1.0, 1.0, 1)
    assert find_nonfinite(lambda p: p["w"], bad).operation == "argument 0['w']"
    captured = np.asarray([np.inf, np.inf])
    found = find_nonfinite(lambda x: x @ captured, np.ones(2))
    assert found.operation == "captured array"
    assert np.isnan(found.input_ranges[1].minimum)
    assert found.input_ranges[1].nonfinite == 2
    assert (
        find_nonfinite(lambda x: np.asarray(np.nan), np.ones(2)).operation
        == "a value that no argument reaches"
    )
    number = find_nonfinite(lambda x: np.sum(x * float("inf")), np.ones(2))
    assert number.operation == "captured array"
    assert number.input_ranges[1].dtype == "float"


def test_operations_are_named_with_their_layer() -> None:
    p = {"x": np.full((1, 2), 1e200), "w": np.full((2, 3), 1e200)}
    f = lambda p: cross_entropy(linear(p["x"], p["w"], name="encoder.1"), np.asarray([0]))  # noqa: E731
    found = find_nonfinite(f, p)
    assert found.operation == "layers.linear 'encoder.1'"
    assert found.location == here(-3).replace("test_operations_are_named_with_their_layer", "<lambda>")
    assert [r.maximum for r in found.input_ranges[:2]] == [1e200, 1e200]


def test_a_gradient_is_followed_too() -> None:
    found = find_nonfinite(grad(lambda x: np.sum(np.sqrt(x))), np.asarray([0.0, 1.0]))
    assert found.operation == "divide in the gradient of sqrt"
    assert found.input_ranges[1].minimum == 0.0
    assert find_nonfinite(grad(lambda x: np.sum(softmax(x) ** 2)), np.asarray([0.0, 1.0])) is None


def test_an_error_after_it_does_not_hide_it() -> None:
    found = find_nonfinite(lambda x: np.linalg.svd(np.log(x))[1], np.zeros((2, 2)))
    assert found.operation == "log"
    with pytest.raises(ZeroDivisionError):
        find_nonfinite(lambda x: 1 / 0, np.ones(2))


def test_it_reads_what_is_half_and_complex_and_of_other_libraries() -> None:
    assert find_nonfinite(lambda x: x * x, np.full(2, 300.0, np.float16)).operation == "multiply"
    assert find_nonfinite(lambda x: np.abs(np.fft.fft(x) / (x - x)), np.ones(2)).operation == "divide"
    x = array_api_strict.asarray([0.0, 1.0])
    found = find_nonfinite(lambda x: namespace(x).log(x), x)
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

    found = find_nonfinite(f, {"x": jnp.asarray([0.5, 1.0])})
    assert found.operation == "exp"
    assert found.location == lines[0]
    assert found.input_ranges[0].maximum == 1000.0
    safe = lambda x: jnp.sum(jnp.where(x > 0, jnp.log(x), 0.0))  # noqa: E731
    assert find_nonfinite(safe, jnp.asarray([0.0, 1.0])) is None
    followed = find_nonfinite(jax.grad(safe), jnp.asarray([0.0, 1.0]))
    assert followed.operation == "div"  # JAX's gradient there is NaN
    assert "test_nonfinite.py" in followed.location
    assert find_nonfinite(lambda x: x, jnp.asarray([jnp.nan])).operation == "argument 0"
    by_operation = find_nonfinite(lambda x: jnp.sum(linear(x, x)), jnp.full((2, 2), 1e38, jnp.float32))
    assert by_operation.operation == "dot_general"
    assert by_operation.location == here(-2).replace(
        "test_on_jax_the_primitive_and_the_line_are_told", "<lambda>"
    )


@pytest.mark.parametrize(
    ("f", "operation"),
    [
        (lambda jnp, x: jnp.sum(1 / (1 / x)), None),
        (lambda jnp, x: jnp.log(x - 1.0), "log"),
        (lambda jnp, x: x * float("inf"), "captured array"),
        (lambda jnp, x: x * 1j * float("inf"), "captured array"),
        (lambda jnp, x: x + jnp.asarray(np.asarray([np.inf, 1.0])), "captured array"),
        (lambda jnp, x: jnp.where(x > 0, jnp.inf, x), "captured array"),
        (lambda jnp, x: (x, jnp.inf), "a value that no argument reaches"),
        (lambda jnp, x: (x, np.asarray([np.inf])), "a value that no argument reaches"),
    ],
)
def test_on_jax_the_literals_of_a_program_are_arrays_too(f: Any, operation: str | None) -> None:
    jnp = pytest.importorskip("jax").numpy
    found = find_nonfinite(lambda x: f(jnp, x), jnp.asarray(1.0))
    assert operation == (found and found.operation)
    # in a gradient, whose constants are of JAX's own types too
    slope = find_nonfinite(grad(lambda x: jnp.sum(1 / (1 / x))), jnp.asarray(0.0))
    assert "test_nonfinite.py" in slope.location
    # an argument of NumPy's is still the argument
    assert (
        find_nonfinite(lambda x, y: x * y, jnp.ones(2), np.asarray([np.inf, 1.0])).operation == "argument 1"
    )


# -------------------------------------------------------------------------------------------------------- in gradients
def singular(a: Any) -> Any:
    logdet = namespace(a).linalg.slogdet(a)[1]
    return logdet * 2.0


@pytest.mark.parametrize("library", [np, array_api_strict])
def test_what_a_rule_itself_says_has_no_derivative_is_the_functions(library: Any) -> None:
    found = find_nonfinite(grad(singular), library.asarray([[1.0, 1.0], [1.0, 1.0]]))
    assert "slogdet" in found.operation
    assert found.location == f"{__file__}:{singular.__code__.co_firstlineno + 1} in singular"
    assert found.input_ranges[0][2:] == (1.0, 1.0, 0)


def test_the_line_of_a_gradient_is_that_of_the_function_whose_it_is() -> None:
    def f(x: Any) -> Any:
        y = np.tanh(x)
        z = np.sqrt(y)
        return np.sum(z)

    line = f"{__file__}:{f.__code__.co_firstlineno + 2} in f"
    found = find_nonfinite(grad(f), np.asarray([0.0, 1.0]))
    assert (found.operation, found.location) == ("divide in the gradient of sqrt", line)
    # and at any depth
    power = lambda x: np.sum(x**1.5)  # noqa: E731
    for twice in (grad(lambda x: np.sum(grad(power)(x))), lambda x: hvp(power, x, x + 1.0)):
        found = find_nonfinite(twice, np.zeros(2))
        assert found.operation.endswith("in the gradient of pow")
        assert found.location.endswith("in <lambda>")


def test_the_spread_of_one_entry() -> None:
    assert find_nonfinite(grad(np.std), np.ones(1)) is None
    found = find_nonfinite(grad(lambda x: np.sqrt(np.var(x))), np.ones(1))
    assert found.operation == "divide in the gradient of sqrt"
    assert found.location == here(-2).replace("test_the_spread_of_one_entry", "<lambda>")


def test_numbers_that_do_not_reach_the_result_are_no_culprits() -> None:
    """A NaN on the way is not what is asked for, as where a mask leaves it out of a gradient."""

    def f(x: Any) -> Any:
        unused = np.log(x - x)
        return np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)) + 0.0 * np.sum(np.where(x > 9, unused, 0.0))

    assert find_nonfinite(grad(f), np.asarray([0.0, 1.0])) is None


def test_on_jax_compiled_functions_and_their_gradients_are_entered() -> None:
    """Forward, nested, and backward through jit: the line is inside, not that of the call."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.jit
    def inner(x: Any) -> Any:
        return jnp.log(-jnp.square(x))

    @jax.jit
    def outer(x: Any) -> Any:
        return inner(x - 2.0)

    line = f"{inner.__wrapped__.__code__.co_firstlineno + 2} in inner"
    x = jnp.asarray([2.0, 0.0])
    for f in (inner, outer, lambda x: jax.vjp(outer, x)[1](x)[0], jax.jit(outer)):
        found = find_nonfinite(f, x)
        assert found.operation in ("log", "div")
        assert found.location.endswith(line), found


def test_refusals() -> None:
    with pytest.raises(TypeError, match="find_nonfinite: f is"):
        find_nonfinite(np.ones(2))
    jax = pytest.importorskip("jax")
    with pytest.raises(CapabilityError, match="find_nonfinite: got arrays inside"):
        jax.jit(lambda x: find_nonfinite(jax.numpy.log, x) or x)(jax.numpy.ones(2))


@pytest.mark.parametrize(("f", "operation"), [(lambda x: 1.0 / x, "divide"), (np.log, "log")])
def test_arrays_of_integers_are_followed_too(f: Any, operation: str) -> None:
    with np.errstate(all="ignore"):
        found = find_nonfinite(f, np.asarray([0, 1]))
    assert found is not None
    assert found.operation == operation
    assert found.input_ranges[-1].minimum == 0.0


def test_an_origin_prints_as_words() -> None:
    found = find_nonfinite(np.log, np.asarray([0.0, 2.0]))
    assert str(found) == f"log, at {found.location}\n  float64 (2,): 0 to 2"
    assert str(Range((3,), "float32", 1.0, 2.0, 1)) == "float32 (3,): 1 to 2, 1 not finite"
    nothing = Range((), "float64", float("nan"), float("nan"), 1)
    assert str(nothing) == "float64 (): no finite number, 1 not finite"
