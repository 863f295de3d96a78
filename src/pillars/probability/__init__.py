"""Probability: the softmax family, special functions, distributions."""

from __future__ import annotations

from pillars.probability._cross_entropy import cross_entropy
from pillars.probability._erf import erf, ndtr
from pillars.probability._sigmoid import log_sigmoid, sigmoid
from pillars.probability._softmax import log_softmax, logsumexp, softmax

__all__ = ["cross_entropy", "erf", "log_sigmoid", "log_softmax", "logsumexp", "ndtr", "sigmoid", "softmax"]
