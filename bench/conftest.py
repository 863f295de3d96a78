"""The benchmarks' parameters, from the name of the function: `test_softmax` times the case "softmax".

    pytest bench                                     small and medium, on every backend that runs here
    pytest bench --backend=numpy -k softmax --large  a part of it
    pytest bench --benchmark-group-by=func           a table for each function

A group (`--benchmark-group-by=group`, pytest-benchmark's default) is one size of one function, its backends side by
side. "pillars" is the call as users have it; where there is a kernel, "body" is what that replaces, bare,
without the checks of a call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from suite.cases import has_gradient, has_kernel
from suite.timed import time_case

from pillars.backends import available
from pillars.measure import environment

_PREFIX = "test_"
_LOAD = pytest.StashKey[float | None]()
_OF_COMMIT = ("id", "time", "dirty")
# They change from run to run, and pytest-benchmark warns where the machines of two runs differ.
_OF_RUN = ("date", "commit", "load")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The suite's own options."""
    group = parser.getgroup("pillars")
    group.addoption(
        "--backend", action="append", choices=list(available()), help="one backend; again for more; none: all"
    )
    group.addoption("--large", action="store_true", help="the large sizes too, which take minutes")


def pytest_configure(config: pytest.Config) -> None:
    """A comparison with another machine's file is a warning, and no failure; the load before is that of others."""
    config.stash[_LOAD] = environment().load
    config.addinivalue_line("filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every backend, size, value and gradient, and the body beside a kernel."""
    if "timed" not in metafunc.fixturenames:
        return
    name = metafunc.function.__name__.removeprefix(_PREFIX)
    sizes = ("small", "medium", "large") if metafunc.config.getoption("--large") else ("small", "medium")
    rows = []
    for on in _backends(metafunc.config):
        state = available()[on]
        ways = ("pillars", "body") if has_kernel(name, on) else ("pillars",)
        of_one_size = [("value", way) for way in ways]
        if has_gradient(name):
            of_one_size.append(("gradient", "pillars"))
        marks = () if state.usable else (pytest.mark.skip(reason=f"not run: {state.reason}"),)
        rows += [pytest.param(on, size, *what, marks=marks) for size in sizes for what in of_one_size]
    metafunc.parametrize(("on", "size", "part", "way"), rows)


def _backends(config: pytest.Config) -> list[str]:
    """Those asked for, whether they run or not; all that run where none is."""
    return config.getoption("--backend") or [name for name, state in available().items() if state.usable]


@pytest.fixture
def timed(
    request: pytest.FixtureRequest, benchmark: Any, on: str, size: str, part: str, way: str
) -> Callable[[], None]:
    """Check and time the case that the function is named for."""
    name = request.function.__name__.removeprefix(_PREFIX)
    benchmark.group = f"{name}, {size}, {part}"
    return lambda: time_case(benchmark, name, on, size, part, way)


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """What a time depends on, and nothing that names the machine or its folders."""
    found = {key: value for key, value in environment()._asdict().items() if key not in _OF_RUN}
    return {**found, "devices": {name: list(available()[name].devices) for name in _backends(config)}}


def pytest_benchmark_update_commit_info(config: pytest.Config, commit_info: dict[str, Any]) -> None:
    """The commit alone: a project's name is that of its folder."""
    for key in set(commit_info) - set(_OF_COMMIT):
        del commit_info[key]


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """How busy the machine was: beside other work a median says little, a minimum more."""
    output_json["load"] = config.stash[_LOAD]
