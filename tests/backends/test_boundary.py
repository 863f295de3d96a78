"""What is refused at the door, and in what words; what follows the arrays beside it."""

from __future__ import annotations

import numpy as np
import pytest

import pillars
from backends._toys import label_sum, scaled
from pillars.backends import dtype_name


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (np.ma.array([1.0, 2.0]), pillars.DTypeError, "masked array.*filled"),
        (np.asarray([1.0, None]), pillars.DTypeError, "dtype object, expected real numbers"),
        (np.asarray([1j]), pillars.DTypeError, "dtype complex128.*real part"),
        (["a"], pillars.DTypeError, "expected real numbers"),
        ([[1.0], [1.0, 2.0]], pillars.ShapeError, "rows of equal length"),
        ("abc", pillars.DTypeError, "x is a str"),
        (None, pillars.DTypeError, "x is None, expected an array"),
        ({1.0}, pillars.DTypeError, "x is a set"),
        (1j, pillars.DTypeError, "complex"),
    ],
)
def test_what_is_no_real_array_is_refused_by_name(bad, error, words):
    with pytest.raises(error, match=f"scaled: .*{words}"):
        scaled(bad)


@pytest.mark.parametrize("bad", [True, "1", 1j, None, [1.0], np.ones(2), np.asarray(1j), np.asarray(True)])
def test_what_is_no_number_is_refused_by_name(bad):
    with pytest.raises(pillars.PillarsError, match=r"scaled: by .*expected"):
        scaled(np.ones(2), by=bad)


@pytest.mark.parametrize("bad", [1.5, "x", None, [0], True])
def test_what_is_no_static_is_refused_by_name(bad):
    with pytest.raises(pillars.DTypeError, match=r"scaled: axis is .*expected int"):
        scaled(np.ones(2), axis=bad)


def test_errors_are_also_those_of_python():
    assert issubclass(pillars.ShapeError, ValueError)
    assert issubclass(pillars.DTypeError, TypeError)
    for kind in (pillars.BackendError, pillars.CapabilityError):
        assert issubclass(kind, ValueError)
        assert issubclass(kind, TypeError)


def test_matrices_and_other_subclasses_are_refused():
    class Units(np.ndarray):
        pass

    with pytest.raises(pillars.DTypeError, match="Units"):
        scaled(np.ones(2).view(Units))


def test_memory_maps_are_arrays(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, np.ones(3))
    assert scaled(np.load(path, mmap_mode="r")) == 6.0


def test_lists_follow_the_arrays_beside_them():
    strict = pytest.importorskip("array_api_strict")
    y = strict.asarray([1.0, 1.0], dtype=strict.float32, device=strict.Device("device1"))
    z = scaled([1.0, 2.0], y)
    assert (z.dtype, z.device) == (strict.float32, y.device)


def test_two_libraries_are_refused_and_both_are_named():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(pillars.BackendError, match=r"scaled: got x on numpy and y on strict.*pillars\.move"):
        scaled(np.ones(2), strict.ones(2))


def test_two_devices_are_refused_and_both_are_named():
    strict = pytest.importorskip("array_api_strict")
    x = strict.ones(2)
    with pytest.raises(pillars.BackendError, match=r"CPU_DEVICE.*device1"):
        scaled(x, strict.ones(2, device=strict.Device("device1")))


def test_a_list_of_arrays_of_another_library_is_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(pillars.BackendError, match="stack"):
        scaled([strict.asarray(1.0), strict.asarray(2.0)])


def test_numpy_beside_jax_is_refused_but_a_constant_inside_a_trace():
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones(2)
    with pytest.raises(pillars.BackendError, match=r"jax.*numpy"):
        scaled(x, np.ones(2))
    assert jax.jit(lambda a: scaled(a, np.ones(2)))(x) == 6.0
    assert jax.jit(lambda a: a + scaled(np.ones(2), np.ones(2)))(x)[0] == 7.0
    np.testing.assert_array_equal(jax.grad(lambda a: scaled(a, np.ones(2)))(x), [2.0, 2.0])
    assert jax.vmap(lambda a: scaled(a, np.ones(2)))(x[None])[0] == 6.0


def test_a_traced_static_is_refused():
    jax = pytest.importorskip("jax")
    with pytest.raises(pillars.DTypeError, match="axis is traced"):
        jax.jit(lambda a, axis: scaled(a, axis=axis))(jax.numpy.ones((2, 2)), 0)


def test_a_traced_number_is_differentiated():
    jax = pytest.importorskip("jax")
    assert jax.grad(lambda by: scaled(np.ones(3, np.float32), by=by))(2.0) == 3.0
    assert jax.vmap(lambda by: scaled(np.ones(3, np.float32), by=by))(jax.numpy.ones(2)).shape == (2,)


@pytest.mark.parametrize("name", ["int8", "uint8", "int32", "bool"])
def test_integers_become_the_default_float(name):
    x = np.ones(3, name)
    assert scaled(x).dtype == np.float64
    assert scaled(x, np.ones(3, np.float32)).dtype == np.float32


def test_half_precision_is_widened_and_rounded_once():
    x = np.full(4000, 1.0, np.float16)
    y = scaled(x, by=1.0)
    assert (y.dtype, float(y)) == (np.float16, 4000.0)  # sums of ones in float16 stop at 2048
    assert scaled(x[:10], np.ones(10, np.float32)).dtype == np.float32


def test_half_precision_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    for dtype in (jnp.float16, jnp.bfloat16):
        y = scaled(jnp.ones(500, dtype), by=1.0)
        assert dtype_name(y.dtype) == dtype_name(jnp.dtype(dtype))
        assert float(y) == 500.0


def test_labels_may_be_anything_that_they_were():
    assert label_sum(np.ones(2), np.asarray([True, False])) == 1.0
    assert label_sum(np.ones(2), np.asarray([0.0, 0.5])) == 1.0
