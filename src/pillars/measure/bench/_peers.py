"""What a user would otherwise pick: SciPy, scikit-learn, torch, and the textbook's lines in plain array code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pillars.backends import backend
from pillars.measure.bench._bench_cases import COMPONENTS, STEPS
from pillars.measure.bench._workloads import Workload

__all__ = ["peers_of"]


def peers_of(workload: Workload, name: str, arrays: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    """The peers of a workload beside a backend: name -> a call on the same arrays.

    "plain" is the textbook's spelling in the backend's own namespace, compiled as a whole where the library compiles;
    the other libraries work on host arrays and stand beside NumPy. What is not installed is left out.
    """
    home = backend(name)
    found: dict[str, Callable[[], Any]] = {}
    spelled = _on(name).get(workload.name)
    if spelled is not None:
        compiled = home.jit(lambda *given: spelled(home, *given, **workload.inputs.options))
        found["plain"] = lambda: compiled(*arrays)
    if name == "numpy":
        for peer, module, table in _LIBRARIES:
            make = table.get(workload.name)
            if make is not None and find_spec(module.partition(".")[0]) is not None:
                found[peer] = make(import_module(module), *arrays)
    return found


def _on(name: str) -> dict[str, Callable[..., Any]]:
    return {**_PLAIN, **(_COMPILED if name == "jax" else {})}


def _softmax(home: Any, x: Any) -> Any:
    e = home.xp.exp(x - home.xp.max(x, axis=-1, keepdims=True))
    return e / home.xp.sum(e, axis=-1, keepdims=True)


def _logsumexp(home: Any, x: Any) -> Any:
    top = home.xp.max(x, axis=-1, keepdims=True)
    return home.xp.log(home.xp.sum(home.xp.exp(x - top), axis=-1)) + top[..., 0]


def _cross_entropy(home: Any, x: Any, labels: Any) -> Any:
    own = home.xp.take_along_axis(x, labels[:, None], axis=-1)[:, 0]
    return home.xp.mean(_logsumexp(home, x) - own)


def _layer_norm(home: Any, x: Any, weight: Any, bias: Any) -> Any:
    z = x - home.xp.mean(x, axis=-1, keepdims=True)
    return _rms_norm(home, z, weight) + bias


def _rms_norm(home: Any, x: Any, weight: Any) -> Any:
    return x / home.xp.sqrt(home.xp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * weight


def _attention(home: Any, q: Any, k: Any, v: Any) -> Any:
    scores = home.xp.matmul(q, home.xp.swapaxes(k, -1, -2)) / math.sqrt(q.shape[-1])
    return home.xp.matmul(_softmax(home, scores), v)


def _pca(home: Any, x: Any) -> Any:
    z = x - home.xp.mean(x, axis=0)
    values, _ = home.xp.linalg.eigh(z.T @ z / (x.shape[0] - 1))
    return values[::-1][:COMPONENTS]


def _step(home: Any, params: Any, x: Any, targets: Any, rate: float) -> Any:
    """The new parameters, and the loss before: a loop that nobody can look into helps nobody."""
    xp, (weight, bias) = home.xp, params
    z = x @ weight + bias
    z = z - xp.max(z, axis=-1, keepdims=True)
    e = xp.exp(z)
    total = xp.sum(e, axis=-1, keepdims=True)
    loss = xp.mean(xp.log(total[:, 0]) - xp.sum(z * targets, axis=-1))
    residual = (e / total - targets) / x.shape[0]
    return (weight - rate * (x.T @ residual), bias - rate * xp.sum(residual, axis=0)), loss


def _joined(home: Any, params: Any) -> Any:
    return home.xp.concat([params[0], params[1][None, :]], axis=0)


def _zeros(home: Any, x: Any, targets: Any) -> Any:
    shapes = (x.shape[1], targets.shape[1]), (targets.shape[1],)
    return tuple(home.xp.zeros(shape, dtype=x.dtype) for shape in shapes)


def _descent(home: Any, x: Any, labels: Any, targets: Any, *, rate: float) -> Any:
    params = _zeros(home, x, targets)
    losses = []
    for _ in range(STEPS):
        params, loss = _step(home, params, x, targets, rate)
        losses.append(loss)
    return _joined(home, params), home.xp.stack(losses)


def _compiled_descent(home: Any, x: Any, labels: Any, targets: Any, *, rate: float) -> Any:
    start = _zeros(home, x, targets)
    end, losses = home.scan(lambda params, _: _step(home, params, x, targets, rate), start, None, STEPS)
    return _joined(home, end), losses


_PLAIN: dict[str, Callable[..., Any]] = {
    "softmax": _softmax,
    "log_softmax": lambda home, x: x - _logsumexp(home, x)[..., None],
    "logsumexp": _logsumexp,
    "cross_entropy": _cross_entropy,
    "sigmoid": lambda home, x: 1 / (1 + home.xp.exp(-x)),
    "log_sigmoid": lambda home, x: -home.xp.logaddexp(home.xp.zeros_like(x), -x),
    "linear": lambda home, x, weight, bias: x @ weight + bias,
    "relu": lambda home, x: home.xp.maximum(x, 0),
    "leaky_relu": lambda home, x: home.xp.where(x > 0, x, 0.01 * x),
    "silu": lambda home, x: x / (1 + home.xp.exp(-x)),
    "tanh": lambda home, x: home.xp.tanh(x),
    "mean_squared_error": lambda home, x, y: home.xp.mean((x - y) ** 2),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "embedding": lambda home, table, indices: table[indices],
    "attention": _attention,
    "pca": _pca,
    "gradient_descent": _descent,
}
_COMPILED: dict[str, Callable[..., Any]] = {
    "gelu": lambda home, x: import_module("jax.nn").gelu(x, approximate=False),
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
