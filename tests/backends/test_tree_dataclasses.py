"""Dataclasses as trees: their fields, what stays with them, the same type back, on JAX registered or not."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import pillars
from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import (
    Draw,
    backend,
    namespace,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)
from pillars.calculus import (
    adam,
    check_gradient,
    clip_by_global_norm,
    grad,
    gradient_descent,
    hvp,
    sgd,
    value_and_grad,
    vjp,
)
from running import compilations, eps


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    weight: Any
    bias: Any
    name: str = "inner"
    width: int = 3
    shape: tuple[int, ...] = (2, 3)


@dataclasses.dataclass
class Net:
    layer: Layer
    out: Any
    absent: Any = None
    act: Any = np.tanh
    rate: float = dataclasses.field(default=0.5, metadata={"static": True})
    hidden: Any = dataclasses.field(default=2.0, metadata={"pytree_node": False})


@dataclasses.dataclass
class Line:
    slope: Any
    offset: float = 0
    width: int = 3
    rate: float = dataclasses.field(default=1, metadata={"static": True})


@dataclasses.dataclass
class Derived:
    """What is computed when it is made is a field as well; what is no field is not part of a tree."""

    w: Any
    size: int = dataclasses.field(init=False)
    later: Any = dataclasses.field(init=False)
    made: dataclasses.InitVar[int] = 0

    def __post_init__(self, made: int) -> None:
        self.size = len(self.w)
        if not isinstance(self.w, (np.ndarray, list)):
            raise TypeError(self.w)

    @functools.cached_property
    def total(self) -> Any:
        return np.sum(self.w)


def net(put: Any, draw: Draw) -> Net:
    return Net(Layer(put(draw.normal(2, 3)), put(np.zeros(3)), name="first"), put(draw.normal(3)))


def loss(p: Net, x: Any, y: Any) -> Any:
    assert (p.layer.name, p.layer.width, p.layer.shape, p.absent, p.act) == (
        "first",
        3,
        (2, 3),
        None,
        np.tanh,
    )
    assert (p.rate, p.hidden) == (0.5, 2.0)
    xp = namespace(p.out)
    return xp.mean((xp.matmul(xp.tanh(xp.matmul(x, p.layer.weight) + p.layer.bias), p.out) - y) ** 2)


def same_kind(tree: Any) -> bool:
    return type(tree) is Net and type(tree.layer) is Layer and (tree.layer.name, tree.rate) == ("first", 0.5)


def test_its_fields_are_its_children_and_the_rest_stays() -> None:
    tree = net(np.asarray, Draw(0))
    assert tree_paths(tree) == [".layer.weight", ".layer.bias", ".out"]
    leaves, treedef = tree_flatten(tree)
    assert all(a is b for a, b in zip(leaves, (tree.layer.weight, tree.layer.bias, tree.out), strict=True))
    again = tree_unflatten(treedef, leaves)
    assert same_kind(again)
    assert again.layer.weight is tree.layer.weight
    assert (again.act, again.hidden, again.absent) == (np.tanh, 2.0, None)
    assert hash(treedef) == hash(tree_flatten(again)[1])
    assert treedef == tree_flatten(again)[1]


def test_what_stays_makes_trees_differ() -> None:
    one, other = net(np.asarray, Draw(0)), net(np.asarray, Draw(0))
    other = dataclasses.replace(other, layer=dataclasses.replace(other.layer, name="second"))
    with pytest.raises(
        ShapeError, match=r"got Net\(layer=Layer\(weight=\*, bias=\*, name='second'.*name='first'"
    ):
        tree_map(lambda a, b: a, one, other)
    with pytest.raises(ShapeError, match="structure is not that of the parameters"):
        adam(0.1).update(other, adam(0.1).init(one), one)


def test_what_stays_may_neither_hash_nor_compare() -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError

    tree = Net(Layer(1.0, 2.0), 3.0, act=Odd(), hidden=[1, {"a": {2}}])
    treedef = tree_flatten(tree)[1]
    assert hash(treedef) == hash(tree_flatten(tree)[1])
    assert treedef == tree_flatten(dataclasses.replace(tree, hidden=[1, {"a": {2}}]))[1]
    assert treedef != tree_flatten(dataclasses.replace(tree, act=Odd()))[1]
    assert treedef != tree_flatten(dataclasses.replace(tree, hidden=[2]))[1]


def test_it_is_rebuilt_without_its_init() -> None:
    tree = Derived(np.ones(3))
    assert tree.total == 3
    doubled = tree_map(lambda w: 2 * w, tree)
    assert (doubled.size, hasattr(doubled, "later"), doubled.total) == (3, False, 6)
    slopes = grad(lambda p: np.sum(p.w**2) * p.size)(tree)
    assert np.array_equal(slopes.w, 6 * np.ones(3))


def test_an_integer_array_is_a_leaf_and_an_empty_field_is_none() -> None:
    assert len(tree_leaves(Layer(np.asarray([1, 2]), []))) == 1
    with pytest.raises(DTypeError, match=r"params\.weight has dtype int64"):
        gradient_descent(lambda p: p.bias, Layer(np.asarray([1, 2]), np.asarray(0.0)))


def data(put: Any, draw: Draw) -> tuple[Any, Any]:
    return put(draw.normal(10, 2)), put(draw.normal(10))


def test_derivatives_are_of_its_type(variant: Variant, draw: Draw) -> None:
    put = lambda a: variant.asarray(a, variant.default_float)  # noqa: E731
    p, (x, y) = net(put, draw), data(put, draw)
    as_dict = {"weight": p.layer.weight, "bias": p.layer.bias, "out": p.out}
    by_dict = variant.compiled(
        grad(lambda d, x, y: loss(Net(Layer(d["weight"], d["bias"], name="first"), d["out"]), x, y))
    )(as_dict, x, y)
    both = variant.compiled(value_and_grad(loss))
    value, slopes = both(p, x, y)
    assert same_kind(slopes)
    assert value.shape == ()
    for mine, theirs in zip(
        (slopes.layer.weight, slopes.layer.bias, slopes.out),
        (by_dict["weight"], by_dict["bias"], by_dict["out"]),
        strict=True,
    ):
        assert mine.dtype == theirs.dtype
        assert np.allclose(variant.to_numpy(mine), variant.to_numpy(theirs), rtol=8 * eps(variant))
    first, second = variant.compiled(grad(lambda p, q: loss(p, x, y) + loss(q, x, y), argnums=(0, 1)))(p, p)
    assert same_kind(first)
    assert same_kind(second)
    back = vjp(loss, p, x, y)[1](put(np.asarray(1.0)))
    assert same_kind(back[0])
    assert back[1].shape == x.shape
    out, pull = vjp(lambda p: tree_map(lambda leaf: 3 * leaf, p), p)
    assert same_kind(out)
    assert np.allclose(variant.to_numpy(pull(out)[0].out), 9 * variant.to_numpy(p.out), rtol=8 * eps(variant))
    assert same_kind(variant.compiled(lambda p: hvp(lambda q: loss(q, x, y), p, p))(p))
    assert same_kind(variant.compiled(lambda g: clip_by_global_norm(g, 0.1).grads)(slopes))


def test_a_descent_takes_it_and_gives_it_back(variant: Variant, draw: Draw) -> None:
    put = lambda a: variant.asarray(a, variant.default_float)  # noqa: E731
    p, (x, y) = net(put, draw), data(put, draw)
    optimizer = adam(0.02)
    run = variant.compiled(lambda p, x, y: gradient_descent(loss, p, x, y, optimizer=optimizer, steps=20))
    found = run(p, x, y)
    assert same_kind(found.params)
    assert same_kind(p)
    state, q = optimizer.init(p), p
    assert same_kind(state.first_moment)
    for _ in range(20):
        step = variant.compiled(optimizer.update)(grad(loss)(q, x, y), state, q)
        q, state = step.params, step.state
    assert same_kind(q)
    assert same_kind(state.second_moment)
    for a, b in zip(
        tree_leaves(variant.to_numpy(found.params)), tree_leaves(variant.to_numpy(q)), strict=True
    ):
        assert np.allclose(a, b, rtol=1e3 * eps(variant), atol=1e3 * eps(variant))


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
def test_batches_callbacks_and_checkpoints_take_it(name: str, tmp_path: Any) -> None:
    put = lambda a: backend(name).asarray(np.asarray(a, np.float32))  # noqa: E731
    p, rows = net(put, Draw(3)), data(put, Draw(4))
    seen: list[Any] = []
    options: dict[str, Any] = {"batch_size": 4, "every": 5, "optimizer": sgd(0.05, momentum=0.9)}
    whole = gradient_descent(loss, p, *rows, steps=20, callback=lambda _, m: seen.append(m.params), **options)
    assert len(seen) == 4
    assert all(map(same_kind, seen))
    for steps in (10, 20):
        found = gradient_descent(loss, p, *rows, steps=steps, checkpoint=tmp_path / "run", **options)
    assert same_kind(found.params)
    for a, b in zip(tree_leaves(found), tree_leaves(whole), strict=True):
        assert np.array_equal(backend(name).to_numpy(a), backend(name).to_numpy(b), equal_nan=True)


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_the_checker_names_its_fields(name: str) -> None:
    with backend(name).double():
        put = lambda a: backend(name).asarray(np.asarray(a, np.float64))  # noqa: E731
        p, (x, y) = net(put, Draw(5)), data(put, Draw(6))
        assert check_gradient(loss, p, x, y).ok
        wrong = check_gradient(
            loss, p, x, y, gradient=lambda p, x, y: tree_map(lambda g: 1.1 * g, grad(loss)(p, x, y))
        )
        assert not wrong.ok


def test_move_takes_it_apart() -> None:
    jnp = pytest.importorskip("jax.numpy")
    moved = pillars.move(net(lambda a: jnp.asarray(a, jnp.float32), Draw(7)), "numpy")
    assert same_kind(moved)
    assert type(moved.layer.weight) is np.ndarray


@pytest.mark.parametrize("annotation", [float, "float"])
def test_an_integer_where_a_float_is_announced_is_refused(annotation: Any) -> None:
    kind = dataclasses.make_dataclass("Line", [("slope", Any), ("offset", annotation, 0)])
    for p in (Line(np.ones(2)), kind(np.ones(2))):
        with pytest.raises(
            DTypeError, match=r"params\.offset is 0, an integer, expected a float .*Write 0\.0\."
        ):
            gradient_descent(lambda q: np.sum(q.slope**2) + q.offset**2, p, steps=1)
        with pytest.raises(DTypeError, match=r"offset is 0 \(int\), expected a floating array or a float"):
            grad(lambda q: np.sum(q.slope**2) + q.offset**2)(p)
    moved = gradient_descent(
        lambda q: np.sum(q.slope**2) + (q.offset - 1) ** 2, Line(np.ones(2), 0.0), steps=1
    )
    assert moved.params.offset == pytest.approx(0.02)
    assert (moved.params.width, moved.params.rate) == (3, 1)


# ------------------------------------------------------------------------------------------------------------ with JAX
def test_as_registered_with_jax_it_is_what_jax_has_of_it() -> None:
    jax = pytest.importorskip("jax")

    @functools.partial(jax.tree_util.register_dataclass, data_fields=["w", "scale"], meta_fields=["name"])
    @dataclasses.dataclass
    class Registered:
        w: Any
        scale: Any
        name: str = "registered"

    tree = {"p": Registered(jax.numpy.ones(2), 3.0)}
    assert len(tree_leaves(tree)) == len(jax.tree_util.tree_leaves(tree)) == 2
    slopes = grad(lambda t: jax.numpy.sum(t["p"].w ** 2) * t["p"].scale)(tree)
    assert type(slopes["p"]) is Registered
    assert slopes["p"].name == "registered"
    found = gradient_descent(lambda t: jax.numpy.sum(t["p"].w ** 2) + t["p"].scale ** 2, tree, steps=5)
    assert type(found.params["p"]) is Registered
    # the caller's own jit takes it, as it knows it
    inside = jax.jit(lambda t: gradient_descent(lambda t: jax.numpy.sum(t["p"].w ** 2), t, steps=5).params)(
        tree
    )
    assert type(inside["p"]) is Registered


def test_one_that_jax_does_not_know_goes_through_every_transform() -> None:
    jax = pytest.importorskip("jax")
    home, jnp = backend("jax"), jax.numpy
    p = Layer(jnp.ones((4, 2)), jnp.zeros(4), name="first")
    total = lambda q: jnp.sum(q.weight**2) + jnp.sum(q.bias)  # noqa: E731
    assert (
        home.jit(lambda q, *, by: tree_map(lambda x: by.bias + x, q))(p, by=Layer(1.0, 2.0)).name == "first"
    )
    assert home.grad(total)(p).name == "first"
    assert home.grad(lambda a, b: total(a) + total(b), (0, 1))(p, p)[1].name == "first"
    mapped = home.vmap(lambda q: tree_map(jnp.sum, q))(p)
    assert mapped.name == "first"
    assert mapped.weight.tolist() == [2.0] * 4
    carry, out = home.scan(lambda q, x: (tree_map(lambda y: y + x, q), q), p, jnp.arange(3.0))
    assert (carry.name, out.weight.shape) == ("first", (3, 4, 2))
    _, rows = home.scan(lambda c, q: (c, jnp.sum(q.weight)), 0.0, p)
    assert rows.tolist() == [2.0] * 4
    grown = home.while_loop(lambda q: jnp.sum(q.bias) < 10, lambda q: tree_map(lambda y: y + 1, q), p)
    assert (grown.name, grown.bias.tolist()) == ("first", [3.0] * 4)
    assert home.cond(True, lambda q: q, lambda q: tree_map(jnp.zeros_like, q), p).name == "first"
    assert home.synchronize(p).name == "first"
    assert home.memory(home.jit(total), p) == home.memory(total, p)
    with pytest.raises(TypeError):
        jax.jit(total)(p)  # it is still not JAX's: nothing was registered behind the caller's back


def test_equal_ones_compile_once_on_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")

    def square(q: Layer) -> Any:
        return jnp.sum(q.weight**2) + q.bias**2

    def run(size: float) -> None:
        gradient_descent(square, Layer(size * jnp.ones(2), jnp.asarray(1.0)), steps=7)

    run(1.0)
    assert compilations(lambda: run(2.0)) == 0
