"""The rooms below this one: a record is known once its room has been imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

__all__ = ["rooms"]

_ABOVE = ("cli", "report", "measure")


def rooms() -> dict[str, ModuleType]:
    """Every room that may hold operations, imported. About a tenth of a second the first time."""
    result = iter_modules([str(Path(__file__).parents[1])])
    return {
        room.name: import_module(f"pillars.{room.name}")
        for room in result
        if room.ispkg and room.name not in _ABOVE
    }
