"""Gradient descent: softmax regression on the digits, least squares on all rows, Adam on a million parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from speed import Case, Contest

from cases._support import relative_to, torch_ways
from pillars.calculus import LeastSquaresLoss, adam, gradient_descent, sgd
from pillars.layers import linear
from pillars.measure import load_digits
from pillars.probability import cross_entropy, softmax

__all__ = ["CASES"]

STEPS, RATE = 500, 0.01
SMALL_RATE = 0.005  # so that the last step is still on its way
MEASURE = "largest |weight - true| over the largest |true|; true: the plain loop in float64"


def _digits(dtype: Any) -> tuple[Any, Any, dict[str, Any]]:
    found = load_digits()
    x = (found.x / 16).astype(dtype)
    return x, found.y, {"weight": np.zeros((64, 10), dtype), "bias": np.zeros(10, dtype)}


def _loss(params: Any, x: Any, y: Any) -> Any:
    return cross_entropy(linear(x, params["weight"], params["bias"]), y)


def _gradient(params: Any, x: Any, one_hot: Any) -> Any:
    error = (softmax(linear(x, params["weight"], params["bias"])) - one_hot) / x.shape[0]
    return {"weight": x.T @ error, "bias": error.sum(axis=0)}


def _plain_loop(x: Any, y: Any, params: Any) -> tuple[Any, list[Any]]:
    """What one writes by hand: weights, and the loss of every step."""
    n = len(y)
    rows, one_hot = np.arange(n), np.eye(10, dtype=x.dtype)[y]
    w, b = params["weight"].copy(), params["bias"].copy()
    mw, vw, mb, vb = np.zeros_like(w), np.zeros_like(w), np.zeros_like(b), np.zeros_like(b)
    losses = []
    for t in range(1, STEPS + 1):
        z = x @ w + b
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        p = e / e.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[rows, y]).mean())
        error = (p - one_hot) / n
        gw, gb = x.T @ error, error.sum(axis=0)
        mw, vw = 0.9 * mw + 0.1 * gw, 0.999 * vw + 0.001 * gw**2
        mb, vb = 0.9 * mb + 0.1 * gb, 0.999 * vb + 0.001 * gb**2
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        w = w - RATE * (mw / c1) / (np.sqrt(vw / c2) + 1e-8)
        b = b - RATE * (mb / c1) / (np.sqrt(vb / c2) + 1e-8)
    return w, losses


def _true() -> Any:
    return _plain_loop(*_digits(np.float64))[0]


def _on_numpy() -> Contest:
    x, y, params = _digits(np.float32)
    one_hot = np.eye(10, dtype=np.float32)[y]
    plan: dict[str, Any] = {"optimizer": adam(RATE), "steps": STEPS}

    def given() -> Any:
        # one_hot beside y: the loss and the gradient are handed the same data
        found = gradient_descent(
            lambda params, x, y, one_hot: _loss(params, x, y),
            params, x, y, one_hot,
            gradient=lambda params, x, y, one_hot: _gradient(params, x, one_hot),
            **plan,
        )  # fmt: skip
        return found.params["weight"]

    ways = {
        "pillars": lambda: gradient_descent(_loss, params, x, y, **plan).params["weight"],
        "pillars, gradient given": given,
        "plain NumPy loop": lambda: _plain_loop(x, y, params)[0],
    }
    return Contest(ways, relative_to(_true()), MEASURE)


def _optax_scan(jax: Any, optax: Any, loss: Any) -> Any:
    optimizer = optax.adam(RATE)

    def run(params: Any, x: Any, y: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, x, y)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), None, STEPS)
        return params, losses

    return jax.jit(run)


def _on_jax() -> Contest:
    import jax
    import optax

    host_x, host_y, host_params = _digits(np.float32)
    x, y, params = (
        jax.numpy.asarray(host_x),
        jax.numpy.asarray(host_y),
        jax.tree.map(jax.numpy.asarray, host_params),
    )

    def plain(params: Any, x: Any, y: Any) -> Any:
        logits = x @ params["weight"] + params["bias"]
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    theirs, between = _optax_scan(jax, optax, plain), _optax_scan(jax, optax, _loss)
    ways = {
        "pillars": lambda: gradient_descent(_loss, params, x, y, optimizer=adam(RATE), steps=STEPS).params[
            "weight"
        ],
        "optax scan": lambda: theirs(params, x, y)[0]["weight"],
        "optax scan of pillars' loss": lambda: between(params, x, y)[0]["weight"],
    }
    return Contest(ways, relative_to(_true()), MEASURE, jax.block_until_ready)


def _rows(dtype: Any) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(0)
    x = random.standard_normal((100_000, 100))
    y = x @ random.standard_normal(100) + 0.1 * random.standard_normal(len(x))
    return x.astype(dtype), y.astype(dtype), np.zeros(100, dtype)


def _loop_over_rows(x: Any, y: Any, w: Any) -> tuple[Any, list[Any]]:
    """What one writes by hand: weights, and the loss of every step."""
    n, losses = len(y), []
    for _ in range(STEPS):
        rest = x @ w - y
        losses.append(rest @ rest / n)
        w = w - SMALL_RATE * (2 / n) * (x.T @ rest)
    return w, losses


def _on_rows(dtype: Any) -> Contest:
    x, y, w = _rows(dtype)
    true = _loop_over_rows(*(a.astype(np.float64) for a in (x, y, w)))[0]
    ways = {
        # the loss is made anew each time: nothing is kept from one descent to the next
        "pillars": lambda: (
            gradient_descent(LeastSquaresLoss(x, y), w, optimizer=sgd(SMALL_RATE), steps=STEPS).params
        ),
        "plain NumPy loop": lambda: _loop_over_rows(x, y, w)[0],
    }
    return Contest(ways, relative_to(true), MEASURE)


def _many_parameters() -> Contest:
    random = np.random.default_rng(0)
    start, g = (random.standard_normal(1_000_000).astype(np.float32) for _ in range(2))
    nothing, rate, steps = np.float32(0), 1e-3, 1000
    m, v, true = np.zeros(g.shape), np.zeros(g.shape), start.astype(np.float64)
    for t in range(1, steps + 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g.astype(np.float64) ** 2
        true = true - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    def peers(torch: Any) -> dict[str, Any]:
        def way(**options: Any) -> Any:
            def run() -> Any:
                p = torch.tensor(start, requires_grad=True)
                p.grad = torch.tensor(g)
                optimizer = torch.optim.Adam([p], lr=rate, **options)
                for _ in range(steps):
                    optimizer.step()
                return p.detach().numpy()

            return run

        return {"torch.optim.Adam (foreach)": way(foreach=True), "torch.optim.Adam (fused)": way(fused=True)}

    ways = {
        # the gradient costs nothing on either side; the norms and the check of every step are pillars' alone
        "pillars": lambda: (
            gradient_descent(
                lambda w: nothing, start, gradient=lambda w: g, optimizer=adam(rate), steps=steps
            ).params
        ),
        **torch_ways(peers),
    }
    return Contest(
        ways, relative_to(true), "largest |parameter - true| over the largest |true|; true: in float64"
    )


CASES = [
    Case(
        "1000 adam steps on 1,000,000 parameters, float32, NumPy",
        {"torch.optim.Adam (foreach)": 1.3},
        _many_parameters,
        samples=1,
    ),
    Case(
        "least squares 100,000 x 100, 500 full-batch steps, float64, NumPy",
        {"plain NumPy loop": 30.0},
        lambda: _on_rows(np.float64),
        samples=1,
    ),
    Case(
        "least squares 100,000 x 100, 500 full-batch steps, float32, NumPy",
        {},
        lambda: _on_rows(np.float32),
        samples=1,
    ),
    Case("softmax regression on digits, 500 adam steps, NumPy", {"plain NumPy loop": 1.5}, _on_numpy),
    Case("softmax regression on digits, 500 adam steps, JAX", {"optax scan": 1.0}, _on_jax),
]
