"""How much memory a call takes from CuPy's pool."""

from __future__ import annotations

import itertools
from typing import Any

import cupy

__all__ = ["Watch"]


_numbers = itertools.count()


class Watch(cupy.cuda.MemoryHook):  # type: ignore[misc]
    """Follows what is taken from the pool and given back, in this thread."""

    def __init__(self) -> None:
        # CuPy keeps hooks by name, and one inside another is one more
        self.name = f"pillars {next(_numbers)}"
        self.used = self.peak = 0

    def malloc_postprocess(self, **taken: Any) -> None:
        self.used += taken["mem_size"]
        self.peak = max(self.peak, self.used)

    def free_postprocess(self, **given: Any) -> None:
        self.used -= given["mem_size"]
