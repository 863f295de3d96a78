"""Which kernels NumPy has: operation -> ``"module:function"`` in this folder. Read without importing NumPy."""

from __future__ import annotations

__all__ = ["KERNELS"]

KERNELS: dict[str, str] = {}
