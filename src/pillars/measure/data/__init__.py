"""The bundled data set, and readers for a user's own."""

from __future__ import annotations

from pillars.measure.data._digits import load_digits
from pillars.measure.data._table import DataError, load_table
from pillars.measure.data._types import Dataset

__all__ = ["DataError", "Dataset", "load_digits", "load_table"]
