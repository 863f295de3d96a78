"""adam and adamw with amsgrad, and with a first moment of another dtype: parity, state, resumption, refusals."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant, variant as named
from pillars import DTypeError
from pillars.backends import Draw, namespace, tree_leaves, tree_map
from pillars.calculus import AdamState, adam, adamw, gradient_descent, preflight, stable_learning_rate
from running import eps

STEPS = 100
ROWS = pytest.mark.parametrize(
    ("make", "options"),
    [
        (adam, {}),
        (adam, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3}),
        (adam, {"beta1": 0.0, "beta2": 0.5}),
        (adamw, {"weight_decay": 0.3, "beta2": 0.8}),
    ],
    ids=["adam", "short adam", "adam without momentum", "adamw"],
)


def problem(seed: int) -> tuple[Any, Any]:
    """Parameters, and a gradient that is large at times: then the largest second moment is not the last."""
    random = np.random.default_rng(seed)
    params = {"a": random.standard_normal((3, 2)), "b": random.standard_normal(4)}
    scale = {"a": random.uniform(0.1, 3.0, (3, 2)), "b": random.uniform(0.1, 3.0, 4)}
    return params, lambda p: {key: scale[key] * p[key] + np.sin(9 * p[key]) ** 3 for key in p}


def by_hand(p: Any, gradient: Any, rate: float, options: dict[str, float]) -> Any:
    beta1, beta2 = options.get("beta1", 0.9), options.get("beta2", 0.999)
    m, v, most = ({key: np.zeros_like(p[key]) for key in p} for _ in range(3))
    for t in range(1, STEPS + 1):
        g, new = gradient(p), {}
        for key in p:
            m[key] = beta1 * m[key] + (1 - beta1) * g[key]
            v[key] = beta2 * v[key] + (1 - beta2) * g[key] ** 2
            most[key] = np.maximum(most[key], v[key])
            step = (
                m[key] / (1 - beta1**t) / (np.sqrt(most[key] / (1 - beta2**t)) + options.get("epsilon", 1e-8))
            )
            new[key] = p[key] * (1 - rate * options.get("weight_decay", 0.0)) - rate * step
        p = new
    return p


def close(a: Any, b: Any, unit: float = 1e-12) -> None:
    for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True):
        assert np.allclose(x, y, rtol=unit, atol=unit * np.max(np.abs(y)))


@ROWS
def test_it_is_the_loop_written_out_and_torch(make: Any, options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    params, gradient = problem(1)
    optimizer = make(0.05, amsgrad=True, **options)
    expected, p, state = by_hand(params, gradient, 0.05, options), params, optimizer.init(params)
    leaves = {key: torch.tensor(x, requires_grad=True) for key, x in params.items()}
    kind = torch.optim.AdamW if make is adamw else torch.optim.Adam
    betas = options.get("beta1", 0.9), options.get("beta2", 0.999)
    more = {"weight_decay": options["weight_decay"]} if make is adamw else {}
    theirs = kind(
        list(leaves.values()), lr=0.05, betas=betas, eps=options.get("epsilon", 1e-8), amsgrad=True, **more
    )
    for _ in range(STEPS):
        step = optimizer.update(gradient(p), state, p)
        p, state = step.params, step.state
        for key, g in gradient({key: leaf.detach().numpy() for key, leaf in leaves.items()}).items():
            leaves[key].grad = torch.tensor(g)
        theirs.step()
    close(p, expected)
    close(p, {key: leaf.detach().numpy() for key, leaf in leaves.items()})
    # the loop's own arithmetic, in place
    found = gradient_descent(
        lambda p: p["a"][0, 0], params, optimizer=optimizer, gradient=gradient, steps=STEPS
    )
    close(found.params, expected)
    plain = gradient_descent(
        lambda p: p["a"][0, 0], params, optimizer=make(0.05, **options), gradient=gradient, steps=STEPS
    )
    assert np.max(np.abs(plain.params["b"] - found.params["b"])) > 1e-6


@ROWS
def test_descents_on_every_backend_are_the_loop(
    variant: Variant, make: Any, options: dict[str, float]
) -> None:
    params, _ = problem(2)
    put = lambda tree: tree_map(lambda x: variant.asarray(x, variant.default_float), tree)  # noqa: E731

    def gradient(p: Any) -> Any:
        sin = np.sin if isinstance(p["b"], np.ndarray) else variant.xp.sin
        return {key: (0.5 + key.count("a")) * p[key] + sin(3 * p[key]) ** 3 for key in p}

    optimizer = make(0.02, amsgrad=True, **options)
    run = variant.compiled(
        lambda p: gradient_descent(
            lambda p: p["a"][0, 0], p, optimizer=optimizer, gradient=gradient, steps=STEPS
        )
    )
    expected = by_hand(params, gradient, 0.02, options)
    close(variant.to_numpy(run(put(params)).params), expected, 1e-12 if variant.wide else 1e5 * eps(variant))


def test_it_is_optax_s_where_that_corrects_no_bias() -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    host, gradient = problem(3)
    params = tree_map(jnp.asarray, host)
    wide = params["b"].dtype == jnp.float64
    # optax's rate times the root of the correction that it leaves out
    optimizer = adam(lambda t: 0.01 / (1 - 0.9 ** (t + 1.0)) ** 0.5, beta2=0.9, epsilon=0.0, amsgrad=True)
    theirs = optax.scale_by_amsgrad(b2=0.9, eps=0.0, bias_correction_nu=False)
    state, own, mine = theirs.init(params), optimizer.init(params), params
    for _ in range(STEPS if wide else 3):
        g = tree_map(jnp.asarray, gradient(tree_map(np.asarray, params)))
        step = optimizer.update(g, own, mine)
        mine, own = step.params, step.state
        moved, state = theirs.update(g, state)
        params = tree_map(lambda p, d: p - 0.01 * d, params, moved)
        close(mine, params, 1e-12 if wide else 1e-5)


def test_the_largest_moment_is_in_the_state_and_only_where_asked_for() -> None:
    params = np.asarray([1.0, 2.0])
    plain = adam(0.1).init(params)
    assert plain.largest_second_moment is None
    assert len(tree_leaves(plain)) == 4
    assert AdamState(plain.step, plain.learning_rate, plain.first_moment, plain.second_moment) == plain
    optimizer = adam(0.1, beta2=0.5, amsgrad=True)
    step = optimizer.update(np.asarray([4.0, 0.1]), optimizer.init(params), params)
    step = optimizer.update(np.asarray([0.0, 0.2]), step.state, step.params)
    assert np.allclose(step.state.second_moment, [4.0, 0.0225])
    assert np.allclose(step.state.largest_second_moment, [8.0, 0.0225])


def test_the_advisers_see_the_largest_moment() -> None:
    loss = lambda p: 0.5 * np.sum(np.asarray([4.0, 1.0]) * p * p)  # noqa: E731
    start = np.asarray([3.0, -2.0])
    plain = stable_learning_rate(loss, start, optimizer=adam(1e-3))
    assert math.isclose(
        stable_learning_rate(loss, start, optimizer=adam(1e-3, amsgrad=True)).limit, plain.limit, rel_tol=1e-6
    )
    # gradients shrink along the way: then the plain second moment shrinks with them, the largest does not
    kept, gone = (preflight(loss, start, optimizer=adam(0.05, beta2=0.5, amsgrad=on)) for on in (True, False))
    assert kept.limit == gone.limit
    assert kept.advice


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
@pytest.mark.parametrize(
    "optimizer",
    [
        adam(0.05, amsgrad=True),
        adamw(0.05, amsgrad=True, moment_dtype="float64"),
        adam(0.05, moment_dtype="float16"),
    ],
    ids=["amsgrad", "wide moment", "half moment"],
)
def test_it_is_resumed_from_a_checkpoint(name: str, optimizer: Any, tmp_path: Any) -> None:
    variant = named(name)
    kind = optimizer.update.rule.moment_dtype
    if kind is not None and (not hasattr(variant.xp, kind) or (kind == "float64" and not variant.wide)):
        pytest.skip(f"not applicable: {name} has no {kind} here")
    start = {
        "a": variant.asarray(np.asarray([1.0, -2.0]), "float32"),
        "b": variant.asarray(np.asarray(3.0), "float32"),
    }
    loss = lambda p: namespace(p["a"]).sum(p["a"] * p["a"]) + 3 * p["b"] * p["b"]  # noqa: E731
    options: dict[str, Any] = {"optimizer": optimizer, "every": 7}
    whole = gradient_descent(loss, start, steps=30, checkpoint=tmp_path / "whole", **options)
    for steps in (7, 21, 30):
        found = gradient_descent(loss, start, steps=steps, checkpoint=tmp_path / "run", **options)
    for a, b in zip(tree_leaves(found), tree_leaves(whole), strict=True):
        assert variant.to_numpy(a).tobytes() == variant.to_numpy(b).tobytes()
    with pytest.raises(ValueError, match="its optimizer is Adam"):
        gradient_descent(loss, start, steps=30, checkpoint=tmp_path / "run", optimizer=adam(0.05), every=7)


# --------------------------------------------------------------------------------------------------- the moment's dtype
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_the_first_moment_alone_has_the_dtype_asked_for(variant: Variant, draw: Draw, kind: str) -> None:
    if not hasattr(variant.xp, kind) or (kind == "float64" and not variant.wide):
        pytest.skip(f"not applicable: {variant.id} has no {kind} here")
    optimizer = adam(0.05, moment_dtype=kind, amsgrad=True)
    host, g = {"a": draw.normal(3), "b": draw.normal(2)}, {"a": draw.normal(3), "b": draw.normal(2)}
    put = lambda tree: tree_map(lambda x: variant.asarray(x, "float32"), tree)  # noqa: E731

    def two(params: Any, grads: Any) -> Any:
        step = optimizer.update(grads, optimizer.init(params), params)
        return optimizer.update(tree_map(lambda x: 0.5 * x, grads), step.state, step.params)

    step = variant.compiled(two)(put(host), put(g))
    assert [str(x.dtype).rsplit(".", 1)[-1] for x in tree_leaves(step.state.first_moment)] == [kind] * 2
    for tree in (step.params, step.state.second_moment, step.state.largest_second_moment):
        assert all(str(x.dtype).endswith("float32") for x in tree_leaves(tree))
    m = {key: (0.1 * g[key].astype(np.float32)).astype(kind).astype(float) for key in g}
    expected = {key: 0.9 * m[key] + 0.05 * g[key].astype(np.float32) for key in g}
    unit = float(np.finfo("float32" if kind == "float64" else kind).eps)
    close(variant.to_numpy(step.state.first_moment), expected, 2 * unit)


def test_moments_of_halves_are_those_of_optax() -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    params = {"w": jnp.asarray(Draw(5).normal(6), jnp.float32)}
    g = {"w": jnp.asarray(Draw(6).normal(6), jnp.float32)}
    theirs, ours = optax.adam(0.01, mu_dtype=jnp.bfloat16), adam(0.01, moment_dtype=jnp.bfloat16)
    assert ours == adam(0.01, moment_dtype="bfloat16")
    state, own, mine = theirs.init(params), ours.init(params), params
    for _ in range(20):
        moved, state = theirs.update(g, state, params)
        params = optax.apply_updates(params, moved)
        step = ours.update(g, own, mine)
        mine, own = step.params, step.state
        assert own.first_moment["w"].dtype == state[0].mu["w"].dtype == jnp.bfloat16
    # optax rounds the product of moment and beta to bfloat16 as well: two roundings a step, ten steps' worth of them
    assert np.allclose(mine["w"], params["w"], atol=20 * 0.01 * 10 * 2 * 2.0**-9)
    found = gradient_descent(lambda p: jnp.sum(p["w"] ** 2), params, optimizer=ours, steps=30)
    assert found.params["w"].dtype == jnp.float32
    halves = {"w": params["w"].astype(jnp.bfloat16)}
    assert ours.init(halves).first_moment["w"].dtype == jnp.bfloat16
    assert adam(0.01).init(halves).first_moment["w"].dtype == jnp.float32
    assert ours.init(halves).second_moment["w"].dtype == jnp.float32


def test_descents_with_another_moment_are_the_update(variant: Variant) -> None:
    if not hasattr(variant.xp, "float16"):
        pytest.skip("not applicable: no float16 here")
    optimizer = adam(0.05, moment_dtype="float16")
    start = {
        "a": variant.asarray(np.asarray([1.0, -2.0]), "float32"),
        "b": variant.asarray(np.asarray(3.0), "float32"),
    }
    gradient = lambda p: {"a": 2 * p["a"], "b": 6 * p["b"]}  # noqa: E731
    loss = lambda p: variant.xp.sum(p["a"] * p["a"]) + 3 * p["b"] * p["b"]  # noqa: E731
    run = variant.compiled(
        lambda p: gradient_descent(loss, p, optimizer=optimizer, gradient=gradient, steps=40)
    )
    p = variant.to_numpy(start)
    state = optimizer.init(p)
    for _ in range(40):
        step = optimizer.update(gradient(p), state, p)
        p, state = step.params, step.state
    close(variant.to_numpy(run(start).params), p, 40 * 0.05 * 2.0**-10)


def test_they_compare_hash_and_pickle_by_value() -> None:
    made = [adam(0.1), adam(0.1, amsgrad=True), adam(0.1, moment_dtype="float32"), adamw(0.1, amsgrad=True)]
    assert len({one.update for one in made}) == 4
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("adam: amsgrad is 1, expected True or False", lambda: adam(0.1, amsgrad=1)),
        ("adamw: moment_dtype is 'int32', expected one of float16", lambda: adamw(0.1, moment_dtype="int32")),
        (r"moment_dtype is \['float32'\], expected one of", lambda: adam(0.1, moment_dtype=["float32"])),
        ("adam: moment_dtype is 3, expected one of", lambda: adam(0.1, moment_dtype=3)),
        (
            "adam: moment_dtype is 'bfloat16', which numpy does not have here",
            lambda: adam(0.1, moment_dtype="bfloat16").init(np.ones(2)),
        ),
    ],
)
def test_what_cannot_be_is_refused(words: str, make: Any) -> None:
    with pytest.raises(DTypeError, match=words):
        make()


def test_a_wide_moment_is_refused_where_there_is_none() -> None:
    jnp = pytest.importorskip("jax.numpy")
    if jnp.asarray(0.0).dtype == jnp.float64:
        pytest.skip("not applicable: JAX has float64 here")
    with pytest.raises(DTypeError, match="moment_dtype is 'float64', which jax does not have here"):
        adam(0.1, moment_dtype="float64").init(jnp.ones(2))
