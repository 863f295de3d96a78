"""Mean and covariance of many rows, without a centred copy of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError
from pillars._typing import AnyArray, Array
from pillars.backends import (
    Call,
    Draw,
    Flops,
    averaged,
    backend,
    dtype_kind,
    dtype_name,
    namespace,
    operation,
)
from pillars.reduce import fold, moments, row_blocks, serial, threaded

__all__ = ["MeanCovariance", "mean_covariance"]


class MeanCovariance(NamedTuple):
    """What :func:`mean_covariance` returns: mean (d,) and covariance (d, d)."""

    mean: Any
    covariance: Any


def _rows(draw: Draw) -> Call:
    d = draw.size(1, 4)
    scale = draw.choice((None, draw.number(0.5, 2.0)))
    return Call.of(draw.normal(draw.size(d + 2, d + 6), d), scale)


@operation(domain=_rows, half="native", jax_derivative="jvp")
def mean_covariance(x: AnyArray, scale: Array | None = None, /) -> MeanCovariance:
    """Mean of rows, and unbiased covariance of scale·x, by blocks: in float64 on a host, whatever the dtype of x.

    Integers and half precision are converted block by block there.

    A power of two for the scale, that of :func:`binary_scale`, and no square overflows or vanishes.
    """
    # what is traced belongs to its thread, and what is on a device to the thread that chose the device
    runner = threaded if backend(x).host else serial
    if scale is None:
        result = fold(moments(), row_blocks(x), runner=runner)
        return MeanCovariance(result.mean, result.covariance)
    xp = namespace(x, scale)
    x = x if dtype_kind(x.dtype) in ("float", "half") else xp.astype(x, scale.dtype)
    result = fold(moments(), row_blocks(x * scale), runner=runner)
    return MeanCovariance(result.mean / xp.astype(scale, result.mean.dtype), result.covariance)


@mean_covariance.check
def _(x: Any, scale: Any, /) -> None:
    if len(x.shape) != 2 or x.shape[0] < 2:
        raise ShapeError(
            f"mean_covariance: x has shape {tuple(x.shape)}, expected (n, d) with n of at least 2: rows of d numbers. "
            "Use x[:, None] for one column."
        )
    if dtype_kind(x.dtype) not in ("float", "half", "integer", "bool"):
        raise DTypeError(
            f"mean_covariance: x has dtype {dtype_name(x.dtype)}, expected real numbers. Take the real part first."
        )
    if scale is not None and scale.shape != ():
        raise ShapeError(
            f"mean_covariance: scale has shape {tuple(scale.shape)}, expected (): one number. Leave it out, or pass "
            "one."
        )


@mean_covariance.flops
def _(x: Any, scale: Any, /) -> Flops:
    """Sum, difference, and the symmetric product's half; then a product by a (d, d) matrix, scaled and shifted."""
    n, d = x.shape
    value = 2 * n * d + n * d * (d + 1)
    return Flops(value, value + 2 * n * d * d + 2 * n * d)


@mean_covariance.vjp
def _(g: Any, y: Any, x: Any, scale: Any, /, *, needs: Any) -> Any:
    xp = namespace(x)
    n = x.shape[0]
    slope = xp.astype((g.covariance + xp.matrix_transpose(g.covariance)) / (n - 1), x.dtype)
    z = x - xp.astype(y.mean, x.dtype)
    there = xp.matmul(z if scale is None else z * scale, slope)
    dx = (there if scale is None else there * scale) + xp.astype(g.mean / n, x.dtype)
    return dx, 2.0 * xp.astype(xp.sum(g.covariance * y.covariance), x.dtype) / scale if needs.scale else None


@mean_covariance.jvp
def _(tangents: Any, y: Any, x: Any, scale: Any, /) -> Any:
    xp = namespace(x)
    mean, covariance = xp.zeros_like(y.mean), xp.zeros_like(y.covariance)
    if tangents.x is not None:
        dx = xp.astype(tangents.x, y.mean.dtype)
        z = xp.astype(x, y.mean.dtype) - y.mean
        mean = averaged(dx, 0)
        if scale is not None:
            z, dx = z * scale, dx * scale
        half = xp.matmul(xp.matrix_transpose(z), dx) / (x.shape[0] - 1)
        covariance = half + xp.matrix_transpose(half)
    if tangents.scale is not None:
        covariance = covariance + 2.0 * (tangents.scale / scale) * y.covariance
    return MeanCovariance(mean, covariance)
