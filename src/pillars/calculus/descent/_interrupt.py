"""Ctrl-C during a descent: noticed at once, heeded where the parameters are whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pillars._errors import CapabilityError
from pillars.calculus.descent._result import Descent

__all__ = ["Interrupt", "interruptible", "passed_on"]


class Interrupt:
    """What stands in for Python's own answer to SIGINT for as long as a descent runs.

    Attributes
    ----------
    asked : whether the descent is to end at the next step.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: Any) -> None:
        """The first asks; a second, of somebody who will not wait for a step to end, raises."""
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Whether Ctrl-C was pressed while this was entered.

    A handler of the caller's own, and a SIGINT that is ignored, stay as they are: what such a handler raises comes
    through whatever runs. So it is in other threads than the main one, which signals do not reach.
    """
    own = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield own
        return
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Interrupt):
        # a descent inside another's loss or callback ends with it
        yield before
        return
    if before is not signal.default_int_handler:
        yield own
        return
    signal.signal(signal.SIGINT, own)
    try:
        yield own
    finally:
        # unless a callback has set another one, which then stays
        if signal.getsignal(signal.SIGINT) is own:
            signal.signal(signal.SIGINT, before)


def passed_on(found: Descent) -> Descent:
    """The descent, where it was not interrupted: what runs several of them ends with the one that was."""
    try:
        interrupted = found.status == "interrupted"
    except CapabilityError:
        # part of somebody's program, which nothing interrupts
        interrupted = False
    if interrupted:
        raise KeyboardInterrupt
    return found
