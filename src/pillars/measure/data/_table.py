"""Read a user's table - CSV, .npy or Parquet - as a classification problem."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from pillars._errors import CapabilityError, PillarsError
from pillars.backends import backend
from pillars.measure.data._types import Dataset

__all__ = ["DataError", "load_table"]

_TARGETS = ("target", "label", "class", "y")
_MISSING = ("", "?", "na", "n/a", "nan", "null", "none")


class DataError(PillarsError, ValueError):
    """A data file that is missing, unreadable, or not a classification problem."""


def load_table(path: str | Path, target: str | int | None = None) -> Dataset:
    """Read a table of numeric features and one target column of class labels.

    Parameters
    ----------
    path : a .csv, .tsv or .txt file (comma, semicolon or tab; with a header or without; UTF-8), a 2-D .npy array, or a
        .parquet file (needs pyarrow).
    target : the target's column: its name, or its number counted from 0 (negative: from the end). None: the
        column named target, label, class or y, else the last one. A name wins over a number where a header has both.

    Returns
    -------
    Dataset : x (n, d) float64; y (n,) class numbers in the sorted order of the labels (numbers by value, words by
        alphabet). Text files are read a row at a time, about 3 µs a value, into 8 bytes a value.

    Raises
    ------
    DataError : no such file; empty, ragged, non-numeric, missing or infinite features; no such target; a
        target with one class, missing labels, or more labels than classes can be (not whole numbers, or over
        half as many as rows).
    CapabilityError : Parquet without pyarrow; the message says what to install.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if not path.exists():
        raise DataError(f"load_table: got path '{path}', expected a file; there is none. Check the path.")
    if path.is_dir():
        raise DataError(
            f"load_table: got path '{path}', expected a file; it is a directory. Name a file in it."
        )
    if not path.is_file():
        raise DataError(
            f"load_table: got path '{path}', expected a file; it is a pipe or a device, whose format no name tells. "
            "Save the table to a file first."
        )
    if reader is None:
        raise DataError(
            f"load_table: got '{path.name}', expected a name that ends in {', '.join(sorted(_READERS))}. "
            "Save the table as one of these."
        )
    try:
        return reader(path, target)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"load_table: got '{path.name}', expected a readable {path.suffix} file: {error}."
        ) from error


def _read_text(path: Path, target: str | int | None) -> Dataset:
    """One pass, so that the memory needed is the numbers' and not the text's."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first_line = stream.readline()
        stream.seek(0)
        delimiter = max(",;\t", key=first_line.count)
        rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        filled = ((rows.line_num, row) for row in rows if any(cell.strip() for cell in row))
        head = list(islice(filled, 2))
        if not head:
            raise DataError(
                f"load_table: got '{path.name}', expected rows of numbers; it is empty. Export it again."
            )
        names = _header([row for _, row in head])
        if names is not None:
            head = head[1:]
        width = len(names if names is not None else head[0][1])
        labels_at = _target_column(path, names, width, target)
        values, labels = array("d"), []
        for body in (head, filled):
            for line, row in body:
                if len(row) != width:
                    raise DataError(
                        f"load_table: got {len(row)} values on line {line} of '{path.name}', expected "
                        f"{width} as on the first. Mend the line, or quote values that contain the delimiter."
                    )
                labels.append(row.pop(labels_at).strip())
                try:
                    values.extend(map(float, row))
                except ValueError:
                    raise _bad_cell(path, line, row, names, labels_at) from None
    xp = backend("numpy").xp
    x = xp.frombuffer(values, dtype=xp.float64).reshape(len(labels), width - 1)
    return _dataset(path, x, labels, names, width, labels_at)


def _header(rows: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """The first row, if it names columns: a word stands above a number (or there is no number in it at all)."""
    first = rows[0]
    if len(rows) > 1:
        words = [not _is_number(cell) and cell.strip().lower() not in _MISSING for cell in first]
        below = [_is_number(cell) for cell in rows[1]]
        named = any(word and number for word, number in zip(words, below, strict=False))
    else:
        named = not any(map(_is_number, first))
    return tuple(cell.strip() for cell in first) if named else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _bad_cell(
    path: Path, line: int, row: Sequence[str], names: Sequence[str] | None, labels_at: int
) -> DataError:
    place = next(i for i, cell in enumerate(row) if not _is_number(cell))
    column = place + (place >= labels_at)
    named = f"'{names[column]}'" if names is not None else f"{column} (counted from 0)"
    where = f"in column {named}, line {line} of '{path.name}'"
    if row[place].strip().lower() in _MISSING:
        return DataError(
            f"load_table: got a missing value {where}, expected a number. Drop the row, or fill it in."
        )
    return DataError(
        f"load_table: got {row[place]!r} {where}, expected a number. Encode the column as numbers or drop "
        "it; if it is the target, name it as such."
    )


def _read_npy(path: Path, target: str | int | None) -> Dataset:
    xp = backend("numpy").xp
    try:
        table = xp.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"load_table: got '{path.name}', expected a .npy file of plain numbers ({error}). Pickled "
            "arrays are refused, for reading one can run code: save it again with a numeric dtype."
        ) from None
    if getattr(table, "ndim", None) != 2 or table.dtype.kind not in "buif":
        got = (
            f"shape {table.shape}, dtype {table.dtype}" if hasattr(table, "shape") else "an archive of arrays"
        )
        raise DataError(
            f"load_table: got {got} in '{path.name}', expected a 2-D array of real numbers, the target "
            "being a column of it. Stack features and target side by side."
        )
    width = table.shape[1]
    column = _target_column(path, None, width, target)
    x = xp.delete(table, column, axis=1).astype(xp.float64)
    return _dataset(path, x, table[:, column].tolist(), None, width, column)


def _read_parquet(path: Path, target: str | int | None) -> Dataset:
    narwhals = import_module("narwhals")  # heavy: only where it is used
    try:
        frame: Any = narwhals.read_parquet(str(path), backend="pyarrow")
    except ImportError as error:
        raise CapabilityError(
            f"load_table: got '{path.name}', expected pyarrow to read Parquet with; it is not installed. "
            "Install it (pip install pyarrow), or save the table as CSV or .npy."
        ) from error
    except Exception as error:  # pyarrow's errors share no base with each other but this one
        raise DataError(
            f"load_table: got '{path.name}', expected a Parquet file ({error}). Export it again."
        ) from error
    names = tuple(frame.columns)
    column = _target_column(path, names, len(names), target)
    features = [name for i, name in enumerate(names) if i != column]
    for name in features:
        dtype = frame[name].dtype
        if not (dtype.is_numeric() or dtype == narwhals.Boolean):
            raise DataError(
                f"load_table: got {dtype} in column '{name}' of '{path.name}', expected numbers. Encode the "
                "column as numbers or drop it; if it is the target, name it as such."
            )
        if frame[name].null_count():
            raise DataError(
                f"load_table: got a missing value in column '{name}' of '{path.name}', expected a number. "
                "Drop the row, or fill it in."
            )
    xp = backend("numpy").xp
    columns = [frame[name].to_numpy().astype(xp.float64) for name in features]
    x = xp.stack(columns, axis=1) if columns else xp.empty((len(frame), 0))
    return _dataset(path, x, frame[names[column]].to_list(), names, len(names), column)


def _target_column(path: Path, names: Sequence[str] | None, width: int, target: str | int | None) -> int:
    if target is None:
        lowered = [name.lower() for name in names or ()]
        return next((lowered.index(name) for name in _TARGETS if name in lowered), width - 1)
    if names is not None and target in names:
        return list(names).index(str(target))
    try:
        column = int(target)
    except ValueError:
        column = width
    if -width <= column < width:
        return column % width
    known = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "") if names else "no header"
    raise DataError(
        f"load_table: got target {target!r}, expected a column of '{path.name}': a name ({known}) or a "
        f"number from 0 to {width - 1}."
    )


def _dataset(
    path: Path, x: Any, labels: Sequence[Any], names: Sequence[str] | None, width: int, labels_at: int
) -> Dataset:
    xp = backend("numpy").xp
    columns = names if names is not None else [f"column {i}" for i in range(width)]
    features = tuple(name for i, name in enumerate(columns) if i != labels_at)
    target = columns[labels_at]
    if not features or not len(labels):
        raise DataError(
            f"load_table: got {len(labels)} rows and {len(features)} features beside the target in "
            f"'{path.name}', expected at least one of each. Check the delimiter and the header."
        )
    broken = ~xp.isfinite(x)
    if broken.any():
        row, column = (int(i) for i in xp.argwhere(broken)[0])
        raise DataError(
            f"load_table: got {x[row, column]} in column '{features[column]}', sample {row} of '{path.name}' "
            f"({int(broken.sum())} such values in all), expected finite numbers. Drop these rows, or fill them in."
        )
    keys = _classes(path, target, labels)
    number = {key: i for i, key in enumerate(sorted(set(keys)))}
    y = xp.asarray([number[key] for key in keys], dtype=xp.int64)
    return Dataset(path.name, x, y, features, tuple(map(_written, number)))


def _classes(path: Path, target: str, labels: Sequence[Any]) -> list[Any]:
    """The labels as numbers, if all of them read as numbers (so that 10 sorts after 9), else as words."""
    words = [str(label).strip() for label in labels]
    lost = [i for i, word in enumerate(words) if word.lower() in _MISSING]
    if lost:
        raise DataError(
            f"load_table: got a missing label in the target '{target}', sample {lost[0]} of '{path.name}', expected a"
            " class. Drop rows without one."
        )
    keys: list[Any] = [float(word) for word in words] if all(map(_is_number, words)) else words
    different = sorted(set(keys))
    where = f"in the target '{target}' of '{path.name}'"
    if len(different) < 2:
        raise DataError(
            f"load_table: got one class, {_written(different[0])!r}, {where}, expected two or more. Name another "
            "column as the target."
        )
    broken = next((key for key in different if isinstance(key, float) and not key.is_integer()), None)
    if broken is not None:
        raise DataError(
            f"load_table: got the value {broken:g} {where}, expected class labels: whole numbers or words. "
            "Name another column as the target, or bin this one (or write its labels as words)."
        )
    if 2 * len(different) > len(keys):
        raise DataError(
            f"load_table: got {len(different)} different labels in {len(keys)} rows {where}, expected at most half as"
            " many classes as rows. Name another column as the target, or bin this one."
        )
    return keys


def _written(key: float | str) -> str:
    return f"{key:.0f}" if isinstance(key, float) and key.is_integer() else str(key)


_READERS = {
    ".csv": _read_text,
    ".tsv": _read_text,
    ".txt": _read_text,
    ".npy": _read_npy,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
