"""What the bench computes: the main operations from tiny to large, and how exact an answer can be.

A line in the table at the end adds one; nothing else counts or names them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pillars.algorithms import attention
from pillars.backends import Operation, backend
from pillars.calculus import mean_squared_error
from pillars.layers import embedding, gelu, layer_norm, leaky_relu, linear, relu, rms_norm, silu, tanh
from pillars.probability import cross_entropy, log_sigmoid, log_softmax, logsumexp, sigmoid, softmax

__all__ = ["Workload", "number_of_workloads", "workloads"]


class Workload(NamedTuple):
    """One operation on inputs of one size.

    Attributes
    ----------
    size : "tiny", "small", "medium" or "large".
    shape : of the inputs, for people.
    arrays : inputs on the host, float32 (integers as they are).
    cotangent : what the gradient is taken against, shaped like the result.
    condition, gradient_condition : how many units of float32's roundoff the result and the gradient may be off, as
        max |y − y64| / max |y64|.
    product_condition : the same in units of the backend's matrix products; 0 where there are none.
    """

    operation: Operation[..., Any]
    size: str
    shape: str
    arrays: tuple[Any, ...]
    cotangent: Any
    condition: float
    gradient_condition: float
    product_condition: float = 0.0

    @property
    def name(self) -> str:
        return str(self.operation.record.name.rpartition(".")[2])


def workloads(*, quick: bool = False, rng: int = 0) -> Iterator[Workload]:
    """Every workload, drawn when it is asked for: the large ones are tens of megabytes.

    Parameters
    ----------
    quick : small and large alone, and less large.
    rng : seed of the inputs.
    """
    for size, numbers in (_QUICK_SIZES if quick else _SIZES).items():
        for operation, make in _TENANTS:
            draw = backend("numpy").xp.random.default_rng(rng)
            yield Workload(operation, size, *make(draw, numbers))


class _Sizes(NamedTuple):
    rows: int
    columns: int
    batch: int
    inputs: int
    outputs: int
    vocabulary: int
    heads: int
    length: int
    width: int


_SMALL = _Sizes(64, 10, 64, 64, 10, 100, 4, 64, 16)
_SIZES = {
    "tiny": _Sizes(8, 10, 8, 16, 10, 50, 1, 16, 16),
    "small": _SMALL,
    "medium": _Sizes(256, 256, 256, 256, 256, 2048, 4, 256, 64),
    "large": _Sizes(2048, 1024, 1024, 1024, 1024, 16384, 8, 1024, 64),
}
_QUICK_SIZES = {"small": _SMALL, "large": _Sizes(1024, 1024, 512, 512, 512, 4096, 8, 512, 64)}

# shape, arrays, cotangent, condition, gradient_condition, product_condition
_Made = tuple[str, tuple[Any, ...], Any, float, float, float]


def _normal(draw: Any, *shape: int, scale: float = 1.0) -> Any:
    return (scale * draw.standard_normal(shape)).astype("float32")


def _logits(draw: Any, sizes: _Sizes) -> tuple[Any, float]:
    """Logits as a classifier has them, and the roundings in an exponential of their differences.

    exp turns an absolute error u·|x − max| into a relative one; the sum of k terms adds √k, its parts a few.
    """
    x = _normal(draw, sizes.rows, sizes.columns, scale=3.0)
    return x, 8 + 2 * float(x.max() - x.min()) + math.sqrt(sizes.columns)


def _softmax_like(draw: Any, sizes: _Sizes) -> _Made:
    x, condition = _logits(draw, sizes)
    g = _normal(draw, *x.shape)
    # Σ g·y adds a sum of k terms as large as g
    return _by(x.shape), (x,), g, condition, 4 * condition, 0.0


def _logsumexp(draw: Any, sizes: _Sizes) -> _Made:
    x, condition = _logits(draw, sizes)
    return _by(x.shape), (x,), _normal(draw, sizes.rows), condition, 4 * condition, 0.0


def _cross_entropy(draw: Any, sizes: _Sizes) -> _Made:
    x, condition = _logits(draw, sizes)
    labels = draw.integers(0, sizes.columns, sizes.rows).astype("int32")
    return _by(x.shape), (x, labels), _one(), condition + math.sqrt(sizes.rows), 4 * condition, 0.0


def _elementwise(draw: Any, sizes: _Sizes) -> _Made:
    # the slope of every tenant times |x| stays below |x|; libraries' exp, tanh and erf are good to a few ulps
    x = _normal(draw, sizes.rows, sizes.columns, scale=3.0)
    condition = 16 + 2 * float(abs(x).max())
    return _by(x.shape), (x,), _normal(draw, *x.shape), condition, 2 * condition, 0.0


def _linear(draw: Any, sizes: _Sizes) -> _Made:
    batch, inputs, outputs = sizes.batch, sizes.inputs, sizes.outputs
    x = _normal(draw, batch, inputs)
    weight = _normal(draw, inputs, outputs, scale=inputs**-0.5)
    bias = _normal(draw, outputs)
    # rounding grows as √m along an inner length m, and ‖row‖·‖column‖ is up to √m times the largest entry here
    longest = float(max(batch, inputs, outputs))
    shape = f"{batch}×{inputs}·{inputs}×{outputs}"
    return shape, (x, weight, bias), _normal(draw, batch, outputs), 8.0, 8.0 + longest, longest


def _layer_norm(draw: Any, sizes: _Sizes) -> _Made:
    x = _normal(draw, sizes.rows, sizes.columns, scale=3.0)
    weight, bias = 1 + _normal(draw, sizes.columns, scale=0.1), _normal(draw, sizes.columns)
    # two sums of k terms and a root; backwards two more, and sums over all rows for the parameters
    condition = 16 + 2 * math.sqrt(sizes.columns)
    arrays = (x, weight, bias)
    return (
        _by(x.shape),
        arrays,
        _normal(draw, *x.shape),
        condition,
        4 * condition + math.sqrt(sizes.rows),
        0.0,
    )


def _rms_norm(draw: Any, sizes: _Sizes) -> _Made:
    shape, (x, weight, _), *rest = _layer_norm(draw, sizes)
    return shape, (x, weight), *rest


def _embedding(draw: Any, sizes: _Sizes) -> _Made:
    table = _normal(draw, sizes.vocabulary, sizes.width)
    indices = draw.integers(0, sizes.vocabulary, sizes.rows).astype("int32")
    shape = f"{_by(table.shape)} at {sizes.rows}"
    # rows are copied; backwards those of a token are added up, and no token comes often
    return shape, (table, indices), _normal(draw, sizes.rows, sizes.width), 0.0, 32.0, 0.0


def _attention(draw: Any, sizes: _Sizes) -> _Made:
    q, k, v = (_normal(draw, sizes.heads, sizes.length, sizes.width) for _ in range(3))
    # a score is a product of d terms of norm √d each, over √d; its error enters the exponential as it is
    scores = (q @ k.swapaxes(-1, -2)) / math.sqrt(sizes.width)
    condition = 8 + 2 * float(scores.max() - scores.min()) + math.sqrt(sizes.length)
    products = 2 * float(abs(scores).max()) + math.sqrt(sizes.width)
    return _by(q.shape), (q, k, v), _normal(draw, *q.shape), condition, 4 * condition, 4 * products


def _mean_squared_error(draw: Any, sizes: _Sizes) -> _Made:
    prediction, target = (_normal(draw, sizes.rows, sizes.columns) for _ in range(2))
    # terms of one sign: a plain running sum of m terms is off by √m roundings; subtraction, square and division add few
    condition = 8 + math.sqrt(prediction.size)
    return _by(prediction.shape), (prediction, target), _one(), condition, 16.0, 0.0


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _one() -> Any:
    xp = backend("numpy").xp
    return xp.asarray(1.0, dtype=xp.float32)


_TENANTS: tuple[tuple[Operation[..., Any], Callable[[Any, _Sizes], _Made]], ...] = (
    (softmax, _softmax_like),
    (log_softmax, _softmax_like),
    (logsumexp, _logsumexp),
    (cross_entropy, _cross_entropy),
    (sigmoid, _elementwise),
    (log_sigmoid, _elementwise),
    (linear, _linear),
    (relu, _elementwise),
    (leaky_relu, _elementwise),
    (gelu, _elementwise),
    (silu, _elementwise),
    (tanh, _elementwise),
    (mean_squared_error, _mean_squared_error),
    (layer_norm, _layer_norm),
    (rms_norm, _rms_norm),
    (embedding, _embedding),
    (attention, _attention),
)


def number_of_workloads(*, quick: bool = False) -> int:
    """How many :func:`workloads` there are."""
    return len(_TENANTS) * len(_QUICK_SIZES if quick else _SIZES)
