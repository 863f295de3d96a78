"""The bench's operations and procedures: what each is called on, what it costs, how far rounding may carry it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pillars.algorithms import attention
from pillars.backends import Cost, Operation, backend as backend_of, count_flops, records
from pillars.calculus import gradient_descent, mean_squared_error, sgd
from pillars.calculus.descent import passed_on
from pillars.layers import embedding, gelu, layer_norm, leaky_relu, linear, relu, rms_norm, silu, tanh
from pillars.linalg import eigh, pca
from pillars.measure.bench._job import loss
from pillars.measure.bench._prepare import smoothness
from pillars.probability import cross_entropy, log_sigmoid, log_softmax, logsumexp, sigmoid, softmax

__all__ = ["COMPONENTS", "OPERATIONS", "PROCEDURES", "STEPS", "Inputs", "Lengths", "Source", "by"]


class Lengths(NamedTuple):
    """How long the axes of one size are: rows and columns of logits, the layers', attention's, the samples of PCA."""

    rows: int
    columns: int
    batch: int
    inputs: int
    outputs: int
    vocabulary: int
    heads: int
    length: int
    width: int
    samples: int
    features: int


class Inputs(NamedTuple):
    """What a workload is called on.

    Attributes
    ----------
    shape : of the arrays, for people.
    arrays : on the host.
    cotangent : what the gradient is taken against, built like the result; None: there is no gradient to take.
    condition, gradient_condition : how many units of roundoff the result and the gradient may be off, as
        max |y − y64| / max |y64|.
    product_condition : the same in units of the backend's matrix products; 0 where there are none.
    cost : result -> the least that a call costs, for what is no single operation; gradient_cost : of its gradient.
    call : arrays -> result, likewise.
    options : plain numbers that the call fixes.
    """

    shape: str
    arrays: tuple[Any, ...]
    cotangent: Any
    condition: float
    gradient_condition: float = 0.0
    product_condition: float = 0.0
    cost: Callable[[Any], Cost] | None = None
    call: Callable[..., Any] | None = None
    options: Mapping[str, float] = MappingProxyType({})
    gradient_cost: Cost | None = None


class Source:
    """Seeded inputs of one dtype."""

    def __init__(self, rng: int, dtype: str) -> None:
        self.xp = backend_of("numpy").xp
        self.dtype = dtype
        self._draw = self.xp.random.default_rng(rng)

    def normal(self, *shape: int, scale: float = 1.0) -> Any:
        return (scale * self._draw.standard_normal(shape)).astype(self.dtype)

    def integers(self, end: int, length: int) -> Any:
        return self._draw.integers(0, end, length).astype("int32")

    def one(self) -> Any:
        return self.xp.asarray(1.0, dtype=self.dtype)


def _logits(source: Source, lengths: Lengths) -> tuple[Any, float]:
    """Logits as a classifier has them, and the roundings in an exponential of their differences.

    exp turns an absolute error u·|x − max| into a relative one; the sum of k terms adds √k, its parts a few.
    """
    x = source.normal(lengths.rows, lengths.columns, scale=3.0)
    return x, 8 + 2 * float(x.max() - x.min()) + math.sqrt(lengths.columns)


def _softmax_like(source: Source, lengths: Lengths) -> Inputs:
    x, condition = _logits(source, lengths)
    # Σ g·y adds a sum of k terms as large as g
    return Inputs(by(x.shape), (x,), source.normal(*x.shape), condition, 4 * condition)


def _logsumexp(source: Source, lengths: Lengths) -> Inputs:
    x, condition = _logits(source, lengths)
    return Inputs(by(x.shape), (x,), source.normal(lengths.rows), condition, 4 * condition)


def _cross_entropy(source: Source, lengths: Lengths) -> Inputs:
    x, condition = _logits(source, lengths)
    labels = source.integers(lengths.columns, lengths.rows)
    mean = condition + math.sqrt(lengths.rows)
    return Inputs(by(x.shape), (x, labels), source.one(), mean, 4 * condition)


def _elementwise(source: Source, lengths: Lengths) -> Inputs:
    # the slope of every tenant times |x| stays below |x|; libraries' exp, tanh and erf are good to a few ulps
    x = source.normal(lengths.rows, lengths.columns, scale=3.0)
    condition = 16 + 2 * float(abs(x).max())
    return Inputs(by(x.shape), (x,), source.normal(*x.shape), condition, 2 * condition)


def _linear(source: Source, lengths: Lengths) -> Inputs:
    batch, inputs, outputs = lengths.batch, lengths.inputs, lengths.outputs
    x = source.normal(batch, inputs)
    weight = source.normal(inputs, outputs, scale=inputs**-0.5)
    bias = source.normal(outputs)
    # rounding grows as √m along an inner length m, and ‖row‖·‖column‖ is up to √m times the largest entry here
    longest = float(max(batch, inputs, outputs))
    shape = f"{batch}×{inputs}·{inputs}×{outputs}"
    return Inputs(shape, (x, weight, bias), source.normal(batch, outputs), 8.0, 8.0 + longest, longest)


def _layer_norm(source: Source, lengths: Lengths) -> Inputs:
    x = source.normal(lengths.rows, lengths.columns, scale=3.0)
    weight, bias = 1 + source.normal(lengths.columns, scale=0.1), source.normal(lengths.columns)
    # two sums of k terms and a root; backwards two more, and sums over all rows for the parameters
    condition = 16 + 2 * math.sqrt(lengths.columns)
    backwards = 4 * condition + math.sqrt(lengths.rows)
    return Inputs(by(x.shape), (x, weight, bias), source.normal(*x.shape), condition, backwards)


def _rms_norm(source: Source, lengths: Lengths) -> Inputs:
    made = _layer_norm(source, lengths)
    return made._replace(arrays=made.arrays[:2])


def _embedding(source: Source, lengths: Lengths) -> Inputs:
    table = source.normal(lengths.vocabulary, lengths.width)
    indices = source.integers(lengths.vocabulary, lengths.rows)
    shape = f"{by(table.shape)} at {lengths.rows}"
    # rows are copied; backwards those of a token are added up, and no token comes often
    return Inputs(shape, (table, indices), source.normal(lengths.rows, lengths.width), 0.0, 32.0)


def _attention(source: Source, lengths: Lengths) -> Inputs:
    q, k, v = (source.normal(lengths.heads, lengths.length, lengths.width) for _ in range(3))
    # a score is a product of d terms of norm √d each, over √d; its error enters the exponential as it is
    scores = (q @ k.swapaxes(-1, -2)) / math.sqrt(lengths.width)
    condition = 8 + 2 * float(scores.max() - scores.min()) + math.sqrt(lengths.length)
    products = 2 * float(abs(scores).max()) + math.sqrt(lengths.width)
    return Inputs(by(q.shape), (q, k, v), source.normal(*q.shape), condition, 4 * condition, 4 * products)


def _mean_squared_error(source: Source, lengths: Lengths) -> Inputs:
    prediction, target = (source.normal(lengths.rows, lengths.columns) for _ in range(2))
    # terms of one sign: a plain running sum of m terms is off by √m roundings; subtraction, square and division add few
    condition = 8 + math.sqrt(prediction.size)
    return Inputs(by(prediction.shape), (prediction, target), source.one(), condition, 16.0)


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it."""
    return "×".join(map(str, shape))


OPERATIONS: tuple[tuple[Operation[..., Any], Callable[[Source, Lengths], Inputs]], ...] = (
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


COMPONENTS, STEPS, CLASSES = 4, 25, 10


def components(x: Any) -> tuple[Any, Any]:
    """The variances and directions of the leading components."""
    result = pca(x, COMPONENTS, solver="covariance")
    return result.explained_variance, result.components


def _pca(source: Source, lengths: Lengths) -> Inputs:
    """Columns whose variances fall by a quarter each, so that every component is well defined.

    A covariance is off by √n roundings of its trace; an eigenvalue by as much, and a component by that over the gap
    to its neighbours' eigenvalues (Davis and Kahan 1970). A gradient is that of a few such.
    """
    xp, n, d = source.xp, lengths.samples, lengths.features
    x = source.normal(n, d) * (0.75 ** (xp.arange(d) / 2)).astype(source.dtype) + source.one()
    variances = xp.linalg.eigvalsh(xp.cov(x, rowvar=False))[::-1]
    gap = float((variances[:-1] - variances[1:])[:COMPONENTS].min())
    off = (8 + math.sqrt(n)) * float(variances.sum()) / gap

    def cost(found: Any) -> Cost:
        return Cost(_size(x, *found), float(sum(count.value for count in counts)))

    covariance = records()["linalg.mean_covariance"].function
    counts = count_flops(covariance, x), count_flops(eigh, xp.eye(d, dtype=x.dtype))
    cotangent = source.normal(COMPONENTS), source.normal(COMPONENTS, d)
    gradient = Cost(2 * _size(x, *cotangent), float(sum(count.gradient for count in counts)))
    shape = f"{by(x.shape)}, k = {COMPONENTS}"
    return Inputs(shape, (x,), cotangent, 0.0, 3 * off, off, cost, components, gradient_cost=gradient)


def _descent(source: Source, lengths: Lengths) -> Inputs:
    """Softmax regression from zero at a rate of 1/L, the gradient by differentiating the loss.

    The loss is convex with curvature at most L, so that errors of one step are not amplified by the later ones, and
    those of T steps add up to √T of one. One step is off by δG/L and a rounding of W. The terms of these inner products
    have mixed signs: a partial sum of them is as long as its square root, plus what the products' mean adds, and
    ‖δG‖ = ‖Z‖·‖R‖/n + √n·‖G‖ + ‖Z‖₂·‖δR‖/n, with δR softmax's own roundings on n rows.
    """
    xp, n, d = source.xp, lengths.rows, lengths.inputs
    x = source.normal(n, d)
    labels = xp.argmax(x @ source.normal(d, CLASSES), axis=-1).astype("int32")
    rate = 1 / smoothness(x)

    def descend(x: Any, labels: Any, targets: Any) -> Any:
        backend = backend_of(x)
        zeros = [backend.asarray(xp.zeros(shape, dtype=x.dtype)) for shape in ((d, CLASSES), (CLASSES,))]
        params = dict(zip(("weight", "bias"), zeros, strict=True))
        data = (x, labels, targets)
        found = passed_on(gradient_descent(loss, params, *data, optimizer=sgd(rate), steps=STEPS))
        parts = [found.params["weight"], found.params["bias"][None, :]]
        return backend.xp.concat(parts, axis=0)  # their errors are relative to the larger of the two

    arrays = (x, labels, xp.eye(CLASSES, dtype=x.dtype)[labels])
    weights = descend(*arrays)
    norm, start = xp.linalg.norm, arrays[2] - 1 / CLASSES
    roundings = 8 + 4 * float(abs(x @ weights[:-1] + weights[-1]).max())
    gradient = norm(x) * norm(start) / n + norm(x.T @ start) / math.sqrt(n)
    gradient += math.sqrt(2 * n / rate) * roundings * math.sqrt(n) / n
    off = math.sqrt(STEPS) * float(rate * gradient + norm(weights))

    def cost(found: Any) -> Cost:
        weight, bias = weights[:-1], weights[-1]
        z = xp.empty((n, CLASSES), dtype=x.dtype)
        once = count_flops(linear, x, weight, bias).value + count_flops(softmax, z).value
        once += count_flops(linear, x.T, z).value + 3 * z.size  # p − t, over n, and its column sums
        return Cost(_size(*arrays, weights), float(STEPS * (once + 2 * weights.size)))

    shape = f"{by(x.shape)}·{by(weights.shape)}, {STEPS} steps"
    return Inputs(
        shape, arrays, None, 0.0, 0.0, off / float(abs(weights).max()), cost, descend, {"rate": rate}
    )


def _size(*arrays: Any) -> float:
    return float(sum(x.size * x.dtype.itemsize for x in arrays))


PROCEDURES: tuple[tuple[str, Callable[[Source, Lengths], Inputs]], ...] = (
    ("pca", _pca),
    ("gradient_descent", _descent),
)
