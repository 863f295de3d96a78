"""Every command: JSON clean, exit status right, errors told in one message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import pillars
from pillars import ShapeError, measure
from pillars.backends import Availability, available
from pillars.cli._app import app
from pillars.measure.bench._workloads import number_of_workloads

runner = CliRunner()


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pillars.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def numbers(value: Any, name: str = "") -> Iterator[str]:
    """The names of all fields that hold numbers."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name


@pytest.fixture(autouse=True)
def _a_pipe_of_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two blobs, 40 rows, as CSV with a named target."""
    draw = np.random.default_rng(0)
    kind = np.arange(40) % 2
    x = draw.normal(size=(40, 3)) + 4 * kind[:, None]
    path = tmp_path / "blobs.csv"
    rows = [",".join(f"{v:.5f}" for v in row) + f",{'ab'[k]}" for row, k in zip(x, kind, strict=True)]
    path.write_text("\n".join(["u,v,w,kind", *rows]), encoding="utf-8")
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bench with one workload, for tests of everything around it."""
    module = sys.modules["pillars.measure.bench._bench"]
    monkeypatch.setattr(
        module, "workloads", lambda **options: iter([next(_all(**options))._replace(size="large")])
    )
    return


def _all(**options: Any) -> Iterator[Any]:
    from pillars.measure.bench._workloads import workloads

    return workloads(**options)


def test_backends_and_its_json() -> None:
    states = available()
    text = run("backends")
    assert text.exit_code == 0
    found = run("backends", "--json")
    assert found.exit_code == 0
    listed = json.loads(found.stdout)
    assert listed["schema"] == "pillars.backends/1"
    listed = listed["backends"]
    assert listed.keys() == states.keys()
    for name, state in states.items():
        assert listed[name]["usable"] == state.usable
        assert name in text.stdout


@pytest.mark.parametrize("option", ["--backend", "--backends"])
@pytest.mark.parametrize("name", ["numpy", "cupy", "jax"])
def test_one_backend_and_the_status(name: str, option: str) -> None:
    usable = available()[name].usable
    found = run("backends", option, name, "--json")
    assert list(json.loads(found.stdout)["backends"]) == [name]
    assert found.exit_code == (0 if usable else 1)


@pytest.mark.parametrize(
    "options",
    [("--backends", "jax, numpy"), ("--backend", "jax", "--backend", "numpy"), ("--backend=jax,numpy",)],
)
def test_several_backends_in_either_spelling(options: tuple[str, ...]) -> None:
    found = run("backends", *options, "--json")
    assert list(json.loads(found.stdout)["backends"]) == ["jax", "numpy"]
    assert found.exit_code == (0 if available()["jax"].usable else 1)


@pytest.mark.parametrize("command", ["bench", "backends", "audit"])
def test_help_documents_one_option_for_backends_and_its_default(command: str) -> None:
    text = " ".join(run(command, "--help").stdout.replace("│", " ").split())
    assert text.count("NAMES") == 1
    assert "Default: all." in text


def test_help_promises_what_the_bench_does() -> None:
    text = run("bench", "--help").stdout
    assert "the main operations" in text
    assert "every operation" not in text


def test_capabilities_cover_every_room() -> None:
    table = json.loads(run("backends", "--capabilities", "--json").stdout)
    assert table["schema"] == "pillars.capabilities/1"
    rows = table["rows"]
    named = {row["operation"] for row in rows}
    assert {"probability.softmax", "layers.linear", "calculus.mean_squared_error", "random.bits"} <= named
    assert {row["level"] for row in rows} <= set(table["levels"]) == {"native", "generic", "no"}
    assert {row["feature"] for row in rows} == set(table["features"])
    assert all(row["reason"] for row in rows if row["level"] == "no")
    assert {name: state["usable"] for name, state in table["backends"].items()} == {
        name: state.usable for name, state in available().items()
    }
    one = json.loads(run("backends", "--capabilities", "--json", "--backend", "numpy").stdout)
    assert one["rows"] == [row for row in rows if row["backend"] == "numpy"]


def test_the_printed_table_is_of_what_can_be_imported() -> None:
    rows = json.loads(run("backends", "--capabilities", "--json").stdout)["rows"]
    lines = run("backends", "--capabilities").stdout.splitlines()
    for operation, public in {row["operation"]: row["public"] for row in rows}.items():
        levels = [line.split()[1:] for line in lines if line.split()[:1] == [operation]]
        assert sum(set(words) <= {"native", "generic", "no"} for words in levels) == public, operation
        room, _, name = operation.partition(".")
        if f"pillars.{room}" in sys.modules:
            assert public == hasattr(sys.modules[f"pillars.{room}"], name)
    hidden = {row["operation"] for row in rows if not row["public"]}
    assert "random.draw_normal" in hidden
    assert f"{len(hidden)} inner steps that no room exports" in lines[-1]


def test_the_version() -> None:
    found = run("--version")
    assert (found.exit_code, found.stdout) == (0, f"pillars {pillars.__version__}\n")


MISUSE = {
    "an unknown option": (("bench", "--no-such"), "No such option"),
    "an unknown backend": (
        ("bench", "--backends", "numpy,tensorflow"),
        "got 'tensorflow', expected some of 'numpy'",
    ),
    "no name in the list": (("bench", "--backends", ","), "names no backend"),
    "a target without data": (("bench", "--target", "y"), "--data"),
    "a file that is not there": (
        ("bench", "--data", "none.csv"),
        "'none.csv', expected a file; there is none",
    ),
    "an unknown backend, of one": (("backends", "--backend", "torch"), "expected some of numpy, cupy"),
    "an unknown backend to audit": (("audit", "--backend", "torch"), "got 'torch'"),
}


@pytest.mark.parametrize("case", MISUSE)
@pytest.mark.parametrize("as_json", [False, True])
def test_misuse_exits_with_2_and_says_how(case: str, as_json: bool) -> None:
    arguments, message = MISUSE[case]
    found = run(*arguments, *["--json"] * as_json)
    assert found.exit_code == 2
    assert found.stdout == ""
    assert message in " ".join(found.stderr.replace("│", " ").split())
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "u,v,y\n1,2,0\n1,x,1\n", "'x' in column 'v', line 3"),
        ("a.csv", "u,y\n1,0\n2,0\n", "one class"),
        ("a.csv", "u,y\n1,0\n,0\n", "missing value in column 'u', line 3"),
        ("a.dat", "1,2\n", "expected a name that ends in"),
        ("a.npy", "not an array", "a.npy"),
        ("a.parquet", "not parquet", "a.parquet"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_2(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    found = run("bench", "--data", str(path))
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr.startswith("pillars bench: load_table: got ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr


def test_an_unusable_backend_alone_is_told_with_its_reason() -> None:
    if available()["cupy"].usable:
        pytest.skip("CuPy is usable here")
    found = run("bench", "--backends", "cupy")
    assert found.exit_code == 2
    assert available()["cupy"].reason in found.stderr


def test_an_error_of_pillars_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise ShapeError("softmax: got this, expected that. Do this.")

    monkeypatch.setattr(measure, "run_bench", refuse)
    found = run("bench")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == "pillars bench: softmax: got this, expected that. Do this.\n"


def test_a_bug_shows_its_trace_and_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(measure, "run_bench", fail)
    found = run("bench")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "ZeroDivisionError: a bug" in found.stderr
    assert "Traceback" in found.stderr


def test_an_interrupt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "run_bench", stop)
    found = run("bench")
    assert (found.exit_code, found.stdout, found.stderr) == (130, "", "pillars bench: interrupted\n")


@pytest.mark.usefixtures("small")
def test_bench_on_a_users_table(table: Path) -> None:
    found = run("bench", "--quick", "--backend", "numpy", "--data", str(table), "--json")
    assert found.exit_code == 0, found.stderr
    job = json.loads(found.stdout)["job"]
    assert (job["data"], job["rows"], job["features"], job["classes"]) == ("blobs.csv", 40, 3, 2)
    assert [run["accuracy"]["estimate"] for run in job["runs"]] == [1.0, 1.0]
    text = run("bench", "--quick", "--backend", "numpy", "--data", str(table), "--target", "kind")
    assert text.exit_code == 0
    assert "blobs.csv: standardised, " in text.stdout
    assert text.stdout.splitlines()[-1].startswith("✔ numpy agrees")


@pytest.mark.usefixtures("small")
def test_a_backend_that_is_not_installed_is_reported_and_the_rest_runs(
    monkeypatch: pytest.MonkeyPatch, table: Path
) -> None:
    reason = "jax is not installed: pip install jax"
    states = {"numpy": available()["numpy"], "jax": Availability(False, None, (), reason)}
    monkeypatch.setattr(sys.modules["pillars.measure.bench._bench"], "available", lambda: states)
    found = run("bench", "--quick", "--data", str(table))
    assert found.exit_code == 0, found.stdout
    assert f"jax    not run: {reason}" in found.stdout
    assert "jax not run" in found.stdout.splitlines()[-1]


@pytest.mark.usefixtures("small")
def test_a_finding_exits_with_1(monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    module = sys.modules["pillars.measure.bench._parity"]
    monkeypatch.setattr(module, "relative_error", lambda found, expected: 0.5)
    arguments = ("bench", "--quick", "--backend", "numpy", "--data", str(table))
    found = run(*arguments)
    assert found.exit_code == 1
    assert "softmax 64×10 float32, numpy: 5.0e-01 off" in found.stdout
    assert found.stdout.splitlines()[-1].startswith("✘")
    as_json = run(*arguments, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["findings"]


@pytest.mark.slow
def test_the_quick_bench_whole_as_a_process() -> None:
    done = process("bench", "--quick", "--json")
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    assert done.stderr == ""
    found = json.loads(done.stdout)
    states = available()
    ran = [name for name, state in states.items() if state.usable]
    assert found["schema"] == "pillars.bench/3"
    counted = {
        "samples",
        "inner",
        "n",
        "successes",
        "steps",
        "rows",
        "features",
        "classes",
        "train",
        "held_out",
    }
    counted |= {"disagreements", "cores", "threads", "components"}
    assert set(numbers(found)) - counted == set(found["units"])
    assert {state["name"]: state["ran"] for state in found["backends"]} == {
        n: s.usable for n, s in states.items()
    }
    assert all(state["reason"] for state in found["backends"] if not state["ran"])
    assert [(run["backend"], run["gradient"]) for run in found["job"]["runs"]] == [
        (name, way) for name in ran for way in ("hand-derived", "autodiff")
    ]
    shares = {(run["accuracy"]["successes"], run["accuracy"]["n"]) for run in found["job"]["runs"]}
    assert len(shares) == 1
    assert len(found["operations"]) == number_of_workloads(quick=True) * len(ran)
    differentiable = {row["operation"] for row in found["operations"]} - {"gradient_descent"}
    assert {row["operation"] for row in found["gradients"]} == differentiable
    assert {row["dtype"] for row in found["operations"]} == {"float32", "float64"}
    for row in found["operations"]:
        assert row["error"] <= row["bound"]
        assert row["first"] > 0
        assert row["steady"]["median"] > 0
        assert (row["transfer"] is None) == (row["backend"] == "numpy")
    assert found["environment"]["packages"]["numpy"] == np.__version__


@pytest.mark.usefixtures("small")
def test_a_page_is_written_beside_what_is_printed(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    page = tmp_path / "bench.html"
    found = run("bench", "--quick", "--backend", "numpy", "--data", str(table), "--html", str(page))
    assert found.exit_code == 0, found.output
    assert "numpy agrees with the float64 reference" in found.stdout
    assert "numpy agrees with the float64 reference" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_refused_before_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pillars import report

    monkeypatch.setattr(measure, "run_bench", lambda *args, **options: pytest.fail("it was measured first"))
    monkeypatch.setattr(report, "page_needs", lambda **options: [])
    for path, said in (
        (tmp_path, "expected a file in it"),
        (tmp_path / "nowhere" / "bench.html", "in a folder that exists"),
    ):
        found = run("bench", "--html", str(path))
        assert found.exit_code == 2
        assert said in " ".join(found.output.replace("│", " ").split())
    monkeypatch.setattr(report, "page_needs", lambda **options: ["jinja2", "matplotlib"])
    found = run("bench", "--html", str(tmp_path / "bench.html"))
    assert found.exit_code == 2
    assert "--html needs jinja2 and matplotlib: pip install jinja2 matplotlib" in " ".join(
        found.output.split()
    )


@pytest.mark.usefixtures("small")
def test_a_bench_is_held_against_an_older_one(table: Path, tmp_path: Path) -> None:
    options = ("bench", "--quick", "--backend", "numpy", "--data", str(table))
    old = tmp_path / "old.json"
    old.write_text(run(*options, "--json").stdout, encoding="utf-8")
    found = run(*options, "--compare", str(old))
    assert found.exit_code == 0, found.output
    assert "Against the bench of " in found.stdout
    assert " alike." in found.stdout
    both = json.loads(run(*options, "--json", "--compare", str(old)).stdout)
    assert both["schema"] == "pillars.bench/3"
    assert both["comparison"].keys() >= {"slower", "faster", "alike"}
    old.write_text("{}", encoding="utf-8")
    refused = run(*options, "--compare", str(old))
    assert refused.exit_code == 2
    assert "is no bench of pillars. Expected what pillars bench --json" in refused.output


@pytest.mark.usefixtures("small")
def test_a_saved_bench_is_shown_again(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, page = tmp_path / "run.json", tmp_path / "run.html"
    whole = run("bench", "--quick", "--backend", "numpy", "--data", str(table), "--json").stdout
    saved.write_text(
        json.dumps({"schema": 1, "bench": {"exit": 0, "result": json.loads(whole)}}), encoding="utf-8"
    )
    monkeypatch.setattr(measure, "run_bench", lambda *args, **options: pytest.fail("it was measured again"))
    shown = run("bench", "--from", str(saved), "--html", str(page), "--compare", str(saved))
    assert shown.exit_code == 0, shown.output
    assert "blobs.csv: standardised" in shown.stdout
    assert "0 rows are slower" in shown.stdout
    assert "blobs.csv" in page.read_text(encoding="utf-8").lower()
    assert "bench --long" in shown.stdout
    in_full = run("bench", "--long", "--from", str(saved))
    assert in_full.exit_code == 0, in_full.output
    assert "Principal components against float64" in in_full.stdout
    assert "Principal components against float64" not in shown.stdout
    assert "bench --long" not in in_full.stdout
    for options in ([], ["--long"]):
        again = run("bench", "--from", str(saved), "--json", *options)
        assert json.loads(again.stdout) == json.loads(whole)
    for more in (["--quick"], ["--backend", "numpy"], ["--data", str(table)]):
        refused = run("bench", "--from", str(saved), *more)
        assert refused.exit_code == 2
        assert "it goes without" in " ".join(refused.output.replace("│", " ").split())


def test_an_interrupted_bench_prints_what_it_has(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(**options: Any) -> Iterator[Any]:
        yield next(_all(**options))._replace(size="large")
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["pillars.measure.bench._bench"], "workloads", stopped)
    found = run("bench", "--quick", "--backend", "numpy", "--data", str(table))
    assert found.exit_code == 130
    assert "softmax" in found.stdout
    assert "Interrupted: this is what was measured until then." in " ".join(found.stdout.split())
