"""The table of derivative rules, and its elementwise part.

A rule is written with the functions of the namespace that it is handed, never of a library: handed the traced
namespace it is differentiable itself, which is how a gradient of a gradient works. It says which values it wants kept;
what it does not want is freed (and, if it is the user's buffer, never copied).

Conventions, where the derivative has none: abs′(0) = 0; a tie in maximum, minimum, max or min is shared evenly, and the
shares are held fixed in further derivatives; sqrt′(0) = ∞; a norm of zeros, of any order, has gradient 0, and so has
the standard deviation of equal numbers. What a second derivative makes of the last two is said in
:mod:`pillars.calculus._rules_directions`. Where a selection (where, clip, maximum, max) has kept a cotangent away, 0·∞
and 0·NaN count as 0 (see :func:`pillars.calculus._traced_backward.backward`), so that ``where(x > 0, log(x), 0)`` has
gradient 0 at 0; any other 0·∞ is NaN, for it may stand for any number.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from pillars.backends import dtype_kind

__all__ = ["RULES", "Rule", "is_complex", "rule"]

Pull = Callable[..., Any]


class Rule:
    """How one primitive is computed and differentiated.

    Attributes
    ----------
    name : the primitive's name: that of the Array API where it has one.
    pulls : one function an operand, ``(xp, g, y, *operands, **options) -> cotangent``; of a variadic rule a single one,
        ``(xp, g, y, operands, position, **options)``.
    keep_y, keep : whether the rules read the result, and each operand; what they do not read is None there.
    reach : whether the rule of several results asks what was made of each, as ``reached``: False (nothing), True, or an
        array of ones and zeros.
    forward : ``(xp, *operands, **options) -> y``; None: the namespace's function of that name.
    infix : the operator's function, which every library's arrays take; None where there is none.
    elementwise : operands broadcast, and their cotangents are summed back to their shapes.
    results : how many arrays the primitive gives. Of several, `g` and `y` are tuples, with None for a cotangent that
        nothing asked for.
    """

    __slots__ = (
        *(
            "elementwise",
            "forward",
            "infix",
            "keep",
            "keep_y",
            "name",
            "pulls",
            "reach",
            "results",
            "variadic",
        ),
    )

    def __init__(
        self,
        name: str,
        pulls: tuple[Pull, ...],
        keeps: str,
        forward: Callable[..., Any] | None,
        infix: Callable[..., Any] | None,
        *,
        elementwise: bool,
        variadic: bool,
        results: int,
    ) -> None:
        self.name = name
        self.pulls = pulls
        self.keep_y = "y" in keeps
        self.reach = "r" in keeps
        self.keep = (
            tuple(letter in keeps for letter in "abc"[: len(pulls)]) if not variadic else ("a" in keeps,)
        )
        self.forward = forward
        self.infix = infix
        self.elementwise = elementwise
        self.variadic = variadic
        self.results = results

    def compute(self, xp: Any, operands: list[Any], options: dict[str, Any]) -> Any:
        """The primitive of plain operands."""
        if self.infix is not None:
            return self.infix(*operands)
        if self.forward is not None:
            return self.forward(xp, *operands, **options)
        return getattr(xp, self.name)(*operands, **options)


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    *pulls: Pull,
    keeps: str = "",
    forward: Callable[..., Any] | None = None,
    infix: Callable[..., Any] | None = None,
    elementwise: bool = False,
    variadic: bool = False,
    results: int = 1,
) -> None:
    """Enter a rule. `keeps`: "y" the result, "a" "b" "c" the first, second, third operand ("a": all, if variadic).

    "r": the rule asks which parts of its results were used.
    """
    RULES[name] = Rule(
        name, pulls, keeps, forward, infix, elementwise=elementwise, variadic=variadic, results=results
    )


def is_complex(x: Any) -> bool:
    """Whether the array, or number, is complex."""
    return isinstance(x, complex) or dtype_kind(getattr(x, "dtype", None)) == "complex"


def _unary(name: str, pull: Pull, keeps: str = "", **more: Any) -> None:
    rule(name, pull, keeps=keeps, elementwise=True, **more)


def _binary(name: str, first: Pull, second: Pull, keeps: str = "", **more: Any) -> None:
    rule(name, first, second, keeps=keeps, elementwise=True, **more)


# ---------------------------------------------------------------------------------------------- exponentials and roots
_unary("exp", lambda xp, g, y, a: g * y, "y")
_unary("exp2", lambda xp, g, y, a: g * y * math.log(2.0), "y")
_unary("expm1", lambda xp, g, y, a: g * xp.exp(a), "a")
_unary("log", lambda xp, g, y, a: g / a, "a")
_unary("log2", lambda xp, g, y, a: g / (a * math.log(2.0)), "a")
_unary("log10", lambda xp, g, y, a: g / (a * math.log(10.0)), "a")
_unary("log1p", lambda xp, g, y, a: g / (a + 1.0), "a")
_unary("sqrt", lambda xp, g, y, a: 0.5 * g / y, "y")
_unary("cbrt", lambda xp, g, y, a: g / (3.0 * y * y), "y")
_unary("square", lambda xp, g, y, a: g * (2.0 * a), "a")
_unary("reciprocal", lambda xp, g, y, a: -g * y * y, "y", forward=lambda xp, a: 1.0 / a)

# ------------------------------------------------------------------------------------------------------ trigonometry
_unary("sin", lambda xp, g, y, a: g * xp.cos(a), "a")
_unary("cos", lambda xp, g, y, a: -g * xp.sin(a), "a")
_unary("tan", lambda xp, g, y, a: g * (1.0 + y * y), "y")


def _below_one(xp: Any, a: Any) -> Any:
    """1 − a², with all digits near 1; for an outer trace near 0 too, where its slope −2a is a difference otherwise."""
    product = (1.0 - a) * (1.0 + a)
    return xp.where(xp.abs(a) < 0.5, 1.0 - a * a, product) if hasattr(xp, "apply_rule") else product


_unary("asin", lambda xp, g, y, a: g / xp.sqrt(_below_one(xp, a)), "a")
_unary("acos", lambda xp, g, y, a: -g / xp.sqrt(_below_one(xp, a)), "a")
_unary("atan", lambda xp, g, y, a: g / (1.0 + a * a), "a")
_unary("sinh", lambda xp, g, y, a: g * xp.cosh(a), "a")
_unary("cosh", lambda xp, g, y, a: g * xp.sinh(a), "a")
_unary("tanh", lambda xp, g, y, a: g * (1.0 - y * y), "y")
_unary(
    "asinh",
    lambda xp, g, y, a: g / (xp.sqrt(a * a + 1.0) if is_complex(a) else xp.hypot(a, xp.ones_like(a))),
    "a",
)
_unary("acosh", lambda xp, g, y, a: g / (xp.sqrt(a - 1.0) * xp.sqrt(a + 1.0)), "a")
_unary("atanh", lambda xp, g, y, a: g / _below_one(xp, a), "a")
_unary("deg2rad", lambda xp, g, y, a: g * (math.pi / 180.0))
_unary("rad2deg", lambda xp, g, y, a: g * (180.0 / math.pi))

# ------------------------------------------------------------------------------------------------------------- signs
_unary("negative", lambda xp, g, y, a: -g, infix=operator.neg)
_unary("positive", lambda xp, g, y, a: g, infix=operator.pos)

# -------------------------------------------------------------------------------------------------------- arithmetic
_binary("add", lambda xp, g, y, a, b: g, lambda xp, g, y, a, b: g, infix=operator.add)
_binary("subtract", lambda xp, g, y, a, b: g, lambda xp, g, y, a, b: -g, infix=operator.sub)
_binary("multiply", lambda xp, g, y, a, b: g * b, lambda xp, g, y, a, b: g * a, "ab", infix=operator.mul)
_binary(
    "divide", lambda xp, g, y, a, b: g / b, lambda xp, g, y, a, b: -g * y / b, "yb", infix=operator.truediv
)
_binary(
    "remainder",
    lambda xp, g, y, a, b: g,
    lambda xp, g, y, a, b: -g * xp.round((a - y) / b),  # floor(a / b) rounds up at 6 / 0.1
    "yab",
    infix=operator.mod,
)


def _power_base(xp: Any, g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * (2.0 * a) if b == 2 else g * (b * a ** (b - 1)) if b != 0 else xp.zeros_like(y)
    # d/da a⁰ is 0 at a = 0 too, where 0 · 0⁻¹ is NaN
    known = (a != 0) | (b != 0)
    return g * RULES["along"].forward(  # type: ignore[misc]
        xp, b, a ** xp.where(known, b - 1, xp.ones_like(y)), known=_plain(xp, known)
    )


def _plain(xp: Any, x: Any) -> Any:
    """A condition without what a traced namespace wraps it in."""
    return xp.frozen(x) if hasattr(xp, "frozen") else x


def _power_exponent(xp: Any, g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(a, (int, float)) and a != 0:
        return g * y * (math.log(a) if a > 0 else math.nan)
    if isinstance(a, (int, float)):
        # 0ᵇ is 0 for every b > 0, so its slope is 0 where 0 · log 0 is NaN
        return g * y * xp.where(b > 0, xp.zeros_like(y), -math.inf)
    return g * RULES["pow_log"].forward(xp, a, b, times=1)  # type: ignore[misc]


_binary("pow", _power_base, _power_exponent, "yab", infix=operator.pow)


def _forward_pow_log(xp: Any, a: Any, b: Any, *, times: int) -> Any:
    """aᵇ·(log a)ⁿ, which is 0 at a = 0 for every b > 0."""
    if hasattr(xp, "apply_rule"):
        return xp.apply_rule(RULES["pow_log"], (a, b), {"times": times})
    y = a**b * (xp.log(a) ** times)
    return xp.where((a == 0) & (b > 0), xp.zeros_like(y), y)


def _pow_log_base(xp: Any, g: Any, y: Any, a: Any, b: Any, *, times: int) -> Any:
    lower = _forward_pow_log(xp, a, b - 1, times=times - 1) if times > 1 else a ** (b - 1)
    return g * (b * _forward_pow_log(xp, a, b - 1, times=times) + times * lower)


_binary(
    "pow_log",
    _pow_log_base,
    lambda xp, g, y, a, b, *, times: g * _forward_pow_log(xp, a, b, times=times + 1),
    "ab",
    forward=_forward_pow_log,
)


# ----------------------------------------------------------------------------------------------- two arguments, others
def _picked(xp: Any, g: Any, condition: Any) -> Any:
    """`g` where the condition holds, else 0.

    By a product, which takes an eighteenth of the time where() does on NumPy, whose processor cannot guess where
    the condition holds. What 0·∞ makes there the backward pass puts right. For an outer trace a selection is recorded.
    """
    if hasattr(xp, "apply_rule"):
        return xp.where(condition, g, xp.zeros_like(g))
    return g * xp.astype(condition, g.dtype)


def _share(xp: Any, g: Any, a: Any, b: Any) -> Any:
    """What of `g` goes to `a` where the larger one gets it: all, half at a tie, or nothing."""
    if hasattr(xp, "apply_rule"):
        return xp.where(a > b, g, xp.where(a == b, 0.5 * g, xp.zeros_like(g)))
    return g * (0.5 * (xp.astype(a > b, g.dtype) + xp.astype(a >= b, g.dtype)))


_binary(
    "maximum",
    lambda xp, g, y, a, b: _share(xp, g, a, b),
    lambda xp, g, y, a, b: _share(xp, g, b, a),
    "ab",
)
_binary(
    "minimum",
    lambda xp, g, y, a, b: _share(xp, g, b, a),
    lambda xp, g, y, a, b: _share(xp, g, a, b),
    "ab",
)


def _weight(xp: Any, mine: Any, other: Any) -> Any:
    """eᵐ/(eᵐ + eᵒ), by what has digits left at any distance; 1 where both are the same infinity."""
    greater, alike = mine > other, (mine == other) & ~xp.isfinite(mine + other)
    gap = xp.where(greater, other, mine) - xp.where(greater, mine, other)
    e = xp.exp(xp.where(alike, xp.zeros_like(gap), gap))
    return xp.where(alike, xp.ones_like(e), xp.where(greater, xp.ones_like(e), e) / (1.0 + e))


_binary(
    "logaddexp",
    lambda xp, g, y, a, b: g * _weight(xp, a, b),
    lambda xp, g, y, a, b: g * _weight(xp, b, a),
    "ab",
)


def _over_square(xp: Any, g: Any, top: Any, a: Any, b: Any) -> Any:
    """g·top/(a² + b²), where the squares alone would overflow or vanish."""
    r = xp.hypot(a, b)
    return g * (top / r) / r


_binary(
    "atan2",
    lambda xp, g, y, a, b: _over_square(xp, g, b, a, b),
    lambda xp, g, y, a, b: _over_square(xp, -g, a, a, b),
    "ab",
)

# where's condition decides, and has no derivative: it is an option here
rule(
    "where",
    lambda xp, g, y, a, b, *, condition: _picked(xp, g, condition),
    lambda xp, g, y, a, b, *, condition: _picked(xp, g, ~condition),
    forward=lambda xp, a, b, *, condition: xp.where(condition, a, b),
    elementwise=True,
)
rule("astype", lambda xp, g, y, a, *, dtype: g, forward=lambda xp, a, *, dtype: xp.astype(a, dtype))
