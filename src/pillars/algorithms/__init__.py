"""Compositions: regression, attention, trees, and thin estimator shells over the functions."""

from __future__ import annotations

from pillars.algorithms._attention import attention, attention_weights

__all__ = ["attention", "attention_weights"]
