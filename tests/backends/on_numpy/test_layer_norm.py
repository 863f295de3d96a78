"""The normalisation kernels against the bodies that they replace: easy rows, rows that are redone, any cut of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.backends.on_numpy import _blocks as blocks
from pillars.layers import layer_norm, rms_norm

NAN, INF = float("nan"), float("inf")
BOTH = pytest.mark.parametrize("f", [layer_norm, rms_norm], ids=lambda f: f.__name__)
FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])


def edges(draw: Draw, dtype: str) -> Any:
    """Rows of one pass, rows whose mean must be taken twice, rows to be scaled, and rows without an answer."""
    x = draw.normal(14, 40)
    x[1] += 60
    x[2] += 1e5
    x[3] *= 1e-12
    x[4, 3], x[5, 3], x[6, :] = NAN, INF, -INF
    x[7] *= 1e37 if dtype == "float32" else 1e307
    x[8, :], x[9, :], x[10, :] = 0.0, 3.3, 1e30
    x[11, 5] = 1e6
    x[12] *= 1e15
    return x.astype(dtype)


@FLOATS
@pytest.mark.parametrize("epsilon", [1e-5, 0.0, 0.5])
@BOTH
def test_edges(draw: Draw, f: Any, epsilon: float, dtype: str) -> None:
    x = edges(draw, dtype)
    for rows in (x, *np.split(x, 14)):  # together, where one bad row has others redone, and each alone
        got, expected = f(rows, epsilon=epsilon), f.reference(rows, epsilon=epsilon)
        assert got.dtype == dtype
        known = np.isfinite(expected)
        assert np.array_equal(got[~known], expected[~known], equal_nan=True)
        error = np.abs(got[known] - expected[known])
        assert np.all(error <= 2 * (8 + 40**0.5) * np.finfo(dtype).eps * (1 + np.abs(expected[known])))


@BOTH
def test_every_cut_of_the_rows_gives_the_same_bits(
    draw: Draw, f: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weight = draw.normal(37, 50).astype(np.float32), draw.normal(50).astype(np.float32)
    x[20] += 100
    alone = np.concatenate([f(row[None], weight) for row in x])
    cuts = ((2**18, 2**20, "1"), (100, 1, "1"), (100, 1, "2"), (500, 1, "3"), (1, 1, "2"))
    for block, threaded, threads in cuts:
        monkeypatch.setattr(blocks, "BLOCK", block)
        monkeypatch.setattr(blocks, "_THREADED", threaded)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(f(x, weight), alone)


@BOTH
def test_inputs_stay_as_they_are(draw: Draw, f: Any) -> None:
    x, weight = draw.normal(10, 6), draw.normal(6)
    before = x.copy()
    x.flags.writeable = weight.flags.writeable = False
    y = f(x, weight)
    assert np.array_equal(x, before)
    assert y.flags.writeable
    assert y.base is None or not np.shares_memory(y, x)


def test_what_it_serves(draw: Draw) -> None:
    x, weight = draw.normal(4, 3, 5), draw.normal(3, 5)
    served = "on_numpy.layer_norm:layer_norm"
    for axis in (-1, 2, (-1,), (2,), (1, 2), (-1, -2), (0, 1, 2), (2, 0, 1)):
        assert explain(layer_norm, x, axis=axis).kernel == served
    for axis in (0, 1, (0,), (0, 1), (0, 2)):
        assert f"axis {axis} is not the last one" in explain(layer_norm, x, axis=axis).reason
    assert "not contiguous" in explain(rms_norm, x[:, ::-1]).reason
    assert np.allclose(
        layer_norm(x, weight, weight, axis=(2, 1)),
        layer_norm.reference(x, weight, weight, axis=(1, 2)),
        rtol=1e-13,
        atol=1e-13,
    )
