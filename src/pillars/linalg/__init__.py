"""Products, norms, solvers, spectral methods, retrieval."""

from __future__ import annotations

__all__: list[str] = []
