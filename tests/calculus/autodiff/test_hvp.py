"""hvp: against dense Hessians, differences of gradients and JAX; every operation in second order; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._support import draw, float_positions, invoke, leaves, operations, refill
from pillars import ShapeError
from pillars._typing import Array
from pillars.algorithms import attention
from pillars.backends import Call, Draw, Record, backend, dtype_kind, forced_kernels, namespace, operation
from pillars.calculus import grad, hvp, jacobian
from pillars.layers import linear
from pillars.probability import cross_entropy

LABELS = np.asarray([0, 2, 1, 1, 0])


def mlp(params: Any, x: Any) -> Any:
    hidden = linear(x, params["first"], params["bias"], activation="tanh")
    return cross_entropy(hidden @ params["second"], backend(x).asarray(LABELS))


def point(rng: Any) -> Any:
    return {
        "first": rng.normal(size=(4, 6)),
        "bias": rng.normal(size=6),
        "second": rng.normal(size=(6, 3)),
    }


@pytest.mark.parametrize("library", ["numpy", "strict", "jax"])
def test_a_network_against_differences_of_gradients(library: str) -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(7)
    params, v, x = point(rng), point(rng), rng.normal(size=(5, 4))
    h = 1e-5
    ends = [grad(mlp)({k: params[k] + s * h * v[k] for k in params}, x) for s in (1.0, -1.0)]
    with jax.enable_x64(True):
        home = backend(library)
        there = [{k: home.asarray(part) for k, part in tree.items()} for tree in (params, v)]
        found = hvp(mlp, *there, home.asarray(x))
        for key, high in ends[0].items():
            wanted = (high - ends[1][key]) / (2 * h)
            assert type(found[key]) is type(there[0][key])
            np.testing.assert_allclose(home.to_numpy(found[key]), wanted, rtol=1e-8, atol=1e-9)


def test_it_is_symmetric_and_linear() -> None:
    rng = np.random.default_rng(8)
    params, u, v, x = point(rng), point(rng), point(rng), rng.normal(size=(5, 4))
    dot = lambda a, b: sum(np.sum(a[k] * b[k]) for k in a)  # noqa: E731
    assert dot(u, hvp(mlp, params, v, x)) == pytest.approx(dot(v, hvp(mlp, params, u, x)), rel=1e-12)
    both = hvp(mlp, params, {k: 2.0 * u[k] - v[k] for k in u}, x)
    hu, hv = hvp(mlp, params, u, x), hvp(mlp, params, v, x)
    for key in both:
        np.testing.assert_allclose(both[key], 2.0 * hu[key] - hv[key], rtol=1e-11, atol=1e-13)


def test_dtypes_and_numbers() -> None:
    found = hvp(
        lambda p: np.sum(p["a"] ** 3) * p["b"],
        {"a": np.ones(2, np.float32), "b": 2.0},
        {"a": np.asarray([1, 2]), "b": 3},
    )
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], [12.0 + 9.0, 24.0 + 9.0])
    assert found["b"] == 9.0
    np.testing.assert_array_equal(hvp(np.sum, np.ones(2), np.ones(2)), [0.0, 0.0])
    assert hvp(lambda x: x**3, 2.0, 1.0) == 12.0
    assert hvp(lambda p: 1.0, (), ()) == ()


def test_it_may_be_differentiated() -> None:
    z = np.asarray([1.0, 2.0])
    found = grad(lambda x: np.sum(hvp(lambda y: np.sum(y**4), x, np.ones(2))))(z)
    np.testing.assert_allclose(found, 24.0 * z)
    np.testing.assert_allclose(grad(lambda v: np.sum(hvp(lambda y: np.sum(y**4), z, v)))(z), 12.0 * z**2)


def test_on_jax_a_rule_without_forward_mode_is_no_obstacle() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(9)
    q, v = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    with jax.enable_x64(True):
        f = lambda q: namespace(q).sum(attention(q, q, q) ** 2)  # noqa: E731
        found = hvp(f, jax.numpy.asarray(q), jax.numpy.asarray(v))
        h = 1e-5
        wanted = (grad(f)(q + h * v) - grad(f)(q - h * v)) / (2 * h)
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-8)
        with pytest.raises(TypeError, match="mine"):
            hvp(_complaining, jax.numpy.asarray(q), jax.numpy.asarray(v))


def _complaining(x: Any) -> Any:
    raise TypeError("mine")


def differentiable() -> list[Record]:
    """Operations with a floating result in float64: whose bits a static narrows cannot be held against differences."""
    return [r for r in operations() if r.rules.vjp is not None and not r.name.startswith("random.")]


@pytest.mark.parametrize("forced", [False, True], ids=["auto", "forced"])
@pytest.mark.parametrize("record", differentiable(), ids=lambda record: record.name)
def test_every_hand_derived_rule_in_second_order(record: Record, forced: bool) -> None:
    seed = 1
    values = draw(record, seed)
    places = float_positions(record, values)
    if record.name == "probability.cross_entropy":  # the smoothing is drawn at an end of its range
        places = places[:1]
    rng = np.random.default_rng(seed)
    given = [np.asarray(values[place], dtype=float) for place in places]
    along = [rng.normal(size=x.shape) for x in given]

    def total(*xs: Any) -> Any:
        parts = [
            y for y in leaves(invoke(record, refill(values, places, xs))) if dtype_kind(y.dtype) == "float"
        ]
        weights = [1.0 + np.arange(y.size).reshape(y.shape) / 7.0 for y in parts]
        return sum(namespace(y).sum(y * y * w) for y, w in zip(parts, weights, strict=True))

    def run() -> tuple[Any, list[Any]]:
        h = 1e-6
        found = hvp(lambda xs: total(*xs), tuple(given), tuple(along))
        every = tuple(range(len(given)))
        ends = [
            grad(total, every)(*(x + s * h * v for x, v in zip(given, along, strict=True)))
            for s in (1.0, -1.0)
        ]
        return found, [(high - low) / (2 * h) for high, low in zip(*ends, strict=True)]

    if forced:
        with forced_kernels():
            found, wanted = run()
    else:
        found, wanted = run()
    for a, b in zip(found, wanted, strict=True):
        # eps·|g|/h of the differences, with |g| of order 100
        np.testing.assert_allclose(
            a, b, rtol=1e-6, atol=1e-7 * (1.0 + np.abs(b).max()), err_msg=f"seed {seed}"
        )


# ------------------------------------------------------------------------------------- rules that cannot be traced
def _row(draw: Draw) -> Call:
    return Call.of(draw.normal(4))


@operation(domain=_row)
def cubed(x: Array, /) -> Array:
    """x³."""
    return x**3


@cubed.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    found = namespace(x).zeros_like(x)
    found[...] = 3.0 * g * x**2  # writes where a traced array would have to stand
    return found


@operation(domain=_row)
def doubled(x: Array, /) -> Array:
    """2 x²."""
    return 2.0 * x**2


@doubled.forward
def _(x: Any, /) -> tuple[Any, Any]:
    y = namespace(x).zeros_like(x)
    y[...] = 2.0 * x**2
    return y, 4.0 * x


@doubled.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any, residuals: Any) -> Any:
    return g * residuals


@pytest.mark.parametrize(("f", "curvature"), [(cubed, 6.0), (doubled, None)])
def test_a_rule_that_cannot_be_traced_gives_way_to_its_body(f: Any, curvature: float | None) -> None:
    x = np.asarray([1.0, 2.0, -0.5, 0.25])
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x)))(x), 3 * x**2 if curvature else 4 * x)
    found = jacobian(grad(lambda x: np.sum(f(x))), x)
    np.testing.assert_allclose(found, np.diag(6.0 * x if curvature else np.full(4, 4.0)))


def test_a_vector_of_another_shape_is_refused() -> None:
    f = lambda p: np.sum(p["w"] ** 2)  # noqa: E731
    with pytest.raises(ShapeError, match="another structure"):
        hvp(f, {"w": np.ones(2)}, {"v": np.ones(2)})
    with pytest.raises(ShapeError, match=r"v\['w'\] has shape \(3,\), expected \(2,\) like x\['w'\]"):
        hvp(f, {"w": np.ones(2)}, {"w": np.ones(3)})
    with pytest.raises(ShapeError, match="expected one number"):
        hvp(lambda x: x, np.ones(2), np.ones(2))
