"""Embedding: rows of a table by their numbers, and its adjoint, which adds rows to a table."""

from __future__ import annotations

from math import prod
from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars._typing import AnyArray, Array, Name
from pillars.backends import Call, Draw, Flops, dtype_kind, dtype_name, namespace, operation

__all__ = ["embedding", "scatter_rows"]


def table_and_indices(draw: Draw) -> Call:
    """A table, and numbers of its rows in any arrangement, some of them twice."""
    rows = draw.size(2)
    table = draw.normal(rows, draw.size())
    return Call.of(table, draw.integers(0, rows, *draw.shape(draw.choice((0, 1, 2)))))


def rows_and_indices(draw: Draw) -> Call:
    """Rows, where each is to be added, and to how many."""
    n, rows = draw.size(), draw.size(2)
    return Call.of(draw.normal(n, draw.size()), draw.integers(0, rows, n), rows=rows)


# JAX takes the rule's place itself: the derivative of its own gather is its own scatter.
@operation(domain=table_and_indices)
def embedding(
    table: Array, indices: AnyArray, /, *, padding_index: int | None = None, name: Name = None
) -> Array:
    r"""Rows of a table, by their numbers: result[i, ...] = table[indices[i, ...]].

    Parameters
    ----------
    table : array (v, d), real: a vector of d features for each of v tokens.
    indices : integer array (...), numbers in [0, v).
    padding_index : int in [0, v), or None. That row is read as it is and gets gradient 0, so that training leaves it
        alone: start it with zeros where padding is to say nothing.
    name : the layer's path, such as "decoder.tokens", for error messages.

    Returns
    -------
    array (..., d) of the dtype and device of `table`. Exact.

    Raises
    ------
    ShapeError : a table without two axes, a padding_index outside [0, v), an index outside it, negative ones among them
        (on the host; on a device, and under jit, such an index gives a row of NaN).
    DTypeError : indices that are not integers; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads and writes one row an index. The gradient adds up the rows of equal indices, in their order, into a
    table of zeros; equal to one_hot(indices) @ table, without the one-hot rows. No indices give no rows.

    References
    ----------
    Bengio, Ducharme, Vincent, Jauvin (2003), A neural probabilistic language model, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> embedding(np.asarray([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]), np.asarray([2, 0, 2]))
    array([[2. , 2.5],
           [0. , 0.5],
           [2. , 2.5]])

    >>> from pillars import grad
    >>> grad(lambda table: embedding(table, np.asarray([2, 0, 2]), padding_index=0).sum())(np.ones((3, 2)))
    array([[0., 0.],
           [0., 0.],
           [2., 2.]])
    """
    xp = namespace(table, indices)
    places, known = _places(indices, table.shape[0])
    rows = xp.take(table, xp.reshape(places, (-1,)), axis=0)
    rows = xp.where(xp.reshape(known, (-1, 1)), rows, xp.full_like(rows, xp.nan))
    return xp.reshape(rows, (*indices.shape, table.shape[1]))


@embedding.check
def _(table: Any, indices: Any, /, *, padding_index: int | None, name: str | None) -> None:
    layer = "embedding" if name is None else f"embedding {name!r}"
    if dtype_kind(indices.dtype) != "integer":
        raise DTypeError(
            f"{layer}: indices have dtype {dtype_name(indices.dtype)}, expected integers, the numbers of rows. "
            "Convert them to int64."
        )
    if table.ndim != 2 or table.shape[0] == 0:
        raise ShapeError(
            f"{layer}: table has shape {tuple(table.shape)}, expected (v, d) with v at least 1: a vector of d features "
            "for each of v tokens."
        )
    if padding_index is not None and not 0 <= padding_index < table.shape[0]:
        raise ShapeError(
            f"{layer}: padding_index is {padding_index}, expected the number of a row in [0, {table.shape[0]}) of the "
            f"table of shape {tuple(table.shape)}. Count rows from 0; None is no padding."
        )


@embedding.check_values
def _(table: Any, indices: Any, /, *, padding_index: int | None, name: str | None) -> None:
    if 0 in indices.shape:
        return
    xp, v = namespace(indices), table.shape[0]
    if int(xp.min(indices)) >= 0 and int(xp.max(indices)) < v:
        return
    outside = (indices < 0) | (indices >= v)
    place = tuple(int(axis[0]) for axis in xp.nonzero(outside)) if indices.ndim else ()
    where = f"indices[{', '.join(map(str, place))}]" if place else "the index"
    worst = int(indices[place])
    remedy = (
        "Count rows from 0."
        if worst < 0
        else f"The table needs more than {int(xp.max(indices))} rows for these."
    )
    layer = "embedding" if name is None else f"embedding {name!r}"
    raise ShapeError(
        f"{layer}: {where} is {worst}, expected the number of a row in [0, {v}) of the table of shape "
        f"{tuple(table.shape)} ({int(xp.count_nonzero(outside))} of {prod(indices.shape)} are outside). {remedy}"
    )


@embedding.flops
def _(table: Any, indices: Any, /, *, padding_index: int | None) -> Flops:
    """None; then every row of the cotangent is added to its own."""
    v, d = table.shape
    added = prod(indices.shape) * d
    return Flops(0, added, unread=max(v * d - added, 0) * table.dtype.itemsize)


@embedding.vjp
def _(g: Any, y: Any, table: Any, indices: Any, /, *, padding_index: int | None, needs: Any) -> Any:
    if not needs.table:
        return None, None
    xp, (v, d) = namespace(g), table.shape
    if padding_index is not None:
        padding = _places(indices, v)[0] == padding_index
        g = xp.where(padding[..., None], xp.zeros_like(g), g)
    places = namespace(indices).reshape(indices, (-1,))
    return scatter_rows(xp.reshape(g, (places.shape[0], d)), places, rows=v), None


def _places(indices: Any, v: int) -> tuple[Any, Any]:
    """Row numbers in an integer dtype that holds them all, 0 for those that are none, and which are some."""
    xp = namespace(indices)
    places = xp.astype(indices, xp.arange(1, device=getattr(indices, "device", None)).dtype)
    known = (places >= 0) & (places < v)
    return xp.where(known, places, xp.zeros_like(places)), known


@operation(domain=rows_and_indices)
def scatter_rows(g: Array, places: AnyArray, /, *, rows: int) -> Array:
    """A table of zeros with each row of `g` added at its place: the adjoint of :func:`embedding`.

    The body is a product with one-hot rows, (rows, n) numbers, in pure Array API; libraries that can add at an index
    have a kernel. What is not finite in `g` makes its row so, and no other.
    """
    xp = namespace(g, places)
    at, known = _places(places, rows)
    mine = (xp.arange(rows, device=getattr(at, "device", None))[:, None] == at[None, :]) & known[None, :]
    hot, finite = xp.astype(mine, g.dtype), xp.isfinite(g)
    sums = xp.matmul(hot, xp.where(finite, g, xp.zeros_like(g)))
    lost = xp.matmul(hot, xp.astype(~finite, g.dtype)) > 0
    return xp.where(lost, xp.full_like(sums, xp.nan), sums)


@scatter_rows.vjp
def _(g: Any, y: Any, rows_of: Any, places: Any, /, *, rows: int, needs: Any) -> Any:
    return (embedding(g, places) if needs.g else None), None
