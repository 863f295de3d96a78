"""The thread pool and the limit on BLAS threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy as np
import pytest
import threadpoolctl

from pillars._errors import PillarsError
from pillars.backends import _threads as threads, num_threads, pool_map, single_threaded_blas


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "3")


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


# ---------------------------------------------------------------------------------------------------------- the number
def test_the_number_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert num_threads() == 3
    monkeypatch.setenv("PILLARS_NUM_THREADS", " 5 ")
    assert num_threads() == 5


def test_without_the_variable_it_is_the_usable_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 2, 5, 7, 9}, raising=False)
    assert num_threads() == 5


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5"])
def test_a_bad_number_is_refused_with_its_name_and_the_remedy(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", text)
    with pytest.raises(PillarsError, match=f"PILLARS_NUM_THREADS: got '{text}'.*unset"):
        pool_map(abs, [1, 2])


# ------------------------------------------------------------------------------------------------------------ the pool
def test_results_are_in_order_whatever_finishes_first() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0.0)
        return i * i

    assert pool_map(slow_first, range(20)) == [i * i for i in range(20)]
    assert pool_map(abs, []) == []


def test_several_threads_take_part_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)  # passes only if three calls are under way together
    names = pool_map(lambda _: (meeting.wait(), threading.current_thread().name)[1], range(3))
    assert threading.current_thread().name in names
    assert sum(name.startswith("pillars") for name in names) == 2


def test_one_thread_means_the_calling_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "1")
    assert set(pool_map(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}


def test_the_first_failure_in_order_is_raised_and_later_items_are_not_begun() -> None:
    begun = []

    def fail(i: int) -> int:
        begun.append(i)
        if i == 1:
            time.sleep(0.03)  # fails after item 2 has
            raise ValueError(f"item {i}")
        if i == 2:
            raise KeyError(f"item {i}")
        time.sleep(0.01)
        return i

    with pytest.raises(ValueError, match="item 1"):
        pool_map(fail, range(1000))
    assert len(begun) < 20


def test_the_pool_works_on_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        pool_map(lambda i: 1 // i, range(8))
    assert pool_map(abs, [-1, -2, -3, -4]) == [1, 2, 3, 4]


def test_nested_use_runs_inline() -> None:
    def inner(_: int) -> int:
        time.sleep(0.005)  # long enough for an idle worker to come by
        return threading.get_ident()

    def outer(_: int) -> bool:
        return set(pool_map(inner, range(5))) == {threading.get_ident()}

    assert pool_map(outer, range(2)) == [True] * 2
    assert pool_map(outer, range(12)) == [True] * 12


def test_tasks_that_wait_for_a_thread_of_their_own_do_not_deadlock() -> None:
    def task(i: int) -> list[int]:
        # a new thread does not know that it works for a task: it is a caller like any other
        found: list[int] = []
        own = threading.Thread(target=lambda: found.extend(pool_map(abs, range(-i, 0))), daemon=True)
        own.start()
        own.join()
        return found

    results: list[list[int]] = []
    whole = threading.Thread(target=lambda: results.extend(pool_map(task, range(1, 7))), daemon=True)
    whole.start()
    whole.join(timeout=20)
    assert results == [list(range(i, 0, -1)) for i in range(1, 7)]


def test_more_callers_than_workers_do_not_deadlock() -> None:
    def caller(i: int) -> list[int]:
        # a user's own threads have no context of the pool's: they are outer callers, all at once
        return pool_map(lambda j: (time.sleep(0.001), i + j)[1], range(4))

    with ThreadPoolExecutor(8) as users:
        results = users.map(caller, range(16), timeout=30)
        assert list(results) == [[i + j for j in range(4)] for i in range(16)]


def test_context_reaches_the_workers_and_stays_theirs() -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")
    colour.set("red")

    def look_and_change(i: int) -> str:
        seen = colour.get()
        colour.set(f"blue {i}")
        return seen

    assert pool_map(look_and_change, range(12)) == ["red"] * 12
    assert colour.get() == "red"


def test_context_stays_the_tasks_own_inline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_NUM_THREADS", "1")
    test_context_reaches_the_workers_and_stays_theirs()


def test_errstate_reaches_the_workers() -> None:
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        pool_map(lambda x: x / np.zeros(1), [np.ones(1)] * 6)


def test_the_pool_starts_on_first_use() -> None:
    code = "import threading, pillars.backends; print(threading.active_count())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "1"


FORK = """
import os, threading, warnings
import numpy as np
from threadpoolctl import threadpool_info
from pillars.backends import pool_map, single_threaded_blas
from pillars.backends import _threads

warnings.simplefilter("ignore")
blas = lambda: {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
before = blas()
assert pool_map(abs, range(-8, 0))[0] == 8
_threads._pool.lock.acquire()  # as another thread's call in progress would hold it
held = threading.Event(); leave = threading.Event()

def hold():
    with single_threaded_blas():
        held.set(); leave.wait()

other = threading.Thread(target=hold, daemon=True); other.start(); held.wait()
pid = os.fork()
if pid == 0:
    ok = pool_map(abs, range(-8, 0))[0] == 8 and blas() == before
    meeting = threading.Barrier(3, timeout=10)
    pool_map(lambda _: meeting.wait(), range(3))
    os._exit(0 if ok else 3)
_threads._pool.lock.release(); leave.set(); other.join()
with single_threaded_blas():
    inside = os.fork()
    if inside == 0:
        good = blas() == {1}
        _threads._blas.release()
        os._exit(0 if good and blas() == before else 4)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (pid, inside)], blas() == before)
"""


@pytest.mark.skipif(not hasattr(sys, "getswitchinterval") or sys.platform == "win32", reason="needs fork")
def test_a_forked_child_has_its_own_pool_and_its_own_blas_limit() -> None:
    # in a fresh interpreter: forking one in which JAX runs may hang
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == "[0, 0] True", done.stderr


# ---------------------------------------------------------------------------------------------------------------- BLAS
def test_blas_is_limited_inside_and_restored_after() -> None:
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
            with single_threaded_blas():
                assert set(blas_threads()) == {1}
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {2}


def test_blas_is_restored_after_an_exception() -> None:
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError), single_threaded_blas():
            raise ZeroDivisionError
        assert set(blas_threads()) == {2}


def test_blas_stays_limited_until_the_last_thread_leaves() -> None:
    entered, leave = threading.Barrier(3, timeout=10), [threading.Event(), threading.Event()]

    def hold(i: int) -> None:
        with single_threaded_blas():
            entered.wait()
            leave[i].wait()

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        holders = [threading.Thread(target=hold, args=(i,), daemon=True) for i in (0, 1)]
        for holder in holders:
            holder.start()
        entered.wait()
        for i, expected in ((0, 1), (1, 2)):
            leave[i].set()
            holders[i].join()
            assert set(blas_threads()) == {expected}


def test_re_entry_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with single_threaded_blas():
        monkeypatch.setattr(threads._BlasLimit, "set", None)  # fails if it is called
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        monkeypatch.undo()
