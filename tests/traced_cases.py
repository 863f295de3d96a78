"""Functions that the tracing array differentiates beside the standard's first ones: linalg, order, samples, pieces.

Each is a `Case` of `calculus/test_traced_rules.py`, which checks them all: against central differences, JAX, the strict
namespace, in second order, in every dtype. Draws are named there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["MORE", "Case"]

MASK = np.asarray([[True, False, True, True], [False, True, True, False], [True, True, False, True]])
THREE = np.asarray([1.0, 2.0, 0.5])


class Case(NamedTuple):
    """A function of a namespace and arrays, and how its arguments are drawn."""

    name: str
    f: Callable[..., Any]
    draws: tuple[str, ...]
    rule: str | None = None
    strict: bool = True  # whether the standard has what the function uses
    linalg: bool = False
    smooth: bool = True  # whether the second derivative is compared too
    jax: bool = True  # whether JAX has the function with this meaning
    half: bool = True  # whether half precision is in reach of NumPy's function
    fourier: bool = False
    narrow: bool = True  # whether the result is of the arguments' dtype in any precision

    def __str__(self) -> str:
        return self.name


def flat(xp: Any, parts: Any) -> Any:
    """Several results as one vector."""
    return xp.concat([xp.reshape(part, (-1,)) for part in parts])


def holed(xp: Any, x: Any) -> Any:
    """With NaN where the mask says so."""
    return xp.where(MASK, x, np.nan)


def symmetric(xp: Any, x: Any) -> Any:
    return x + xp.matrix_transpose(x)


def definite(xp: Any, x: Any) -> Any:
    return x @ xp.matrix_transpose(x) + 0.5


def numpy_case(name: str, f: Any, *draws: str, rule: str | None = None, **more: Any) -> Case:
    """A function that NumPy has and the standard has not."""
    return Case(name, f, draws, rule, strict=False, **more)


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

ORDER = [
    Case("sort", lambda xp, x: xp.sort(x), ("apart:3x4",)),
    Case("sort", lambda xp, x: xp.sort(x, axis=0), ("apart:3x4",)),
    numpy_case("sort", lambda xp, x: xp.sort(x, axis=None), "apart:3x4"),
    numpy_case("partition", lambda xp, x: xp.partition(x, 2)[..., 2], "apart:3x4"),
    numpy_case("median", lambda xp, x: xp.median(x), "apart:3x4"),
    numpy_case("median", lambda xp, x: xp.median(x, axis=(0, 2), keepdims=True), "apart:3x4x2"),
    numpy_case("quantile", lambda xp, x: xp.quantile(x, np.asarray([0.1, 0.55, 1.0]), axis=1), "apart:3x4"),
    numpy_case("quantile", lambda xp, x: xp.quantile(x, 0.3, axis=0, keepdims=True), "apart:3x4"),
    numpy_case("percentile", lambda xp, x: xp.percentile(x, 33.0), "apart:3x4"),
    numpy_case("ptp", lambda xp, x: xp.ptp(x, axis=1), "apart:3x4"),
    Case("cumulative_prod", lambda xp, x: xp.cumulative_prod(x, axis=1), ("normal:3x5",)),
    Case(
        "cumulative_prod", lambda xp, x: xp.cumulative_prod(x, axis=0, include_initial=True), ("normal:3x4",)
    ),
    numpy_case("cumprod", lambda xp, x: xp.cumprod(x), "normal:3x4"),
    numpy_case("running_max", lambda xp, x: xp.maximum.accumulate(x, axis=1), "apart:3x5", jax=False),
    numpy_case("running_min", lambda xp, x: xp.minimum.accumulate(x), "apart:5x3", jax=False),
    numpy_case("log_sum_exp", lambda xp, x: xp.logaddexp.reduce(x, axis=1), "normal:3x4", jax=False),
]

SAMPLES = [
    numpy_case(
        "average", lambda xp, x, w: xp.average(x, axis=1, weights=w), "normal:3x4", "positive:4"
    ),
    numpy_case("average", lambda xp, x, w: xp.average(x, weights=w), "normal:3x4", "positive:3x4"),
    numpy_case("average", lambda xp, x: xp.average(x, axis=0), "normal:3x4"),
    numpy_case("cov", lambda xp, x: xp.cov(x), "normal:3x4"),
    numpy_case("cov", lambda xp, x, y: xp.cov(x, y, rowvar=False, bias=True), "normal:4x2", "normal:4x1"),
    numpy_case("corrcoef", lambda xp, x: xp.corrcoef(x)[0, 1:], "normal:3x5"),
    *(
        numpy_case(name, lambda xp, x, name=name: getattr(xp, name)(holed(xp, x), axis=1), "apart:3x4")
        for name in ("nansum", "nanprod", "nancumsum", "nancumprod", "nanmax", "nanmin", "nanmean", "nanstd")
    ),
    numpy_case("nanvar", lambda xp, x: xp.nanvar(holed(xp, x), ddof=1, axis=0, keepdims=True), "apart:3x4"),
    numpy_case("trapezoid", lambda xp, x: xp.trapezoid(x, dx=0.5, axis=0), "normal:3x4"),
    numpy_case("trapezoid", lambda xp, y, x: xp.trapezoid(y, x), "normal:4", "normal:4"),
    numpy_case(
        "interp",
        lambda xp, x, f: xp.interp(x, np.asarray([-2.05, -1.15, 0.05, 0.65, 2.75]), f, left=7.0),
        "apart:3x6", "normal:5", narrow=False,
    ),
    numpy_case("gradient", lambda xp, x: xp.gradient(x, 0.3, axis=1), "normal:3x4"),
    numpy_case("gradient", lambda xp, x: flat(xp, xp.gradient(x)), "normal:3x4"),
    numpy_case("gradient", lambda xp, x: xp.gradient(x, edge_order=2, axis=0), "normal:4x2", jax=False),
    *(
        numpy_case(
            "gradient",
            lambda xp, x, e=e: xp.gradient(x, np.asarray([0.0, 1.0, 2.5, 3.0]), axis=1, edge_order=e),
            "normal:2x4", jax=False, narrow=False,
        )
        for e in (1, 2)
    ),
    *(
        numpy_case("convolve", lambda xp, x, y, m=m: xp.convolve(x, y, mode=m), first, second, rule="convolve")
        for m in ("full", "same", "valid")
        for first, second in (("normal:6", "normal:3"), ("normal:2", "normal:5"))
    ),
    *(
        numpy_case("correlate", lambda xp, x, y, m=m: xp.correlate(x, y, mode=m), first, second)
        for m in ("full", "same", "valid")
        for first, second in (("normal:6", "normal:3"), ("normal:2", "normal:5"))
    ),
]  # fmt: skip

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

NUMPY = [
    numpy_case("fmax", lambda xp, x, y: xp.fmax(holed(xp, x), y), "apart:3x4", "normal:4"),
    numpy_case("fmin", lambda xp, x, y: xp.fmin(x, holed(xp, y)), "apart:3x4", "normal:4"),
    numpy_case("fmod", lambda xp, x, y: xp.fmod(x, y), "apart:3x4", "above:4", smooth=False),
    numpy_case("divmod", lambda xp, x: xp.divmod(0.95 * x, 0.7)[1], "apart:3x4"),
    numpy_case("modf", lambda xp, x: xp.modf(0.95 * x)[0], "apart:3x4"),
    numpy_case("ldexp", lambda xp, x: xp.ldexp(x, 3), "normal:3x4"),
    numpy_case("logaddexp2", lambda xp, x, y: xp.logaddexp2(x, y), "normal:3x4", "normal:4"),
    numpy_case("sinc", lambda xp, x: xp.sinc(x) + xp.sinc(x / 100.0), "normal:3x4"),
    numpy_case("heaviside", lambda xp, x: xp.heaviside(x, 0.5) * x, "apart:3x4"),
    numpy_case("nan_to_num", lambda xp, x: xp.nan_to_num(holed(xp, x)), "normal:3x4"),
    numpy_case("unwrap", lambda xp, x: xp.unwrap(5.0 * x, axis=0), "apart:3x4"),
    numpy_case("polyval", lambda xp, p, x: xp.polyval(p, x), "normal:4", "normal:3x2"),
    numpy_case("vdot", lambda xp, x, y: xp.vdot(x, y), "normal:2x3", "normal:2x3"),
    numpy_case("matvec", lambda xp, x, y: xp.matvec(x, y), "normal:2x3x4", "normal:4"),
    numpy_case("vecmat", lambda xp, x, y: xp.vecmat(x, y), "normal:3", "normal:2x3x4"),
    numpy_case("ediff1d", lambda xp, x, y: xp.ediff1d(x, to_begin=y), "normal:3x4", "normal:2", jax=False),
    numpy_case("linspace", lambda xp, x, y: xp.linspace(x, y, 5), "normal", "normal:2"),
    numpy_case(
        "linspace",
        lambda xp, x: xp.linspace(x[0], 2.0, 5, endpoint=False, axis=1),
        "normal:2x3",
        narrow=False,
    ),
    numpy_case("logspace", lambda xp, x: xp.logspace(x[0], x[1], 4, base=2.0), "normal:2"),
    numpy_case("geomspace", lambda xp, x: xp.geomspace(x[0], x[1], 4), "positive:2"),
    numpy_case("outer", lambda xp, x, y: xp.subtract.outer(x, y), "normal:2x3", "normal:2", jax=False),
    numpy_case("cumprod", lambda xp, x: xp.multiply.accumulate(x, axis=1), "normal:2x3", jax=False),
]

MASKED = [
    numpy_case("sum", lambda xp, x: xp.sum(x, axis=1, where=MASK, initial=2.0), "normal:3x4"),
    numpy_case("mean", lambda xp, x: xp.mean(x, axis=1, where=MASK), "normal:3x4"),
    numpy_case("max", lambda xp, x: xp.max(x, axis=1, where=MASK, initial=-9.0), "apart:3x4"),
    numpy_case("min", lambda xp, x: xp.min(x, axis=0, initial=0.25), "apart:3x4"),
    numpy_case("prod", lambda xp, x: xp.prod(x, where=MASK, initial=3.0), "normal:3x4"),
]

EINSUM = [
    numpy_case("einsum", lambda xp, x, words=words: xp.einsum(words, x), draws, rule="einsum")
    for words, draws in (
        ("ii->i", "normal:3x3"),
        ("ii", "normal:3x3"),
        ("...ii->...i", "normal:2x3x3"),
        ("ij...->...", "normal:2x3x2"),
        ("...", "normal:3x2"),
    )
]
EINSUM += [
    numpy_case("einsum", lambda xp, x, y, words=words: xp.einsum(words, x, y), first, second, rule="einsum")
    for words, first, second in (
        ("...ij,...jk->...ik", "normal:2x3x2", "normal:2x3"),
        ("...ij,jk", "normal:2x3x2", "normal:2x3"),
        ("iji,j->", "normal:2x3x2", "normal:3"),
    )
]
EINSUM += [
    numpy_case(
        "einsum", lambda xp, x, y: xp.einsum(x, [0, 1], y, [2, 1], [0, 2]), "normal:2x3", "normal:4x3"
    ),
    numpy_case(
        "einsum", lambda xp, x, y: xp.einsum("ij,jk,kl", x, y, x, optimize=True), "normal:2x3", "normal:3x2"
    ),
]


def apart(xp: Any, z: Any) -> Any:
    """Real and imaginary parts as one vector."""
    return flat(xp, [xp.real(z), xp.imag(z)])


def joined(x: Any, y: Any) -> Any:
    return x + 1j * y


def complex_case(name: str, f: Any, *draws: str, rule: str | None = None, **more: Any) -> Case:
    """A function of the complex numbers x + iy, which half precision has not."""
    return Case(name, f, draws or ("normal:2x5", "normal:2x5"), rule, half=False, strict=False, **more)


def fourier(name: str, *draws: str, options: Any = None, rule: str | None = None, **more: Any) -> Case:
    """A transform of numbers that are complex where there are two draws."""
    given = options or {}

    def f(xp: Any, *parts: Any) -> Any:
        z = parts[0] if len(parts) == 1 else joined(*parts)
        y = getattr(xp.fft, name)(z, **given)
        return apart(xp, y) if "complex" in str(y.dtype) else y

    return Case(name, f, draws, rule, strict=False, half=False, fourier=True, **more)


BOTH = ("normal:2x5", "normal:2x5")
COMPLEX = [
    complex_case("real", lambda xp, x, y: xp.real(joined(x, y)) * joined(x, y).real, rule="real"),
    complex_case("imag", lambda xp, x, y: xp.imag(joined(x, y)) * joined(y, x).imag, rule="imag"),
    complex_case("conj", lambda xp, x, y: apart(xp, xp.conj(joined(x, y)) ** 2), rule="conj"),
    complex_case("angle", lambda xp, x, y: xp.angle(joined(x, y)), rule="angle"),
    complex_case("angle", lambda xp, x, y: xp.angle(joined(x, y), deg=True)),
    complex_case("real_if_close", lambda xp, x, y: xp.real_if_close(joined(x, y) * joined(x, -y)) * x, jax=False),
    *(
        complex_case(name, lambda xp, x, y, name=name: apart(xp, getattr(xp, name)(joined(x, y))))
        for name in ("exp", "log", "sqrt", "tanh", "sin", "square", "prod", "cumsum", "reciprocal")
    ),
    *(
        complex_case(name, lambda xp, x, y, name=name: getattr(xp, name)(joined(x, y)))
        for name in ("abs", "var", "std")
    ),
    complex_case("vdot", lambda xp, x, y: apart(xp, xp.vdot(joined(x, y), joined(y, x)))),
    complex_case("vecdot", lambda xp, x, y: apart(xp, xp.vecdot(joined(x, y), joined(y, x)))),
    complex_case("pow", lambda xp, x, y: apart(xp, joined(x, y) ** 2.5 + 2.0 ** joined(x, y))),
    complex_case("matmul", lambda xp, x, y: apart(xp, (x @ joined(y, x).T) / joined(x[:, :2], y[:, :2]))),
    complex_case("astype", lambda xp, x: apart(xp, x.astype("complex128") * 1j), "normal:3", narrow=False),
    *(
        Case(name, f, ("normal:3x3", "normal:3x3"), strict=False, linalg=True, half=False)
        for name, f in (
            ("inv", lambda xp, x, y: apart(xp, xp.linalg.inv(joined(x, y)))),
            ("det", lambda xp, x, y: apart(xp, xp.linalg.det(joined(x, y)))),
            ("solve", lambda xp, x, y: apart(xp, xp.linalg.solve(joined(x, y), x))),
            ("norm", lambda xp, x, y: xp.linalg.norm(joined(x, y))),
        )
    ),
    Case(
        "eig", lambda xp, x: flat(xp, [xp.abs(part) ** 2 for part in xp.linalg.eig(x)]), ("normal:4x4",), "eig",
        strict=False, linalg=True, half=False, jax=False,
    ),
    Case(
        "eigvals", lambda xp, x: apart(xp, xp.linalg.eigvals(x)), ("normal:4x4",),
        strict=False, linalg=True, half=False,
    ),
    *(fourier(name, *BOTH, rule="transform", options={"n": n, "norm": norm})
      for name in ("fft", "ifft") for n, norm in ((None, None), (3, "ortho"), (7, "forward"))),
    fourier("fft", "normal:3x4", options={"axis": 0}),
    *(fourier("rfft", "normal:2x6", options={"n": n}) for n in (None, 5, 9)),
    *(fourier("irfft", *BOTH, options={"n": n, "norm": "ortho"}) for n in (None, 4, 7, 12)),
    fourier("hfft", *BOTH), fourier("ihfft", "normal:2x6", options={"norm": "forward"}),
    fourier("fft2", *BOTH), fourier("ifft2", *BOTH, options={"s": (3, 4)}), fourier("fftn", "normal:2x3x2"),
    fourier("ifftn", "normal:2x3x2", options={"axes": (0, 2), "norm": "ortho"}), fourier("rfft2", "normal:3x4"),
    fourier("irfft2", *BOTH), fourier("rfftn", "normal:2x3x4", options={"axes": (0, 1)}),
    fourier("irfftn", *BOTH, options={"s": (2, 7), "axes": (0, 1)}), fourier("fftshift", "normal:3x4"),
    fourier("ifftshift", "normal:3x5", options={"axes": 1}),
]  # fmt: skip

MORE = [*COMPLEX, *LINALG, *ORDER, *SAMPLES, *PIECES, *NUMPY, *MASKED, *EINSUM]
