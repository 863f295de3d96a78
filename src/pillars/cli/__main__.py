"""``python -m pillars.cli``."""

from __future__ import annotations

from pillars.cli._main import main

if __name__ == "__main__":
    main()
