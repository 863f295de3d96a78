"""Times of principal components, eigenvalues and functions of matrices."""

from __future__ import annotations

from collections.abc import Callable


def test_pca(timed: Callable[[], None]) -> None:
    timed()


def test_eigh(timed: Callable[[], None]) -> None:
    timed()


def test_expm(timed: Callable[[], None]) -> None:
    timed()


def test_logm(timed: Callable[[], None]) -> None:
    timed()


def test_sqrtm(timed: Callable[[], None]) -> None:
    timed()


def test_inv_sqrtm(timed: Callable[[], None]) -> None:
    timed()


def test_matrix_function(timed: Callable[[], None]) -> None:
    timed()
