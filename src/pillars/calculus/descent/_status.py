"""How a descent may end: its status codes, and their words."""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "CONVERGED",
    "DIVERGED",
    "GRADIENT_BROKE",
    "HALTED",
    "INTERRUPTED",
    "LOSS_BROKE",
    "RUNNING",
    "STALLED",
    "START_BROKE",
    "STEPS",
    "STOPPED",
    "UPHILL",
    "Status",
]


class Status(IntEnum):
    """How a descent ended: the number that an array holds, and its word."""

    RUNNING = -1
    STEPS = 0
    CONVERGED = 1
    DIVERGED = 2
    HALTED = 3
    LOSS_BROKE = 4
    GRADIENT_BROKE = 5
    START_BROKE = 6
    STALLED = 7
    STOPPED = 8
    UPHILL = 9
    INTERRUPTED = 10

    @property
    def word(self) -> str:
        """What :attr:`pillars.calculus.Descent.status` says."""
        return _WORDS[self]


_WORDS = {
    Status.RUNNING: "running",
    Status.STEPS: "steps",
    Status.CONVERGED: "converged",
    Status.DIVERGED: "diverged",
    Status.HALTED: "halted",
    Status.LOSS_BROKE: "nonfinite",
    Status.GRADIENT_BROKE: "nonfinite",
    Status.START_BROKE: "nonfinite",
    Status.STALLED: "halted",
    Status.STOPPED: "halted",
    Status.UPHILL: "diverged",
    Status.INTERRUPTED: "interrupted",
}
# beside arrays plain numbers: array-api-strict takes no subclass of int
(
    RUNNING,
    STEPS,
    CONVERGED,
    DIVERGED,
    HALTED,
    LOSS_BROKE,
    GRADIENT_BROKE,
    START_BROKE,
    STALLED,
    STOPPED,
    UPHILL,
    INTERRUPTED,
) = (status.value for status in Status)
