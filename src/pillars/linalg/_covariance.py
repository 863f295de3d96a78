"""Mean and covariance of many rows, without a centred copy of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, namespace, operation
from pillars.reduce import fold, moments, row_blocks, threaded

__all__ = ["MeanCovariance", "mean_covariance"]


class MeanCovariance(NamedTuple):
    """What :func:`mean_covariance` returns: mean (d,) and covariance (d, d)."""

    mean: Any
    covariance: Any


def _rows(draw: Draw) -> Call:
    d = draw.size(1, 4)
    return Call.of(draw.normal(draw.size(d + 2, d + 6), d))


@operation(domain=_rows, half="native", jax_derivative="vjp")
def mean_covariance(x: Array, /) -> MeanCovariance:
    """Mean and unbiased covariance of rows, by blocks: in float64 on a host, whatever the dtype of x."""
    found = fold(moments(), row_blocks(x), runner=threaded)
    return MeanCovariance(found.mean, found.covariance)


@mean_covariance.check
def _(x: Any, /) -> None:
    if len(x.shape) != 2 or x.shape[0] < 2:
        raise ShapeError(
            f"mean_covariance: x has shape {tuple(x.shape)}, expected (n, d) with n of at least 2: rows of d numbers. "
            "Use x[:, None] for one column."
        )


@mean_covariance.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    xp = namespace(x)
    n = x.shape[0]
    slope = xp.astype((g.covariance + xp.matrix_transpose(g.covariance)) / (n - 1), x.dtype)
    z = x - xp.astype(y.mean, x.dtype)
    return xp.matmul(z, slope) + xp.astype(g.mean / n, x.dtype)
