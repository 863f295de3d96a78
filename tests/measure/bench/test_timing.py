"""Timing: what is counted, in what order, and how it is summarised - nothing about how fast this machine is."""

from __future__ import annotations

import gc
import time

import pytest

from pillars.measure import Candidate, Timing, first_call, race, summarise


def ignore(result: object) -> object:
    return result


def test_a_sleep_takes_at_least_its_time() -> None:
    nap = Candidate(lambda: time.sleep(0.003), ignore)
    found = race({"nap": nap}, rounds=2, samples=3, min_time=0.001, pause=0.0)["nap"]
    assert 0.003 <= found.low <= found.median <= found.high
    assert found.inner == 1
    assert 2 <= found.samples <= 6


def test_a_sample_of_fast_calls_is_their_mean() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    found = race({"fast": Candidate(call, ignore)}, rounds=1, samples=4, min_time=0.002, pause=0.0)["fast"]
    assert found.inner > 100
    assert calls > found.samples * found.inner
    assert found.median < 0.002


def test_figures_by_a_clock_that_only_the_work_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def work() -> None:
        nonlocal clock
        clock += 0.25

    def wait(result: object) -> None:
        nonlocal clock
        clock += 0.125

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    one = Candidate(work, wait)
    assert first_call(one)[1] == 0.375
    assert race({"a": one}, rounds=2, samples=3, min_time=1.0, pause=0.0)["a"] == Timing(
        0.375, 0.375, 0.375, 6, 4
    )
    assert race({"a": one}, rounds=1, samples=3, min_time=0.0, pause=0.0)["a"] == Timing(
        0.375, 0.375, 0.375, 1, 1
    )


def test_every_call_is_waited_for() -> None:
    waiting: list[object] = []
    counted = Candidate(lambda: waiting.append("work"), lambda result: waiting.append("wait"))
    race({"x": counted}, rounds=2, samples=2, min_time=0.0, pause=0.0)
    assert waiting[::2] == ["work"] * (len(waiting) // 2)
    assert waiting[1::2] == ["wait"] * (len(waiting) // 2)


def test_waiting_is_part_of_the_time() -> None:
    lazy = Candidate(lambda: None, lambda result: time.sleep(0.003))
    assert race({"lazy": lazy}, rounds=1, samples=2, min_time=0.0, pause=0.0)["lazy"].median >= 0.003
    assert first_call(lazy)[1] >= 0.003


def test_candidates_take_turns_and_the_order_alternates() -> None:
    order: list[str] = []

    def named(name: str) -> Candidate:
        return Candidate(lambda: order.append(name), ignore)

    race({"a": named("a"), "b": named("b")}, rounds=2, samples=2, min_time=0.0, pause=0.0)
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns == ["a", "b", "a"]  # a, b, then b, a
    assert order.count("a") == order.count("b")


def test_a_pause_comes_before_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    one = Candidate(lambda: None, ignore)
    race({"a": one, "b": one}, rounds=3, samples=1, min_time=0.0, pause=0.05)
    assert slept == [0.05] * 6


def test_the_first_call_returns_its_result() -> None:
    result, seconds = first_call(Candidate(lambda: 42, ignore))
    assert result == 42
    assert seconds > 0


def test_a_call_that_fails_leaves_the_collector_as_it_was() -> None:
    def broken() -> None:
        raise RuntimeError("stop")

    assert gc.isenabled()
    with pytest.raises(RuntimeError):
        race({"broken": Candidate(broken, ignore)}, rounds=1, pause=0.0)
    assert gc.isenabled()


def test_summary() -> None:
    assert summarise([5.0, 1.0, 3.0, 2.0, 4.0], inner=7) == Timing(3.0, 2.0, 4.0, 5, 7)
    assert summarise([5.0, 1.0, 3.0, 2.0, 4.0]).spread == pytest.approx(2 / 3)
    assert summarise([2.0]) == Timing(2.0, 2.0, 2.0, 1, 1)
    with pytest.raises(ValueError, match="no samples"):
        summarise([])
