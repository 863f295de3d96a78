"""Which kernels NumPy has: operation -> ``"module:function"`` in this folder. Read without importing NumPy."""

from __future__ import annotations

__all__ = ["KERNELS"]

KERNELS: dict[str, str] = {
    "algorithms.attention": "attention:attention",
    "algorithms.attention_backward": "attention_backward:attention_backward",
    "algorithms.attention_forward": "attention:attention_forward",
    "layers.embedding": "embedding:embedding",
    "layers.gelu": "activations:gelu",
    "layers.layer_norm": "layer_norm:layer_norm",
    "layers.leaky_relu": "activations:leaky_relu",
    "layers.linear": "linear:linear",
    "layers.relu": "activations:relu",
    "layers.rms_norm": "layer_norm:rms_norm",
    "layers.scatter_rows": "embedding:scatter_rows",
    "layers.silu": "activations:silu",
    "linalg.mean_covariance": "covariance:mean_covariance",
    "probability.cross_entropy": "softmax:cross_entropy",
    "probability.erf": "elementwise:erf",
    "probability.log_softmax": "softmax:log_softmax",
    "probability.logsumexp": "softmax:logsumexp",
    "probability.ndtr": "normal:ndtr",
    "probability.softmax": "softmax:softmax",
    "probability.sigmoid": "activations:sigmoid",
    "random.bits": "threefry:bits",
    "random.draw_exponential": "threefry:draw_exponential",
    "random.draw_integers": "threefry:draw_integers",
    "random.draw_normal": "threefry:draw_normal",
    "random.draw_uniform": "threefry:draw_uniform",
    "random.fold": "threefry:fold",
    "random.permute": "threefry:permute",
    "random.split": "threefry:split",
}
