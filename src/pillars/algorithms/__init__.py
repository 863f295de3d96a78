"""Compositions: regression, attention, trees, and thin estimator shells over the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.layers.attention import AttentionLogsumexp, attention, attention_logsumexp, attention_weights

__all__ = ["AttentionLogsumexp", "attention", "attention_logsumexp", "attention_weights"]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
