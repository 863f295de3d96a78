"""What a derivative rule is, and the table of them.

A rule is written with the functions of the namespace that it is handed, never of a library: handed the traced
namespace it is differentiable itself, which is how a gradient of a gradient works. It says which values it wants kept;
what it does not want is freed (and, if it is the user's buffer, never copied).

Conventions, where the derivative has none: abs′(0) = 0; a tie in maximum, minimum, max or min is shared evenly, and the
shares are held fixed in further derivatives; sqrt′(0) = ∞; a norm of zeros, of any order, has gradient 0, and so has
the standard deviation of equal numbers. What a second derivative makes of the last two is said in
:mod:`pillars.calculus.autodiff.functions._directions`. Where a selection (where, clip, maximum, max) has kept a
cotangent away, 0·∞ and 0·NaN count as 0 (see :func:`pillars.calculus.autodiff._backward.backward`), so that
``where(x > 0, log(x), 0)`` has gradient 0 at 0; any other 0·∞ is NaN, for it may stand for any number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars.backends import dtype_kind

__all__ = ["RULES", "Pull", "Rule", "is_complex", "rule"]

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
