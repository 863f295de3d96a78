"""Elementwise functions, reductions, products and norms."""

from __future__ import annotations

from pillars.backends import backend
from pillars.measure.audit.cases._case import Case, binary, reduced, unary

__all__ = ["STANDARD"]

np = backend("numpy").xp

STANDARD = [
    *(
        unary(name)
        for name in (
            "exp",
            "expm1",
            "square",
            "sin",
            "cos",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "atan",
            "negative",
            "positive",
        )
    ),
    unary("exp2", strict=False),
    unary("deg2rad", strict=False),
    unary("rad2deg", strict=False),
    *(unary(name, "positive") for name in ("log", "log2", "log10", "log1p", "sqrt", "reciprocal")),
    unary("cbrt", "positive", strict=False),
    *(unary(name, "unit") for name in ("tan", "asin", "acos", "atanh")),
    unary("acosh", "above"),
    unary("abs", "apart"),
    *(binary(name) for name in ("add", "subtract", "multiply", "logaddexp")),
    binary("divide", second="positive:4"),
    binary("pow", "positive:3x4"),
    Case("pow", lambda xp, x: x**2 + x**3 - x**-1 + 2.0**x + x**0.5 + x**1 + x**0, ("positive:3x4",), "pow"),
    binary("remainder", "apart:3x1", "above:4", smooth=False),
    binary("maximum", "apart:3x4", "normal:3x1"),
    binary("minimum", "apart:3x4", "normal:3x1"),
    binary("atan2", "above:3x4"),
    binary("hypot", "above:3x4"),
    binary("copysign", "apart:3x4", "apart:4"),
    Case("where", lambda xp, x, y: xp.where(x > y, x * y, xp.exp(y)), ("apart:3x4", "apart:4"), "where"),
    Case("where", lambda xp, x: xp.where(x > 0, x, 0.0), ("apart:3x4",), "where"),
    Case("clip", lambda xp, x: xp.clip(x, -0.5, 0.7), ("apart:3x4",)),
    Case(
        "astype",
        lambda xp, x: xp.astype(xp.astype(x, xp.float32), xp.float64),
        ("normal:3",),
        "astype",
        smooth=False,
    ),
    *(
        reduced(name, kind, axis=axis, keepdims=keepdims)
        for name, kind in (
            ("sum", "normal"),
            ("mean", "normal"),
            ("max", "apart"),
            ("min", "apart"),
            ("var", "normal"),
            ("std", "normal"),
            ("prod", "normal"),
        )
        for axis, keepdims in ((1, False), ((0, -1), True), (None, False))
    ),
    Case("var", lambda xp, x: xp.var(x, axis=0, correction=1), ("normal:5x2",), "var"),
    Case("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=1), ("normal:3x4",), "cumulative_sum"),
    Case("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), ("normal:3x4",)),
    Case("cumsum", lambda xp, x: xp.cumsum(x), ("normal:3x4",), strict=False),
    *(
        Case("matmul", lambda xp, x, y: x @ y, (f"normal:{first}", f"normal:{second}"), "matmul")
        for first, second in (
            ("3", "3"),
            ("2x3", "3"),
            ("3", "3x2"),
            ("2x3", "3x4"),
            ("5x2x3", "3x4"),
            ("2x3", "5x3x4"),
            ("5x1x2x3", "4x3x2"),
            ("5x2x3", "3"),
            ("3", "5x3x2"),
        )
    ),
    Case(
        "dot",
        lambda xp, x, y: xp.dot(x, y) * xp.dot(x[0, 0], y[0, 0]),
        ("normal:2x3", "normal:3x4"),
        strict=False,
    ),
    Case("dot", lambda xp, x, y: xp.dot(x, y), ("normal:2x3", "normal:4x3x2"), strict=False),
    Case("inner", lambda xp, x, y: xp.inner(x, y), ("normal:2x3", "normal:4x3"), strict=False),
    Case("outer", lambda xp, x, y: xp.linalg.outer(x, y), ("normal:3", "normal:4"), linalg=True),
    Case("outer", lambda xp, x, y: xp.outer(x, y), ("normal:3", "normal:4"), strict=False),
    Case("vecdot", lambda xp, x, y: xp.vecdot(x, y), ("normal:2x3", "normal:3")),
    Case("vecdot", lambda xp, x, y: xp.linalg.vecdot(x, y), ("normal:2x3", "normal:3"), linalg=True),
    Case("tensordot", lambda xp, x, y: xp.tensordot(x, y, axes=2), ("normal:2x3x4", "normal:3x4x2")),
    Case(
        "tensordot",
        lambda xp, x, y: xp.linalg.tensordot(x, y, axes=((0, 2), (1, 0))),
        ("normal:2x3x4", "normal:4x2x3"),
        linalg=True,
    ),
    Case("matmul", lambda xp, x, y: xp.linalg.matmul(x, y), ("normal:2x3", "normal:3x4"), linalg=True),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ij,jk->ki", x, y),
        ("normal:2x3", "normal:3x4"),
        "einsum",
        strict=False,
    ),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ijl,j", x, y),
        ("normal:2x3x4", "normal:3"),
        "einsum",
        strict=False,
    ),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ij,kj->k", x, y),
        ("normal:2x3", "normal:4x3"),
        "einsum",
        strict=False,
    ),
    *(
        Case(
            "vector_norm",
            lambda xp, x, p=p: xp.linalg.vector_norm(x, axis=1, ord=p),
            ("apart:3x4",),
            "vector_norm" if p == 2 else None,
            linalg=True,
        )
        for p in (2, 1, 3, float("inf"), -float("inf"))
    ),
    *(
        Case(
            "norm",
            lambda xp, x, o=o, a=a: xp.linalg.norm(x, o, axis=a),
            ("apart:3x4",),
            linalg=True,
            strict=False,
        )
        for o, a in (
            (None, None),
            (None, 0),
            (1, None),
            (-1, None),
            (3, 1),
            (np.inf, None),
            (-np.inf, (0, 1)),
            ("fro", None),
        )
    ),
    Case("matrix_norm", lambda xp, x: xp.linalg.matrix_norm(x, ord=1), ("apart:2x3x4",), linalg=True),
    Case("matrix_norm", lambda xp, x: xp.linalg.matrix_norm(x), ("normal:2x3x4",), linalg=True),
]
