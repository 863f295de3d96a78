"""Blocks, the merge tree, and the runners."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings, strategies as st

from contracts._variants import Variant
from pillars._errors import DTypeError, ShapeError
from pillars.reduce import Reducer, fold, moments, row_blocks, serial, threaded, tree_reduce


def levels(states: list[str]) -> str:
    """The tree, level by level."""
    while len(states) > 1:
        pairs = ["(" + "".join(states[i : i + 2]) + ")" for i in range(0, len(states) - 1, 2)]
        states = pairs + (states[-1:] if len(states) % 2 else [])
    return states[0]


@pytest.mark.parametrize("n", range(1, 35))
def test_the_tree_is_that_of_the_levels(n: int) -> None:
    leaves = [chr(ord("A") + i) for i in range(n)]
    assert tree_reduce(iter(leaves), lambda a, b: f"({a}{b})") == levels(leaves)


def test_the_tree_holds_few_states_at_once() -> None:
    alive, most = [0], [0]

    class State:
        def __init__(self) -> None:
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self) -> None:
            alive[0] -= 1

    tree_reduce((State() for _ in range(1024)), lambda a, b: State())
    assert most[0] <= 10 + 4


def test_no_states_are_refused() -> None:
    with pytest.raises(ShapeError, match="no states"):
        tree_reduce([], lambda a, b: a)


@pytest.mark.parametrize("runner", [serial, threaded])
def test_fold_chunks_merges_in_order_and_finishes(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "3")
    reducer = Reducer(chunk=str, merge=lambda a, b: a + b, finish=len)
    assert fold(reducer, range(1000), runner=runner) == len("".join(map(str, range(1000))))
    order = Reducer(chunk=str, merge=lambda a, b: a + b, finish=lambda s: s)
    assert fold(order, range(300), runner=runner) == "".join(map(str, range(300)))


def test_threaded_draws_blocks_in_the_calling_thread_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "2")
    drawn, done, ahead, threads = [0], [0], [0], set()

    def blocks() -> Iterator[int]:
        for i in range(100):
            threads.add(threading.get_ident())
            drawn[0] += 1
            ahead[0] = max(ahead[0], drawn[0] - done[0])
            yield i

    def merge(a: int, b: int) -> int:
        done[0] += 1
        return a + b

    total = fold(Reducer(lambda i: i, merge, lambda s: s), blocks(), runner=threaded)
    assert total == 4950
    assert threads == {threading.get_ident()}
    assert ahead[0] <= 8 + 7  # a window, and what the tree holds


def test_a_failing_chunk_is_raised_and_blas_restored() -> None:
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError):
            fold(Reducer(lambda i: 1 // i, lambda a, b: a, lambda s: s), range(5), runner=threaded)
        assert {
            one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"
        } == {2}


@pytest.mark.parametrize("runner", [serial, threaded])
def test_blas_runs_on_one_thread_inside_every_runner(runner: Any) -> None:
    def blas(_: Any) -> set[int]:
        return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        reducer = Reducer(blas, lambda a, b: a | b | blas(None), lambda s: s | blas(None))
        assert fold(reducer, range(4), runner=runner) == {1}


# -------------------------------------------------------------------------------------------------------------- blocks
@given(n=st.integers(0, 40), d=st.integers(0, 4), rows=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_blocks_are_the_rows_in_order(n: int, d: int, rows: int) -> None:
    x = np.arange(n * d, dtype=float).reshape(n, d)
    blocks = list(row_blocks(x, rows))
    np.testing.assert_array_equal(np.concatenate(blocks), x)
    assert all(len(block) == rows for block in blocks[:-1])
    assert len(blocks) == max(1, -(-n // rows))
    assert all(np.shares_memory(block, x) for block in blocks if block.size)


def test_the_default_block_depends_on_the_row_alone() -> None:
    assert next(row_blocks(np.zeros((10_000, 64)))).shape == (4096, 64)
    assert next(row_blocks(np.broadcast_to(0.0, (5, 2**20)))).shape == (1, 2**20)
    assert next(row_blocks(np.zeros(300_000))).shape == (2**18,)


def test_blocks_on_every_backend(variant: Variant) -> None:
    x = np.arange(10.0).reshape(5, 2)
    blocks = [variant.to_numpy(block) for block in row_blocks(variant.asarray(x), 2)]
    np.testing.assert_array_equal(np.concatenate(blocks), x)


def test_bad_blocks_are_refused() -> None:
    with pytest.raises(ShapeError, match="0-d"):
        row_blocks(np.zeros(()))
    with pytest.raises(ShapeError, match="rows is 0"):
        row_blocks(np.zeros((3, 2)), 0)


# ------------------------------------------------------------------------------------------------------------ the bits
def digest(x: Any, rows: int, runner: Any) -> list[bytes]:
    return [np.asarray(part).tobytes() for part in fold(moments(), row_blocks(x, rows), runner=runner)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [7, 64, 1000])
def test_threads_change_no_bit(dtype: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).normal(3.0, 2.0, (3001, 40)).astype(dtype)
    expected = digest(x, rows, serial)
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PILLARS_NUM_THREADS", threads)
        assert digest(x, rows, threaded) == expected
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert digest(x, rows, serial) == expected


def test_a_block_done_again_gives_the_same_bits() -> None:
    """As when a worker was lost: the state of a block depends on nothing but the block."""
    x = np.random.default_rng(4).normal(size=(2000, 30))

    def twice(f: Any, blocks: Any) -> Iterator[Any]:
        for block in blocks:
            f(block.copy())
            yield f(block.copy())

    assert digest(x, 300, twice) == digest(x, 300, serial)


@pytest.mark.parametrize("runner", [serial, threaded, map, lambda f, blocks: (f(block) for block in blocks)])
def test_a_chunk_that_stops_the_iteration_does_not_cut_the_data_short(runner: Any) -> None:
    def chunk(block: int) -> int:
        return next(iter([])) if block == 5 else block

    with pytest.raises(RuntimeError):
        fold(Reducer(chunk, lambda a, b: a + b, lambda s: s), range(10), runner=runner)
    with pytest.raises(RuntimeError):
        list(serial(chunk, range(10)))


def test_rows_may_be_a_small_integer_of_numpy() -> None:
    x = np.ones((300, 2))
    for rows in (np.uint8(200), np.int16(200), np.array(200)):
        assert [len(block) for block in row_blocks(x, rows)] == [200, 100]
    assert [len(block) for block in row_blocks(x, np.int8(100))] == [100, 100, 100]


@pytest.mark.parametrize(
    ("x", "rows", "message"),
    [
        ([[1, 2]], None, "row_blocks: x is a list, expected an array.*asarray"),
        (np.ones((3, 2)), 1.5, "row_blocks: rows is 1.5, expected a plain integer"),
        (np.ones((3, 2)), True, "row_blocks: rows is True"),
        (np.ones((3, 2)), "2", "row_blocks: rows is '2'"),
    ],
)
def test_what_makes_no_blocks_is_refused(x: Any, rows: Any, message: str) -> None:
    with pytest.raises(DTypeError, match=message):
        row_blocks(x, rows)
