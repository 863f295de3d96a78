"""What the slopes of sizes and powers are made of: primitives of their own, for the sake of the second derivative."""

from __future__ import annotations

from pillars.measure.audit.cases._case import Case

__all__ = ["DIRECTIONS"]

DIRECTIONS = [
    Case("abs", lambda xp, x: xp.abs(x) ** 3, ("apart:3x4",), "along"),
    Case("pow", lambda xp, x, y: x**y, ("positive:3x1", "normal:4"), "pow_log"),
    Case(
        "vector_norm",
        lambda xp, x: xp.linalg.vector_norm(x, axis=0, ord=2.5),
        ("apart:3x4",),
        "power_norm",
        linalg=True,
    ),
]
