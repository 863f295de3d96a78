"""Rows taken and added by number on NumPy: any repetition, any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import explain
from pillars.backends import Draw
from pillars.backends.on_numpy import _blocks
from pillars.backends.on_numpy.embedding import _TURNS
from pillars.layers import embedding
from pillars.layers._embedding import scatter_rows


def added(g: Any, places: Any, rows: int) -> Any:
    z = np.zeros((rows, g.shape[1]))
    np.add.at(z, places, g)
    return z


@pytest.mark.parametrize(
    "counts",
    [[1] * 9, [0, 3, 0, 1], [_TURNS, _TURNS + 1, 2 * _TURNS, 0], [200], [0, 0], [1, 100, 1, 0, 50]],
    ids=str,
)
def test_every_number_of_repetitions(draw: Draw, counts: list[int]) -> None:
    places = np.repeat(np.arange(len(counts)), counts)[draw.integers(0, 10**9, sum(counts)).argsort()]
    g = draw.normal(len(places), 3)
    got = scatter_rows(g, places, rows=len(counts))
    assert np.allclose(got, added(g, places, len(counts)), rtol=0, atol=1e-13 * max(counts))
    assert np.array_equal(got[np.asarray(counts) == 0], np.zeros((counts.count(0), 3)))


def test_one_row_is_kept_to_the_bit(draw: Draw) -> None:
    g = draw.normal(5, 4).astype(np.float32)
    assert np.array_equal(scatter_rows(g, np.asarray([4, 2, 0, 1, 3]), rows=5), g[[2, 3, 1, 4, 0]])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint64"])
def test_places_of_any_dtype(draw: Draw, dtype: str) -> None:
    places, g = np.asarray([3, 0, 3], dtype), draw.normal(3, 2)
    assert np.allclose(
        scatter_rows(g, places, rows=300), added(g, places.astype(int), 300), rtol=0, atol=1e-15
    )


def test_threads_take_rows(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "_THREADED", 1)
    monkeypatch.setattr(_blocks, "BLOCK", 20)
    table, indices = draw.normal(50, 7), draw.integers(0, 50, 9, 11)
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert np.array_equal(embedding(table, indices), table[indices])
    assert np.array_equal(embedding(np.asfortranarray(table), indices[:, ::-1]), table[indices[:, ::-1]])


def test_what_it_serves() -> None:
    assert explain(embedding, np.ones((3, 2)), np.asarray([0])).kernel == "on_numpy.embedding:embedding"
