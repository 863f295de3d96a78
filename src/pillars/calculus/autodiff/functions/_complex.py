"""What takes complex numbers apart, on the way from real parameters to a real result.

A cotangent g of a complex z stands for the change Re(g·dz). So the rule of every function that has a complex derivative
is the real one, written as it is; only what takes z apart (real, imag, conj, abs, angle) has one of its own. A real
operand takes the real part of what comes back.
"""

from __future__ import annotations

from typing import Any

from pillars.calculus.autodiff._rule import RULES, is_complex, rule
from pillars.calculus.autodiff._traced_array import apply_one, strip
from pillars.calculus.autodiff.functions._table import function

__all__: list[str] = []

rule("real", lambda xp, g, y, a: g, forward=lambda xp, a: xp.real(a))
rule("imag", lambda xp, g, y, a: g * -1j, forward=lambda xp, a: xp.imag(a))
rule("conj", lambda xp, g, y, a: xp.conj(g), forward=lambda xp, a: xp.conj(a))
rule(
    "angle",
    lambda xp, g, y, a: g * (-1j / a),
    keeps="a",
    forward=lambda xp, a: xp.atan2(xp.imag(a), xp.real(a)),
)


# ------------------------------------------------------------------------------------------------------ complex numbers
@function()
def real(space: Any, x: Any, /) -> Any:
    """The real part."""
    return apply_one(RULES["real"], x) if is_complex(x) else x


@function()
def imag(space: Any, x: Any, /) -> Any:
    """The imaginary part: of real numbers a constant 0."""
    return apply_one(RULES["imag"], x) if is_complex(x) else space.zeros_like(x)


@function("conj", "conjugate")
def conj(space: Any, x: Any, /) -> Any:
    """The complex conjugate."""
    return apply_one(RULES["conj"], x) if is_complex(x) else x


@function()
def angle(space: Any, z: Any, /, deg: bool = False) -> Any:
    """The angle in the plane: of real numbers a constant, 0 or π."""
    if is_complex(z):
        y = apply_one(RULES["angle"], z)
    else:
        y = space.constant(
            space.base.where(strip(z) < 0, space.base.asarray(space.base.pi, dtype=z.dtype), 0.0 * strip(z))
        )
    return space.rad2deg(y) if deg else y


@function()
def real_if_close(space: Any, x: Any, /, tol: float = 100) -> Any:
    """The real part, where the imaginary one is rounding alone."""
    return space.real(x) if is_complex(x) and not is_complex(space.base.real_if_close(strip(x), tol)) else x
