"""Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import apply_one
from pillars.calculus.autodiff.functions._table import FOURIER, axis_of

__all__: list[str] = []


def _forward_transform(xp: Any, a: Any, *, name: str, n: int, axis: int, norm: str, length: int) -> Any:
    return getattr(xp.fft, name)(a, n=n, axis=axis, norm=norm)


def _pull_transform(
    xp: Any, g: Any, y: Any, a: Any, *, name: str, n: int, axis: int, norm: str, length: int
) -> Any:
    """The transform's matrix is symmetric; what was cut away is 0, and what was padded is left out."""
    result = getattr(xp.fft, name)(g, n=n, axis=axis, norm=norm)
    before = (slice(None),) * axis
    if n >= length:
        return result[(*before, slice(None, length), ...)]
    missing = tuple(length - n if i == axis else m for i, m in enumerate(result.shape))
    return xp.concat([result, xp.zeros(missing, dtype=result.dtype, device=result.device)], axis=axis)


rule("transform", _pull_transform, forward=_forward_transform)


_INVERSE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _one(name: str) -> Callable[..., Any]:
    def transform(
        space: Any, x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None
    ) -> Any:
        space.no_out(out)
        axis = axis_of(axis, x.ndim)
        length = x.shape[axis]
        given = {"name": name, "axis": axis, "norm": norm or "backward", "length": length}
        return apply_one(RULES["transform"], _complexed(space, x), {"n": length if n is None else n, **given})

    transform.__doc__ = f"``{name}`` along an axis."
    return transform


def _complexed(space: Any, x: Any) -> Any:
    """The standard's transforms take complex numbers."""
    if is_complex(x):
        return x
    return space.astype(x, space.base.complex64 if x.dtype == space.float32 else space.base.complex128)


FOURIER["fft"], FOURIER["ifft"] = _one("fft"), _one("ifft")


def _rfft(
    space: Any, x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Any:
    """The first half of the transform of real numbers; the rest is its mirror."""
    n = x.shape[axis] if n is None else n
    y = FOURIER["fft"](space, x, n=n, axis=axis, norm=norm, out=out)
    return y[(slice(None),) * axis_of(axis, x.ndim) + (slice(None, n // 2 + 1), ...)]


def _irfft(
    space: Any, x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Any:
    """The real numbers that have this first half."""
    axis = axis_of(axis, x.ndim)
    n = 2 * (x.shape[axis] - 1) if n is None else n
    before, half = (slice(None),) * axis, n // 2 + 1
    x = _complexed(space, x)[(*before, slice(None, half), ...)]
    if x.shape[axis] < half:
        missing = tuple(half - m if i == axis else m for i, m in enumerate(x.shape))
        x = space.concat([x, space.zeros(missing, dtype=x.dtype, device=x.device)], axis=axis)
    mirror = space.conj(space.flip(x[(*before, slice(1, n - half + 1), ...)], axis=axis))
    return space.real(
        FOURIER["ifft"](space, space.concat([x, mirror], axis=axis), axis=axis, norm=norm, out=out)
    )


def _hfft(
    space: Any, x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Any:
    """The real transform of numbers whose second half is the mirror of the first."""
    return _irfft(space, space.conj(x), n=n, axis=axis, norm=_INVERSE[norm or "backward"], out=out)


def _ihfft(
    space: Any, x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: None = None
) -> Any:
    """The inverse of ``hfft``."""
    return space.conj(_rfft(space, x, n=n, axis=axis, norm=_INVERSE[norm or "backward"], out=out))


FOURIER.update(rfft=_rfft, irfft=_irfft, hfft=_hfft, ihfft=_ihfft)


def _several(name: str, last: str, default: Any) -> Callable[..., Any]:
    """A transform along several axes: the last one first, which may be of real numbers; ``irfft``'s last comes last."""
    inner = "ifft" if name.startswith("i") else "fft"

    def transform(
        space: Any, x: Any, /, s: Any = None, axes: Any = default, norm: str | None = None, out: None = None
    ) -> Any:
        axes = tuple(range(-len(s), 0) if s is not None else range(x.ndim)) if axes is None else tuple(axes)
        lengths = (None,) * len(axes) if s is None else tuple(s)
        steps = [(inner, n, axis) for n, axis in zip(lengths[:-1], axes[:-1], strict=True)][::-1]
        end = (last, lengths[-1], axes[-1])
        for kind, n, axis in [*steps, end] if last == "irfft" else [end, *steps]:
            x = FOURIER[kind](space, x, n=None if n == -1 else n, axis=axis, norm=norm, out=out)
        return x

    transform.__doc__ = f"``{name}`` along several axes."
    return transform


for _name, _last in (("fft", "fft"), ("ifft", "ifft"), ("rfft", "rfft"), ("irfft", "irfft")):
    FOURIER[f"{_name}2"] = _several(f"{_name}2", _last, (-2, -1))
    FOURIER[f"{_name}n"] = _several(f"{_name}n", _last, None)


def _shift(sign: int) -> Callable[..., Any]:
    def shift(space: Any, x: Any, /, axes: Any = None) -> Any:
        """Zero frequency in the middle, or back."""
        places = range(x.ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
        moves = [x.shape[i] // 2 if sign > 0 else -(x.shape[i] // 2) for i in places]
        return space.roll(x, tuple(moves), axis=tuple(places))

    return shift


FOURIER["fftshift"], FOURIER["ifftshift"] = _shift(1), _shift(-1)
