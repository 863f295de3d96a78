"""NumPy's own argument names, by which its functions may be called.

The traced namespace's functions name their first arguments as the standard does, for position alone. What is NumPy's
default says nothing, and is left out, so that an option without a rule is refused only where it would change something.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars.backends import backend

__all__ = ["as_called"]

# before NumPy 2.4 a function written in C has no signature to ask for
_IN_C = {"dot": ("a", "b", "out")}
_BY_POSITION = inspect.Parameter.POSITIONAL_ONLY
_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_NOTHING: Any = object()


class _Names(NamedTuple):
    """The names of NumPy's function in order, its defaults, and how many arguments ours takes by position."""

    ordered: tuple[str, ...]
    defaults: dict[str, Any]
    by_position: int
    most: int


_known: dict[tuple[Any, Any], _Names] = {}


def _names(function: Callable[..., Any], theirs: Callable[..., Any]) -> _Names:
    own = list(inspect.signature(function).parameters.values())[1:]
    by_position = sum(p.kind is _BY_POSITION for p in own)
    several = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in own)
    most = 99 if several else sum(p.kind in (_BY_POSITION, _EITHER) for p in own)
    try:
        given = list(inspect.signature(theirs).parameters.values())
    except ValueError:
        return _Names(_IN_C.get(theirs.__name__, ()), {}, by_position, most)
    ordered = tuple(p.name for p in given if p.kind in (_BY_POSITION, _EITHER))
    defaults = {p.name: p.default for p in given if p.default is not inspect.Parameter.empty}
    return _Names(ordered, defaults, by_position, most)


def _silent(value: Any, default: Any) -> bool:
    """Whether the option says what would hold without it."""
    plain = value is None or isinstance(value, (bool, int, float, str, tuple))
    return value is default or (plain and type(value) is type(default) and value == default)


def as_called(
    function: Callable[..., Any], theirs: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a call of NumPy's function `theirs`, as `function` of the traced namespace takes them."""
    key = function, theirs
    names = _known.get(key)
    if names is None:
        names = _known[key] = _names(function, theirs)
    nothing = getattr(backend("numpy").xp, "_NoValue", _NOTHING)
    # options by position: more of them than ours takes so, or one that says nothing
    if len(args) > names.most or any(x is nothing for x in args):
        first = names.by_position
        beyond = dict(zip(names.ordered[first:], args[first:], strict=False))
        if len(beyond) == len(args) - first:
            args, options = args[:first], {**beyond, **options}
    if not options:
        return args, options
    left = {
        name: value
        for name, value in options.items()
        if value is not nothing and not _silent(value, names.defaults.get(name, _NOTHING))
    }
    filled = list(args)
    for name in names.ordered[len(args) : names.by_position]:
        if name not in left:
            break
        filled.append(left.pop(name))
    return tuple(filled), left
