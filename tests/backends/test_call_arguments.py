"""What is refused at the door, and in what words; what follows the arrays beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pillars
from backends._toys import label_sum, scaled
from contracts._variants import Variant
from pillars.backends import dtype_name
from pillars.layers import gelu, layer_norm, relu
from pillars.probability import logsumexp, ndtr, softmax


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


def test_integers_beyond_a_library_s_own_are_its_last_and_do_not_wrap():
    jax = pytest.importorskip("jax")
    beyond = [1, 2**32, -(2**32)]  # in 32 bits 0 twice
    assert label_sum(jax.numpy.ones(3), beyond) == 3.0
    assert jax.jit(lambda x: label_sum(x, np.asarray(beyond)))(jax.numpy.ones(3)) == 3.0


def test_what_is_refused_is_told_in_one_line():
    many = np.ones((200, 3))
    for options in ({"axis": many}, {"by": [many]}, {"axis": "a\n" * 300}, {"after": many}):
        with pytest.raises(pillars.PillarsError, match="scaled: ") as caught:
            scaled(np.ones(2), **options)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_one_truth_is_a_bool_and_several_are_none():
    for true in (np.True_, np.asarray(True)):
        assert logsumexp(np.ones((2, 2)), keepdims=true).shape == (2, 1)
    with pytest.raises(pillars.DTypeError, match=r"keepdims is array.*, expected bool"):
        logsumexp(np.ones((2, 2)), keepdims=np.ones(2, bool))
    for axes in ([True, False], (False,)):
        with pytest.raises(pillars.DTypeError, match=r"axis names (True|False), expected integers"):
            logsumexp(np.ones((2, 2)), axis=axes)
        with pytest.raises(pillars.DTypeError, match=r"axis names (True|False), expected integers"):
            layer_norm(np.ones((2, 2)), axis=axes)


def test_an_integer_beyond_the_floats_is_infinite():
    assert scaled(np.ones(2), by=10**400) == np.inf
    assert scaled(np.ones(2), by=-(10**400)) == -np.inf
    with pytest.raises(pillars.ShapeError, match="temperature is inf, expected a finite number"):
        softmax(np.ones(2), temperature=10**400)


@pytest.mark.parametrize("n", [3, 40_000])
@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8"])
def test_bytes_in_the_other_order_come_back_in_the_machine_s(dtype, n):
    x = np.linspace(-2, 2, 4 * n).reshape(-1, 4).astype(dtype)
    native = x.astype(x.dtype.newbyteorder("="))
    for f in (
        softmax,
        relu,
        gelu,
        layer_norm,
        logsumexp,
        ndtr,
    ):
        got = f(x)
        assert got.dtype.isnative
        assert got.dtype == native.dtype
        assert np.array_equal(got, f(native))


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


def test_bytes_in_another_order_go_to_every_library(variant: Variant) -> None:
    for code, numbers in (
        (">f8", [1.5, -2.0]),
        (">f4", [1.5, -2.0]),
        (">i4", [7, -3]),
        (">u2", [7, 3]),
        (">f2", [1.5]),
    ):
        if variant.library == "strict" and code == ">f2":  # which has no half precision
            continue
        swapped = np.array(numbers, code)
        there = variant.to_numpy(pillars.move({"x": swapped}, variant.library)["x"])
        assert there.tolist() == numbers
        assert variant.to_numpy(pillars.asarray(swapped, backend=variant.library)).tolist() == numbers
    inside = variant.compiled(lambda x: pillars.linear(x, np.array([[2.0]], ">f4")))
    if variant.jit or variant.library == "numpy":
        assert variant.to_numpy(inside(variant.asarray([[3.0]], "float32"))).tolist() == [[6.0]]


def halves() -> tuple[Any, Any]:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(8)
    numbers = rng.standard_normal((3, 4))
    return numbers.astype(ml_dtypes.bfloat16), numbers.astype(np.float16)


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_the_two_half_precisions_meet_in_single(library: str) -> None:
    pytest.importorskip(library)
    brain, half = (pillars.move(x, library) for x in halves())
    single = [brain.astype("float32"), half.astype("float32")]
    (b, h), (b32, h32) = (brain, half), single
    mask = half[:3, :3]
    calls = [
        (lambda x, w: pillars.layers.layer_norm(x, w[0], w[1]), (b, h), (b32, h32)),
        (lambda x, w: pillars.linear(x, w.T, w[:, 0]), (b, h), (b32, h32)),
        (lambda x, w: pillars.linear(x, w.T), (h, b), (h32, b32)),
        (lambda x, m: pillars.algorithms.attention(x, x, x, mask=m), (b, mask), (b32, h32[:3, :3])),
        (lambda x, w: pillars.algorithms.attention(x, w, x), (b, h), (b32, h32)),
        (pillars.calculus.mean_squared_error, (b, h), (b32, h32)),
        (lambda x, w: pillars.layers.layer_norm(x, w[0], [1.0, 2.0, 3.0, 4.0]), (b, h), (b32, h32)),
    ]
    for f, given, wide in calls:
        got = f(*given)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, f(*wide))
    if library == "numpy":
        gradient = pillars.grad(lambda w, x: pillars.linear(x, w.T).sum())(half, brain)
        assert gradient.dtype == np.float16
