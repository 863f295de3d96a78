"""What moves, joins and picks entries."""

from __future__ import annotations

from pillars.backends import backend, namespace
from pillars.measure.audit.cases._case import Case, host

__all__ = ["SHAPES"]

np = backend("numpy").xp
INDEX = np.asarray([2, 0, 2, 1])
MATCHED = np.asarray([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])
ROWS = np.asarray([True, False, True])

SHAPES = [
    Case("reshape", lambda xp, x: xp.reshape(x, (2, -1)), ("normal:3x4",), "reshape"),
    Case("ravel", lambda xp, x: xp.ravel(x), ("normal:3x4",), strict=False),
    Case("permute_dims", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), ("normal:2x3x4",), "permute_dims"),
    Case("transpose", lambda xp, x: xp.transpose(x) * xp.transpose(x, (1, 0)), ("normal:3x4",), strict=False),
    Case("matrix_transpose", lambda xp, x: xp.matrix_transpose(x), ("normal:2x3x4",)),
    Case("matrix_transpose", lambda xp, x: xp.linalg.matrix_transpose(x), ("normal:2x3x4",), linalg=True),
    Case("swapaxes", lambda xp, x: xp.swapaxes(x, 0, -1), ("normal:2x3x4",), strict=False),
    Case("moveaxis", lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), ("normal:2x3x4",)),
    Case("squeeze", lambda xp, x: xp.squeeze(x, axis=1), ("normal:3x1x4",)),
    Case("expand_dims", lambda xp, x: xp.expand_dims(x, axis=1), ("normal:3x4",)),
    Case("broadcast_to", lambda xp, x: xp.broadcast_to(x, (5, 3, 4)), ("normal:3x1",), "broadcast_to"),
    Case("broadcast_arrays", lambda xp, x, y: xp.broadcast_arrays(x, y)[1] * x, ("normal:3x1", "normal:4")),
    Case("flip", lambda xp, x: xp.flip(x, axis=0), ("normal:3x4",), "flip"),
    Case("roll", lambda xp, x: xp.roll(x, 2, axis=1), ("normal:3x4",), "roll"),
    Case("roll", lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)), ("normal:3x4",), "roll"),
    Case("roll", lambda xp, x: xp.roll(x, 5), ("normal:3x4",), "roll"),
    # NumPy's own does not dispatch
    Case("full", lambda xp, x: namespace(x).full((2, 3), x[0, 0]) * x[0, 1], ("normal:3x4",), plain=False),
    Case("full_like", lambda xp, x: xp.full_like(x, x[0, 0]) * x, ("normal:3x4",), plain=False),
    Case("full_like", lambda xp, x: xp.full_like(x, 2.0) * x, ("normal:3x4",)),
    Case("tile", lambda xp, x: xp.tile(x, (2, 1, 3)), ("normal:3x4",)),
    Case("repeat", lambda xp, x: xp.repeat(x, 3, axis=1), ("normal:3x4",)),
    Case("repeat", lambda xp, x: xp.repeat(x, host(xp, [1, 0, 2]), axis=0), ("normal:3x4",)),
    Case("tril", lambda xp, x: xp.tril(x, k=-1), ("normal:4x4",), "tril"),
    Case("triu", lambda xp, x: xp.triu(x, k=1), ("normal:4x4",), "triu"),
    Case("atleast_1d", lambda xp, x: xp.atleast_1d(x), ("normal",), strict=False),
    Case("atleast_2d", lambda xp, x: xp.atleast_2d(x), ("normal:3",), strict=False),
    Case("concat", lambda xp, x, y: xp.concat([x, y, x], axis=1), ("normal:3x2", "normal:3x4"), "concat"),
    Case("concat", lambda xp, x, y: xp.concat((x, y), axis=None), ("normal:3x2", "normal:4"), "concat"),
    Case("concatenate", lambda xp, x, y: xp.concatenate([x, y]), ("normal:3x2", "normal:1x2"), strict=False),
    Case("stack", lambda xp, x, y: xp.stack([x, y, x], axis=-1), ("normal:3x2", "normal:3x2"), "stack"),
    Case("unstack", lambda xp, x: xp.unstack(x, axis=1)[1], ("normal:3x2",)),
    Case("hstack", lambda xp, x, y: xp.hstack([x, y]), ("normal:3x2", "normal:3x1"), strict=False),
    Case("vstack", lambda xp, x, y: xp.vstack([x, y]), ("normal:3x2", "normal:2"), strict=False),
    Case("column_stack", lambda xp, x, y: xp.column_stack([x, y]), ("normal:3x2", "normal:3"), strict=False),
    *(
        Case("getitem", lambda xp, x, at=at: x[at], ("normal:3x4x2",), "gather")
        for at in (
            (1, ...),
            (slice(None, None, 2), ...),
            (..., 0),
            (slice(2, 0, -1), 1, slice(None)),
            (None, slice(None), 0, ...),
        )
    ),
    Case("getitem", lambda xp, x: x[host(xp, INDEX)], ("normal:3",), "gather"),
    Case("getitem", lambda xp, x: x[host(xp, INDEX), host(xp, INDEX)], ("normal:3x4",), "gather"),
    Case("getitem", lambda xp, x: x[:, INDEX] * x[INDEX].T, ("normal:3x3",), "gather", strict=False),
    Case("getitem", lambda xp, x: x[ROWS], ("normal:3x4",), "gather", strict=False),
    Case("take", lambda xp, x: xp.take(x, host(xp, INDEX), axis=1), ("normal:3x4",), "scatter"),
    Case(
        "take_along_axis",
        lambda xp, x: xp.take_along_axis(x, host(xp, MATCHED), axis=1),
        ("normal:3x4",),
        "gather",
    ),
    Case("diagonal", lambda xp, x: xp.linalg.diagonal(x, offset=1), ("normal:2x3x4",), linalg=True),
    Case("diagonal", lambda xp, x: xp.diagonal(x, -1), ("normal:3x2x4",), strict=False),
    Case("trace", lambda xp, x: xp.linalg.trace(x, offset=-1), ("normal:2x3x4",), linalg=True),
    Case("trace", lambda xp, x: xp.trace(x), ("normal:3x2x4",), strict=False),
    Case("diff", lambda xp, x: xp.diff(x, n=2, axis=0), ("normal:4x2",), strict=False),
    *(
        Case(name, lambda xp, x, name=name: getattr(xp, name)(x) * x, ("normal:3",), strict=False)
        for name in ("conj", "real", "copy")
    ),
    Case("amax", lambda xp, x: xp.amax(x), ("apart:3x4",), strict=False),
    Case("amin", lambda xp, x: xp.amin(x), ("apart:3x4",), strict=False),
]
