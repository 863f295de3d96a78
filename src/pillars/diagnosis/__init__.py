"""Run logs, findings and rules that judge anyone's training loop."""

from __future__ import annotations

__all__: list[str] = []
