"""Numbers as people read them: three digits, one unit, always as wide."""

from __future__ import annotations

import math

__all__ = ["duration", "error", "percent", "rate", "share", "size", "times"]


def duration(seconds: float | None) -> str:
    """Seconds with three digits and a unit of two characters, so that a right-aligned column lines up.

    Examples
    --------
    >>> [duration(s) for s in (3.2e-7, 8.214e-6, 0.0241, 1.5, None)]
    ['320 ns', '8.21 µs', '24.1 ms', '1.50 s ', '-']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    for scale, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms"), (1.0, "s ")):
        value = seconds * scale
        if value < 999.5 or unit == "s ":
            return f"{_three_digits(value)} {unit}"
    raise AssertionError("unreachable")


def error(value: float | None) -> str:
    """An error with two digits.

    Examples
    --------
    >>> error(1.234e-7), error(0.0), error(float("inf"))
    ('1.2e-07', '0', 'inf')
    """
    if value is None or math.isnan(value):
        return "-"
    return "0" if value == 0 else f"{value:.1e}" if math.isfinite(value) else "inf"


def times(ratio: float) -> str:
    """How many times faster.

    Examples
    --------
    >>> times(1.234), times(41.7), times(1234.0), times(0.0432)
    ('1.2×', '42×', '1234×', '0.04×')
    """
    if ratio < 0.095:
        return f"{ratio:.2f}×"
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def percent(fraction: float) -> str:
    """A spread in whole percent.

    Examples
    --------
    >>> percent(0.034)
    '±3%'
    """
    return f"±{100 * fraction:.0f}%"


def share(fraction: float) -> str:
    """A part of the whole in two digits.

    Examples
    --------
    >>> share(0.382), share(0.0042), share(1.304)
    ('38%', '0.4%', '130%')
    """
    return f"{100 * fraction:.0f}%" if fraction >= 0.0095 else f"{100 * fraction:.1f}%"


def size(number: float) -> str:
    """So many bytes, with three digits.

    Examples
    --------
    >>> size(320.0), size(5.12e3), size(1.6777e7)
    ('320 B', '5.12 kB', '16.8 MB')
    """
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * scale:
            return f"{_three_digits(number / scale)} {prefix}B"
    return f"{number:.0f} B"


def rate(value: float, unit: str) -> str:
    """So many units a second, with three digits.

    Examples
    --------
    >>> rate(3.678e10, "B"), rate(7.98e14, "FLOP")
    ('36.8 GB/s', '798 TFLOP/s')
    """
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= 0.9995 * scale:
            return f"{_three_digits(value / scale)} {prefix}{unit}/s"
    return f"{_three_digits(value)} {unit}/s"


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
