"""The capability table as a whole: all rooms, what is public, what can be used here."""

from __future__ import annotations

import pytest

import pillars
from pillars.backends import available, capabilities
from pillars.backends._capabilities import FEATURES
from pillars.measure import _capabilities as module, capability_table
from pillars.measure._all_operations import rooms


def test_it_is_the_table_of_the_records() -> None:
    table = capability_table()
    assert [(row.operation, *row[2:]) for row in table.rows] == [tuple(cell) for cell in capabilities()]
    assert table.backends == available()
    assert tuple(table.features) == FEATURES
    assert {row.level for row in table.rows} <= set(table.levels)
    assert {row.backend for row in capability_table(["jax"]).rows} == {"jax"}


def test_what_no_room_exports_is_not_public() -> None:
    public = {row.operation: row.public for row in capability_table(["numpy"]).rows}
    assert public["probability.softmax"]
    assert public["random.bits"]
    assert not public["random.draw_normal"]
    assert not public["reduce.block_moments"]
    for operation, said in public.items():
        room, _, name = operation.partition(".")
        if room in rooms():
            assert said == hasattr(getattr(pillars, room), name), operation


def test_an_operation_of_somebody_elses_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._public("mine.softplus", rooms())


def test_every_room_below_is_there() -> None:
    found = rooms()
    assert {"algorithms", "calculus", "layers", "linalg", "probability", "random", "reduce"} <= set(found)
    assert not {"cli", "report", "measure"} & set(found)
