"""Layers: where linear algebra meets probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.layers._activations import gelu, leaky_relu, relu, silu, tanh
from pillars.layers._embedding import embedding
from pillars.layers._linear import linear
from pillars.layers._normalization import layer_norm, rms_norm
from pillars.probability import sigmoid

__all__ = [
    "embedding",
    "gelu",
    "layer_norm",
    "leaky_relu",
    "linear",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "tanh",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
