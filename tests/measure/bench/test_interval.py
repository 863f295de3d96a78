"""Wilson's interval: published values, its defining equation, its edges."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from pillars import ShapeError
from pillars.measure import wilson_interval


def test_published_values() -> None:
    """Newcombe (1998), Two-sided confidence intervals for the single proportion, Stat. Med. 17, table I, method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, n), expected in published.items():
        found = wilson_interval(successes, n)
        assert (round(found.low, 4), round(found.high, 4)) == expected


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (3, 7), (436, 450), (999_999, 1_000_000)])
def test_against_scipy(successes: int, n: int, level: float) -> None:
    found = wilson_interval(successes, n, confidence_level=level)
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert found.low == pytest.approx(expected.low, rel=1e-12, abs=1e-15)
    assert found.high == pytest.approx(expected.high, rel=1e-12)
    assert found[3:] == (successes, n)


def test_its_ends_are_where_the_score_test_turns() -> None:
    found = wilson_interval(30, 100)
    for p in (found.low, found.high):
        assert abs(0.3 - p) / math.sqrt(p * (1 - p) / 100) == pytest.approx(1.959963984540054, rel=1e-12)


def test_edges() -> None:
    assert wilson_interval(0, 10).low == 0.0
    assert wilson_interval(10, 10).high == 1.0
    assert wilson_interval(0, 10).high > 0.2
    a, b = wilson_interval(3, 10), wilson_interval(7, 10)
    assert (a.low, a.high) == pytest.approx((1 - b.high, 1 - b.low), rel=1e-14)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ShapeError, match=f"got {successes} successes of {n}"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_impossible_level(level: float) -> None:
    with pytest.raises(ShapeError, match="confidence_level"):
        wilson_interval(1, 3, confidence_level=level)
