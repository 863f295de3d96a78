"""Times of principal components."""

from __future__ import annotations

from collections.abc import Callable


def test_pca(timed: Callable[[], None]) -> None:
    timed()
