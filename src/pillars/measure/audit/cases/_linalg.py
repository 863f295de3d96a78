"""Functions of matrices: solutions, factors, norms."""

from __future__ import annotations

from typing import Any

from pillars.measure.audit.cases._case import Case, flat

__all__ = ["LINALG"]


def symmetric(xp: Any, x: Any) -> Any:
    return x + xp.matrix_transpose(x)


def definite(xp: Any, x: Any) -> Any:
    return x @ xp.matrix_transpose(x) + 0.5


def matrices(name: str, f: Any, *draws: str, rule: str | None = None, **more: Any) -> Case:
    return Case(name, f, draws, rule, linalg=True, half=False, **more)


LINALG = [
    matrices("inv", lambda xp, x: xp.linalg.inv(x), "normal:2x3x3", rule="inv"),
    matrices("det", lambda xp, x: xp.linalg.det(x), "normal:2x4x4", rule="det"),
    matrices("det", lambda xp, x: xp.linalg.det(x), "normal:3x3", rule="cofactors"),
    matrices("slogdet", lambda xp, x: xp.linalg.slogdet(x)[1], "normal:2x3x3", rule="slogdet"),
    matrices("solve", lambda xp, x, y: xp.linalg.solve(x, y), "normal:2x3x3", "normal:3x2", rule="solve"),
    matrices("solve", lambda xp, x, y: xp.linalg.solve(x, y), "normal:3x3", "normal:3", rule="solve"),
    matrices("pinv", lambda xp, x: xp.linalg.pinv(x), "normal:2x4x3", rule="pinv"),
    matrices("pinv", lambda xp, x: xp.linalg.pinv(x), "normal:3x4", rule="pinv"),
    matrices("matrix_power", lambda xp, x: xp.linalg.matrix_power(x, 5), "normal:2x3x3"),
    matrices("matrix_power", lambda xp, x: xp.linalg.matrix_power(x, -2), "normal:3x3"),
    matrices(
        "multi_dot",
        lambda xp, x, y: xp.linalg.multi_dot([x[0, :], x, y, y[0, :]]),
        "normal:3x3", "normal:3x4", strict=False,
    ),
    matrices(
        "cholesky", lambda xp, x: xp.linalg.cholesky(definite(xp, x)), "normal:2x3x3", rule="cholesky"
    ),
    matrices(
        "cholesky", lambda xp, x: xp.linalg.cholesky(definite(xp, x), upper=True), "normal:3x3", jax=False
    ),
    matrices("qr", lambda xp, x: flat(xp, xp.linalg.qr(x)), "normal:2x4x3", rule="qr"),
    matrices("qr", lambda xp, x: flat(xp, xp.linalg.qr(x)), "normal:2x3x5", jax=False),
    matrices("qr", lambda xp, x: xp.linalg.qr(x, mode="r"), "normal:3x3", strict=False),
    matrices(
        "eigh",
        lambda xp, x: flat(xp, [part**2 for part in xp.linalg.eigh(symmetric(xp, x))]),
        "normal:2x3x3", rule="eigh",
    ),
    matrices("eigvalsh", lambda xp, x: xp.linalg.eigvalsh(symmetric(xp, x)), "normal:3x3"),
    *(
        matrices(
            "svd",
            lambda xp, x: flat(xp, [part**2 for part in xp.linalg.svd(x, full_matrices=False)]),
            draws, rule="svd",
        )
        for draws in ("normal:2x4x3", "normal:3x4", "normal:3x3")
    ),
    matrices("svdvals", lambda xp, x: xp.linalg.svdvals(x), "normal:3x4"),
    matrices("cond", lambda xp, x: xp.linalg.cond(x), "normal:4x3", strict=False),
    matrices("cond", lambda xp, x: xp.linalg.cond(x, 1), "normal:3x3", strict=False),
    matrices("cond", lambda xp, x: xp.linalg.cond(x, -2), "normal:3x3", strict=False),
    *(
        matrices("matrix_norm", lambda xp, x, o=o: xp.linalg.matrix_norm(x, ord=o), "normal:2x3x4")
        for o in (2, -2, "nuc")
    ),
    matrices(
        "norm", lambda xp, x: xp.linalg.norm(x, "nuc", axis=(0, 2), keepdims=True), "normal:3x2x4", strict=False
    ),
    Case("cross", lambda xp, x, y: xp.linalg.cross(x, y), ("normal:2x3", "normal:2x3"), linalg=True),
]  # fmt: skip
