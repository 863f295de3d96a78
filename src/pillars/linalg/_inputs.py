"""What functions of a whole matrix take: rows of real numbers, a number of components; and the refusal of odd rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import DTypeError, PillarsError, ShapeError, shown
from pillars.backends import asarray, backend as backend_of, dtype_kind, dtype_name, namespace, plain_int
from pillars.reduce import row_blocks

__all__ = ["Rows", "finite_rows", "large_enough", "matrix", "rank"]

_SHOWN = 5


class Rows(NamedTuple):
    """Rows of real numbers, the dtype that they are computed in, and that of what comes out.

    On a host x is as it came, of integers or half precision too: who reads it converts a block at a time.
    """

    x: Any
    dtype: Any
    result: Any

    def narrowed(self, part: Any) -> Any:
        """What comes out, in its dtype."""
        return part if part.dtype == self.result else namespace(part).astype(part, self.result)


def matrix(where: str, x: Any) -> Rows:
    """Rows of real numbers: lists and frames converted, all else refused by name."""
    try:
        x = asarray(x)
    except PillarsError as error:
        raise type(error)(f"{where}: x: {str(error).removeprefix('asarray: ')}") from None
    kind = dtype_kind(x.dtype)
    if kind not in ("float", "half", "integer", "bool"):
        raise DTypeError(
            f"{where}: x has dtype {dtype_name(x.dtype)}, expected real numbers. Take the real part, or join it to the "
            "imaginary one as more columns."
        )
    if len(x.shape) != 2 or 0 in x.shape:
        raise ShapeError(
            f"{where}: x has shape {tuple(x.shape)}, expected (n, d), neither of them 0: rows of d numbers. "
            "Use x[:, None] for one column, or reshape."
        )
    backend = backend_of(x)
    result = backend.native_dtype(x.dtype) if kind in ("float", "half") else backend.default_float
    dtype = backend.xp.float32 if kind == "half" else result
    if not backend.host and x.dtype != dtype:
        x = backend.xp.astype(x, dtype)
    return Rows(x, dtype, result)


def rank(where: str, name: str, k: Any, shape: tuple[int, ...]) -> int:
    """A number of components, checked."""
    number = plain_int(k)
    if number is None:
        raise DTypeError(f"{where}: {name} is {shown(k)}, expected an integer. Pass a plain one, untraced.")
    if not 1 <= number <= min(shape):
        raise ShapeError(
            f"{where}: {name} is {number}, expected 1 to {min(shape)}, the lesser of {shape[0]} rows and {shape[1]} "
            "columns. Ask for fewer."
        )
    return number


def finite_rows(where: str, rows: Rows, *results: Any) -> None:
    """On a host, refuse the rows that are not finite, by name: looked for where a result is not."""
    x, backend = rows.x, backend_of(rows.x)
    if not backend.host or all(bool(backend.xp.all(backend.xp.isfinite(y))) for y in results):
        return
    odd: list[int] = []
    begin = 0
    for block in row_blocks(x):
        fine = backend.to_numpy(backend.xp.all(backend.xp.isfinite(block), axis=1))
        odd.extend(begin + row for row, good in enumerate(fine.tolist()) if not good)
        begin += block.shape[0]
    if odd:
        shown = ", ".join(map(str, odd[:_SHOWN])) + (", ..." if len(odd) > _SHOWN else "")
        raise ShapeError(
            f"{where}: x has NaN or infinite entries in {len(odd)} of {x.shape[0]} rows ({shown}, counted from 0), "
            "expected finite numbers. Drop these rows, or fill them in."
        )
    raise ShapeError(
        f"{where}: x has entries of up to {_largest(x):.3g}, expected numbers whose squares and their sums "
        f"{dtype_name(rows.dtype)} holds. Divide it by its largest one."
    )


def large_enough(where: str, rows: Rows, total: Any) -> None:
    """On a host, refuse rows that vary by so little that the squares of it vanish: they would seem to be constant."""
    x, backend = rows.x, backend_of(rows.x)
    if not backend.host or float(total) >= float(backend.xp.finfo(total.dtype).smallest_normal):
        return
    if any(bool(backend.xp.any(block != x[:1, :])) for block in row_blocks(x)):
        raise ShapeError(
            f"{where}: x has entries of up to {_largest(x):.3g} whose variance is {float(total):.3g}, expected numbers "
            f"whose squares {dtype_name(total.dtype)} holds. Multiply it by a large number first."
        )


def _largest(x: Any) -> float:
    backend = backend_of(x)
    return max(float(backend.xp.max(backend.xp.abs(block))) for block in row_blocks(x))
