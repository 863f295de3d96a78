"""Fixtures and counting for every suite: which backends a test runs on, seeds in failures, what did not run and why."""

from __future__ import annotations

import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillars.backends import Draw

# The suites' own helpers (contracts, oracles) are imported by name from beside this file.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("contracts")

from contracts._variants import GPU_VARIANTS, VARIANTS, Variant  # noqa: E402 - needs the path above

NOT_APPLICABLE = "not applicable: "
NOT_RUN = "not run: "


def parameters() -> list[Any]:
    """Every variant as a parameter; those of a GPU carry its mark."""
    return [
        pytest.param(one, id=one.id, marks=[pytest.mark.gpu] if one in GPU_VARIANTS else [])
        for one in VARIANTS
    ]


@pytest.fixture(params=parameters())
def variant(request: pytest.FixtureRequest) -> Iterator[Variant]:
    """A backend to run a test on: arrays by ``variant.asarray``, functions through ``variant.compiled``."""
    where: Variant = request.param
    reason = where.why_not()
    if reason is not None:
        pytest.skip(NOT_RUN + reason)
    with where.strictest():
        yield where


@pytest.fixture
def xp(variant: Variant) -> Any:
    """The variant's array namespace."""
    return variant.xp


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Draw:
    """Seeded inputs: the seed follows from the test's name, and a failure prints it."""
    return Draw(zlib.crc32(request.node.nodeid.encode()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked for a GPU is not run without one, and the summary says why."""
    if item.get_closest_marker("gpu") is None:
        return
    reasons = [one.why_not() for one in GPU_VARIANTS]
    if all(reasons):
        pytest.skip(NOT_RUN + f"no usable GPU: {'; '.join(filter(None, reasons))}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    source = getattr(item, "funcargs", {}).get("draw")
    if report.failed and source is not None:
        report.sections.append(("inputs drawn with", repr(source)))


def _reason(report: Any) -> str:
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """What does not apply, and what cannot run here, are counted apart from what is skipped and what passes."""
    if not report.skipped:
        return None
    if _reason(report).startswith(NOT_APPLICABLE):
        return "not applicable", "-", "NOT APPLICABLE"
    if _reason(report).startswith(NOT_RUN):
        return "not run", "_", "NOT RUN"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    stats = terminalreporter.stats
    passed = [r for r in stats.get("passed", []) if "tests/contracts/" in r.nodeid and r.when == "call"]
    apart = Counter(_reason(r).removeprefix(NOT_APPLICABLE) for r in stats.get("not applicable", []))
    if passed or apart:
        terminalreporter.section(f"contracts: {len(passed)} passed, {apart.total()} not applicable")
        for reason, number in apart.most_common():
            terminalreporter.line(f"{number:6d}  {reason}")
    missing = Counter(_reason(r).removeprefix(NOT_RUN) for r in stats.get("not run", []))
    if missing:
        terminalreporter.section(f"not run: {missing.total()}")
        for reason, number in missing.most_common():
            terminalreporter.line(f"{number:6d}  {reason}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--jax-mode",
        choices=("both", "eager", "jit"),
        default="both",
        help="of tests that run on JAX eagerly and under jit, in one of the two alone",
    )


_LIBRARY = re.compile(r"(?<![a-z])(numpy|strict|jax|cupy)(?![a-z])")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _mark_jax(items)
    mode = config.getoption("--jax-mode")
    if mode == "both":
        return
    every = {item.nodeid for item in items}
    jitted = {name for name in every if "jax-jit" in name and name.replace("jax-jit", "jax") in every}
    left_out = jitted if mode == "eager" else {name.replace("jax-jit", "jax") for name in jitted}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def _mark_jax(items: list[pytest.Item]) -> None:
    """Mark what JAX's precision can change: another pass, in 64 bits, need not repeat the rest."""
    named: dict[Path, bool] = {}
    for item in items:
        libraries = set(_LIBRARY.findall(item.nodeid.partition("[")[2]))
        if item.path not in named:
            named[item.path] = "jax" in item.path.read_text(encoding="utf-8").lower()
        if "jax" in libraries or (not libraries and named[item.path]):
            item.add_marker("jax")
