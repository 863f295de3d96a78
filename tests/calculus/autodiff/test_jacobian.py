"""jacobian: structure, values against closed forms, differences and JAX, nesting, and errors that say what to do."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_strict
import numpy as np
import pytest

from pillars import BackendError, CapabilityError, DTypeError, ShapeError
from pillars.backends import backend, namespace
from pillars.calculus import grad, hvp, jacobian
from pillars.layers import linear
from pillars.probability import softmax


class Layer(NamedTuple):
    weight: Any
    bias: Any


def differences(f: Any, x: Any, h: float = 1e-5) -> Any:
    columns = []
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = h
        columns.append((f(x + step) - f(x - step)) / (2 * h))
    return np.moveaxis(np.stack(columns), 0, -1).reshape(*np.shape(f(x)), *x.shape)


def test_a_matrix_for_vectors() -> None:
    a = np.random.default_rng(1).normal(size=(4, 3))
    found = jacobian(lambda x: a @ x, np.ones(3))
    np.testing.assert_array_equal(found, a)
    assert type(found) is np.ndarray
    assert found.flags.writeable


def test_rows_are_results_and_columns_arguments() -> None:
    x = np.asarray([[0.3, -1.0, 0.5], [2.0, 0.1, 0.7]])
    f = lambda x: np.sin(x[:, :2] * x[:1, 1:]) @ np.ones((2, 4)) + np.cumsum(x)[:4]  # noqa: E731
    np.testing.assert_allclose(jacobian(f, x), differences(f, x), rtol=1e-8, atol=1e-9)
    assert jacobian(f, x).shape == (2, 4, 2, 3)


@pytest.mark.parametrize("library", ["numpy", "strict", "jax"])
def test_softmax_s_is_known(library: str) -> None:
    if library == "jax":
        pytest.importorskip("jax")
    home = backend(library)
    x = home.asarray(np.asarray([0.3, -1.2, 0.8]))
    p = home.to_numpy(softmax(x))
    found = jacobian(softmax, x)
    assert type(found) is type(x)
    assert found.dtype == x.dtype
    bound = 4 * float(np.finfo(p.dtype).eps)
    np.testing.assert_allclose(home.to_numpy(found), np.diag(p) - np.outer(p, p), atol=bound)


def test_trees_in_trees() -> None:
    rng = np.random.default_rng(2)
    params = {"layer": Layer(rng.normal(size=(3, 2)), rng.normal(size=2)), "scale": 2.0}
    data = rng.normal(size=(4, 3)).astype(np.float32)

    def f(p: Any, x: Any, *, power: int) -> Any:
        y = linear(x, p["layer"].weight, p["layer"].bias, activation="tanh")
        return {"y": y, "both": (p["scale"] ** power, 3.0)}

    found = jacobian(f, params, data, power=3)
    assert found["y"]["layer"].weight.shape == (4, 2, 3, 2)
    assert isinstance(found["y"]["layer"], Layer)
    assert found["both"][0]["scale"] == 12.0
    np.testing.assert_array_equal(found["both"][1]["layer"].bias, np.zeros(2))
    by_weight = lambda w: f({"layer": Layer(w, params["layer"].bias), "scale": 2.0}, data, power=3)["y"]  # noqa: E731
    np.testing.assert_allclose(
        found["y"]["layer"].weight, differences(by_weight, params["layer"].weight), rtol=1e-7, atol=1e-9
    )


def test_it_agrees_with_jax() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(4)
    with jax.enable_x64(True):
        params = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
        on_jax = jax.tree.map(jax.numpy.asarray, params)
        f = lambda p: {"y": namespace(p["w"]).exp(p["w"] @ p["b"]), "b": p["b"][0] * p["w"][0, :]}  # noqa: E731
        mine, theirs, jacrev = jacobian(f, params), jacobian(f, on_jax), jax.jacrev(f)(on_jax)
        for a, b, c in zip(*(jax.tree.leaves(tree) for tree in (mine, theirs, jacrev)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
            np.testing.assert_array_equal(b, c)
        compiled = jax.jit(lambda p: jacobian(f, p))(on_jax)
        np.testing.assert_allclose(compiled["y"]["b"], mine["y"]["b"], rtol=1e-14)


def test_nothing_returned_and_nothing_used() -> None:
    x = np.ones(3, np.float32)
    assert jacobian(lambda x: x[:0], x).shape == (0, 3)
    constant = jacobian(lambda x: np.ones(2), x)
    np.testing.assert_array_equal(constant, np.zeros((2, 3)))
    assert constant.dtype == np.float32
    jnp = pytest.importorskip("jax").numpy
    assert jacobian(lambda x: x[:0], jnp.ones(3)).shape == (0, 3)


@pytest.mark.parametrize("library", ["numpy", "strict"])
def test_the_hessian_by_composition(library: str) -> None:
    home = backend(library)
    rng = np.random.default_rng(5)
    data, w = rng.normal(size=(10, 3)), rng.normal(size=(3, 2))

    def loss(w: Any, x: Any) -> Any:
        xp = namespace(w, x)
        p = softmax(x @ w)
        return -xp.mean(xp.log(p[:, 0]))

    found = jacobian(grad(loss), home.asarray(w), home.asarray(data))
    plain = home.to_numpy(found)
    p, q = softmax(data @ w), np.eye(2)
    wanted = np.einsum("ni,nk,kl,nj->ikjl", data, p, q, data) - np.einsum(
        "ni,nk,nl,nj->ikjl", data, p, p, data
    )
    np.testing.assert_allclose(plain, wanted / 10, rtol=1e-12, atol=1e-14)
    v = rng.normal(size=(3, 2))
    along = hvp(loss, home.asarray(w), home.asarray(v), home.asarray(data))
    np.testing.assert_allclose(
        home.to_numpy(along), np.einsum("ikjl,jl->ik", plain, v), rtol=1e-12, atol=1e-14
    )


def test_it_may_be_differentiated() -> None:
    z = np.asarray([1.0, 2.0])
    f = lambda x: np.sum(jacobian(lambda y: y**3 * x[0], x) ** 2)  # noqa: E731
    # Σ (3 x₀ y²)² at y = x: the inner function must not take the outer x for its own
    h = 1e-6
    slope = [(f(z + h * e) - f(z - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(grad(f)(z), slope, rtol=1e-8)
    third = jacobian(lambda x: jacobian(grad(lambda y: np.sum(y**3)), x), z)
    np.testing.assert_allclose(third, 6.0 * np.eye(2)[:, :, None] * np.eye(2)[None])


def test_the_seeds_are_not_the_rows() -> None:
    found = jacobian(lambda x: x, np.ones(2))
    found[0] += 1.0
    np.testing.assert_array_equal(found, [[2.0, 1.0], [0.0, 1.0]])


def test_what_is_refused() -> None:
    x = np.ones(2)
    with pytest.raises(DTypeError, match="expected a function of x"):
        jacobian(x, x)
    with pytest.raises(DTypeError, match="a value of bool"):
        jacobian(lambda x: x > 0, x)
    with pytest.raises(DTypeError, match=r"at \['n'\] a value of int64"):
        jacobian(lambda x: {"n": np.argmax(x), "x": x}, x)
    with pytest.raises(DTypeError, match="a value of str"):
        jacobian(lambda x: "word", x)
    with pytest.raises(DTypeError, match=r"argument 0\['a'\].*floating"):
        jacobian(lambda p: p["a"], {"a": np.arange(2)})
    with pytest.raises(BackendError, match="numpy and strict"):
        jacobian(lambda x, y: x, x, array_api_strict.ones(2))
    with pytest.raises(CapabilityError, match="a float"):
        jacobian(lambda x: float(x[0]), x)
    jnp = pytest.importorskip("jax").numpy
    with pytest.raises(DTypeError, match="a value of bool"):
        jacobian(lambda x: x > 0, jnp.ones(2))
    with pytest.raises(ShapeError, match="another structure"):
        hvp(np.sum, x, [x])
