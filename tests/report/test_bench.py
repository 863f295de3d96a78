"""What a person reads: every figure in its place, nothing cut off, the verdict last."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pillars.measure import Bench, OperationRow, Timing, load_bench
from pillars.report import print_bench
from pillars.report._gradients import GRADIENT_LEGEND
from pillars.report._job import JOB_LEGEND
from pillars.report._operations import OPERATION_LEGEND, faster
from pillars.report._summary import gradient_line, noise_line, speed_lines


def line_of(text: str, *words: str) -> str:
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    assert found, f"no line with {words} in\n{text}"
    return found[0]


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_the_head_says_where_and_what_did_not_run(printed: Callable[..., str], bench: Bench) -> None:
    text = printed(print_bench, bench, long=True)
    assert "commit 0123456789ab+" in text.splitlines()[0]
    assert "A processor, 2 cores" in text
    assert "multiplies float32 matrices in float32" in line_of(text, "jax", "cpu:0")
    assert "no CUDA-capable device is detected" in line_of(text, "cupy", "not run")


def test_the_job(printed: Callable[..., str], bench: Bench) -> None:
    text = printed(print_bench, bench, long=True)
    assert line_of(text, "reference").split()[2:6] == ["436/450", "=", "96.9%", "94.8"]
    row = cells(line_of(text, "jax", "hand-derived"))
    assert row[2:6] == ["436/450 = 96.9%", "94.8 – 98.1%", "0.125000", "2.0e-08"]
    assert row[6:] == ["3.0e-07", "500 ms", "50.0 ms", "±5%"]
    assert "≤ 2.0e-04" in line_of(text, "float64", "reference")
    assert "Learning rate 0.25 = 1/L" in text
    assert "39 principal components (95% of the variance)" in text
    flat = " ".join(text.split())
    assert "1 feature is the same on every row and without effect (pixel 0,0)" in flat
    assert "; all runs agree with float64 on every held-out row" in flat
    assert (
        "jax variances off by 3.0e-07 (allowed 2.0e-05), the space they span by 1.0e-05 (allowed 1.0e-02), "
        "in 1.25 s, again 3.00 ms" in flat
    )


def test_operations_have_errors_beside_times(printed: Callable[..., str], bench: Bench) -> None:
    text = printed(print_bench, bench, long=True)
    row = cells(line_of(text, "linear", "64×10", "numpy"))
    assert row[:7] == ["linear", "64×10", "1.2e-07", "45.0 ms", "10.0 µs", "±5%", "25%"]
    assert row[7] == "plain 1.5×"
    assert row[8:] == ["1.2e-07", "45.0 ms", "300 µs", "20.0 µs", "±5%", "25%", "numpy 2.0×"]


def test_gradients_have_both_ways(printed: Callable[..., str], bench: Bench) -> None:
    text = printed(print_bench, bench, long=True).partition("Value and gradient")[2]
    row = line_of(text, "softmax", "40.0 ms")
    assert cells(row) == ["softmax", "64×10"] + 2 * [
        *("2.2e-07", "40.0 ms", "4.00 MB"),
        *("2.2e-07", "120 ms", "12.0 MB", "hand 3.0×"),
    ]


@pytest.mark.parametrize("width", [64, 80, 100, 120, 160, 200])
def test_it_fits_and_every_row_stays(printed: Callable[..., str], bench: Bench, width: int) -> None:
    text = printed(print_bench, bench, long=True, width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert [line for line in lines if line != line.rstrip()] == []
    for name in ("softmax", "linear", "mean_squared_error"):
        assert sum(line.startswith(f"{name}  ") for line in lines) == 4
    assert ("Columns that do not fit" in text) == (width < 160)


@pytest.mark.parametrize("width", [20, 40])
def test_where_nothing_fits_nothing_is_cut(printed: Callable[..., str], bench: Bench, width: int) -> None:
    lines = printed(print_bench, bench, long=True, width=width).splitlines()
    assert not any("…" in line for line in lines)
    row = next(line for line in lines if line.startswith("softmax  ")).split()
    assert row[1:] == ["1.2e-07", "10.0", "µs", "1.2e-07", "20.0", "µs"]


@pytest.mark.parametrize("width", [80, 200])
def test_every_heading_that_needs_words_has_them_and_no_other(
    printed: Callable[..., str], bench: Bench, width: int
) -> None:
    """A table's legend stands between its last row and the empty line after it."""
    job, forward, gradients = printed(print_bench, bench, long=True, width=width).split("\n\n")[1:4]
    for text, legend in ((job, JOB_LEGEND), (forward, OPERATION_LEGEND), (gradients, GRADIENT_LEGEND)):
        flat = " ".join(text.split())
        rows = [line for line in text.splitlines() if " · " not in line and ": " not in line]
        for heading, meaning in legend.items():
            named = any(f" {heading} " in f" {line} " for line in rows)
            assert (f"{heading}: {meaning}" in flat) == named, heading
    assert "even: the quartiles overlap" in forward.replace("\n", " ")
    assert ("first: " in job) == (width > 80)
    assert "again" not in job.partition("time: the whole descent again")[0]


def test_times_line_up(printed: Callable[..., str], bench: Bench) -> None:
    text = printed(print_bench, bench, long=True).partition("The main functions")[2].partition("Value and")[0]
    rows = [line for line in text.splitlines() if line.startswith(("softmax", "linear", "mean"))]
    assert len({row.index("s  ") for row in rows}) == 1


def test_the_fastest_is_green(bench: Bench) -> None:
    console = Console(
        file=io.StringIO(), width=160, highlight=False, force_terminal=True, color_system="standard"
    )
    print_bench(console, bench, long=True)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[32m10.0 µs\x1b[0m" in text
    assert "\x1b[32m20.0 µs\x1b[0m" in text.partition("Value and gradient")[2]
    assert "\x1b[32m20.0 µs\x1b[0m" not in text.partition("Value and gradient")[0]


def test_the_verdict_is_the_last_line(printed: Callable[..., str], bench: Bench) -> None:
    last = printed(print_bench, bench, long=True).splitlines()[-1]
    assert last.startswith(
        "✔ numpy and jax agree with the float64 reference: all 42 results within rounding;"
    )
    assert last.endswith("; cupy not run. Took 61 s.")


def test_what_is_wrong_is_shown_in_place_and_in_words(printed: Callable[..., str], broken: Bench) -> None:
    text = printed(print_bench, broken, long=True)
    assert "5.0e-01" in line_of(text, "softmax", "inf")
    assert "failed" in line_of(text, "linear", "64×10")
    assert "✘ softmax is off" in text
    assert text.splitlines()[-1].startswith(
        "✘ 3 of 42 results are wrong or missing on numpy, jax; cupy not run"
    )


@pytest.mark.parametrize("long", [False, True])
def test_a_flood_of_findings_is_cut_and_counted(
    printed: Callable[..., str], bench: Bench, long: bool
) -> None:
    text = printed(print_bench, bench._replace(findings=tuple(f"finding {i}" for i in range(40))), long=long)
    assert "finding 11" in text
    assert "finding 12" not in text
    assert "and 28 more" in text


@pytest.fixture
def recorded() -> Bench:
    """A whole bench on the bundled data, of two backends."""
    return load_bench(Path(__file__).parents[2] / "bench" / "results" / "bench_cpu.json")


@pytest.mark.parametrize("width", [100, 110, 160])
def test_the_short_form_fits_two_screens(printed: Callable[..., str], recorded: Bench, width: int) -> None:
    lines = printed(print_bench, recorded, width=width).splitlines()
    assert len(lines) <= 96
    assert max(map(len, lines)) <= width
    assert len(printed(print_bench, recorded, long=True, width=width).splitlines()) > 130


def test_the_short_form_has_every_operation_at_the_large_size(
    printed: Callable[..., str], recorded: Bench
) -> None:
    lines = printed(print_bench, recorded, width=110).splitlines()
    operations = {row.operation for row in recorded.operations}
    slopes = {row.operation for row in recorded.gradients}
    for name in operations:
        assert sum(line.startswith(f"{name}  ") for line in lines) == 1 + (name in slopes)
    assert [line for line in lines if line in ("small", "large")] == ["large", "large"]


def test_the_short_form_keeps_every_finding_and_every_warning(
    printed: Callable[..., str], broken: Bench
) -> None:
    loud = broken._replace(
        findings=tuple(f"finding {i}" for i in range(12)),
        remarks=("One library is off.",),
        environment=broken.environment._replace(load=7.12),
    )
    lines = printed(print_bench, loud, width=110).splitlines()
    assert [line for line in lines if line.startswith("✘ finding")] == [f"✘ {text}" for text in loud.findings]
    assert "One library is off." in lines
    assert any(line.startswith("The machine was noisy (load 7.1 ") for line in lines)


def test_the_short_form_says_last_where_the_rest_is(printed: Callable[..., str], bench: Bench) -> None:
    *_, first, second, verdict = printed(print_bench, bench).splitlines()
    assert verdict.startswith("✔ numpy and jax agree")
    rest = f"{first} {second}"
    assert "pillars bench --long." in rest
    assert "pillars bench --json > FILE, then pillars bench --long --from FILE." in rest
    assert "--long" not in printed(print_bench, bench, long=True)


def test_a_job_that_failed_on_one_backend(printed: Callable[..., str], bench: Bench) -> None:
    run = bench.job.runs[3]._replace(error="RuntimeError: no", accuracy=None, steady=None, ok=False)
    failed = bench._replace(job=bench.job._replace(runs=(*bench.job.runs[:3], run)))
    text = printed(print_bench, failed, long=True)
    assert "failed" in line_of(text, "autodiff", "failed")
    assert "some runs failed" in text


def test_speed_in_words(bench: Bench) -> None:
    small, large = map(str, speed_lines(bench))
    assert small == "Small sizes: numpy is faster on 3 of 3 (most on softmax, 2.0×)."
    assert large == "Large sizes: jax is faster on 3 of 3 (most on softmax, 2.0×)."
    alone = [row for row in bench.operations if row.backend == "numpy"]
    assert speed_lines(bench._replace(operations=tuple(alone), backends=bench.backends[:2])) == []


def test_gradients_in_words(bench: Bench) -> None:
    assert "numpy 3.0× faster (3.0× to 3.0×), jax 3.0× faster" in str(gradient_line(bench))


def test_one_backend_alone(printed: Callable[..., str], bench: Bench) -> None:
    alone = bench._replace(
        backends=bench.backends[:2],
        operations=tuple(row for row in bench.operations if row.backend == "numpy"),
        gradients=tuple(row for row in bench.gradients if row.backend == "numpy"),
        job=bench.job._replace(runs=bench.job.runs[:2], reductions=bench.job.reductions[:1]),
    )
    text = printed(print_bench, alone, long=True)
    assert "faster" not in text.partition("The main functions")[2].partition("Value and")[0]
    assert "numpy agrees with the float64 reference: all 21 results" in text


def test_noise_is_said(bench: Bench) -> None:
    def noisy(row: OperationRow) -> OperationRow:
        assert row.steady is not None
        return row._replace(steady=row.steady._replace(high=2 * row.steady.median))

    text = str(noise_line(bench._replace(operations=tuple(map(noisy, bench.operations)))))
    assert "The machine was noisy (12 of 12 times vary by over 30%)" in text
    busy = bench._replace(environment=bench.environment._replace(load=7.12))
    assert "The machine was noisy (load 7.1 on 2 cores before it began)" in str(noise_line(busy))
    assert noise_line(bench) is None


def test_faster_needs_quartiles_apart() -> None:
    one, two = Timing(1.0, 0.9, 1.1, 9, 1), Timing(2.0, 1.8, 2.2, 9, 1)
    assert faster({"a": two, "b": one}) == ("b", 2.0)
    assert faster({"a": one, "b": one._replace(median=1.3, low=1.05)}) == ("", 1.0)
    assert faster({"a": one._replace(high=1.0), "b": one._replace(median=1.03, low=1.02)}) == ("", 1.0)
    assert faster({"a": one, "b": None}) == ("", 1.0)
