"""The capability table as a whole: every record's cells, what is public among them, and what can be used here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pillars.backends import Availability, available, capabilities
from pillars.measure._all_operations import rooms
from pillars.measure.bench import CAPABILITIES

__all__ = ["CapabilityRow", "CapabilityTable", "capability_table"]

FEATURES = {
    "eager": "a plain call",
    "jit": "compiled whole",
    "grad": "derivatives",
    "vmap": "mapped over an axis of a batch",
    "float32": "float32 arrays",
}
LEVELS = {
    "native": "made for it: a kernel, a hand-derived gradient, the library's own compiler",
    "generic": "works, by the operation's plain body or a loop",
    "no": "not there, for the reason given",
}


class CapabilityRow(NamedTuple):
    """One cell of the table.

    Attributes
    ----------
    public : False for a step that other operations are made of and that no room exports.
    """

    operation: str
    public: bool
    backend: str
    feature: str
    level: str
    reason: str


class CapabilityTable(NamedTuple):
    """What each operation can do on each backend, in words too.

    Attributes
    ----------
    features, levels : what the words in the rows mean.
    backends : whether each can be used here at all: the rows say what the code holds, on any machine.
    """

    schema: str
    features: Mapping[str, str]
    levels: Mapping[str, str]
    backends: Mapping[str, Availability]
    rows: tuple[CapabilityRow, ...]


def capability_table(backends: Sequence[str] | None = None) -> CapabilityTable:
    """The table of these backends (None: all), of the operations of every room."""
    known = rooms()
    states = available()
    names = tuple(states if backends is None else backends)
    rows = tuple(
        CapabilityRow(cell.operation, _public(cell.operation, known), *cell[1:])
        for cell in capabilities(names)
    )
    return CapabilityTable(CAPABILITIES, FEATURES, LEVELS, {name: states[name] for name in names}, rows)


def _public(operation: str, known: Mapping[str, object]) -> bool:
    room, _, name = operation.partition(".")
    return room not in known or name in getattr(known[room], "__all__", ())
