"""What is printed of two benches."""

from __future__ import annotations

from collections.abc import Callable

from pillars.measure import Change, Comparison
from pillars.report import print_comparison


def change(operation: str, before: float, after: float) -> Change:
    return Change("forward", operation, "large", "2048×1024", "float64", "numpy", before, after)


def test_the_slower_and_the_faster(printed: Callable[..., str]) -> None:
    slower = tuple(change(f"op{i}", 1e-3, 1e-3 * i) for i in range(20, 5, -1))
    found = Comparison(
        "2026-01-01", "abc", ("cores: 1 then, 2 now",), slower, (change("relu", 4e-3, 1e-3),), 70, 3
    )
    text = printed(print_comparison, found, width=80)
    lines = text.splitlines()
    assert "Against the bench of 2026-01-01, commit abc" in lines
    assert "not the same: cores: 1 then, 2 now" in lines
    [first] = [line for line in lines if line.startswith("op20")]
    assert first.split() == [
        "op20",
        "forward",
        "2048×1024",
        "float64",
        "numpy",
        "1.00",
        "ms",
        "20.0",
        "ms",
        "20×",
    ]
    assert "and 3 more that are slower: all of them in --json" in lines
    [faster] = [line for line in lines if line.startswith("relu")]
    assert faster.split()[-1] == "4.0×"
    assert "15 rows are slower, 1 faster, 70 alike; 3 are in one of the two alone." in lines
    assert max(map(len, lines)) <= 80


def test_nothing_changed(printed: Callable[..., str]) -> None:
    text = printed(print_comparison, Comparison("2026-01-01", None, (), (), (), 6, 0))
    assert "0 rows are slower, 0 faster, 6 alike.\n" in text
    assert "operation" not in text
