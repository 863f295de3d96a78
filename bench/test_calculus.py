"""Times of losses and a whole descent."""

from __future__ import annotations

from collections.abc import Callable


def test_mean_squared_error(timed: Callable[[], None]) -> None:
    timed()


def test_gradient_descent(timed: Callable[[], None]) -> None:
    timed()


def test_mean_absolute_error(timed: Callable[[], None]) -> None:
    timed()


def test_huber(timed: Callable[[], None]) -> None:
    timed()
