"""What happens every so many steps of a descent: its state is written, its callback called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pillars.backends import namespace
from pillars.calculus.descent._checkpoint import Checkpoint, Saved
from pillars.calculus.descent._plan import Metrics
from pillars.calculus.descent._result import Descent
from pillars.calculus.descent._status import RUNNING

__all__ = ["Breaks", "attach_descent"]


@dataclass(frozen=True)
class Breaks:
    """The callback and the checkpoint of a descent, either of which may be None.

    Attributes
    ----------
    saved : what an earlier run left in the checkpoint.
    """

    every: int
    callback: Callable[[int, Metrics], Any] | None = None
    checkpoint: Checkpoint | None = None
    saved: Saved | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to stop for."""
        return self.callback is not None or self.checkpoint is not None

    def writes(self, step: int, steps: int, asked: bool = False) -> bool:
        """Whether the state is written after this step: every so many, and after the last one that is taken."""
        return self.checkpoint is not None and (step % self.every == 0 or step == steps or asked)

    def calls(self, step: int) -> bool:
        """Whether the callback is called after this step."""
        return self.callback is not None and step % self.every == 0


def attach_descent(error: BaseException, found: Descent, what: str) -> None:
    """Let an exception carry the descent that it ended."""
    steps = int(found.steps)
    code = namespace(found.status_code).full_like(found.status_code, RUNNING)
    try:
        error.descent = found._replace(status_code=code)  # type: ignore[attr-defined]
    except AttributeError:  # an exception of the caller's own that takes no attributes
        kept = (
            "Pass checkpoint= to keep what is reached: this exception takes no attribute that could carry it."
        )
    else:
        kept = (
            "Nothing is lost: the exception's attribute .descent is the Descent until there; pass its params to go "
            "on."
        )
    with contextlib.suppress(AttributeError):
        error.add_note(f"gradient_descent: {what} raised this after step {steps}. {kept}")
