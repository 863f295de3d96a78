"""What pillars raises: every error says got, expected and remedy, and names the function and the argument."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import NoReturn

__all__ = [
    "BackendError",
    "CapabilityError",
    "CheckpointError",
    "DTypeError",
    "PillarsError",
    "ShapeError",
    "no_such_name",
    "one_line",
    "shown",
]


class PillarsError(Exception):
    """The base of every error that pillars raises on purpose."""


class ShapeError(PillarsError, ValueError):
    """Shapes or axes that do not fit, or an option's value outside its range."""


class DTypeError(PillarsError, TypeError):
    """A dtype, or a kind of object, that the function does not take."""


class BackendError(PillarsError, ValueError, TypeError):
    """Arrays of two libraries or two devices in one call, or a backend that is not usable here."""


class CapabilityError(PillarsError, TypeError, ValueError):
    """Something that this backend, or this way of calling, cannot do: the message says what can."""


class CheckpointError(PillarsError, ValueError):
    """A file that cannot be taken up again: damaged, or another run's. It is left as it is."""


_LONGEST = 80


def shown(value: object) -> str:
    """What somebody passed, in one line: as Python writes it; where that is long, an array's shape, or what fits."""
    text = " ".join(repr(value).split())
    if len(text) <= _LONGEST:
        return text
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if isinstance(shape, tuple) else text[: _LONGEST - 1] + "…"


def one_line(error: BaseException, limit: int | None = None) -> str:
    """An exception's type and message in one line, cut where it is longer than `limit`."""
    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else f"{type(error).__name__} without a message"
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def no_such_name(module: str) -> Callable[[str], NoReturn]:
    """A room's ``__getattr__``: a name that it does not have is told where it is, or what is most like it."""

    def find(name: str) -> NoReturn:
        hint = ""
        # a module that nothing has imported yet is no misspelling
        if not name.startswith("_") and importlib.util.find_spec(f"{module}.{name}") is None:
            hint = importlib.import_module("pillars")._elsewhere(name, module.rpartition(".")[2])
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return find
