"""The softmax kernels against the bodies that they replace: every edge, every way to cut the rows, any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw, forced_kernels
from pillars.backends.on_numpy import _blocks as blocks
from pillars.probability import cross_entropy, log_softmax, logsumexp, softmax

NAN, INF = float("nan"), float("inf")
BOTH = pytest.mark.parametrize("f", [softmax, log_softmax], ids=lambda f: f.__name__)
FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])


def forced(f: Any, *args: Any, **options: Any) -> Any:
    with forced_kernels():
        return f(*args, **options)


def bound(x: Any, dtype: str) -> Any:
    """What both may round: z by half its last place, and the sum of a row."""
    finite = np.where(np.isfinite(x), x, 0.0)
    return np.finfo(dtype).eps * (
        np.abs(finite).max() + np.ptp(finite, axis=-1).max() + 8 + x.shape[-1] ** 0.5
    )


def edges(draw: Draw, dtype: str) -> Any:
    """Rows that need no maximum, rows that do, and rows without an answer."""
    x = draw.normal(12, 40)
    x[1] += 60
    x[2] -= 60
    x[3] *= 100
    x[4, 3], x[5, 3], x[6, :], x[7, 3] = NAN, INF, -INF, -INF
    x[8, :] = -300.0
    x[9, 3] = 500.0
    x[10, ::2] = -INF
    return x.astype(dtype)


@FLOATS
@pytest.mark.parametrize("temperature", [1.0, 0.25, 50.0])
@BOTH
def test_edges(draw: Draw, f: Any, temperature: float, dtype: str) -> None:
    x = edges(draw, dtype)
    for rows in (x, *np.split(x, 12)):  # together, where one bad row has all redone, and each alone
        got, expected = forced(f, rows, temperature=temperature), f.reference(rows, temperature=temperature)
        assert got.dtype == dtype
        known = np.isfinite(expected)
        assert np.array_equal(got[~known], expected[~known], equal_nan=True)
        error = np.abs(got[known] - expected[known])
        assert error.size == 0 or error.max() <= 8 * bound(rows / temperature, dtype)


@FLOATS
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_edges_of_cross_entropy(draw: Draw, reduction: str, dtype: str) -> None:
    x, labels = edges(draw, dtype), draw.integers(0, 40, 12)
    labels[7] = 3  # a class at −inf
    for temperature in (1.0, 0.25):
        whole = forced(cross_entropy, x, labels, reduction="none", temperature=temperature)
        expected = cross_entropy.reference(x, labels, reduction="none", temperature=temperature)
        known = np.isfinite(expected)
        assert np.array_equal(whole[~known], expected[~known], equal_nan=True)
        assert whole[7] == INF
        assert np.abs(whole[known] - expected[known]).max() <= 8 * bound(x / temperature, dtype)
    good = forced(cross_entropy, x[:4], labels[:4], reduction=reduction)
    expected = cross_entropy.reference(x[:4], labels[:4], reduction=reduction)
    assert type(good) is np.ndarray
    assert good.shape == expected.shape
    assert np.allclose(good, expected, rtol=0, atol=32 * bound(x[:4], dtype))


@FLOATS
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("order", ["one row needs its maximum", "all do", "none does"])
def test_edges_of_logsumexp(draw: Draw, order: str, keepdims: bool, dtype: str) -> None:
    x = edges(draw, dtype)
    x = x[3:4].repeat(3, axis=0) if order == "all do" else x[:1] if order == "none does" else x
    got = forced(logsumexp, x, axis=-1, keepdims=keepdims)
    expected = logsumexp.reference(x, axis=-1, keepdims=keepdims)
    assert (got.dtype, got.shape) == (dtype, expected.shape)
    known = np.isfinite(expected)
    assert np.array_equal(got[~known], expected[~known], equal_nan=True)
    assert np.abs(got[known] - expected[known]).max() <= 8 * bound(x, dtype)


def test_threads_share_logsumexp(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    x = edges(draw, "float32").repeat(9, axis=0).reshape(4, 27, 40)
    assert "kernel" not in explain(logsumexp, x, axis=1).kernel
    once = forced(logsumexp, x, axis=-1)
    assert once.shape == (4, 27)
    monkeypatch.setattr(blocks, "_THREADED", 1)
    for block, threads in ((40, "1"), (125, "2"), (10**6, "3")):
        monkeypatch.setattr(blocks, "BLOCK", block)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(forced(logsumexp, x, axis=-1), once, equal_nan=True)
    assert explain(logsumexp, x[..., :5], axis=-1).reason


@BOTH
def test_every_cut_of_the_rows_gives_the_same_bits(
    draw: Draw, f: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = draw.normal(37, 50).astype(np.float32)
    x[20] *= 100  # to be redone with its maximum
    alone = np.concatenate([forced(f, row[None]) for row in x])
    cuts = ((2**18, 2**20, "1"), (100, 1, "1"), (100, 1, "2"), (500, 1, "3"), (1, 1, "2"))
    for block, threaded, threads in cuts:
        monkeypatch.setattr(blocks, "BLOCK", block)
        monkeypatch.setattr(blocks, "_THREADED", threaded)
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(forced(f, x), alone)
    assert np.abs(alone - f.reference(x)).max() <= 8 * bound(x, "float32")


def test_threads_share_cross_entropy(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = draw.normal(5, 8, 30), draw.integers(0, 30, 5, 8)
    monkeypatch.setattr(blocks, "BLOCK", 90)
    monkeypatch.setattr(blocks, "_THREADED", 1)
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        got = forced(cross_entropy, x, labels, reduction="none")
        assert got.shape == (5, 8)
        assert np.allclose(got, cross_entropy.reference(x, labels, reduction="none"), rtol=1e-13, atol=0)


@BOTH
def test_no_rows_and_one_class(f: Any) -> None:
    assert forced(f, np.ones((0, 4))).shape == (0, 4)
    assert forced(f, np.ones((3, 0, 4))).shape == (3, 0, 4)
    assert np.array_equal(forced(f, np.full((3, 1), 7.0)), f.reference(np.full((3, 1), 7.0)))


@FLOATS
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_probabilities_are_as_accurate_as_stated(draw: Draw, temperature: float, dtype: str) -> None:
    x = (draw.normal(500, 30) + draw.uniform(0.0, 80.0, 500, 1)).astype(dtype)
    z = (x - x.max(axis=-1, keepdims=True)).astype(np.longdouble) / np.longdouble(
        np.asarray(temperature, dtype)
    )
    true = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    error = np.abs(forced(softmax, x, temperature=temperature) / true - 1)
    assert np.all(error <= np.finfo(dtype).eps * (np.abs(z) + 8 + 30**0.5))


@FLOATS
@pytest.mark.parametrize("k", [2, 3, 10, 1000])
def test_logarithms_are_never_positive_and_sum_as_promised(draw: Draw, k: int, dtype: str) -> None:
    offset = draw.uniform(-3.0, 16.0, 2000, 1)
    x = (draw.normal(2000, k, scale=3.0) + offset).astype(dtype)
    x[:, 0] = x.max(axis=-1) + 9  # all but certain: what is left for rounding is the sign
    log_p = forced(log_softmax, x)
    assert log_p.max() <= 0
    total = np.exp(log_p.astype(np.float64)).sum(axis=-1)
    assert np.abs(total - 1).max() <= 4 * np.finfo(dtype).eps * k**0.5
    losses = forced(cross_entropy, x, np.zeros(2000, dtype=np.int64), reduction="none")
    assert losses.min() >= 0


def test_inputs_stay_as_they_are(draw: Draw) -> None:
    x, labels = draw.normal(100, 60), draw.integers(0, 60, 100)
    x[3] *= 1000
    before = x.copy()
    x.flags.writeable = labels.flags.writeable = False
    forced(softmax, x)
    forced(log_softmax, x, temperature=2.0)
    forced(cross_entropy, x, labels)
    assert np.array_equal(x, before)


@FLOATS
@pytest.mark.parametrize("temperature", [1.0, 0.3])
@BOTH
def test_what_the_kernel_leaves_is_the_body_in_fewer_calls(
    draw: Draw, f: Any, temperature: float, dtype: str
) -> None:
    x = edges(draw, dtype)
    for given, axis in ((x, -1), (x, 0), (x.T, 1), (x[3], 0), (x[:, ::2], -1), (x[..., None], 1)):
        before = given.copy()
        got = f(given, axis=axis, temperature=temperature)
        expected = f.reference(given, axis=axis, temperature=temperature)
        if f is softmax:
            assert np.array_equal(got, expected, equal_nan=True)
        else:
            # a sum is looked at again only where one entry is most of it
            known = np.isfinite(expected)
            assert np.array_equal(got[~known], expected[~known], equal_nan=True)
            ulps = np.abs(got[known] - expected[known]) / np.spacing(np.abs(expected[known]))
            assert ulps.size == 0 or ulps.max() <= 16
        assert np.array_equal(given, before, equal_nan=True)
        assert got.dtype == dtype


def test_what_it_serves() -> None:
    x, labels = np.ones((128, 100)), np.zeros(128, dtype=np.int64)
    served = "on_numpy.softmax:softmax"
    assert explain(softmax, x).kernel == served
    assert explain(softmax, x, axis=1).kernel == served
    assert "fewer than" in explain(softmax, x[:2]).reason
    assert "axis 0 is not the last one" in explain(softmax, x, axis=0).reason
    assert "not contiguous" in explain(log_softmax, np.asfortranarray(x)).reason
    assert explain(softmax, x[:2]).kernel == "on_numpy.softmax:softmax_in_place"
    assert explain(log_softmax, x, axis=0).kernel == "on_numpy.softmax:log_softmax_in_place"
    assert explain(cross_entropy, x, labels).kernel == "on_numpy.softmax:cross_entropy"
    assert "smoothed" in explain(cross_entropy, x, labels, label_smoothing=0.1).reason
    assert "probabilities" in explain(cross_entropy, x, x).reason
    assert "not contiguous" in explain(cross_entropy, x[:, ::-1], labels).reason
