"""A bench with made-up figures, so that what is printed can be told from what was measured."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from pillars.measure import (
    BackendState,
    Bench,
    Ceiling,
    Environment,
    GradientRow,
    Job,
    JobRun,
    OperationRow,
    PeerTime,
    Reduction,
    Side,
    Timing,
    wilson_interval,
)
from pillars.measure.bench._results import Crossover, Reference


def timing(median: float) -> Timing:
    return Timing(median, 0.98 * median, 1.03 * median, 15, 100)


def operation(name: str, size: str, backend: str, seconds: float, **changes: object) -> OperationRow:
    transfer = None if backend == "numpy" else 3e-4
    row = OperationRow(
        name,
        size,
        "64×10",
        backend,
        "float32",
        "body",
        1.25e-7,
        5e-6,
        True,
        0.045,
        transfer,
        timing(seconds),
        1e4,
        5e3,
        0.25 * seconds,
        (PeerTime("plain", 1e-7, timing(1.5 * seconds), ""),) if backend == "numpy" else (),
        "",
    )
    return row._replace(**changes)


def gradient(name: str, size: str, backend: str, hand: float, auto: float) -> GradientRow:
    sides = [Side(2.25e-7, True, 0.1, timing(seconds), int(1e8 * seconds), "") for seconds in (hand, auto)]
    return GradientRow(name, size, "64×10", backend, "float32", 2e-5, 1e4, 5e3, hand / 4, *sides)


def run(backend: str, gradient: str, seconds: float) -> JobRun:
    bounds, accuracy = (2e-8, 1e-4, 3e-7, 2e-4), wilson_interval(436, 450)
    outcome = (accuracy, 0, "steps", 0.5, timing(seconds), True, "")
    return JobRun(backend, gradient, "float32", 0.125, *bounds, *outcome)


@pytest.fixture
def bench() -> Bench:
    date, commit = "2026-01-01T00:00:00+00:00", "0123456789ab+"
    machine = ("3.13.1", "Linux x86_64", "A processor", 2, 2, 0.5)
    environment = Environment(
        date, commit, *machine, blas=["openblas"], packages={"numpy": "2.4.6"}, variables={}
    )
    states = (
        BackendState("numpy", True, "2.4.6", ("cpu",), "", "float32", "cpu", True),
        BackendState(
            "cupy", False, "14.2.0", (), "CUDARuntimeError: no CUDA-capable device is detected", "", "", False
        ),
        BackendState("jax", True, "0.10.2", ("cpu:0",), "", "float32", "cpu", False),
    )
    reference = Reference(0.125, wilson_interval(436, 450), 500, "steps")
    runs = tuple(
        run(backend, way, seconds)
        for backend, way, seconds in (
            ("numpy", "hand-derived", 0.1),
            ("numpy", "autodiff", 0.4),
            ("jax", "hand-derived", 0.05),
            ("jax", "autodiff", 0.06),
        )
    )
    reductions = (
        Reduction("numpy", 2e-7, 2e-5, 3e-5, 1e-2, 0.01, timing(0.002), True, ""),
        Reduction("jax", 3e-7, 2e-5, 1e-5, 1e-2, 1.25, timing(0.003), True, ""),
    )
    job = Job(
        "optical digits",
        1797,
        64,
        10,
        1347,
        450,
        ("pixel 0,0",),
        4.0,
        0.25,
        500,
        39,
        0.953,
        reductions,
        reference,
        runs,
    )
    ceilings = (Ceiling("cpu", "float32", 2.5e10, 2e11, "numpy", "jax"),)
    names = ("softmax", "linear", "mean_squared_error")
    operations = tuple(
        operation(name, size, backend, base * (1 + (backend == winner)))
        for size, base, winner in (("small", 1e-5, "jax"), ("large", 2e-2, "numpy"))
        for name in names
        for backend in ("numpy", "jax")
    )
    changes = (Crossover("linear", "numpy", "jax", 3.2e5),)
    gradients = tuple(
        gradient(name, size, backend, base, 3 * base)
        for size, base in (("small", 2e-5), ("large", 4e-2))
        for name in names
        for backend in ("numpy", "jax")
    )
    return Bench(
        "pillars.bench/3",
        False,
        environment,
        states,
        ceilings,
        job,
        operations,
        changes,
        gradients,
        (),
        (),
        61.0,
    )


@pytest.fixture
def broken(bench: Bench) -> Bench:
    """One result that is off, one that is not finite, one that failed."""
    first, second, third, *rest = bench.operations
    off = first._replace(error=0.5, ok=False)
    wild = second._replace(error=math.inf, ok=False)
    failed = third._replace(
        error=math.nan, ok=False, first=None, steady=None, failure="RuntimeError: out of memory"
    )
    findings = ("softmax is off", "softmax is wild", "linear failed")
    return bench._replace(operations=(off, wild, failed, *rest), findings=findings)


@pytest.fixture
def printed() -> Callable[..., str]:
    """What a function prints on a console of some width."""

    def run(show: Callable[..., None], *args: object, width: int = 200, **options: object) -> str:
        console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, color_system=None)
        show(console, *args, **options)
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    return run
