"""Moments, tests, intervals, resampling, comparison, metrics. Planned: nothing is here yet."""

from __future__ import annotations

__all__: list[str] = []
