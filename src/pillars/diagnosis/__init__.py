"""Run logs, findings and rules that judge anyone's training loop. Planned: nothing is here yet."""

from __future__ import annotations

__all__: list[str] = []
