"""How tests, the audit and benchmarks draw valid inputs of an operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

__all__ = ["Call", "Draw"]

T = TypeVar("T")


class Call(NamedTuple):
    """The arguments of one valid call, as NumPy float64 and int64 arrays and plain options."""

    args: tuple[Any, ...]
    options: dict[str, Any]

    @classmethod
    def of(cls, *args: Any, **options: Any) -> Call:
        """A call from its arguments as they would be written."""
        return cls(args, options)


class Draw:
    """A seeded source of inputs; the seed is printed by whatever fails.

    Parameters
    ----------
    seed : a non-negative int.
    scale : typical length of an axis: tests use a handful, benchmarks thousands.
    """

    def __init__(self, seed: int, *, scale: int = 6) -> None:
        self.seed = seed
        self.scale = scale
        self._rng = np.random.default_rng(seed)

    def __repr__(self) -> str:
        return f"Draw(seed={self.seed}, scale={self.scale})"

    def size(self, low: int = 1, high: int | None = None) -> int:
        """The length of an axis, between `low` and `high` (default: the scale)."""
        return int(self._rng.integers(low, max(low, high or self.scale) + 1))

    def shape(self, ndim: int) -> tuple[int, ...]:
        """Lengths of `ndim` axes."""
        return tuple(self.size() for _ in range(ndim))

    def normal(self, *shape: int, scale: float = 1.0) -> Any:
        """Normal deviates."""
        return scale * self._rng.standard_normal(shape)

    def uniform(self, low: float, high: float, *shape: int) -> Any:
        """Uniform deviates."""
        return self._rng.uniform(low, high, shape)

    def positive(self, *shape: int) -> Any:
        """Positive numbers of one order of magnitude or two."""
        return np.exp(self._rng.standard_normal(shape))

    def away_from_zero(self, *shape: int, gap: float = 0.05) -> Any:
        """Normal deviates at least `gap` from zero, where some functions have a kink."""
        x = self._rng.standard_normal(shape)
        return x + np.copysign(gap, x)

    def integers(self, low: int, high: int, *shape: int) -> Any:
        """Integers in [low, high)."""
        return self._rng.integers(low, high, shape)

    def number(self, low: float, high: float) -> float:
        """One number."""
        return float(self._rng.uniform(low, high))

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self._rng.integers(len(options)))]
