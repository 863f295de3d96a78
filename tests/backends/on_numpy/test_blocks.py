"""Rows cut into blocks and pieces, and their sums by dot products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars.backends import Draw
from pillars.backends.on_numpy import _blocks
from pillars.backends.on_numpy._blocks import by_blocks, row_dots


@pytest.mark.parametrize("rows", [0, 1, 7, 64, 1000])
@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_every_row_once(monkeypatch: pytest.MonkeyPatch, rows: int, threads: str) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
    monkeypatch.setattr(_blocks, "_THREADED", 100)
    met = np.zeros(rows, int)

    def work(part: slice, scratch: Any) -> None:
        met[part] += 1
        assert scratch.shape == (part.stop - part.start, 10)
        assert scratch.dtype == np.float32

    for block in (5, 30, 10_000):
        by_blocks(rows, 10, work, scratch="float32", block=block)
    assert np.array_equal(met, np.full(rows, 3))


def test_few_rows_stay_in_the_callers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "pool_map", lambda f, items: [f(item) for item in items if not items[1:]])
    by_blocks(1000, 1000, lambda part, _: seen.append(part), block=1000 * 1000) if (
        seen := []
    ) == [] else None
    assert seen == [slice(0, 1000)]


def test_a_row_longer_than_a_block() -> None:
    parts: list[slice] = []
    by_blocks(3, 100, lambda part, _: parts.append(part), block=7)
    assert parts == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_rows_without_length() -> None:
    parts: list[slice] = []
    by_blocks(3, 0, lambda part, _: parts.append(part), block=7)
    assert parts == [slice(0, 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 10, 8192, 8193, 30_000])
def test_sums_and_dots(draw: Draw, length: int, dtype: str) -> None:
    x, y = draw.positive(3, length).astype(dtype), draw.normal(3, length).astype(dtype)
    wide, other = x.astype(np.longdouble), y.astype(np.longdouble)
    bound = np.finfo(dtype).eps * (4 + length**0.5)
    ones = np.ones(length, dtype)
    assert row_dots(x, ones).shape == (3, 1)
    assert row_dots(x, ones).dtype == dtype
    assert np.all(np.abs(row_dots(x, ones)[:, 0] / wide.sum(-1) - 1) <= bound)
    assert np.all(
        np.abs(row_dots(x, y)[:, 0] - (wide * other).sum(-1)) <= bound * (wide * np.abs(other)).sum(-1)
    )


def test_a_rows_sum_does_not_depend_on_its_neighbours(draw: Draw) -> None:
    x, ones = draw.normal(40, 9001).astype(np.float32), np.ones(9001, np.float32)
    alone = np.concatenate([row_dots(row[None], ones) for row in x])
    assert np.array_equal(row_dots(x, ones), alone)
    assert np.array_equal(row_dots(x[3:17], ones), alone[3:17])
