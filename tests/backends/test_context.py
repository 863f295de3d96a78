"""The chosen default: process, scope, thread, task and environment; lists follow it, arrays never do."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import pillars
from backends._toys import scaled
from pillars.backends import _context, chosen


@pytest.fixture(autouse=True)
def _restored():
    before = _context._process[0]
    yield
    _context._process[0] = before


def test_numpy_is_the_default(monkeypatch):
    monkeypatch.delenv("PILLARS_BACKEND", raising=False)
    assert chosen() == ("numpy", None, None)
    assert pillars.backend().name == "numpy"


def test_use_sets_what_lists_become():
    pillars.use("numpy", dtype="float32")
    assert scaled([1.0, 2.0]).dtype == np.float32
    assert scaled([1, 2]).dtype == np.float32
    assert scaled(np.ones(2)).dtype == np.float64


def test_using_is_scoped_nested_and_restored_after_an_error():
    pillars.use("numpy")
    with pillars.using("numpy", dtype="float32") as outer:
        assert outer is pillars.backend("numpy")
        with pillars.using("numpy", dtype="float64"):
            assert scaled([1.0]).dtype == np.float64
        assert scaled([1.0]).dtype == np.float32
    with pytest.raises(RuntimeError, match="mine"), pillars.using("numpy", dtype="float32"):
        raise RuntimeError("mine")
    assert scaled([1.0]).dtype == np.float64


def test_one_scope_may_be_entered_again_and_inside_itself():
    single = pillars.using("numpy", dtype="float32")
    for _ in range(2):
        with single as first, single as second:
            assert first is second is pillars.backend("numpy")
            assert chosen().dtype == np.float32
            with pillars.using("numpy"), single:
                assert chosen().dtype == np.float32
        assert chosen().dtype is None
    assert single(lambda: chosen().dtype)() == np.float32
    seen = []
    with single:
        thread = threading.Thread(target=single(lambda: seen.append(chosen().dtype)))
        thread.start()
        thread.join()
        assert chosen().dtype == np.float32
    assert seen == [np.float32]
    assert chosen().dtype is None


def test_a_dtype_that_is_switched_off_is_refused():
    jax = pytest.importorskip("jax")
    if jax.config.jax_enable_x64:
        pytest.skip("not applicable: JAX computes in 64 bits in this run")
    for choose in (pillars.use, pillars.using):
        with pytest.raises(pillars.DTypeError, match="use: dtype is float64, but jax has 64-bit types"):
            choose("jax", dtype="float64")


def test_a_thread_does_not_see_another_one_s_scope():
    seen = []
    with pillars.using("numpy", dtype="float32"):
        thread = threading.Thread(target=lambda: seen.append(chosen().dtype))
        thread.start()
        thread.join()
        seen.append(contextvars.copy_context().run(lambda: chosen().dtype))
    assert seen == [None, np.float32]


def test_tasks_do_not_see_each_other():
    async def one(dtype, entered, other):
        with pillars.using("numpy", dtype=dtype):
            entered.set()
            await other.wait()
            return scaled([1.0]).dtype

    async def both():
        a, b = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(one("float32", a, b), one("float64", b, a))

    assert asyncio.run(both()) == [np.float32, np.float64]


def test_jax_is_chosen_for_lists_alone():
    jax = pytest.importorskip("jax")
    with pillars.using("jax"):
        assert isinstance(scaled([1.0, 2.0]), jax.Array)
        assert isinstance(scaled(np.ones(2)), np.ndarray)
        with pytest.raises(pillars.BackendError):
            scaled(np.ones(2), jax.numpy.ones(2))
    assert isinstance(scaled([1.0]), np.ndarray)


def test_the_default_is_not_baked_into_a_jit():
    jax = pytest.importorskip("jax")
    f = jax.jit(lambda x: scaled(x, [1.0, 1.0]))
    x = jax.numpy.ones(2, "float32")
    with pillars.using("jax", dtype="float32"):
        first = f(x)
    with pillars.using("numpy", dtype="float64"):
        second = f(x)
    assert first.dtype == second.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jax", "jax"),
        ("numpy", "numpy"),
        ("", "numpy"),
        (" ", "numpy"),
        ("torch", "BackendError: PILLARS_BACKEND: got 'torch'"),
    ],
)
def test_the_environment_chooses(name, expected):
    if name == "jax":
        pytest.importorskip("jax")
    code = (
        "import pillars\n"
        "try: print(pillars.backend().name)\n"
        "except pillars.BackendError as error: print('BackendError:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PILLARS_BACKEND": name},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith(expected)


def test_what_is_unknown_or_unusable_fails_at_once():
    with pytest.raises(pillars.BackendError, match=r"got 'torch', expected one of 'numpy', 'cupy', 'jax'"):
        pillars.use("torch")
    with pytest.raises(pillars.DTypeError, match="expected a floating dtype"):
        pillars.use("numpy", dtype="int64")
    with pytest.raises(pillars.DTypeError):
        pillars.use("numpy", dtype="floaty")
    with pytest.raises(pillars.PillarsError), pillars.using("numpy", device="cuda:0"):
        pass
    assert chosen().backend == "numpy"


def test_a_backend_by_name_array_or_itself():
    here = pillars.backend("numpy")
    assert pillars.backend(here) is here
    assert pillars.backend(np.ones(2)) is here
    with pytest.raises(pillars.BackendError, match="backend: got list"):
        pillars.backend([1.0])
    assert repr(here) == "<pillars backend 'numpy' on cpu>"
