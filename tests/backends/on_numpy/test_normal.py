"""Φ and the exact gelu in place: what their bodies give, to the sign of a zero, however they are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.backends.on_numpy import normal
from pillars.layers import gelu, relu
from pillars.probability import ndtr

EDGES = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e38,
    -1e38,
    1e-45,
    -1e-45,
    -12.5,
    -13.0,
    -37.5,
    -40.0,
    8.0,
    -1e5,
]


def numbers(draw: Draw, n: int, dtype: str) -> Any:
    x = draw.normal(n, scale=6.0)
    x[:: n // len(EDGES)][: len(EDGES)] = EDGES
    return x.astype(dtype)


@pytest.mark.parametrize(
    ("f", "kernel", "size"),
    [(ndtr, "normal:ndtr", 2**15), (gelu, "activations:gelu", 2**15), (relu, "activations:relu", 2**19)],
    ids=["ndtr", "gelu", "relu"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_body(draw: Draw, f: Any, kernel: str, size: int, dtype: str, order: str) -> None:
    x = np.asarray(numbers(draw, size + 16, dtype).reshape(16, -1), order=order)
    kept = x.copy()
    assert explain(f, x).kernel == f"on_numpy.{kernel}"
    got, expected = f(x), f.reference(x)
    assert got.dtype == dtype
    assert got.flags.c_contiguous is (order == "C")
    # the body splits x and the kernel |x|: each is within 5 ulp of Φ
    info = np.finfo(dtype)
    close = {"rtol": 10 * float(info.eps) * (f is not relu), "atol": 4 * float(info.smallest_subnormal)}
    assert np.allclose(got, expected, equal_nan=True, **close)
    zero = (got == 0) & (expected == 0) & (f is not relu)  # the larger of −0 and 0 is either
    assert np.array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))
    assert np.array_equal(x, kept, equal_nan=True)


@pytest.mark.parametrize("f", [ndtr, gelu])
def test_cuts_and_threads_change_nothing(draw: Draw, f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(draw, 40_009, "float32")
    once = f(x)
    for block, span, threads in ((1000, 3000, "1"), (1003, 1003, "2"), (512, 4096, "3")):
        monkeypatch.setattr(normal, "_BLOCK", block)
        monkeypatch.setattr(normal, "_SPAN", span)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(f(x), once, equal_nan=True)


def test_what_the_kernels_leave_to_the_body(draw: Draw) -> None:
    x = draw.normal(2**16)
    assert "contiguous" in explain(ndtr, x[::2]).reason
    assert explain(ndtr, x[:10]).kernel == "body"
    assert explain(relu, x).kernel == "body"
