"""Mean and covariance of many rows, without a centred copy of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, averaged, backend, namespace, operation
from pillars.reduce import fold, moments, row_blocks, serial, threaded

__all__ = ["MeanCovariance", "mean_covariance"]


class MeanCovariance(NamedTuple):
    """What :func:`mean_covariance` returns: mean (d,) and covariance (d, d)."""

    mean: Any
    covariance: Any


def _rows(draw: Draw) -> Call:
    d = draw.size(1, 4)
    return Call.of(draw.normal(draw.size(d + 2, d + 6), d))


@operation(domain=_rows, half="native", jax_derivative="jvp")
def mean_covariance(x: Array, /) -> MeanCovariance:
    """Mean and unbiased covariance of rows, by blocks: in float64 on a host, whatever the dtype of x."""
    # what is traced belongs to its thread, and what is on a device to the thread that chose the device
    found = fold(moments(), row_blocks(x), runner=threaded if backend(x).host else serial)
    return MeanCovariance(found.mean, found.covariance)


@mean_covariance.check
def _(x: Any, /) -> None:
    if len(x.shape) != 2 or x.shape[0] < 2:
        raise ShapeError(
            f"mean_covariance: x has shape {tuple(x.shape)}, expected (n, d) with n of at least 2: rows of d numbers. "
            "Use x[:, None] for one column."
        )


@mean_covariance.flops
def _(x: Any, /) -> Flops:
    """Sum, difference, and the symmetric product's half; then a product by a (d, d) matrix, scaled and shifted."""
    n, d = x.shape
    value = 2 * n * d + n * d * (d + 1)
    return Flops(value, value + 2 * n * d * d + 2 * n * d)


@mean_covariance.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    xp = namespace(x)
    n = x.shape[0]
    slope = xp.astype((g.covariance + xp.matrix_transpose(g.covariance)) / (n - 1), x.dtype)
    z = x - xp.astype(y.mean, x.dtype)
    return xp.matmul(z, slope) + xp.astype(g.mean / n, x.dtype)


@mean_covariance.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    xp = namespace(x)
    dx = xp.astype(tangents.x, y.mean.dtype)
    z = xp.astype(x, y.mean.dtype) - y.mean
    half = xp.matmul(xp.matrix_transpose(z), dx) / (x.shape[0] - 1)
    return MeanCovariance(averaged(dx, 0), half + xp.matrix_transpose(half))
