"""A user's table: what is read, what is refused, and that the refusal says where and what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars import CapabilityError
from pillars.measure import DataError, Dataset, load_table

X = np.array([[1.0, 20.5], [2.0, -3.0], [3.5, 4e3], [4.0, 0.0]])


@pytest.fixture
def write(tmp_path: Path):
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def check(found: Dataset, y: list[int], classes: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(found.x, X)
    assert found.x.dtype == np.float64
    assert found.y.tolist() == y
    assert found.classes == classes


def test_csv_with_a_header_and_a_named_target(write) -> None:
    path = write("a.csv", "height,kind,width\n1,cat,20.5\n2,dog,-3\n3.5,cat,4e3\n4,dog,0\n")
    found = load_table(path, "kind")
    check(found, [0, 1, 0, 1], ("cat", "dog"))
    assert found.features == ("height", "width")
    assert found.name == "a.csv"


def test_csv_without_a_header_takes_the_last_column(write) -> None:
    found = load_table(write("a.csv", "1,20.5,cat\n2,-3,dog\n3.5,4e3,cat\n4,0,dog\n"))
    check(found, [0, 1, 0, 1], ("cat", "dog"))
    assert found.features == ("column 0", "column 1")


@pytest.mark.parametrize("name", ["target", "Label", "CLASS", "y"])
def test_a_usual_name_is_found_wherever_it_stands(write, name: str) -> None:
    found = load_table(write("a.csv", f"{name},b,c\n7,1,20.5\n9,2,-3\n7,3.5,4e3\n9,4,0\n"))
    check(found, [0, 1, 0, 1], ("7", "9"))


def test_numbered_columns_with_a_named_target_are_a_header(write) -> None:
    check(
        load_table(write("a.csv", "0,1,target\n1,20.5,1\n2,-3,0\n3.5,4e3,1\n4,0,0\n")),
        [1, 0, 1, 0],
        ("0", "1"),
    )


@pytest.mark.parametrize("target", ["2", 2, -1, "-1", "c"])
def test_the_target_by_number_or_name(write, target: str | int) -> None:
    check(
        load_table(write("a.csv", "a,b,c\n1,20.5,u\n2,-3,v\n3.5,4e3,u\n4,0,v\n"), target),
        [0, 1, 0, 1],
        ("u", "v"),
    )


def test_semicolons_tabs_byte_order_marks_blank_lines_and_quotes(write) -> None:
    rows = '"1";20.5;"x;y"\n2;-3;z\n\n3.5;4e3;"x;y"\n4;0;z\n'
    check(load_table(write("a.csv", rows)), [0, 1, 0, 1], ("x;y", "z"))
    found = load_table(write("a.tsv", "\ufeffa\tb\ty\n1\t20.5\t1\n2\t-3\t0\n3.5\t4e3\t1\n4\t0\t0\n"))
    check(found, [1, 0, 1, 0], ("0", "1"))
    assert found.features == ("a", "b")


def test_numeric_labels_sort_by_value(write) -> None:
    found = load_table(write("a.csv", "1,9\n2,10\n3,9\n4,10\n"))
    assert found.classes == ("9", "10")
    assert found.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "bool"])
def test_npy(tmp_path: Path, dtype: str) -> None:
    table = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]]).astype(dtype)
    np.save(tmp_path / "a.npy", table)
    found = load_table(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.x, table[:, :2])
    assert found.y.tolist() == [1, 0, 1, 0]
    assert load_table(tmp_path / "a.npy", 0).y.tolist() == [0, 1, 1, 0]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"a": X[:, 0], "label": ["u", "v", "u", "v"], "b": X[:, 1]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = load_table(tmp_path / "a.parquet")
    check(found, [0, 1, 0, 1], ("u", "v"))
    assert found.features == ("a", "b")


BAD_TEXT = {
    "empty": ("", "is empty"),
    "header only": ("a,b,c\n", "0 rows"),
    "one column": ("1\n2\n", "0 features"),
    "ragged": ("a,b,y\n1,2,0\n1,0\n", "2 values on line 3 .*expected 3"),
    "word": ("a,b,y\n1,2,0\n1,red,1\n1,2,0\n1,1,1\n", "'red' in column 'b', line 3"),
    "word, no header": ("1,2,0\n1,red,1\n", r"'red' in column 1 \(counted from 0\), line 2"),
    "missing": ("a,b,y\n1,2,0\n,2,1\n", "missing value in column 'a', line 3"),
    "question mark": ("a,b,y\n1,?,0\n2,2,1\n", "missing value in column 'b', line 2"),
    "nan": ("a,b,y\n1,2,0\n1,nan,1\n1,2,0\n1,1,1\n", "nan in column 'b', sample 1"),
    "inf": ("a,b,y\n1,2,0\n1,inf,1\n1,2,0\n1,1,1\n", "inf in column 'b', sample 1"),
    "one class": ("a,y\n1,3\n2,3\n", "one class"),
    "missing label": ("a,y\n1,0\n2,\n3,1\n4,1\n", "missing label in the target 'y', sample 1"),
    "a regression target": (
        "a,y\n1,0.5\n2,0.7\n3,0.5\n4,0.7\n",
        "the value 0.5 in the target 'y' of .*expected class labels: whole numbers or words",
    ),
    "an identifier": ("a,y\n1,u\n2,v\n3,w\n4,x\n", "4 different labels in 4 rows"),
    "halves": ("a,y\n" + "1,0.5\n2,1.5\n" * 30, "the value 0.5 in the target"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text_is_refused_with_the_place(write, case: str) -> None:
    text, message = BAD_TEXT[case]
    with pytest.raises(DataError, match=message) as caught:
        load_table(write("a.csv", text))
    assert re.match(r"load_table: got .*, expected .+\.", str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_column_named_in_an_error_counts_the_target(write) -> None:
    with pytest.raises(DataError, match="'red' in column 'b', line 3"):
        load_table(write("a.csv", "y,a,b\n1,2,0\n1,1,red\n"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("colour", "'colour', expected a column of 'a.csv': a name .'a', 'b', 'y'. or a number from 0 to 2"),
        (3, "got target 3"),
    ],
)
def test_a_target_that_is_not_there(write, target: str | int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_table(write("a.csv", "a,b,y\n1,2,0\n3,4,1\n"), target)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_called_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    for path in (tmp_path / "a.csv", Path("/dev/null")):
        with pytest.raises(DataError, match=r"it is a pipe or a device.*Save the table to a file first\."):
            load_table(path)


def test_no_such_file_a_directory_and_an_unknown_kind(tmp_path: Path, write) -> None:
    with pytest.raises(DataError, match="there is none"):
        load_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="directory"):
        load_table(tmp_path)
    with pytest.raises(DataError, match=r"expected a name that ends in \.csv, \.npy"):
        load_table(write("a.xlsx", "x"))


def test_bytes_that_are_not_the_kind_they_claim(tmp_path: Path) -> None:
    for name in ("a.csv", "a.npy", "a.parquet"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x81" * 9)
        with pytest.raises(DataError, match=name):
            load_table(tmp_path / name)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, "a"], [2, "b"]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Pickled arrays are refused"):
        load_table(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "table", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), complex), np.array([["a", "b"]])]
)
def test_arrays_that_are_no_table_of_numbers(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", table)
    with pytest.raises(DataError, match="expected a 2-D array of real numbers"):
        load_table(tmp_path / "a.npy")


def test_parquet_with_words_or_nulls(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["u", "v"], "y": [0, 1]}), tmp_path / "words.parquet")
    with pytest.raises(DataError, match="String in column 'a'"):
        load_table(tmp_path / "words.parquet")
    pq.write_table(pa.table({"a": [1.0, None], "y": [0, 1]}), tmp_path / "nulls.parquet")
    with pytest.raises(DataError, match="missing value in column 'a'"):
        load_table(tmp_path / "nulls.parquet")


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"a": [1.0], "y": [0]}), tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(CapabilityError, match=r"pip install pyarrow"):
        load_table(tmp_path / "a.parquet")
