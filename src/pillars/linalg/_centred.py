"""Rows less their mean: without a copy of them on a host, and without a difference of large products anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pillars.backends import averaged, backend as backend_of, binary_scale, dtype_name, namespace, summed
from pillars.reduce import row_blocks

__all__ = ["Centred", "centred", "centred_mean"]

# Elements: large enough for BLAS, a few megabytes.
_BLOCK = 2**19
# What is no larger than this and no smaller than its inverse needs no scale.
_SAFE = {"float32": 2.0**20, "float64": 2.0**300}


@dataclass(frozen=True, slots=True)
class Centred:
    """z = ((x − shift) − rest)·scale, for a power of two that keeps its products from overflowing and from vanishing.

    On a host the rows are taken in blocks and may be of any dtype: z is computed in that of the shift. Elsewhere z is
    an array.
    """

    rows: Any
    shift: Any
    rest: Any
    scale: Any
    host: bool

    @classmethod
    def of(cls, x: Any, shift: Any, rest: Any) -> Centred:
        """With the scale that x asks for."""
        if not backend_of(x).host:
            z = (x - shift) - rest
            scale = binary_scale(z)
            return cls(z * scale, None, None, scale, host=False)
        xp = namespace(shift)
        one = xp.ones_like(shift[0])
        z = cls(x, shift, xp.zeros_like(rest), one, host=True)
        largest = xp.max(xp.stack([xp.maximum(xp.max(part), -xp.min(part)) for part in z._parts()]))
        safe = _SAFE[dtype_name(shift.dtype)]
        unsafe = ~((largest <= safe) & (largest >= 1.0 / safe))
        scale = xp.where(unsafe, binary_scale(largest), one)
        return cls(x, shift, rest, scale, host=True)

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self.rows.shape
        return n, d

    def _parts(self) -> Iterator[Any]:
        """(x − shift)·scale, block after block, each valid until the next one; what the shift was rounded by stays."""
        n, d = self.rows.shape
        step = max(1, min(n, _BLOCK // d))
        xp = namespace(self.shift)
        shifted, scaled = bool(xp.any(self.shift != 0)), bool(self.scale != 1)
        if not shifted and not scaled and self.rows.dtype == self.shift.dtype:
            yield from row_blocks(self.rows, step)
            return
        buffer = xp.empty((step, d), dtype=self.shift.dtype)
        for block in row_blocks(self.rows, step):
            z = xp.subtract(block, self.shift, out=buffer[: block.shape[0], :])
            if scaled:
                z *= self.scale
            yield z

    def down(self, q: Any) -> Any:
        """z q, for q (d, l)."""
        xp = namespace(q)
        if not self.host:
            return xp.matmul(self.rows, q)
        y, begin = xp.empty((self.shape[0], q.shape[1]), dtype=q.dtype), 0
        for part in self._parts():
            xp.matmul(part, q, out=y[begin : begin + part.shape[0], :])
            begin += part.shape[0]
        # no larger than the rounding of x: this difference cancels nothing
        y -= xp.matmul(self.rest * self.scale, q)
        return y

    def across(self, q: Any) -> Any:
        """zᵀ q, for q (n, l)."""
        xp = namespace(q)
        if not self.host:
            return xp.matmul(xp.matrix_transpose(self.rows), q)
        y, begin = xp.zeros((self.shape[1], q.shape[1]), dtype=q.dtype), 0
        for part in self._parts():
            y += xp.matmul(xp.matrix_transpose(part), q[begin : begin + part.shape[0], :])
            begin += part.shape[0]
        y -= (self.rest * self.scale)[:, None] * summed(q, 0)[None, :]
        return y

    def squares(self) -> Any:
        """Σ z²: on a host in float64."""
        if not self.host:
            return summed(self.rows**2)
        xp = namespace(self.shift)
        total = sum(xp.sum(xp.vecdot(part, part), dtype=xp.float64) for part in self._parts())
        rest = xp.astype(self.rest * self.scale, xp.float64)
        return xp.maximum(total - self.shape[0] * xp.sum(rest * rest), 0.0)


def centred(x: Any, shift: Any, rest: Any) -> tuple[Any, Any]:
    """All of z, and its scale."""
    z = (x - shift) - rest
    scale = binary_scale(z)
    return z * scale, scale


def centred_mean(x: Any, dtype: Any) -> tuple[Any, Any]:
    """The mean of the columns (d,), in a floating dtype, and what it was rounded by.

    Corrected until it is the nearest number of that dtype: the constant of a constant column, to the bit, so that
    nothing is left of such a column.
    """
    backend = backend_of(x)
    if not backend.host:
        return backend.jit(_mean_and_rest)(x)  # type: ignore[no-any-return]
    xp = namespace(x)
    mean = _average(x, xp.zeros_like(x[0, ...], dtype=dtype))
    rest = _average(x, mean)
    for _ in range(2):
        better = xp.where(xp.isfinite(rest), mean + rest, mean)
        if bool(xp.all(better == mean)):
            break
        mean, rest = better, _average(x, better)
    return mean, rest


def _mean_and_rest(x: Any) -> tuple[Any, Any]:
    xp = namespace(x)
    mean = averaged(x, 0)
    for _ in range(2):
        rest = averaged(x - mean, 0)
        mean = xp.where(xp.isfinite(rest), mean + rest, mean)
    return mean, averaged(x - mean, 0)


def _average(x: Any, shift: Any) -> Any:
    """The mean of x − shift, on a host."""
    xp = namespace(shift)
    total = sum(xp.astype(summed(block - shift, 0), xp.float64) for block in row_blocks(x))
    return xp.astype(total / x.shape[0], shift.dtype)
