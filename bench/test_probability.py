"""Times of what pillars.probability computes."""

from __future__ import annotations

from collections.abc import Callable


def test_softmax(timed: Callable[[], None]) -> None:
    timed()


def test_softmax_of_large_logits(timed: Callable[[], None]) -> None:
    timed()


def test_log_softmax(timed: Callable[[], None]) -> None:
    timed()


def test_logsumexp(timed: Callable[[], None]) -> None:
    timed()


def test_cross_entropy(timed: Callable[[], None]) -> None:
    timed()


def test_sigmoid(timed: Callable[[], None]) -> None:
    timed()


def test_log_sigmoid(timed: Callable[[], None]) -> None:
    timed()


def test_erf(timed: Callable[[], None]) -> None:
    timed()


def test_ndtr(timed: Callable[[], None]) -> None:
    timed()
