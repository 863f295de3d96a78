"""Named arrays in one file, in the layout of safetensors: a length, a JSON header, and the arrays' bytes end to end.

Forty lines of reading and writing in the place of a dependency. Written by it, the file is read by the library of that
name and its peers; arrays that are not contiguous are made so first, which the library has forgotten before.
"""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pillars._errors import CheckpointError
from pillars.backends import backend

__all__ = ["read", "write"]

_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_LONGEST = 100_000_000  # the header's length, as the library has it
_METADATA, _CHECKSUM = "__metadata__", "checksum"


def write(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write NumPy arrays to `path`, whole or not at all.

    The bytes go to a file beside it, are forced to the disk, and take the name in one move: whoever reads `path`, and
    whenever this process ends, finds the old file or the new one. The file beside it, ``path.partial``, is written
    over by the next call.
    """
    header: dict[str, Any] = {}
    parts, end, checksum = [], 0, 0
    for name, array in arrays.items():
        part = _bytes_of(array)
        header[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + len(part)],
        }
        parts.append(part)
        end += len(part)
        checksum = zlib.crc32(part, checksum)
    head = json.dumps({_METADATA: {**metadata, _CHECKSUM: f"{checksum:08x}"}, **header}).encode()
    head += b" " * (-len(head) % 8)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(len(head).to_bytes(8, "little") + head)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _settle(path.parent)


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays, as NumPy's, and the metadata of a file that :func:`write` wrote.

    Raises
    ------
    CheckpointError : a file that is truncated, damaged, or of another format.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST):
            raise _broken(path, f"of {size} bytes ends before its header")
        try:
            header = json.loads(file.read(length))
            metadata = dict(**header.pop(_METADATA))
            entries = {name: _entry(entry) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise _broken(path, "has no header that can be read") from None
        whole = 8 + length + max((end for *_, end in entries.values()), default=0)
        if size != whole:
            raise _broken(path, f"has {size} bytes, its header says {whole}")
        arrays, checksum = {}, 0
        for name, (dtype, shape, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
            file.seek(8 + length + start)
            part = file.read(end - start)
            checksum = zlib.crc32(part, checksum)
            arrays[name] = part, dtype, shape
    if metadata.get(_CHECKSUM) != f"{checksum:08x}":
        raise _broken(path, "does not have the checksum that its header says")
    return {name: _array_of(*found) for name, found in arrays.items()}, metadata


def _entry(entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    dtype, shape, (start, end) = (
        _DTYPES[entry["dtype"]],
        tuple(map(operator.index, entry["shape"])),
        map(operator.index, entry["data_offsets"]),
    )
    width = (
        1 if dtype == "bool" else 2 if dtype == "bfloat16" else int("".join(filter(str.isdigit, dtype))) // 8
    )
    if not 0 <= start <= end or end - start != width * math.prod(shape):
        raise ValueError(entry)
    return dtype, shape, start, end


def _bytes_of(array: Any) -> memoryview:
    xp = backend("numpy").xp
    flat = xp.ascontiguousarray(array).reshape(-1)
    if flat.dtype.byteorder == ">" and flat.dtype.kind in "fiu":
        flat = flat.astype(flat.dtype.newbyteorder("<"))
    return memoryview(flat.view(xp.uint8))


def _array_of(part: bytes, dtype: str, shape: tuple[int, ...]) -> Any:
    xp = backend("numpy").xp
    if dtype == "bfloat16":  # NumPy's own dtypes have none: whoever has asked for it has another library's
        import ml_dtypes

        return xp.frombuffer(part, dtype=ml_dtypes.bfloat16).reshape(shape)
    return xp.frombuffer(part, dtype=getattr(xp, dtype)).reshape(shape)


def _broken(path: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"gradient_descent: checkpoint {str(path)!r} {how}, expected a file that gradient_descent wrote. It is left as "
        "it is: move it away to begin anew."
    )


def _settle(folder: Path) -> None:
    """Force the move itself to the disk, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
