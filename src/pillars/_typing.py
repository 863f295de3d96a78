"""The kinds of parameter that an operation's annotations declare.

Arrays come from several libraries that share no base class, so a type checker sees ``Any``; the record behind every
operation reads the marker instead.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, TypeAlias

__all__ = ["After", "AnyArray", "Array", "Kind", "Name", "Number"]


class Kind(Enum):
    """What the record may do with an argument."""

    ARRAY = "array"  # real floating once past the boundary; integers and booleans are promoted
    ANY_ARRAY = "any array"  # an array whose dtype is kept: integer labels, boolean masks
    NUMBER = (
        "number"  # a real scalar: cast to the arrays' dtype, traced and differentiated, never in a cache key
    )
    STATIC = "static"  # hashable: part of a jit cache's key
    NAME = "name"  # words for error messages: seen by the check alone
    AFTER = "after"  # a static, or a callable that is applied to the result outside the record


Array: TypeAlias = Annotated[Any, Kind.ARRAY]
AnyArray: TypeAlias = Annotated[Any, Kind.ANY_ARRAY]
Number: TypeAlias = Annotated[Any, Kind.NUMBER]
Name: TypeAlias = Annotated[str | None, Kind.NAME]
After: TypeAlias = Annotated[Any, Kind.AFTER]
