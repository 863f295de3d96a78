"""Compositions: regression, attention, trees, and thin estimator shells over the functions."""

from __future__ import annotations

from pillars.algorithms._attention import attention, attention_weights
from pillars.algorithms._attention_logsumexp import AttentionLogsumexp, attention_logsumexp

__all__ = ["AttentionLogsumexp", "attention", "attention_logsumexp", "attention_weights"]
