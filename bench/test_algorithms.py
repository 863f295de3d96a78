"""Times of attention, its gradient's parts and its causal form."""

from __future__ import annotations

from collections.abc import Callable


def test_attention(timed: Callable[[], None]) -> None:
    timed()


def test_attention_causal(timed: Callable[[], None]) -> None:
    timed()


def test_attention_forward(timed: Callable[[], None]) -> None:
    timed()


def test_attention_backward(timed: Callable[[], None]) -> None:
    timed()


def test_attention_weights(timed: Callable[[], None]) -> None:
    timed()


def test_attention_logsumexp(timed: Callable[[], None]) -> None:
    timed()
