"""`pillars audit`: rows, status, JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pillars import measure
from pillars.cli._app import app

runner = CliRunner()


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_wrong_gradient_exits_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = measure.audit(["numpy"])[0]._replace(error=0.5, ok=False, note="argument x")
    monkeypatch.setattr(sys.modules["pillars.measure.audit._audit"], "audit", lambda backends=None: [row])
    found = runner.invoke(app, ["audit"])
    assert found.exit_code == 1
    assert f"✘ {row.operation} (numpy, {row.method}): error 5.0e-01" in found.stdout
    assert runner.invoke(app, ["audit", "--json"]).exit_code == 1
    page = tmp_path / "audit.html"
    assert runner.invoke(app, ["audit", "--html", str(page)]).exit_code == 1
    assert "1 of 1 gradient checks failed" in page.read_text(encoding="utf-8")
    nowhere = runner.invoke(app, ["audit", "--html", str(tmp_path / "none" / "audit.html")])
    assert nowhere.exit_code == 2
