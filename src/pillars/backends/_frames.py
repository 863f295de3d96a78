"""Data frames, series and Arrow data of any library as NumPy arrays, column by column."""

from __future__ import annotations

import sys
from typing import Any

from pillars._errors import DTypeError
from pillars.backends._dtypes import dtype_kind
from pillars.backends._registry import backend_named

__all__ = ["frame_values"]

_LIBRARIES = ("pandas", "polars", "pyarrow", "modin", "cudf")
_EXPECTED = (
    "expected floats, integers or booleans. Drop or encode what is no number; convert what is one to float64."
)


def frame_values(obj: Any) -> Any:
    """The values of a data frame, a series, or Arrow data; None where the object is neither.

    Raises
    ------
    DTypeError : a lazy frame; columns of no numbers; integers or booleans with nulls, for which they have no value.
    """
    if not any(name in sys.modules for name in _LIBRARIES):
        return None
    import narwhals
    from narwhals.exceptions import NarwhalsError

    try:
        frame = narwhals.from_native(_whole(obj), allow_series=True, pass_through=True)
        if isinstance(frame, narwhals.LazyFrame):
            raise DTypeError("asarray: got a lazy data frame, expected its values. Collect it first.")
        if isinstance(frame, narwhals.Series):
            label = f"series {frame.name!r}" if frame.name else "a series"
            if not _is_number(frame.dtype):
                raise DTypeError(f"asarray: {label} has dtype {frame.dtype}, {_EXPECTED}")
            return _column(label, frame)
        if not isinstance(frame, narwhals.DataFrame):
            return None
        schema = frame.schema
    except NarwhalsError as error:
        raise DTypeError(
            f"asarray: got a data frame that cannot be read ({' '.join(str(error).split())}), expected columns of "
            "numbers, each with a name of its own. Rename them, or pass the values."
        ) from None
    words = [f"{name!r} ({dtype})" for name, dtype in schema.items() if not _is_number(dtype)]
    if words:
        raise DTypeError(f"asarray: got a data frame with columns {', '.join(words)}, {_EXPECTED}")
    columns = [
        _column(f"column {name!r}", column) for name, column in zip(schema, frame.iter_columns(), strict=True)
    ]
    if len({column.dtype for column in columns}) == 1:
        values = frame.to_numpy()  # at once, and often without a copy
        if values.dtype == columns[0].dtype:
            return values
    host = backend_named("numpy")
    return host.xp.stack(columns, axis=1) if columns else host.xp.zeros(frame.shape)


def _whole(obj: Any) -> Any:
    """Arrow's smaller pieces as the larger ones that are known as series and frames."""
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(obj, arrow.Array):
        return arrow.chunked_array([obj])
    if arrow is not None and isinstance(obj, arrow.RecordBatch):
        return arrow.Table.from_batches([obj])
    return obj


def _is_number(dtype: Any) -> bool:
    import narwhals

    return bool((dtype.is_numeric() and not dtype.is_decimal()) or dtype == narwhals.Boolean)


def _column(label: str, column: Any) -> Any:
    """The values of one column: nulls among floats are NaN."""
    if not column.dtype.is_float():
        nulls = int(column.is_null().sum())
        if nulls:
            raise DTypeError(
                f"asarray: {label} has dtype {column.dtype} and {nulls} nulls, expected none: integers and booleans "
                "have no value for them. Fill or drop them, or convert the column to float64, where they are NaN."
            )
    values = column.to_numpy()
    if dtype_kind(values.dtype) == "other":
        raise DTypeError(
            f"asarray: {label} has dtype {column.dtype}, which became {values.dtype}, expected numbers. Convert it to "
            "float64."
        )
    return values
