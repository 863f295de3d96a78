"""Keys from seeds, generators and entropy; the library, device and dtype of a draw."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant, x64
from pillars import random
from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends import backend, namespace, using


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 - 1])
def test_keys_of_small_seeds_are_those_of_jax(seed: int) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):  # without it JAX itself takes seeds below 2**31 only
        expected = np.asarray(jax.random.key_data(jax.random.key(seed)))
    np.testing.assert_array_equal(random.key(seed), expected)


def test_large_seeds_have_two_words() -> None:
    assert random.key(2**64 - 1).tolist() == [2**32 - 1, 2**32 - 1]
    assert random.key((7 << 32) + 9).tolist() == [7, 9]
    assert random.key(np.int64(9)).tolist() == [0, 9]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ShapeError, match=f"seed is {seed}, expected 0 <= seed"):
        random.key(seed)


@pytest.mark.parametrize("seed", [1.0, "1", None])
def test_other_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(DTypeError, match="expected an integer"):
        random.key(seed)


def test_a_traced_seed_is_refused_with_the_way_out() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(DTypeError, match="fold_in"):
        jax.jit(random.key)(3)


def test_a_key_is_made_where_like_lives(variant: Variant) -> None:
    like = variant.asarray(np.zeros(3))
    made = random.key(5, like=like)
    assert namespace(made) is variant.xp
    assert backend(made).device_of(made) == backend(like).device_of(like)
    np.testing.assert_array_equal(variant.to_numpy(made), [0, 5])


def test_a_key_is_made_on_the_chosen_default() -> None:
    pytest.importorskip("jax")
    with using("jax") as chosen:
        assert namespace(random.key(5)) is chosen.xp


# ---------------------------------------------------------------------------------------------------------------- rng=
def test_as_key_of_an_int_and_of_a_key() -> None:
    assert random.as_key(7).tolist() == [0, 7]
    key = random.key(7)
    assert random.as_key(key) is key


def test_as_key_of_nothing_is_fresh_each_time() -> None:
    keys = {tuple(random.as_key().tolist()) for _ in range(50)}
    assert len(keys) == 50
    assert any(first for first, _ in keys)


def test_as_key_of_a_generator_moves_it_on() -> None:
    keys = [random.as_key(np.random.default_rng(3)).tolist() for _ in range(2)]
    assert keys[0] == keys[1]
    generator = np.random.default_rng(3)
    first, second = random.as_key(generator).tolist(), random.as_key(generator).tolist()
    assert first == keys[0]
    assert second != first


def test_as_key_of_numpy_integers_is_a_seed() -> None:
    assert random.as_key(np.int64(3)).tolist() == [0, 3]
    assert random.as_key(np.asarray(3)).tolist() == [0, 3]


@pytest.mark.parametrize("rng", ["seed", 1.5, object()])
def test_as_key_refuses_other_things(rng: Any) -> None:
    with pytest.raises(DTypeError, match="rng: got"):
        random.as_key(rng)


def test_as_key_refuses_arrays_that_are_no_key() -> None:
    with pytest.raises(ShapeError, match="rng: key has shape"):
        random.as_key(np.zeros((3, 2), dtype=np.uint32))
    with pytest.raises(DTypeError, match="rng: key is an array of float64"):
        random.as_key(np.zeros(2))


def test_a_host_key_goes_to_where_like_lives(variant: Variant) -> None:
    like = variant.asarray(np.zeros(3))
    for made in (random.as_key(random.key(5), like=like), random.as_key(np.random.default_rng(0), like=like)):
        assert namespace(made) is variant.xp
        assert backend(made).device_of(made) == backend(like).device_of(like)


def test_a_draw_goes_to_the_device_of_like() -> None:
    strict = pytest.importorskip("array_api_strict")
    here, there = strict.Device("CPU_DEVICE"), strict.Device("device1")
    key, like = random.key(3, like=strict.asarray(0.0)), strict.asarray([0.0], device=there)
    assert key.device == here
    for drawn in (
        random.uniform(key, 3, like=like),
        random.uniform(key, 3, low=np.float32(2), high=4, like=like),
        random.normal(key, 3, like=like),
        random.integers(key, 3, 0, 9, like=like),
        random.permutation(key, 3, like=like),
        random.as_key(key, like=like),
    ):
        assert drawn.device == there


MANY_DEVICES = """
import warnings
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import pillars
from pillars import random
from pillars.backends import backend
devices = jax.devices()
assert len(devices) == 3
expected = random.uniform(random.key(7), 4, dtype="float32")
like = jax.device_put(np.zeros(1, np.float32), devices[1])
for key in (random.key(7), random.key(7, like=jax.numpy.zeros(1)), jax.device_put(random.key(7), devices[2])):
    for drawn in (random.uniform(key, 4, like=like), random.normal(key, 4, like=like),
                  random.permutation(key, 4, like=like), random.integers(key, 4, 0, 9, like=like)):
        assert drawn.device == devices[1], drawn.device
    np.testing.assert_array_equal(random.uniform(key, 4, like=like), expected)
mesh = Mesh(devices, ("rows",))
spread = jax.device_put(np.ones(6, np.float32), NamedSharding(mesh, PartitionSpec("rows")))
whole = NamedSharding(mesh, PartitionSpec())
assert backend(spread).device_beside(spread) == whole
for key in (random.key(7), random.key(7, like=spread), random.key(7, like=like)):
    drawn = random.uniform(key, 4, high=2.0, like=spread)
    assert drawn.sharding.is_fully_replicated and drawn.sharding.device_set == set(devices), drawn.sharding
    np.testing.assert_array_equal(drawn, 2 * expected)
    assert (random.normal(key, 6, like=spread) + spread).shape == (6,)
other = jax.pmap(lambda x: x + 1)(np.ones((3, 2), np.float32))
assert random.uniform(random.key(7), 4, like=other).sharding.device_set == set(devices)
inside = jax.jit(lambda key, like: random.uniform(key, 4, like=like))
np.testing.assert_array_equal(inside(random.key(7), like), expected)
np.testing.assert_array_equal(jax.jit(lambda key: random.uniform(key, 4, like=like))(random.key(7)), expected)
rows = pillars.linear(spread.reshape(6, 1), [[1.0, 2.0]])
np.testing.assert_array_equal(rows, np.tile([1.0, 2.0], (6, 1)))
print("good")
"""


def test_devices_of_jax_and_arrays_spread_over_them() -> None:
    pytest.importorskip("jax")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", MANY_DEVICES],
        env={**os.environ, **flags},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr


def test_a_device_key_does_not_come_back_by_itself() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(BackendError, match=r"key on jax and like on numpy.*pillars\.move"):
        random.uniform(jax.numpy.zeros(2, dtype="uint32"), 3, like=np.zeros(3))


# --------------------------------------------------------------------------------------------------------------- dtype
def test_the_default_dtype_is_the_librarys(variant: Variant) -> None:
    key = random.key(0, like=variant.asarray(np.zeros(1)))
    assert variant.to_numpy(random.uniform(key, 3)).dtype == variant.default_float
    integer = variant.to_numpy(variant.xp.asarray(0)).dtype
    assert variant.to_numpy(random.integers(key, 3, 0, 5)).dtype == integer
    assert variant.to_numpy(random.permutation(key, 3)).dtype == integer


def test_like_decides_where_it_is_of_the_right_kind() -> None:
    key = random.key(0)
    single, small = np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.int16)
    assert random.uniform(key, 3, like=single).dtype == np.float32
    assert random.normal(key, 3, like=small).dtype == np.float64
    assert random.integers(key, 3, 0, 5, like=small).dtype == np.int16
    assert random.integers(key, 3, 0, 5, like=single).dtype == np.int64
    assert random.uniform(key, 3, like=single, dtype=np.float64).dtype == np.float64


def test_the_chosen_dtype_is_that_of_its_backends_draws() -> None:
    with using("numpy", dtype="float32"):
        assert random.normal(random.key(0), 3).dtype == np.float32
        assert random.uniform(random.key(0), 3, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_every_way_to_name_a_dtype(dtype: Any) -> None:
    assert random.uniform(random.key(0), 3, dtype=dtype).dtype == np.float32


@pytest.mark.parametrize("dtype", ["int32", "complex64", "quad", bool])
def test_dtypes_of_the_wrong_kind_are_refused(dtype: Any) -> None:
    with pytest.raises(DTypeError, match="expected a floating dtype"):
        random.normal(random.key(0), 3, dtype=dtype)
    if dtype != "int32":
        with pytest.raises(DTypeError, match="expected an integer dtype"):
            random.integers(random.key(0), 3, 0, 2, dtype=dtype)


def test_wide_types_that_jax_would_narrow_in_silence_are_refused() -> None:
    jax = pytest.importorskip("jax")
    if x64():
        pytest.skip("not applicable: JAX computes in 64 bits in this run")
    key = jax.numpy.zeros(2, dtype="uint32")
    for call in (
        lambda: random.uniform(key, 3, dtype="float64"),
        lambda: random.integers(key, 3, 0, 5, dtype="int64"),
    ):
        with pytest.raises(DTypeError, match="64-bit types switched off"):
            call()


def test_half_precision_where_there_is_none_is_refused() -> None:
    with pytest.raises(DTypeError, match="bfloat16, which numpy does not have"):
        random.normal(random.key(0), 3, dtype="bfloat16")
