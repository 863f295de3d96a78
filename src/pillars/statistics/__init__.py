"""Moments, tests, intervals, resampling, comparison, metrics. Planned: nothing is here yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name

__all__: list[str] = []

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
