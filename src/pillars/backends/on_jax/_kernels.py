"""Which kernels JAX has: operation -> ``"module:function"`` in this folder. Read without importing JAX."""

from __future__ import annotations

__all__ = ["KERNELS"]

KERNELS: dict[str, str] = {
    "algorithms.attention": "attention:attention",
    "algorithms.attention_backward": "attention:attention_backward",
    "algorithms.attention_forward": "attention:attention_forward",
    "layers.embedding": "embedding:embedding",
    "layers.layer_norm": "layer_norm:layer_norm",
    "layers.linear": "linear:linear",
    "layers.rms_norm": "layer_norm:rms_norm",
    "layers.scatter_rows": "embedding:scatter_rows",
    "linalg.mean_covariance": "covariance:mean_covariance",
    "probability.cross_entropy": "softmax:cross_entropy",
}
