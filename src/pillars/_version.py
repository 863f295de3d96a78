"""The version, said once: packaging reads this file, and a source tree that is not installed knows it too."""

from __future__ import annotations

__version__ = "0.1.0"
