"""The trace: gradient and Hessian-vector product of a network's loss, in plain NumPy and in pillars' operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from speed import Case, Contest

from cases._support import relative_to, torch_ways
from pillars.calculus import grad, hvp, value_and_grad
from pillars.layers import linear
from pillars.probability import cross_entropy

__all__ = ["CASES"]

ROWS, WIDTH, CLASSES = 256, 512, 10
MEASURE = "largest |gradient of the first weight - true| over the largest |true|; true: by hand in float64"


def _problem(dtype: Any) -> tuple[list[tuple[Any, Any]], Any, Any]:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((ROWS, WIDTH)), rng.integers(0, CLASSES, ROWS)
    sizes = ((WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, CLASSES))
    params = [(rng.standard_normal(size) / np.sqrt(size[0]), np.zeros(size[1])) for size in sizes]
    return [(w.astype(dtype), b.astype(dtype)) for w, b in params], x.astype(dtype), labels


def _plain(xp: Any, activation: str) -> Callable[..., Any]:
    """The loss as one writes it, for NumPy or what stands in for it."""

    def loss(params: Any, x: Any, labels: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            z = h @ w + b
            h = xp.tanh(z) if activation == "tanh" else xp.maximum(z, 0)
        z = h @ params[-1][0] + params[-1][1]
        top = xp.max(z, axis=1, keepdims=True)
        total = xp.log(xp.sum(xp.exp(z - top), axis=1)) + top[:, 0]
        return xp.mean(total - z[np.arange(ROWS), labels])

    return loss


def _operations(activation: str) -> Callable[..., Any]:
    def loss(params: Any, x: Any, labels: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            h = linear(h, w, b, activation=activation)
        return cross_entropy(linear(h, *params[-1]), labels)

    return loss


def _by_hand(activation: str, params: Any, x: Any, labels: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """The backward pass that one derives."""
    (w1, b1), (w2, b2), (w3, b3) = params
    tanh = activation == "tanh"

    def act(z: Any) -> Any:
        return np.tanh(z) if tanh else np.maximum(z, 0)

    def slope(h: Any) -> Any:
        return 1 - h * h if tanh else (h > 0).astype(h.dtype)

    h1 = act(x @ w1 + b1)
    h2 = act(h1 @ w2 + b2)
    z = h2 @ w3 + b3
    rows = np.arange(len(labels))
    top = z.max(axis=1, keepdims=True)
    e = np.exp(z - top)
    s = e.sum(axis=1, keepdims=True)
    value = np.mean(np.log(s[:, 0]) + top[:, 0] - z[rows, labels])
    dz = e / s
    dz[rows, labels] -= 1
    dz /= len(labels)
    d2 = (dz @ w3.T) * slope(h2)
    d1 = (d2 @ w2.T) * slope(h1)
    return value, [(x.T @ d1, d1.sum(0)), (h1.T @ d2, d2.sum(0)), (h2.T @ dz, dz.sum(0))]


def _autograd_ways(activation: str, *args: Any) -> dict[str, Callable[[], Any]]:
    """HIPS autograd's gradient, or nothing where it is not installed."""
    try:
        import autograd
        import autograd.numpy as wrapped
    except ImportError:
        return {}
    both = autograd.value_and_grad(_plain(wrapped, activation))
    return {"autograd": lambda: both(*args)[1][0][0]}


def _in_torch(
    activation: str, params: Any, x: Any, labels: Any
) -> Callable[[Any], dict[str, Callable[[], Any]]]:
    def ways(torch: Any) -> dict[str, Callable[[], Any]]:
        leaves = [torch.from_numpy(p.copy()).requires_grad_() for layer in params for p in layer]
        data, wanted = torch.from_numpy(x), torch.from_numpy(labels)
        act = torch.tanh if activation == "tanh" else torch.relu

        def run() -> Any:
            h = act(data @ leaves[0] + leaves[1])
            h = act(h @ leaves[2] + leaves[3])
            loss = torch.nn.functional.cross_entropy(h @ leaves[4] + leaves[5], wanted)
            return torch.autograd.grad(loss, leaves)[0].numpy()

        return {"torch": run}

    return ways


def _gradient(activation: str) -> Contest:
    args = _problem(np.float32)
    plain, ours = (value_and_grad(f) for f in (_plain(np, activation), _operations(activation)))
    ways = {
        "pillars": lambda: plain(*args)[1][0][0],
        "pillars, its operations": lambda: ours(*args)[1][0][0],
        "by hand": lambda: _by_hand(activation, *args)[1][0][0],
        **_autograd_ways(activation, *args),
        **torch_ways(_in_torch(activation, *args)),
    }
    true = _by_hand(activation, *_problem(np.float64))[1][0][0]
    return Contest(ways, relative_to(true), MEASURE)


def _curvature() -> Contest:
    params, x, labels = _problem(np.float32)
    loss = _plain(np, "tanh")
    rng = np.random.default_rng(1)
    v = [(rng.standard_normal(w.shape).astype(w.dtype), np.zeros_like(b)) for w, b in params]
    wide, wide_x, _ = _problem(np.float64)
    step = 1e-5
    ends = [
        grad(loss)([(w + s * step * d, b) for (w, b), (d, _) in zip(wide, v, strict=True)], wide_x, labels)[
            0
        ][0]
        for s in (1, -1)
    ]
    ways = {
        "pillars": lambda: hvp(loss, params, v, x, labels)[0][0],
        "one gradient": lambda: grad(loss)(params, x, labels)[0][0],
    }
    error = relative_to((ends[0] - ends[1]) / (2 * step))
    return Contest(
        ways, error, "largest |product - true| over the largest |true|; true: differences in float64"
    )


SHAPE = f"{ROWS} x {WIDTH}, NumPy"
CASES = [
    # a ratio of 1 / 1.5: at most one and a half times as long
    Case(
        f"gradient of a tanh network {SHAPE}",
        {"by hand": 0.667, "autograd": 1.0},
        lambda: _gradient("tanh"),
        9,
        9,
    ),
    Case(
        f"gradient of a relu network {SHAPE}",
        {"by hand": 0.667, "autograd": 1.0},
        lambda: _gradient("relu"),
        9,
        9,
    ),
    Case(f"Hessian times a vector, tanh network {SHAPE}", {"one gradient": 0.25}, _curvature, 9, 9),
]
