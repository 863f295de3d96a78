"""What NumPy has beside the standard: order, samples, further ufuncs, reductions of a part, einsum."""

from __future__ import annotations

from pillars.backends import backend
from pillars.measure.audit.cases._case import MASK, Case, flat, holed, numpy_case

__all__ = ["EINSUM", "MASKED", "NUMPY", "ORDER", "SAMPLES"]

np = backend("numpy").xp
THREE = np.asarray([1.0, 2.0, 0.5])

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
    numpy_case(
        "histogram", lambda xp, x, w: flat(xp, xp.histogram(x, 5, weights=w, density=True)), "apart:7", "positive:7",
        narrow=False,
    ),
    numpy_case(
        "histogram_bin_edges", lambda xp, x: xp.histogram_bin_edges(x, 3), "apart:7", narrow=False
    ),
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
