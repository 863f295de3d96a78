"""Compositions: regression, attention, trees, and thin estimator shells over the functions."""

from __future__ import annotations

__all__: list[str] = []
