"""Data frames, series and Arrow data: columns of numbers of any kind, and refusals that name the column."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pillars
from contracts._variants import x64

pytest.importorskip("narwhals")


def pandas(columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def polars(columns: Any) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


def arrow(columns: Any) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


FRAMES = [pandas, polars, arrow]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": [1.0, 2.5], "b": [True, False]}, np.float64),
        ({"a": [1, 2], "b": [True, False]}, np.int64),
        ({"a": [1, 2], "b": [0.5, 1.5], "c": [False, True]}, np.float64),
        ({"a": [True, False], "b": [True, True]}, np.bool_),
        ({"a": [1, 2]}, np.int64),
    ],
)
def test_columns_of_several_kinds_meet_in_their_common_dtype(frame: Any, columns: Any, dtype: Any) -> None:
    made = pillars.asarray(frame(columns))
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, np.array(list(columns.values()), dtype=dtype).T)


@pytest.mark.parametrize("frame", FRAMES)
def test_nulls_of_floats_are_nan_and_those_of_integers_have_no_value(frame: Any) -> None:
    made = pillars.asarray(frame({"a": [1.5, None], "b": [True, False]}))
    np.testing.assert_array_equal(made, [[1.5, 1.0], [math.nan, 0.0]])
    if frame is pandas:  # which makes floats of [1, None], and objects of [True, None]
        with pytest.raises(pillars.DTypeError, match=r"'seen' \(Object\).*float64"):
            pillars.asarray(frame({"seen": [True, None]}))
        return
    for values, name in (([1, None, None], "Int64"), ([True, None, None], "Boolean")):
        with pytest.raises(
            pillars.DTypeError, match=rf"column 'seen' has dtype {name} and 2 nulls.*Fill.*float64"
        ):
            pillars.asarray(frame({"x": [1.0, 2.0, 3.0], "seen": values}))


@pytest.mark.parametrize("backed", ["{}", "{}[pyarrow]"])
def test_nullable_columns_of_pandas(backed: str) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    names = ("Int64", "Float64", "boolean") if backed == "{}" else ("int64", "double", "bool")
    kinds = [name if backed == "{}" else backed.format(name) for name in names]
    columns = [
        pd.array(values, dtype=kind)
        for values, kind in zip(([1, 2], [0.5, None], [True, False]), kinds, strict=True)
    ]
    made = pillars.asarray(pd.DataFrame(dict(zip("abc", columns, strict=True))))
    np.testing.assert_array_equal(made, [[1.0, 0.5, 1.0], [2.0, math.nan, 0.0]])
    assert pillars.asarray(pd.Series(columns[0])).dtype == np.int64
    with pytest.raises(pillars.DTypeError, match="column 'n' has dtype Int64 and 1 nulls"):
        pillars.asarray(pd.DataFrame({"n": pd.array([1, None], dtype=kinds[0])}))
    with pytest.raises(pillars.DTypeError, match="series 'n' has dtype Int64 and 1 nulls"):
        pillars.asarray(pd.Series([1, None], dtype=kinds[0], name="n"))


def test_what_is_no_number_is_named_with_its_dtype() -> None:
    pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    for frame, words in (
        (pd.DataFrame({"x": [1.0], "day": pd.to_datetime(["2020-01-01"])}), r"'day' \(Datetime"),
        (pd.DataFrame({"kind": pd.Categorical([1, 2])}), r"'kind' \(Categorical\)"),
        (pl.DataFrame({"price": ["1.5"]}).cast({"price": pl.Decimal(10, 2)}), r"'price' \(Decimal"),
        (pl.DataFrame({"pair": [[1, 2]]}), r"'pair' \(List"),
        (pl.Series("city", ["Rome"]), "series 'city' has dtype String"),
        (pd.Series(pd.Categorical([1, 2]), name="kind"), "series 'kind' has dtype Categorical"),
        (pa.array(["Rome"]), "a series has dtype String"),
        (pd.DataFrame(np.ones((1, 2)), columns=["a", "a"]), "unique column names"),
    ):
        with pytest.raises(pillars.DTypeError, match=f"asarray: .*{words}"):
            pillars.asarray(frame)


def test_columns_need_not_be_named_by_words() -> None:
    pd = pytest.importorskip("pandas")
    both = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    for columns in (None, both):
        frame = pd.DataFrame(np.arange(4.0).reshape(2, 2), columns=columns)
        frame[frame.columns[1]] = [True, False]
        np.testing.assert_array_equal(pillars.asarray(frame), [[0.0, 1.0], [2.0, 0.0]])


def test_pieces_of_arrow() -> None:
    pa = pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(pillars.asarray(pa.array([1.0, None])), [1.0, math.nan])
    assert pillars.asarray(pa.array([True, False])).tolist() == [True, False]
    assert pillars.asarray(pa.chunked_array([[1, 2], [3]])).tolist() == [1, 2, 3]
    made = pillars.asarray(pa.record_batch({"a": [1.0], "b": [2.0]}))
    np.testing.assert_array_equal(made, [[1.0, 2.0]])
    with pytest.raises(pillars.DTypeError, match="a series has dtype Int64 and 1 nulls"):
        pillars.asarray(pa.array([1, None]))


@pytest.mark.parametrize("frame", FRAMES)
def test_what_jax_would_narrow_to_another_number_is_refused(frame: Any) -> None:
    pytest.importorskip("jax")
    given = (frame({"a": [2**40]}), frame({"a": [1e300], "b": [True]}))
    if frame is arrow:
        given = (*given, given[0]["a"], given[0]["a"].chunk(0))
    for one in given:
        if x64():
            assert float(pillars.asarray(one, backend="jax").reshape(-1)[0]) in (2.0**40, 1e300)
            continue
        with pytest.raises(pillars.DTypeError, match=r"holds on jax.*JAX_ENABLE_X64"):
            pillars.asarray(one, backend="jax")


def test_a_frame_of_one_dtype_is_not_copied() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    assert np.shares_memory(pillars.asarray(frame), frame.to_numpy())
