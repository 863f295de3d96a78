"""Attention: weighted means of values, whole, with its log-sum-exp, and the two passes that have kernels."""

from __future__ import annotations

from pillars.layers.attention._attention import attention, attention_weights
from pillars.layers.attention._logsumexp import AttentionLogsumexp, attention_logsumexp

__all__ = ["AttentionLogsumexp", "attention", "attention_logsumexp", "attention_weights"]
