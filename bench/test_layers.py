"""Times of the layers and activations."""

from __future__ import annotations

from collections.abc import Callable


def test_linear(timed: Callable[[], None]) -> None:
    timed()


def test_linear_relu(timed: Callable[[], None]) -> None:
    timed()


def test_linear_tanh(timed: Callable[[], None]) -> None:
    timed()


def test_linear_gelu(timed: Callable[[], None]) -> None:
    timed()


def test_linear_silu(timed: Callable[[], None]) -> None:
    timed()


def test_linear_sigmoid(timed: Callable[[], None]) -> None:
    timed()


def test_relu(timed: Callable[[], None]) -> None:
    timed()


def test_leaky_relu(timed: Callable[[], None]) -> None:
    timed()


def test_gelu(timed: Callable[[], None]) -> None:
    timed()


def test_gelu_by_tanh(timed: Callable[[], None]) -> None:
    timed()


def test_silu(timed: Callable[[], None]) -> None:
    timed()


def test_tanh(timed: Callable[[], None]) -> None:
    timed()


def test_layer_norm(timed: Callable[[], None]) -> None:
    timed()


def test_rms_norm(timed: Callable[[], None]) -> None:
    timed()


def test_embedding(timed: Callable[[], None]) -> None:
    timed()


def test_scatter_rows(timed: Callable[[], None]) -> None:
    timed()
