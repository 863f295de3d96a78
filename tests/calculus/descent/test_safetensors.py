"""The file of a checkpoint: read back to the bit, read by the library of that name, and refused where it is damaged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pillars import CheckpointError, PillarsError
from pillars.backends import Draw
from pillars.calculus.descent import _safetensors as files


def arrays(draw: Draw) -> dict[str, Any]:
    """Every dtype, no to three axes, empty ones, layouts that are not contiguous."""
    found: dict[str, Any] = {
        np.dtype(dtype).name: (100 * draw.normal(3, 4)).astype(dtype)
        for dtype in ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "bool"]
    }
    found |= {name: draw.integers(0, 200, 5).astype(name) for name in ["uint64", "uint32", "uint16", "uint8"]}
    found |= {
        "scalar": np.asarray(draw.normal()),
        "empty": np.zeros((0, 3)),
        "transposed": draw.normal(4, 3).T,
        "strided": draw.normal(10, 6)[::2, ::-3],
        "other end": draw.normal(4).astype(">f8"),
        "['w'].bias é": np.asarray([np.nan, np.inf, -0.0, 5e-324]),
    }
    return found


def same(a: Any, b: Any) -> bool:
    b = np.asarray(b).astype(b.dtype.newbyteorder("<"))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == np.array(b, order="C").tobytes()


def test_what_is_written_is_read_to_the_bit(tmp_path: Path, draw: Draw) -> None:
    written = arrays(draw)
    files.write(tmp_path / "a", written, {"name": "äöü", "step": "3"})
    found, metadata = files.read(tmp_path / "a")
    assert set(found) == set(written)
    assert all(same(found[name], array) for name, array in written.items())
    assert (metadata["name"], metadata["step"]) == ("äöü", "3")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_half_precision_of_other_libraries(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    written = np.asarray([1.0, -2.5, np.inf], ml_dtypes.bfloat16)
    files.write(tmp_path / "a", {"x": written}, {})
    assert same(files.read(tmp_path / "a")[0]["x"], written)
    code = "import pathlib, sys; from pillars.calculus.descent import _safetensors as files; "
    code += "print(files.read(pathlib.Path(sys.argv[1]))[0]['x'].tolist(), 'jax' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    # where nothing has made the dtype known before
    assert (done.stdout, done.stderr) == ("[1.0, -2.5, inf] False\n", "")


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "datetime64[s]", "U3"])
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, dtype: str) -> None:
    name = np.dtype(dtype).name
    with pytest.raises(
        CheckpointError, match=rf"a' cannot hold b of {re.escape(name)}, expected one of .*bfloat16"
    ):
        files.write(tmp_path / "a", {"a": np.zeros(2), "b": np.zeros(3, dtype)}, {})
    assert not any(tmp_path.iterdir())


def test_a_dtype_of_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(headed(ENTRY.replace("F64", "F8_E4M3").replace("[1]", "[8]")))
    with pytest.raises(CheckpointError, match=r"a' (has a of a dtype|of .* is not what its header says)"):
        files.read(tmp_path / "a")


def test_the_library_of_that_name_reads_it(tmp_path: Path, draw: Draw) -> None:
    from safetensors import numpy as library

    written = arrays(draw)
    files.write(tmp_path / "a", written, {"name": "x"})
    found = library.load_file(tmp_path / "a")
    assert set(found) == set(written)
    assert all(same(found[name], array) for name, array in written.items())
    library.save_file({"x": np.ones(3)}, tmp_path / "b")
    with pytest.raises(CheckpointError, match="no header that can be read"):  # no metadata: not one of ours
        files.read(tmp_path / "b")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path, draw: Draw) -> None:
    path = tmp_path / "a"
    files.write(path, {"x": draw.normal(20), "y": np.zeros(0)}, {"name": "x"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="left as it is"):
            files.read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="its header says"):
        files.read(path)


def test_a_bit_that_changed_is_refused(tmp_path: Path, draw: Draw) -> None:
    path = tmp_path / "a"
    files.write(path, {"x": draw.normal(20)}, {"name": "x"})
    whole = path.read_bytes()
    read, silent = files.read(path), 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[int(draw.integers(0, len(whole)))] ^= 1 << int(draw.integers(0, 8))
        path.write_bytes(changed)
        try:
            found = files.read(path)
        except PillarsError:
            continue
        # a letter of a name, or of a word beside the arrays: the numbers are what they were
        silent += 1
        assert [a.tobytes() for a in found[0].values()] == [a.tobytes() for a in read[0].values()]
    assert silent < 60


def headed(header: str) -> bytes:
    """A file of eight bytes below a header."""
    return len(header).to_bytes(8, "little") + header.encode() + b"\0" * 8


ENTRY = '{"__metadata__": {}, "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}'


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 7, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"PK\x03\x04" * 99),
        *(headed(ENTRY.replace("{}", other)) for other in ("null", '"abc"', "[]", "{}", "[" * 100_000)),
        *(headed(ENTRY.replace("[0, 8]", other)) for other in ("[0.0, 8.0]", "[0]", "8", "null")),
        *(headed(ENTRY.replace("[1]", other)) for other in ("[Infinity]", "[1.0]", "[-1]", "{}", "[NaN]")),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match="expected a file that gradient_descent wrote"):
        files.read(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == content


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write(path, {"x": np.ones(3)}, {})
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, {"x": np.zeros(3)}, {})
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("before", "after"),
    [('"dtype":"I64"', '"dtype":"F64"'), ('"shape":[2,3]', '"shape":[3,2]'), ('"n":', '"m":')],
)
def test_a_table_that_changed_is_refused(tmp_path: Path, before: str, after: str) -> None:
    """The checksum is of names, dtypes and shapes too: of as many bytes, they would be other numbers."""
    files.write(tmp_path / "a", {"n": np.arange(3), "x": np.ones((2, 3))}, {})
    content = (tmp_path / "a").read_bytes()
    assert content.count(before.encode()) == 1
    (tmp_path / "a").write_bytes(content.replace(before.encode(), after.encode()))
    with pytest.raises(CheckpointError, match="checksum"):
        files.read(tmp_path / "a")
