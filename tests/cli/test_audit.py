"""`pillars audit`: rows, status, JSON."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from pillars import measure
from pillars.cli._app import app

runner = CliRunner()


def test_every_gradient_holds_and_every_tenant_is_there() -> None:
    found = runner.invoke(app, ["audit", "--backend", "numpy", "--json"])
    assert found.exit_code == 0, found.stdout[-2000:] + found.stderr
    listed = json.loads(found.stdout)
    assert listed["schema"] == "pillars.audit/1"
    assert set(listed["units"]) == {"error", "tolerance"}
    assert [(state["name"], state["dtype"]) for state in listed["backends"]] == [("numpy", "float64")]
    named = {row["operation"] for row in listed["rows"]}
    assert {"probability.softmax", "layers.linear", "calculus.mean_squared_error"} <= named
    assert {row["backend"] for row in listed["rows"]} == {"numpy"}


def test_a_wrong_gradient_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    row = measure.audit(["numpy"])[0]._replace(error=0.5, ok=False, note="argument x")
    monkeypatch.setattr(sys.modules["pillars.measure._audit"], "audit", lambda backends=None: [row])
    found = runner.invoke(app, ["audit"])
    assert found.exit_code == 1
    assert f"✘ {row.operation} (numpy, {row.method}): error 5.0e-01" in found.stdout
    assert runner.invoke(app, ["audit", "--json"]).exit_code == 1
