"""What the user did not place is not placed: it goes along with data on any device, and one program serves it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
import pillars
from pillars import calculus, random
here, there = jax.devices()
x, y = np.ones((8, 3), np.float32), np.ones((8, 2), np.float32)
params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
far = [jax.device_put(a, there) for a in (x, y)]
near = [jnp.asarray(a) for a in (x, y)]

def loss(p, x, y):
    return jnp.mean((x @ p["w"] + p["b"] - y) ** 2)

# an optimiser's state is no placed array: one program, and data anywhere
for optimizer in (calculus.sgd(0.1, momentum=0.9), calculus.adam(0.01), calculus.adamw(calculus.cosine_decay(0.1, 9)),
                  calculus.reduce_on_plateau(calculus.sgd(0.1), factor=0.5, patience=2)):
    plateau = "plateau" in type(optimizer.init).__name__.lower()

    @jax.jit
    def step(p, state, x, y):
        value, g = jax.value_and_grad(loss)(p, x, y)
        after = optimizer.update(g, state, p, value=value) if plateau else optimizer.update(g, state, p)
        return after.params, after.state

    now = params, optimizer.init(params)
    for _ in range(3):
        now = step(*now, *near)
    assert step._cache_size() == 1, (optimizer, step._cache_size())
    moved, _ = step(params, optimizer.init(params), *far)
    assert moved["w"].device == there
    eager = optimizer.update(params, optimizer.init(params), params, **({"value": 1.0} if plateau else {}))
    step(eager.params, eager.state, *far)

# results of a descent
def check(tree, name):
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and np.issubdtype(leaf.dtype, np.floating):
            assert (leaf + far[0].sum()).device == there, name

least = calculus.LeastSquaresLoss(*near)
runs = {
    "whole": dict(), "batches": dict(batch_size=4, clip_norm=1.0, monitor=calculus.EarlyStopping(patience=3)),
    "callback": dict(callback=lambda step, metrics: None, every=2),
}
for name, options in runs.items():
    check(calculus.gradient_descent(loss, params, *near, steps=6, **options), name)
check(calculus.gradient_descent(least, jnp.zeros((3, 2)), steps=5), "least squares")
check(calculus.EarlyStopping(patience=3).init(jnp.zeros(())), "monitor")
check(calculus.clip_by_global_norm(params, 1.0), "clipping")
check(calculus.sharpness(loss, params, *near), "sharpness")
check(pillars.linalg.randomized_svd(jnp.ones((6, 4)), 2), "svd")

# keys and draws
keys = [random.key(3, like=near[0]), random.as_key(3, like=near[0]), pillars.move(random.key(3), "jax")]
with pillars.using("jax"):
    keys.append(random.key(3))
for key in keys:
    draws = (
        random.normal(key, (8, 3)), random.uniform(key, (8, 3), low=-1.0, high=np.float32(2)),
        random.normal(random.fold_in(key, 5), (8, 3)), random.normal(random.split(key, 2)[1], (8, 3)),
        random.integers(key, (8, 3), 0, 9), random.permutation(key, 24).reshape(8, 3),
        random.normal(np.asarray(random.key(3)), (8, 3), like=near[0]),
    )
    for drawn in draws:
        assert (drawn + far[0]).device == there

# lists and host data beside arrays
for made in (pillars.linear(near[0], [[1.0], [2.0], [3.0]]), pillars.asarray([[1.0], [2.0]], backend="jax"),
             pillars.algorithms.attention(near[0], near[0], near[1], causal=True), pillars.move(x, "jax"),
             pillars.layers.embedding(near[0], [0, 1])):
    assert (made.sum() + far[0]).device == there

# what is placed stays there, and takes along what is made beside it
placed = jax.device_put(params, there)
state = calculus.adam(0.1).init(placed)
assert all(leaf.device == there for leaf in jax.tree.leaves(state))
assert random.normal(random.key(3), 5, like=far[0]).device == there
assert pillars.move(near[0], "jax", device="cpu:1").device == there
assert pillars.asarray(x, backend="jax", device="cpu:1").device == there
print("good")
"""


def test_results_go_along_with_data_on_another_device() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **flags},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr
