"""DLPack objects of other libraries: taken whole, or refused with what helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pillars
from contracts._variants import x64


class OnlyDlpack:
    """An array that says nothing of itself but through DLPack."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class Elsewhere(OnlyDlpack):
    """Data of a device that nobody here reaches."""

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("no such device")

    def __dlpack_device__(self) -> Any:
        return (14, 0)


def from_torch(numbers: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(np.asarray(numbers))


MAKERS = [OnlyDlpack, from_torch]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ([2**40], "int32"),
        ([2**31], "int32"),
        ([-(2**31) - 1], "int32"),
        ([1e300], "float32"),
        ([-3.5e38], "float32"),
    ],
)
def test_what_jax_would_narrow_to_another_number_is_refused(make: Any, numbers: Any, name: str) -> None:
    pytest.importorskip("jax")
    given = np.asarray(numbers)
    if x64():
        assert pillars.asarray(make(given), backend="jax").tolist() == numbers
        return
    with pytest.raises(
        pillars.DTypeError, match=rf"asarray: got numbers.*{name} holds on jax.*JAX_ENABLE_X64"
    ):
        pillars.asarray(make(given), backend="jax")


@pytest.mark.parametrize("make", MAKERS)
def test_what_32_bits_hold_comes_in(make: Any) -> None:
    jax = pytest.importorskip("jax")
    for numbers in ([2**31 - 1, -(2**31)], [np.inf, -np.inf, 1.5, 0.0]):
        made = pillars.asarray(make(np.asarray(numbers)), backend="jax")
        assert isinstance(made, jax.Array)
        assert made.tolist() == numbers
    assert pillars.asarray(make(np.asarray([7e4])), dtype="float32").dtype == np.float32
    with pytest.raises(pillars.DTypeError, match="float16 holds"):
        pillars.asarray(make(np.asarray([7e4])), dtype="float16", backend="jax")


@pytest.mark.parametrize("backend", ["numpy", "jax", "strict"])
@pytest.mark.parametrize("make", MAKERS)
def test_slices_and_steps_come_in(make: Any, backend: str) -> None:
    pytest.importorskip({"numpy": "numpy", "jax": "jax", "strict": "array_api_strict"}[backend])
    whole = np.arange(24.0, dtype=np.float32).reshape(4, 6)
    for piece in (whole[::2], whole[:, 1:5:3], whole.T[1:], np.broadcast_to(whole[0], (3, 6)), whole[:0]):
        given = make(np.ascontiguousarray(piece)) if piece.flags.writeable is False else make(piece)
        made = pillars.move(pillars.asarray(given, backend=backend), "numpy")
        np.testing.assert_array_equal(made, piece)


def test_a_repeated_row_of_torch_comes_in() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("jax")
    made = pillars.asarray(torch.arange(3.0)[::2].expand(4, 2), backend="jax")
    np.testing.assert_array_equal(made, [[0.0, 2.0]] * 4)


def test_each_refusal_says_what_helps() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("jax")
    for backend in ("numpy", "jax"):
        for given, remedy in (
            (torch.ones(2, requires_grad=True), r"x\.detach\(\)"),
            (torch.nn.Parameter(torch.ones(2))[:1], r"x\.detach\(\)"),
            (torch.tensor([1 + 1j]).conj(), r"x\.resolve_conj\(\)"),
            (torch.eye(2).to_sparse(), r"x\.to_dense\(\)"),
            (torch.ones(2, device="meta"), r"x\.cpu\(\)"),
        ):
            with pytest.raises(pillars.BackendError, match=remedy) as caught:
                pillars.asarray(given, backend=backend)
            assert "contiguous" not in str(caught.value)
    with pytest.raises(pillars.BackendError, match=r"a dtype that it has.*float32"):
        pillars.asarray(torch.ones(2, dtype=torch.bfloat16), backend="numpy")
    made = pillars.asarray(torch.full((2,), 1.5, dtype=torch.bfloat16), backend="jax")
    assert (str(made.dtype), made.tolist()) == ("bfloat16", [1.5, 1.5])


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_device_out_of_reach_is_said_so(backend: str) -> None:
    pytest.importorskip(backend)
    with pytest.raises(pillars.BackendError, match=r"cannot take over \(.*device.*x\.cpu\(\)"):
        pillars.asarray(Elsewhere(np.ones(2)), backend=backend)


def test_a_dlpack_object_is_looked_at_inside_a_trace_too() -> None:
    jax = pytest.importorskip("jax")
    f = jax.jit(lambda x, given: x + pillars.asarray(given, backend="jax"), static_argnums=1)
    assert f(1.0, OnlyDlpack(np.asarray([2.0], np.float32))).tolist() == [3.0]
    if not x64():
        with pytest.raises(pillars.DTypeError, match="int32 holds"):
            f(1.0, OnlyDlpack(np.asarray([2**40])))


@pytest.mark.gpu
def test_host_memory_comes_to_cupy() -> None:
    pytest.importorskip("cupy")
    made = pillars.asarray(OnlyDlpack(np.asarray([2**40, 1])), backend="cupy")
    assert made.tolist() == [2**40, 1]


@pytest.mark.gpu
def test_cupy_and_jax_give_each_other_arrays_even_where_jax_has_the_cpu_alone() -> None:
    cupy, jax = pytest.importorskip("cupy"), pytest.importorskip("jax")
    there = pillars.move({"w": cupy.asarray([1.0, 2.0], dtype="float32")}, "jax")["w"]
    assert isinstance(there, jax.Array)
    assert there.tolist() == [1.0, 2.0]
    back = pillars.move(there, "cupy")
    assert isinstance(back, cupy.ndarray)
    assert back.tolist() == [1.0, 2.0]
    if not x64():
        with pytest.raises(pillars.DTypeError, match=r"move: got numbers.*float32 holds"):
            pillars.move(cupy.asarray([1e300]), "jax")
