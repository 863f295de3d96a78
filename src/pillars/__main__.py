"""``python -m pillars``."""

from __future__ import annotations

from pillars.cli import main

if __name__ == "__main__":
    main()
