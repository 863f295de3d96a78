"""Layers: where linear algebra meets probability."""

from __future__ import annotations

from pillars.layers._activations import gelu, leaky_relu, relu, silu, tanh
from pillars.layers._linear import linear
from pillars.probability import sigmoid

__all__ = ["gelu", "leaky_relu", "linear", "relu", "sigmoid", "silu", "tanh"]
