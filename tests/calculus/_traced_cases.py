"""The cases of the tracing array's rules as parameters: their inputs, one number of them, and its differences."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pillars.measure.audit.cases import CASES, Case, draw

__all__ = ["NUMBERED", "arguments", "central", "scalar", "weights_of"]

NUMBERED = [pytest.param(case, id=f"{case.name}-{i}") for i, case in enumerate(CASES)]


def arguments(case: Case, number: int = 0) -> tuple[int, list[Any]]:
    """Seed and inputs of a case."""
    seed = zlib.crc32(f"{case.name}{CASES.index(case)}{number}".encode())
    rng = np.random.default_rng(seed)
    return seed, [draw(words, rng) for words in case.draws]


def scalar(case: Case, xp: Any, weights: Any, *args: Any) -> Any:
    """The case's result against fixed weights, so that every entry of it matters."""
    return xp.sum(case.f(xp, *args) * weights)


def weights_of(case: Case, args: list[Any], seed: int) -> Any:
    return np.random.default_rng(seed + 1).uniform(0.5, 1.5, np.shape(case.f(np, *args)))


def central(f: Callable[..., Any], args: list[Any], place: int) -> Any:
    """Central differences, one entry at a time."""
    x = args[place]
    found = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        h = 6e-6 * max(1.0, abs(float(x[at])))
        ends = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[at] += sign * h
            ends.append(float(f(*args[:place], moved, *args[place + 1 :])))
        found[at] = (ends[0] - ends[1]) / (2.0 * h)
    return found
