from __future__ import annotations

import numpy as np
import pytest

import pillars


def test_lists_take_the_chosen_backend_device_and_dtype():
    with pillars.using("numpy", dtype="float32"):
        assert pillars.asarray([1.0, 2.0]).dtype == np.float32
        assert pillars.asarray([1, 2]).dtype == np.int64  # integers are no floats of another precision


def test_arrays_stay_where_they_are_and_are_not_copied():
    x = np.arange(3.0, dtype=np.float32)
    with pillars.using("numpy", dtype="float64"):
        assert pillars.asarray(x) is x


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", np.float32), (np.float64, np.float64), ("int32", np.int32)]
)
def test_dtype_by_name_or_object(dtype, expected):
    assert pillars.asarray([1, 2], dtype=dtype).dtype == expected


def test_unknown_dtype_names_what_was_got():
    with pytest.raises(pillars.DTypeError, match=r"'floaty'.*expected"):
        pillars.asarray([1.0], dtype="floaty")


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (["a", "b"], pillars.DTypeError, "expected numbers"),
        ("abc", pillars.DTypeError, "got a str"),
        (object(), pillars.DTypeError, "expected a list"),
        ([[1.0], [1.0, 2.0]], pillars.ShapeError, "rows of equal length"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), pillars.DTypeError, "masked"),
        (np.array([None, 1]), pillars.DTypeError, "object"),
    ],
    ids=["strings", "str", "object", "ragged", "masked", "objects"],
)
def test_what_is_no_array_is_refused(bad, error, words):
    with pytest.raises(error, match=words):
        pillars.asarray(bad)


def test_a_frame_becomes_its_values_and_words_are_refused_by_column():
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("narwhals")
    made = pillars.asarray(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}))
    np.testing.assert_array_equal(made, [[1.0, 3.0], [2.0, 4.0]])
    with pytest.raises(pillars.DTypeError, match="'city'"):
        pillars.asarray(pa.table({"a": [1.0], "city": ["Rome"]}))


def test_jax_round_trip_of_a_tree():
    jax = pytest.importorskip("jax")
    tree = {
        "weight": np.arange(6.0, dtype=np.float32).reshape(2, 3),
        "rest": (np.ones(2, np.float32), None, 3),
    }
    there = pillars.move(tree, "jax")
    assert isinstance(there["weight"], jax.Array)
    assert there["rest"][1:] == (None, 3)
    back = pillars.move(there, "numpy")
    assert type(back["weight"]) is np.ndarray
    np.testing.assert_array_equal(back["weight"], tree["weight"])
    assert pillars.move(there, "jax")["weight"] is there["weight"]  # already there


def test_asarray_does_not_move():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(pillars.BackendError, match=r"pillars\.move"):
        pillars.asarray(jnp.ones(2), backend="numpy")


def test_a_traced_array_has_no_numbers_to_move():
    jax = pytest.importorskip("jax")
    with pytest.raises(pillars.BackendError, match="traced"):
        jax.jit(lambda x: pillars.move(x, "numpy"))(1.0)


def test_wide_integers_are_not_wrapped_around():
    jax = pytest.importorskip("jax")
    wide = np.array([2**40, 1])
    if jax.config.jax_enable_x64:
        assert int(pillars.move(wide, "jax")[0]) == 2**40
    else:
        with pytest.raises(pillars.DTypeError, match="JAX_ENABLE_X64"):
            pillars.move(wide, "jax")
        with pytest.raises(pillars.DTypeError, match="JAX_ENABLE_X64"):
            pillars.asarray(wide.tolist(), backend="jax")


def test_moving_to_a_second_device_is_explicit():
    jax = pytest.importorskip("jax")
    if len(jax.devices()) < 2:
        strict = pytest.importorskip("array_api_strict")
        x = pillars.move(np.ones(2), "strict", device=strict.Device("device1"))
        assert x.device == strict.Device("device1")
        with pytest.raises(pillars.BackendError, match="device"):
            pillars.asarray(x, backend="strict", device=strict.Device("CPU_DEVICE"))
        np.testing.assert_array_equal(pillars.move(x, "numpy"), [1.0, 1.0])


def test_a_torch_tensor_comes_in_by_dlpack_and_a_graph_is_refused():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(pillars.asarray(torch.arange(3.0)), [0.0, 1.0, 2.0])
    with pytest.raises(pillars.BackendError, match=r"detach|Detach"):
        pillars.asarray(torch.ones(2, requires_grad=True))


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([300], "int8"),
        ([2.0**63], "int64"),
        ([-1], "uint8"),
        ([float("nan")], "int32"),
        ([1e39], "float32"),
        ([7e4], "float16"),
    ],
)
def test_what_the_dtype_cannot_hold_is_refused(numbers, dtype):
    for given in (numbers, np.array(numbers)):
        with pytest.raises(pillars.DTypeError, match=rf"{dtype} holds"):
            pillars.asarray(given, dtype=dtype)


def test_infinities_and_nan_are_no_overflow():
    made = pillars.asarray([np.inf, np.nan, -np.inf], dtype="float32")
    np.testing.assert_array_equal(made, [np.inf, np.nan, -np.inf])


def test_masked_entries_inside_lists_are_refused():
    with pytest.raises(pillars.DTypeError, match="masked"):
        pillars.asarray([np.ma.masked, 1.0])
    with pytest.raises(pillars.PillarsError, match="MaskedArray"):
        pillars.softmax([np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.array([1.0, 2.0])])


def test_an_unknown_device_of_numpy_is_named():
    with pytest.raises(pillars.BackendError, match="gpu:9"):
        pillars.asarray([1.0], device="gpu:9")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32", "bool"])
def test_imaginary_parts_are_not_dropped(dtype):
    torch = pytest.importorskip("torch")
    for given in ([1 + 2j], np.array([1 + 2j]), torch.tensor([1 + 2j])):
        with pytest.raises(pillars.DTypeError, match="imaginary parts would be lost"):
            pillars.asarray(given, dtype=dtype)
    assert pillars.asarray([1 + 2j], dtype="complex64").dtype == np.complex64


@pytest.mark.parametrize(
    ("numbers", "given", "dtype"),
    [
        ([300], "int32", "int8"),
        ([-1], "int32", "uint8"),
        ([7e4], "float32", "float16"),
        ([np.nan], "float32", "int32"),
        ([1e30], "bfloat16", "float16"),
    ],
)
def test_what_the_dtype_cannot_hold_is_refused_on_a_device_too(numbers, given, dtype):
    jnp = pytest.importorskip("jax.numpy")
    for x in (jnp.asarray(numbers, dtype=given), np.asarray(jnp.asarray(numbers, dtype=given))):
        with pytest.raises(
            pillars.DTypeError, match=rf"asarray: got numbers from .* {dtype} holds.*Choose a wider"
        ):
            pillars.asarray(x, dtype=dtype)
    torch = pytest.importorskip("torch")
    with pytest.raises(pillars.DTypeError, match=f"{dtype} holds"):
        pillars.asarray(torch.tensor(numbers, dtype=getattr(torch, given)), dtype=dtype, backend="jax")


def test_what_is_held_or_traced_goes_through():
    jax = pytest.importorskip("jax")
    assert pillars.asarray(jax.numpy.asarray([100]), dtype="int8").tolist() == [100]
    assert pillars.asarray(np.array([1.5, np.inf], np.float32), dtype="float16").tolist() == [1.5, np.inf]
    assert jax.jit(lambda x: pillars.asarray(x, dtype="int8"))(jax.numpy.asarray([3])).dtype == np.int8


@pytest.mark.parametrize("dtype", [object, np.dtype(object), np.dtype("U3"), "object", str])
def test_a_dtype_of_no_numbers_is_refused(dtype):
    for given in ([1.0], np.ones(2)):
        with pytest.raises(pillars.DTypeError, match=r"asarray: dtype is .*expected a numeric dtype"):
            pillars.asarray(given, dtype=dtype)


def test_python_names_of_dtypes():
    for dtype, expected in ((float, np.float64), (int, np.int64), (bool, np.bool_), (complex, np.complex128)):
        assert pillars.asarray([1, 0], dtype=dtype).dtype == expected


def test_a_dtype_that_is_switched_off_is_refused():
    jax = pytest.importorskip("jax")
    if jax.config.jax_enable_x64:
        pytest.skip("not applicable: JAX computes in 64 bits in this run")
    with pytest.raises(pillars.DTypeError, match="asarray: dtype is float64, but jax has 64-bit types"):
        pillars.asarray([1.0], backend="jax", dtype="float64")


@pytest.mark.parametrize("backend", ["numpy", "jax", "strict"])
@pytest.mark.parametrize("device", ["gpu", "gpu:x", "cpu:x", "nowhere"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(backend, device):
    if backend == "jax" and device.startswith("gpu"):
        jax = pytest.importorskip("jax")
        if jax.default_backend() == "gpu":
            pytest.skip("not applicable: there is a GPU here")
    for f in (pillars.move, lambda x, backend, device: pillars.asarray(x, backend=backend, device=device)):
        with pytest.raises(pillars.BackendError, match=f"got device '{device}'.*expected"):
            f(np.ones(2), backend, device=device)


def test_a_typed_key_is_no_array_of_numbers():
    jax = pytest.importorskip("jax")
    for f, where in ((pillars.asarray, "asarray"), (lambda x: pillars.move({"k": x}, "numpy"), "move")):
        with pytest.raises(pillars.DTypeError, match=rf"{where}: got dtype key<.*jax\.random\.key_data"):
            f(jax.random.key(0))


def test_what_is_converted_on_the_way_goes_to_the_device_too():
    strict = pytest.importorskip("array_api_strict")
    there = strict.Device("device1")
    assert pillars.move([[1.0, 2.0]], "strict", device=there)
    moved = pillars.move({"x": np.float32(3), "y": np.ones(2)}, "strict", device=there)
    assert moved["x"].device == moved["y"].device == there
