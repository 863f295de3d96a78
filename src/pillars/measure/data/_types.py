"""What every loader returns."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Dataset"]


class Dataset(NamedTuple):
    """A classification problem in host memory (NumPy).

    Attributes
    ----------
    name : where it came from, for titles.
    x : (n, d) float64. Features, one row a sample, all finite.
    y : (n,) int64. Class numbers, 0 to k - 1.
    features : d names.
    classes : k names; ``classes[y[i]]`` is the label that the file gave row i.
    """

    name: str
    x: Any
    y: Any
    features: tuple[str, ...]
    classes: tuple[str, ...]
