"""Which kernels CuPy has: operation -> ``"module:function"`` in this folder. Read without importing CuPy."""

from __future__ import annotations

__all__ = ["KERNELS"]

# A CUDA kernel enters here once a committed log from a GPU has proven it.
KERNELS: dict[str, str] = {}
