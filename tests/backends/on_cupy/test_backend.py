"""CuPy: results stay on their arguments' device, whichever is the current one; memory is watched inside memory."""

from __future__ import annotations

from typing import Any

import pytest

import pillars
from pillars import random

pytestmark = pytest.mark.gpu


def second() -> Any:
    cupy = pytest.importorskip("cupy")
    if len(pillars.backend("cupy").devices) < 2:
        pytest.skip("not applicable: one CUDA device")
    with cupy.cuda.Device(1):
        return cupy.asarray([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]])


def test_results_of_cupy_stay_on_the_second_device() -> None:
    x = second()
    calls = [
        lambda: pillars.softmax(x),
        lambda: pillars.linear(x, [[1.0], [2.0], [3.0]]),
        lambda: pillars.layers.layer_norm(x, [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        lambda: pillars.attention(x, x, x, causal=True),
        lambda: random.normal(random.key(3, like=x), 5),
        lambda: random.integers(random.key(3, like=x), 5, 0, 9),
        lambda: random.permutation(random.key(3), x, independent=True),
        lambda: random.choice(random.key(3), x, 2, axis=1, p=[0.0, 1.0, 2.0], replace=False),
        lambda: pillars.grad(lambda x: (pillars.softmax(x) * x).sum())(x),
        lambda: random.fold_in(random.key(3, like=x), 2**40),
    ]
    for call in calls:
        assert call().device.id == 1
    with pillars.using("cupy", device="cuda:1"):
        assert pillars.softmax([1.0, 2.0]).device.id == 1
        assert random.key(3).device.id == 1


def test_memory_of_cupy_inside_memory() -> None:
    cupy = pytest.importorskip("cupy")
    backend = pillars.backend("cupy")
    inner: list[int | None] = []

    def outer() -> Any:
        inner.append(backend.memory(lambda: cupy.zeros(1000)))
        return cupy.zeros(4000)

    whole = backend.memory(outer)
    assert inner[0] is not None
    assert inner[0] >= 8000
    assert whole is not None
    assert whole >= 32000
