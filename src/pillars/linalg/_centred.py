"""Rows less their mean: without a copy of them on a host, and without a difference of products anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pillars.backends import averaged, backend, binary_scale, namespace, summed
from pillars.reduce import row_blocks

__all__ = ["Centred", "centred_mean"]

# Elements: large enough for BLAS, a few megabytes.
_BLOCK = 2**19


@dataclass(frozen=True, slots=True)
class Centred:
    """z = ((x − shift) − rest)·scale, for a power of two that keeps its products from overflowing and from vanishing.

    On a host the rows are taken in blocks and may be of any dtype: z is computed in that of the shift. Elsewhere z is
    an array.
    """

    blocks: tuple[Any, ...]
    shift: Any
    rest: Any
    scale: Any
    shape: tuple[int, int]

    @classmethod
    def of(cls, x: Any, shift: Any, rest: Any) -> Centred:
        """With the scale that x asks for."""
        if not backend(x).host:
            z = (x - shift) - rest
            scale = binary_scale(z)
            return cls((z * scale,), None, None, scale, x.shape)
        blocks = tuple(row_blocks(x, max(1, _BLOCK // x.shape[1])))
        xp = namespace(x)
        one = xp.ones_like(shift[0])
        z = cls(blocks, shift, rest, one, x.shape)
        largest = xp.stack([xp.maximum(xp.max(part), -xp.min(part)) for part in z.parts()])
        return replace(z, scale=binary_scale(largest))

    def parts(self) -> Iterator[Any]:
        """z, block after block."""
        for block in self.blocks:
            if self.shift is None:
                yield block
                continue
            z = block - self.shift
            z -= self.rest
            z *= self.scale
            yield z

    def whole(self) -> Any:
        """All of z."""
        parts = list(self.parts())
        return parts[0] if len(parts) == 1 else namespace(parts[0]).concat(parts)

    def down(self, q: Any) -> Any:
        """z q, for q (d, l)."""
        xp = namespace(q)
        parts = [xp.matmul(part, q) for part in self.parts()]
        return parts[0] if len(parts) == 1 else xp.concat(parts)

    def across(self, q: Any) -> Any:
        """zᵀ q, for q (n, l)."""
        xp = namespace(q)
        begin, total = 0, None
        for part in self.parts():
            rows = q[begin : begin + part.shape[0], :]
            more = xp.matmul(xp.matrix_transpose(part), rows)
            total = more if total is None else total + more
            begin += part.shape[0]
        return total

    def squares(self) -> Any:
        """Σ z²: on a host in float64, where that of float32 numbers keeps its digits."""
        if self.shift is None:
            return summed(self.blocks[0] ** 2)
        xp = namespace(self.shift)
        return sum(xp.sum(xp.astype(part, xp.float64) ** 2) for part in self.parts())


def centred_mean(x: Any, dtype: Any) -> tuple[Any, Any]:
    """The mean of the columns (d,), in a floating dtype, and what it was rounded by.

    Corrected until it is the nearest number of that dtype: the constant of a constant column, to the bit, so that
    nothing is left of such a column.
    """
    xp = namespace(x)
    mean = _average(x, xp.zeros_like(x[0, ...], dtype=dtype))
    rest = _average(x, mean)
    for _ in range(2):
        better = xp.where(xp.isfinite(rest), mean + rest, mean)
        if backend(x).host and bool(xp.all(better == mean)):
            break
        mean, rest = better, _average(x, better)
    return mean, rest


def _average(x: Any, shift: Any) -> Any:
    """The mean of x − shift."""
    if not backend(x).host:
        return averaged(x - shift, 0)
    xp = namespace(shift)
    total = sum(xp.astype(summed(block - shift, 0), xp.float64) for block in row_blocks(x))
    return xp.astype(total / x.shape[0], shift.dtype)
