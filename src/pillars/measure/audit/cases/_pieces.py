"""What NumPy splits, pads, stacks and turns."""

from __future__ import annotations

from pillars.backends import backend
from pillars.measure.audit.cases._case import MASK, Case, flat, numpy_case

__all__ = ["PIECES"]

np = backend("numpy").xp
THREE = np.asarray([1.0, 2.0, 0.5])

PIECES = [
    numpy_case("array_split", lambda xp, x: flat(xp, xp.array_split(x, 4)[1:3]), "normal:7x2"),
    numpy_case("split", lambda xp, x: xp.split(x, [1, 3], axis=1)[1], "normal:3x4"),
    numpy_case("hsplit", lambda xp, x: xp.hsplit(x, 2)[1], "normal:3x4"),
    numpy_case("vsplit", lambda xp, x: xp.vsplit(x, 3)[1], "normal:3x4"),
    numpy_case("dsplit", lambda xp, x: xp.dsplit(x, 2)[1], "normal:3x2x4"),
    numpy_case("atleast_3d", lambda xp, x: xp.atleast_3d(x) * xp.atleast_3d(x[0, :]), "normal:3x3"),
    numpy_case("dstack", lambda xp, x, y: xp.dstack([x, y]), "normal:3x4", "normal:3x4"),
    numpy_case("append", lambda xp, x, y: xp.append(x, y, axis=0), "normal:2x4", "normal:1x4"),
    numpy_case("block", lambda xp, x, y: xp.block([[x, y], [x[:1, :], 2.0 * y[:1, :]]]), "normal:3x4", "normal:3x1"),
    numpy_case("delete", lambda xp, x: xp.delete(x, np.asarray([0, 2]), axis=1), "normal:3x4"),
    numpy_case(
        "compress", lambda xp, x: xp.compress(np.asarray([True, False, True]), x, axis=0), "normal:3x4", jax=False
    ),
    numpy_case("extract", lambda xp, x: xp.extract(MASK, x), "normal:3x4", jax=False),
    numpy_case("resize", lambda xp, x: xp.resize(x, (4, 5)), "normal:3x4"),
    numpy_case("select", lambda xp, x, y: xp.select([MASK, x > 0], [x, 2 * y], 9.0), "apart:3x4", "normal:4"),
    numpy_case(
        "choose", lambda xp, x: xp.choose([0, 1, 0, 2], [x[0], x[1] ** 2, x[2]]), "normal:3x4", jax=False
    ),
    numpy_case(
        "pad", lambda xp, x: xp.pad(x, ((1, 0), (2, 1)), constant_values=((1.0, 2.0), (3.0, 4.0))), "normal:3x4"
    ),
    *(
        numpy_case("pad", lambda xp, x, m=m: xp.pad(x, ((2, 1), (1, 2)), mode=m), "normal:3x4")
        for m in ("edge", "reflect", "symmetric", "wrap")
    ),
    numpy_case("fliplr", lambda xp, x: xp.fliplr(x), "normal:3x4"),
    numpy_case("flipud", lambda xp, x: xp.flipud(x), "normal:3x4"),
    numpy_case("rot90", lambda xp, x: xp.rot90(x), "normal:3x4"),
    numpy_case("rot90", lambda xp, x: xp.rot90(x, -1, axes=(1, 2)), "normal:2x3x4"),
    numpy_case("rollaxis", lambda xp, x: xp.rollaxis(x, 2, 1), "normal:2x3x4"),
    numpy_case("rollaxis", lambda xp, x: xp.rollaxis(x, 0, 3), "normal:2x3x4"),
    *(numpy_case("diag", lambda xp, x, k=k: xp.diag(x, k), "normal:3") for k in (0, 1, -2)),
    numpy_case("diag", lambda xp, x: xp.diag(x, 1), "normal:3x4"),
    numpy_case("diagflat", lambda xp, x: xp.diagflat(x), "normal:2x2"),
    Case("meshgrid", lambda xp, x, y: flat(xp, xp.meshgrid(x, y)), ("normal:3", "normal:2")),
    Case("meshgrid", lambda xp, x, y: flat(xp, xp.meshgrid(x, y, x, indexing="ij")), ("normal:3", "normal:2")),
    numpy_case("vander", lambda xp, x: xp.vander(x, 4), "normal:3"),
    numpy_case("vander", lambda xp, x: xp.vander(x, 3, increasing=True), "normal:3"),
    numpy_case("kron", lambda xp, x, y: xp.kron(x, y), "normal:2x3", "normal:3x2"),
    numpy_case("kron", lambda xp, x, y: xp.kron(x, y), "normal:3", "normal:2x2x2"),
    numpy_case("cross", lambda xp, x, y: xp.cross(x, y, axis=0), "normal:3x2", "normal:3x2"),
    numpy_case(
        "apply_along_axis",
        lambda xp, x: xp.apply_along_axis(lambda row: xp.outer(row, row), 1, x),
        "normal:2x3x2", jax=False,
    ),
]  # fmt: skip
