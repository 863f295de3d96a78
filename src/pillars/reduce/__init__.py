"""Mergeable states, and the runners that fold them over blocks: serial, threads, later cluster engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.reduce._fold import Reducer, Runner, fold, row_blocks, serial, threaded, tree_reduce
from pillars.reduce._moments import (
    Moments,
    MomentsSummary,
    chunk_moments,
    finish_moments,
    merge_moments,
    moments,
)

__all__ = [
    "Moments",
    "MomentsSummary",
    "Reducer",
    "Runner",
    "chunk_moments",
    "finish_moments",
    "fold",
    "merge_moments",
    "moments",
    "row_blocks",
    "serial",
    "threaded",
    "tree_reduce",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
