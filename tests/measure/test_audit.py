"""The audit covers every hand-derived gradient, holds, and fails for each kind of planted fault."""

from __future__ import annotations

import math
from typing import Any

import pytest

import pillars
from pillars import BackendError
from pillars.backends import backend, records
from pillars.calculus import CheckRow, mean_squared_error
from pillars.layers import linear
from pillars.measure import AuditRow, audit
from pillars.measure._audit import _worst, audit_operation
from pillars.probability import softmax

METHODS = ["autodiff", "complex_step", "taylor", "central"]


@pytest.fixture(scope="module")
def rows() -> list[AuditRow]:
    return audit(["numpy"])


def test_every_hand_derived_gradient_holds(rows: list[AuditRow]) -> None:
    assert [row for row in rows if row.ok is False] == []
    wanted = {
        name
        for name, record in records().items()
        if record.rules.vjp and record.body.__module__.startswith("pillars.")
    }
    assert {row.operation for row in rows} == wanted
    assert wanted >= {"probability.softmax", "layers.linear", "calculus.mean_squared_error"}
    for name in wanted:
        assert [row.method for row in rows if row.operation == name] == METHODS
        # whatever a body does to complex numbers, the other three judge it
        assert {row.method for row in rows if row.operation == name and row.ok} >= {"autodiff", "central"}


def test_what_does_not_apply_says_why(rows: list[AuditRow]) -> None:
    for row in rows:
        assert row.note
        assert math.isnan(row.error) == (row.ok is None)
    assert all(row.method == "complex_step" for row in rows if row.ok is None)


def test_the_figures_are_those_of_float64(rows: list[AuditRow]) -> None:
    smooth = [row for row in rows if row.ok and not row.operation.startswith("random.")]  # draws are steps
    assert all(row.error < 1e-12 for row in smooth if row.method == "autodiff")
    assert all(row.tolerance < 1e-5 for row in smooth if row.method == "central")


@pytest.mark.parametrize("name", ["strict", "jax"])
def test_other_backends_hold_too(name: str) -> None:
    if name == "jax":
        pytest.importorskip("jax")
    for operation in (softmax, linear, mean_squared_error):
        for row in audit_operation(operation.record, backend(name)):
            assert row.ok is not False, row
            if row.method != "complex_step":
                assert row.ok, row
            if row.ok and str(backend(name).default_float).endswith("float32'>"):
                assert "x64 is off" in row.note


def faulty(
    operation: Any, monkeypatch: pytest.MonkeyPatch, change: Any, home: str = "numpy"
) -> dict[str, Any]:
    right = operation.record.rules.vjp

    def vjp(*args: Any, **options: Any) -> Any:
        found = right(*args, **options)
        return change(list(found) if isinstance(found, tuple) else [found])

    monkeypatch.setattr(operation.record.rules, "vjp", vjp)
    return {row.method: row.ok for row in audit_operation(operation.record, backend(home))}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: (-found[0], *found[1:]),
        lambda found: (found[0] / 2, *found[1:]),
        lambda found: (found[0] * 0, *found[1:]),
        lambda found: (found[0] * 1.0001, *found[1:]),
    ],
    ids=["sign", "factor", "zero", "1e-4"],
)
def test_a_fault_in_a_rule_is_found_by_every_method_that_applies(
    monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    found = faulty(mean_squared_error, monkeypatch, change)
    assert found["autodiff"] is False
    assert found["central"] is False
    assert found["complex_step"] is False
    if change([1.0])[0] != 1.0001:
        assert found["taylor"] is False


def test_a_fault_in_the_last_argument_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = faulty(mean_squared_error, monkeypatch, lambda found: (found[0], found[1] * 1.03))
    assert found["autodiff"] is False


def test_a_fault_in_a_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = faulty(softmax, monkeypatch, lambda found: (found[0], None if found[1] is None else -found[1]))
    assert found["autodiff"] is False
    assert found["central"] is False


def test_a_rule_that_fails_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("no such axis")

    monkeypatch.setattr(softmax.record.rules, "vjp", broken)
    rows = audit_operation(softmax.record, backend("numpy"))
    assert [row.ok for row in rows] == [False] * 4
    assert "no such axis" in rows[0].note


def test_one_bad_draw_is_the_operations_verdict() -> None:
    good = CheckRow("central", 1e-3, 1e-2, True, "good")
    worse = CheckRow("central", 5e-3, 1e-2, True, "worse")
    bad = CheckRow("central", 1.0, 2.0, False, "bad")
    apart = CheckRow("central", math.nan, math.nan, None, "apart")
    home = backend("numpy")
    assert _worst("a.b", home, "central", [good, bad, apart]).note == "bad"
    assert _worst("a.b", home, "central", [good, worse, apart]).note == "worse"
    assert _worst("a.b", home, "central", [apart, apart]).ok is None


def test_it_is_reached_through_the_door() -> None:
    assert pillars.audit is audit


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(BackendError, match="nonesuch"):
        audit(["nonesuch"])
