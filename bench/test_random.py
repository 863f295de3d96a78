"""Times of random bits and of what is drawn from them."""

from __future__ import annotations

from collections.abc import Callable


def test_bits(timed: Callable[[], None]) -> None:
    timed()


def test_split(timed: Callable[[], None]) -> None:
    timed()


def test_fold(timed: Callable[[], None]) -> None:
    timed()


def test_permute(timed: Callable[[], None]) -> None:
    timed()


def test_draw_uniform(timed: Callable[[], None]) -> None:
    timed()


def test_draw_normal(timed: Callable[[], None]) -> None:
    timed()


def test_draw_exponential(timed: Callable[[], None]) -> None:
    timed()


def test_draw_integers(timed: Callable[[], None]) -> None:
    timed()


def test_categorical(timed: Callable[[], None]) -> None:
    timed()
