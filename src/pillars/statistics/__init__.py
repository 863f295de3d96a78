"""Moments, tests, intervals, resampling, comparison, metrics."""

from __future__ import annotations

__all__: list[str] = []
