"""Loops and transforms: Python's on NumPy and strict, lax on JAX, one answer."""

from __future__ import annotations

import numpy as np
import pytest

import pillars


@pytest.fixture(params=["numpy", "strict", "jax"])
def here(request):
    pytest.importorskip({"strict": "array_api_strict"}.get(request.param, request.param))
    return pillars.backend(request.param)


def test_scan_carries_and_stacks(here):
    xp = here.xp
    xs = {"a": xp.asarray([1.0, 2.0, 3.0]), "b": xp.asarray([[1.0], [2.0], [3.0]])}

    def step(carry, row):
        total = carry + row["a"]
        return total, (total, row["b"] * 2)

    carry, (totals, doubled) = here.scan(step, xp.asarray(0.0), xs)
    assert float(carry) == 6.0
    np.testing.assert_array_equal(here.to_numpy(totals), [1.0, 3.0, 6.0])
    np.testing.assert_array_equal(here.to_numpy(doubled), [[2.0], [4.0], [6.0]])


def test_scan_by_length_alone(here):
    xp = here.xp
    carry, out = here.scan(lambda c, _: (c * 2, c), xp.asarray(1.0), None, length=4)
    assert float(carry) == 16.0
    np.testing.assert_array_equal(here.to_numpy(out), [1.0, 2.0, 4.0, 8.0])


def test_scan_that_puts_nothing_out(here):
    carry, out = here.scan(lambda c, x: (c + x, None), here.xp.asarray(0.0), here.xp.asarray([1.0, 2.0]))
    assert (float(carry), out) == (3.0, None)


def test_while_loop(here):
    xp = here.xp
    start = (xp.asarray(0), xp.asarray(1.0))
    steps, value = here.while_loop(lambda s: s[1] < 100, lambda s: (s[0] + 1, s[1] * 3), start)
    assert (int(steps), float(value)) == (5, 243.0)


def test_cond(here):
    x = here.xp.asarray(2.0)
    for predicate, expected in ((True, 3.0), (False, 1.0)):
        made = here.cond(here.xp.asarray(predicate), lambda v: v + 1, lambda v: v - 1, x)
        assert float(made) == expected


def test_vmap_of_trees_and_axes(here):
    xp = here.xp
    x, y = xp.reshape(xp.asarray([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), (2, 3)), xp.asarray([1.0, 1.0])

    def f(tree, other):
        return {"sum": xp.sum(tree["x"] + other), "own": tree["x"]}

    made = here.vmap(f, in_axes=(1, None))({"x": x}, y)
    np.testing.assert_array_equal(here.to_numpy(made["sum"]), [7.0, 9.0, 11.0])
    assert made["own"].shape == (3, 2)
    out = here.vmap(lambda row: row * 2, out_axes=1)(x)
    np.testing.assert_array_equal(here.to_numpy(out), 2 * here.to_numpy(x).T)


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_vmap_says_what_does_not_fit(name):
    pytest.importorskip({"strict": "array_api_strict"}.get(name, name))
    here = pillars.backend(name)
    with pytest.raises(pillars.ShapeError, match=r"lengths \[2, 3\], expected one"):
        here.vmap(lambda a, b: a)(here.xp.ones(2), here.xp.ones(3))
    with pytest.raises(pillars.ShapeError, match="length 0"):
        here.vmap(lambda a: a)(here.xp.ones((0, 2)))
    with pytest.raises(pillars.ShapeError, match="2 arguments and 1 in_axes"):
        here.vmap(lambda a, b: a, in_axes=(0,))(here.xp.ones(2), here.xp.ones(2))
    with pytest.raises(pillars.ShapeError, match="scan"):
        here.scan(lambda c, x: (c, x), 0.0, (here.xp.ones(2), here.xp.ones(3)))


def test_jit_and_synchronize(here):
    f = here.jit(lambda x: x * 2)
    assert float(here.synchronize(f(here.xp.asarray(2.0)))) == 4.0


def test_a_whole_loop_compiles_on_jax():
    jax = pytest.importorskip("jax")
    here = pillars.backend("jax")
    made = jax.jit(lambda x: here.scan(lambda c, _: (pillars.softmax(c), None), x, None, 3)[0])(
        jax.numpy.ones(2)
    )
    np.testing.assert_allclose(made, [0.5, 0.5])


def test_devices(here):
    assert here.devices
    x = here.asarray([1.0, 2.0], device=here.devices[0] if here.name != "strict" else None)
    assert here.device_of(x) is not None
