"""Probability: the softmax family, special functions, distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.probability._cross_entropy import cross_entropy
from pillars.probability._erf import erf, ndtr
from pillars.probability._logsumexp import SignedLog, logsumexp
from pillars.probability._sigmoid import log_sigmoid, sigmoid
from pillars.probability._softmax import log_softmax, softmax

__all__ = [
    "SignedLog",
    "cross_entropy",
    "erf",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "ndtr",
    "sigmoid",
    "softmax",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
