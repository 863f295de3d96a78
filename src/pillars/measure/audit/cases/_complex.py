"""Through complex numbers, and Fourier transforms."""

from __future__ import annotations

from typing import Any

from pillars.measure.audit.cases._case import Case, flat

__all__ = ["COMPLEX"]


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
