"""Numbers line up: three digits, one unit, no jump where the unit changes."""

from __future__ import annotations

import pytest

from pillars.report import duration, error, times
from pillars.report._units import percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 ns"),
        (9.999e-10, "1.00 ns"),
        (1.234e-8, "12.3 ns"),
        (9.994e-7, "999 ns"),
        (9.996e-7, "1.00 µs"),
        (9.994e-6, "9.99 µs"),
        (9.996e-6, "10.0 µs"),
        (99.94e-6, "99.9 µs"),
        (99.96e-6, "100 µs"),
        (0.99951, "1.00 s "),
        (1234.5, "1234 s "),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.26e-7, "1.3e-07"),
        (0.0, "0"),
        (3.0, "3.0e+00"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (None, "-"),
    ],
)
def test_error(value: float | None, text: str) -> None:
    assert error(value) == text


def test_ratios() -> None:
    assert [times(r) for r in (1.0, 1.26, 9.94, 9.96, 128.4)] == ["1.0×", "1.3×", "9.9×", "10×", "128×"]
    assert percent(0.126) == "±13%"
