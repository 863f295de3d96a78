"""Probability: the softmax family, special functions, distributions."""

from pillars.probability._softmax import log_softmax, logsumexp, softmax

__all__ = ["log_softmax", "logsumexp", "softmax"]
