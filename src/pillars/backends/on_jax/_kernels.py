"""Which kernels JAX has: operation -> ``"module:function"`` in this folder. Read without importing JAX."""

from __future__ import annotations

__all__ = ["KERNELS"]

KERNELS: dict[str, str] = {}
