"""The file of a checkpoint: named arrays by the library safetensors, written whole or not at all, with a checksum."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pillars._errors import CheckpointError
from pillars.backends import backend

__all__ = ["read", "write"]

_DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8",
    "uint64", "uint32", "uint16", "uint8", "bool",
)  # fmt: skip
_CHECKSUM = "checksum"


def write(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write NumPy arrays to `path`, whole or not at all.

    The bytes go to a file beside it, are forced to the disk, and take the name in one move: whoever reads `path`, and
    whenever this process ends, finds the old file or the new one. The file beside it, ``path.partial``, is written
    over by the next call. The library's own ``save_file`` promises none of this; its bytes are made in memory instead,
    which takes that of the arrays once more, and twice for a moment.

    Raises
    ------
    CheckpointError : an array of a dtype that would not be read back.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise CheckpointError(
                f"gradient_descent: checkpoint {str(path)!r} cannot hold {name} of {array.dtype.name}, expected one of "
                f"{', '.join(_DTYPES)}. Keep it as arrays of these, or go without a checkpoint."
            )
    plain = {name: _plain(array) for name, array in arrays.items()}
    content = save(plain, {**metadata, _CHECKSUM: _checksum(plain)})
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
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
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            arrays = {name: _plain(_array(path, file, name)) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        how = f"of {path.stat().st_size} bytes is not what its header says ({error})"
        raise _broken(path, how) from None
    if metadata is None:
        raise _broken(path, "has no header that can be read as a checkpoint's: it has no metadata")
    if metadata.get(_CHECKSUM) != _checksum(arrays):
        raise _broken(path, "does not have the checksum that its header says")
    return arrays, metadata


def _array(path: Path, file: Any, name: str) -> Any:
    try:
        if file.get_slice(name).get_dtype() == "BF16":
            # NumPy knows the dtype by its name once this is imported: whoever saved it has a library that brings it
            import ml_dtypes  # noqa: F401
        return file.get_tensor(name)
    except (AttributeError, TypeError):
        raise _broken(path, f"has {name} of a dtype that NumPy does not have") from None


def _plain(array: Any) -> Any:
    """The same numbers end to end and little endian, as the file has them: the library takes them to be so."""
    return backend("numpy").xp.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _checksum(arrays: Mapping[str, Any]) -> str:
    """Of all names, dtypes, shapes and bytes, by the order of the names: the library chooses that in the file."""
    value = 0
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name}:{array.dtype.name}:{array.shape}".encode(), value)
        value = zlib.crc32(array.reshape(-1).view(backend("numpy").xp.uint8), value)
    return f"{value:08x}"


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
