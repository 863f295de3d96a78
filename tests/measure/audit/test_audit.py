"""The audit covers every hand-derived gradient, holds, and fails for each kind of planted fault."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pillars
from pillars import BackendError
from pillars.algorithms import attention
from pillars.backends import Availability, Draw, available, backend, records
from pillars.calculus import CheckRow, mean_squared_error
from pillars.calculus.autodiff._rule import RULES
from pillars.layers import linear
from pillars.measure import AuditRow, audit, run_audit
from pillars.measure.audit._audit import _worst, audit_operation, subject_of
from pillars.measure.audit._rules import _rows, rule_checks
from pillars.measure.audit._special_points import second_order, special_point
from pillars.measure.audit.cases import CASES, SPECIAL, Special
from pillars.probability import softmax

module = sys.modules["pillars.measure.audit._audit"]
METHODS = ["autodiff", "complex_step", "taylor", "central", "second_order"]


@pytest.fixture(scope="module")
def everything() -> list[AuditRow]:
    return audit(["numpy"])


@pytest.fixture
def rows(everything: list[AuditRow]) -> list[AuditRow]:
    """Of the gradients derived by hand."""
    return [row for row in everything if not row.traced]


@pytest.mark.slow
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
        # whatever a body does to complex numbers, and wherever the tracing array gets lost, two others judge it
        assert {row.method for row in rows if row.operation == name and row.ok} >= {"taylor", "central"}


def test_what_does_not_apply_says_why(rows: list[AuditRow]) -> None:
    for row in rows:
        assert row.note
        assert math.isnan(row.error) == (row.ok is None)
    apart = [row for row in rows if row.ok is None and row.method != "complex_step"]
    # draws are steps: their slope is one of the way there
    apart = [row for row in apart if not row.operation.startswith("random.")]
    assert all(row.method == "autodiff" and row.note.startswith("it cannot follow") for row in apart), apart


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
    # of the second derivative too
    assert [row.ok for row in rows] == [False] * 5
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


def test_an_option_that_is_a_whole_number_is_no_subject() -> None:
    call = attention.record.domain(Draw(0))
    assert isinstance(call.options["query_offset"], int)
    subject = subject_of(attention.record, backend("numpy"), 0)
    assert [leaf.shape for leaf in subject.leaves[:3]] == [x.shape for x in call.args]


def test_a_point_that_shows_nothing_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def check(seed: int) -> Any:
        words = "confirms nothing: a flat place" if seed < 3 else "judged"
        rows = [CheckRow(method, 0.0, 1.0, seed >= 3 or None, words) for method in METHODS[:3]]
        asked.append(seed)
        return SimpleNamespace(
            rows=[*rows, CheckRow(METHODS[3], math.nan, math.nan, None, "it never applies")]
        )

    monkeypatch.setattr(module, "subject_of", lambda record, home, seed: seed)
    monkeypatch.setattr(module, "check_subject", check)
    found = audit_operation(softmax.record, backend("numpy"))
    assert asked == [0, 1, 2, 3]
    assert [row.ok for row in found if row.method != "second_order"] == [True, True, True, None]


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_the_whole_says_in_which_dtype(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "jax":
        pytest.importorskip("jax")
    monkeypatch.setattr(module, "audit", lambda backends=None: [])
    found = run_audit([name])
    assert found.schema == "pillars.audit/1"
    assert set(found.units) == {"error", "tolerance"}
    (state,) = found.backends
    assert (state.name, state.ran) == (name, True)
    assert state.dtype == str(backend(name).xp.zeros(1).dtype)


def test_what_cannot_be_audited_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {**available(), "cupy": Availability(False, "14.2.0", (), "no GPU")}
    monkeypatch.setattr(sys.modules["pillars.measure.bench._bench"], "available", lambda: states)
    asked = []
    monkeypatch.setattr(module, "audit", lambda names=None: asked.append(names) or [])
    found = run_audit(["numpy", "cupy"])
    assert asked == [["numpy"]]
    assert [(state.ran, state.reason, state.dtype) for state in found.backends] == [
        (True, "", "float64"),
        (False, "no GPU", ""),
    ]


# ------------------------------------------------------------------------------------------ rules of the tracing array
def test_every_function_that_grad_differentiates_holds(everything: list[AuditRow]) -> None:
    traced = [row for row in everything if row.traced]
    assert [row for row in traced if row.ok is False] == []
    named = {row.operation.removeprefix("grad.") for row in traced}
    assert named == {case.name for case in CASES if case.rule != "astype"}  # which rounds
    rounded = {case.rule for case in CASES if case.name in named} | {"astype"}
    assert set(RULES) <= rounded
    for name in named:
        methods = {row.method: row for row in traced if row.operation == f"grad.{name}"}
        beyond = ["second_order"] * any(case.smooth for case in CASES if case.name == name)
        beyond += ["special_points"] * any(point.name == name for point in SPECIAL)
        assert sorted(methods) == sorted([*METHODS[1:4], *beyond])
        assert methods["central"].ok
        assert methods["central"].tolerance < 1e-4
        assert all(row.note for row in methods.values())


@pytest.mark.slow
def test_on_jax_there_is_nothing_to_trace() -> None:
    assert list(rule_checks(backend("strict")))
    pytest.importorskip("jax")
    assert list(rule_checks(backend("jax"))) == []


@pytest.mark.slow
def test_the_strict_namespace_holds() -> None:
    found = dict(rule_checks(backend("strict")))
    assert len(found) > 90
    wrong = [
        (name, row)
        for name, rows in found.items()
        for each in rows.values()
        for row in each
        if row.ok is False
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["exp", "matmul", "gather", "svd"])
def test_a_fault_in_a_rule_of_the_table_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three in a hundred too much of the first operand's cotangent."""
    right = RULES[name].pulls[0]
    wrong = (lambda *args, **options: 1.03 * right(*args, **options), *RULES[name].pulls[1:])
    monkeypatch.setattr(RULES[name], "pulls", wrong)
    found = [_rows(backend("numpy"), number, case) for number, case in enumerate(CASES) if case.rule == name]
    assert found
    for rows in found:
        assert any(row.ok is False for row in rows), rows


def test_a_rule_of_the_table_that_fails_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(RULES["tanh"], "pulls", (broken,))
    number = next(number for number, case in enumerate(CASES) if case.name == "tanh")
    (row,) = _rows(backend("numpy"), number, CASES[number])
    assert (row.method, row.ok, row.note) == ("central", False, "ZeroDivisionError: planted")


def test_a_second_derivative_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.asarray([0.3, 0.7])
    assert second_order(lambda x: np.sum(np.exp(x)), [x], 0).ok
    right = RULES["exp"].pulls[0]

    def once(xp: Any, g: Any, y: Any, a: Any) -> Any:
        """Right, and a constant to whoever differentiates it."""
        return right(xp, g, xp.frozen(y) if hasattr(xp, "frozen") else y, a)

    monkeypatch.setattr(RULES["exp"], "pulls", (once,))
    assert second_order(lambda x: np.sum(np.exp(x)), [x], 0).ok is False


@pytest.mark.parametrize(
    ("gradient", "hessian", "whole", "ok"),
    [
        ([0.0], [[6.0]], True, False),
        ([0.0], [[math.nan]], True, False),
        ([1.0], [[0.0]], True, False),
        ([0.0], [[0.0]], True, True),
    ],
    ids=["off", "a number where there is none", "gradient off", "right"],
)
def test_a_special_point_has_the_closed_form(gradient: Any, hessian: Any, whole: bool, ok: bool) -> None:
    row = special_point(
        backend("numpy"), Special("cube", lambda xp, x: xp.sum(x**3), [0.0], gradient, hessian, whole)
    )
    assert row.ok is ok


def test_nan_at_a_special_point_is_told_from_an_answer() -> None:
    def f(xp: Any, x: Any) -> Any:
        return xp.sum(xp.abs(x) * xp.abs(x))

    answers = [
        special_point(backend("numpy"), Special("abs", f, [0.0], [0.0], [[2.0]], whole)).ok
        for whole in (True, False)
    ]
    assert answers == [False, True]


def test_it_is_reached_through_the_door() -> None:
    assert pillars.audit is audit


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(BackendError, match="nonesuch"):
        audit(["nonesuch"])
