"""What a user would otherwise pick: SciPy, scikit-learn, torch, and the textbook's lines in plain array code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pillars.backends import backend as backend_of
from pillars.measure.bench._bench_cases import COMPONENTS, STEPS
from pillars.measure.bench._workloads import Workload

__all__ = ["peers_of"]


def peers_of(workload: Workload, name: str, arrays: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    """The peers of a workload beside a backend: name -> a call on the same arrays.

    "plain" is the textbook's spelling in the backend's own namespace, compiled as a whole where the library compiles;
    the other libraries work on host arrays and stand beside NumPy. What is not installed is left out.
    """
    backend = backend_of(name)
    result: dict[str, Callable[[], Any]] = {}
    spelled = _on(name).get(workload.name)
    if spelled is not None:
        compiled = backend.jit(lambda *given: spelled(backend, *given, **workload.inputs.options))
        result["plain"] = lambda: compiled(*arrays)
    if name == "numpy":
        for peer, module, table in _LIBRARIES:
            make = table.get(workload.name)
            if make is not None and find_spec(module.partition(".")[0]) is not None:
                result[peer] = make(import_module(module), *arrays)
    return result


def _on(name: str) -> dict[str, Callable[..., Any]]:
    return {**_PLAIN, **(_COMPILED if name == "jax" else {})}


def _softmax(backend: Any, x: Any) -> Any:
    e = backend.xp.exp(x - backend.xp.max(x, axis=-1, keepdims=True))
    return e / backend.xp.sum(e, axis=-1, keepdims=True)


def _logsumexp(backend: Any, x: Any) -> Any:
    top = backend.xp.max(x, axis=-1, keepdims=True)
    return backend.xp.log(backend.xp.sum(backend.xp.exp(x - top), axis=-1)) + top[..., 0]


def _cross_entropy(backend: Any, x: Any, labels: Any) -> Any:
    own = backend.xp.take_along_axis(x, labels[:, None], axis=-1)[:, 0]
    return backend.xp.mean(_logsumexp(backend, x) - own)


def _layer_norm(backend: Any, x: Any, weight: Any, bias: Any) -> Any:
    z = x - backend.xp.mean(x, axis=-1, keepdims=True)
    return _rms_norm(backend, z, weight) + bias


def _rms_norm(backend: Any, x: Any, weight: Any) -> Any:
    return x / backend.xp.sqrt(backend.xp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * weight


def _attention(backend: Any, q: Any, k: Any, v: Any) -> Any:
    scores = backend.xp.matmul(q, backend.xp.swapaxes(k, -1, -2)) / math.sqrt(q.shape[-1])
    return backend.xp.matmul(_softmax(backend, scores), v)


def _pca(backend: Any, x: Any) -> Any:
    z = x - backend.xp.mean(x, axis=0)
    values, _ = backend.xp.linalg.eigh(z.T @ z / (x.shape[0] - 1))
    return values[::-1][:COMPONENTS]


def _step(backend: Any, params: Any, x: Any, targets: Any, rate: float) -> Any:
    """The new parameters, and the loss before: a loop that nobody can look into helps nobody."""
    xp, (weight, bias) = backend.xp, params
    z = x @ weight + bias
    z = z - xp.max(z, axis=-1, keepdims=True)
    e = xp.exp(z)
    total = xp.sum(e, axis=-1, keepdims=True)
    loss = xp.mean(xp.log(total[:, 0]) - xp.sum(z * targets, axis=-1))
    residual = (e / total - targets) / x.shape[0]
    return (weight - rate * (x.T @ residual), bias - rate * xp.sum(residual, axis=0)), loss


def _joined(backend: Any, params: Any) -> Any:
    return backend.xp.concat([params[0], params[1][None, :]], axis=0)


def _zeros(backend: Any, x: Any, targets: Any) -> Any:
    shapes = (x.shape[1], targets.shape[1]), (targets.shape[1],)
    return tuple(backend.xp.zeros(shape, dtype=x.dtype) for shape in shapes)


def _descent(backend: Any, x: Any, labels: Any, targets: Any, *, rate: float) -> Any:
    params = _zeros(backend, x, targets)
    losses = []
    for _ in range(STEPS):
        params, loss = _step(backend, params, x, targets, rate)
        losses.append(loss)
    return _joined(backend, params), backend.xp.stack(losses)


def _compiled_descent(backend: Any, x: Any, labels: Any, targets: Any, *, rate: float) -> Any:
    start = _zeros(backend, x, targets)
    end, losses = backend.scan(lambda params, _: _step(backend, params, x, targets, rate), start, None, STEPS)
    return _joined(backend, end), losses


_PLAIN: dict[str, Callable[..., Any]] = {
    "softmax": _softmax,
    "log_softmax": lambda backend, x: x - _logsumexp(backend, x)[..., None],
    "logsumexp": _logsumexp,
    "cross_entropy": _cross_entropy,
    "sigmoid": lambda backend, x: 1 / (1 + backend.xp.exp(-x)),
    "log_sigmoid": lambda backend, x: -backend.xp.logaddexp(backend.xp.zeros_like(x), -x),
    "linear": lambda backend, x, weight, bias: x @ weight + bias,
    "relu": lambda backend, x: backend.xp.maximum(x, 0),
    "leaky_relu": lambda backend, x: backend.xp.where(x > 0, x, 0.01 * x),
    "silu": lambda backend, x: x / (1 + backend.xp.exp(-x)),
    "tanh": lambda backend, x: backend.xp.tanh(x),
    "mean_squared_error": lambda backend, x, y: backend.xp.mean((x - y) ** 2),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "embedding": lambda backend, table, indices: table[indices],
    "attention": _attention,
    "pca": _pca,
    "gradient_descent": _descent,
}
_COMPILED: dict[str, Callable[..., Any]] = {
    "gelu": lambda backend, x: import_module("jax.nn").gelu(x, approximate=False),
    "gradient_descent": _compiled_descent,
}

# (the library, *arrays) -> call
_SCIPY: dict[str, Callable[..., Callable[[], Any]]] = {
    "softmax": lambda special, x: lambda: special.softmax(x, axis=-1),
    "log_softmax": lambda special, x: lambda: special.log_softmax(x, axis=-1),
    "logsumexp": lambda special, x: lambda: special.logsumexp(x, axis=-1),
    "sigmoid": lambda special, x: lambda: special.expit(x),
    "log_sigmoid": lambda special, x: lambda: special.log_expit(x),
    "gelu": lambda special, x: lambda: x * special.ndtr(x),
}
_LEARN: dict[str, Callable[..., Callable[[], Any]]] = {
    "pca": lambda decomposition, x: (
        lambda: decomposition.PCA(n_components=COMPONENTS).fit(x).explained_variance_
    ),
}


def _in_torch(name: str, *more: Any, **options: Any) -> Callable[..., Callable[[], Any]]:
    def make(functional: Any, *arrays: Any) -> Callable[[], Any]:
        torch = import_module("torch")
        given = [torch.from_numpy(x.astype("int64") if x.dtype.kind == "i" else x) for x in arrays]
        function = getattr(functional, name)

        def call() -> Any:
            with torch.inference_mode():
                return function(*given, *more, **options)

        return call

    return make


def _torch_linear(functional: Any, x: Any, weight: Any, bias: Any) -> Callable[[], Any]:
    return _in_torch("linear")(functional, x, weight.T.copy(), bias)


def _torch_norm(name: str) -> Callable[..., Callable[[], Any]]:
    def make(functional: Any, x: Any, *parameters: Any) -> Callable[[], Any]:
        torch = import_module("torch")
        given, function = [torch.from_numpy(p) for p in (x, *parameters)], getattr(functional, name)

        def call() -> Any:
            with torch.inference_mode():
                return function(given[0], (x.shape[-1],), *given[1:], eps=1e-5)

        return call

    return make


def _torch_attention(functional: Any, *qkv: Any) -> Callable[[], Any]:
    # 4 axes are its fast path
    batched = _in_torch("scaled_dot_product_attention")(functional, *[x[None] for x in qkv])
    return lambda: batched()[0]


_TORCH: dict[str, Callable[..., Callable[[], Any]]] = {
    **{name: _in_torch(name, -1) for name in ("softmax", "log_softmax")},
    **{name: _in_torch(name) for name in ("cross_entropy", "relu", "leaky_relu", "gelu", "silu")},
    "log_sigmoid": _in_torch("logsigmoid"),
    "mean_squared_error": _in_torch("mse_loss"),
    "linear": _torch_linear,
    "layer_norm": _torch_norm("layer_norm"),
    "rms_norm": _torch_norm("rms_norm"),
    "embedding": lambda functional, table, indices: _in_torch("embedding")(functional, indices, table),
    "attention": _torch_attention,
}
_LIBRARIES = (
    ("scipy", "scipy.special", _SCIPY),
    ("scikit-learn", "sklearn.decomposition", _LEARN),
    ("torch", "torch.nn.functional", _TORCH),
)
