"""The command `pillars`: parses and prints, no mathematics."""

from __future__ import annotations

from pillars.cli._main import main

__all__ = ["main"]
