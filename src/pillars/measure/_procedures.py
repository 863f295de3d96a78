"""The bench's procedures, PCA and gradient descent: what each is called on, what it costs, how exact it can be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pillars.backends import Cost, backend, count_flops, records
from pillars.calculus import gradient_descent, sgd
from pillars.calculus._descent_interrupt import passed_on
from pillars.layers import linear
from pillars.linalg import eigh, pca
from pillars.measure._inputs import Inputs, Lengths, Source, by
from pillars.measure._job import loss
from pillars.measure._prepare import smoothness
from pillars.probability import softmax

__all__ = ["COMPONENTS", "PROCEDURES", "STEPS"]

COMPONENTS, STEPS, CLASSES = 4, 25, 10


def components(x: Any) -> tuple[Any, Any]:
    """The variances and directions of the leading components."""
    found = pca(x, COMPONENTS, solver="covariance")
    return found.explained_variance, found.components


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
        home = backend(x)
        zeros = [home.asarray(xp.zeros(shape, dtype=x.dtype)) for shape in ((d, CLASSES), (CLASSES,))]
        params = dict(zip(("weight", "bias"), zeros, strict=True))
        data = (x, labels, targets)
        found = passed_on(gradient_descent(loss, params, *data, optimizer=sgd(rate), steps=STEPS))
        parts = [found.params["weight"], found.params["bias"][None, :]]
        return home.xp.concat(parts, axis=0)  # their errors are relative to the larger of the two

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
