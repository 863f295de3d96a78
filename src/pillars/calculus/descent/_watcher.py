"""The monitors of an eager descent: several, each with its own state, in plain floats where they are ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars.calculus.descent._eager_updates import Moves
from pillars.calculus.descent._monitors import Monitor, watching
from pillars.calculus.descent._plan import Plan
from pillars.calculus.optimizers import scalars

__all__ = ["Watcher", "watcher_of"]


class Watcher:
    """loss -> which monitor halts the run there, if one does.

    Attributes
    ----------
    states : the monitors'.
    """

    def __init__(self, states: list[Any], advances: list[Callable[[float, Any], Any]]) -> None:
        self.states, self.advances = states, advances

    def __call__(self, loss: float) -> int | None:
        self.states = [
            advance(loss, state) for advance, state in zip(self.advances, self.states, strict=True)
        ]
        for place, state in enumerate(self.states):
            if state.halted:
                return place
        return None


def watcher_of(plan: Plan, moves: Moves) -> Watcher | None:
    """What watches the losses of a run; None without a monitor."""
    backend, dtype = plan.backend, moves.dtype
    device = backend.device_beside(moves.leaves[0])
    states: list[Any] = []
    advances: list[Callable[[float, Any], Any]] = []

    def fast(monitor: Monitor) -> Callable[[float, Any], Any]:
        return lambda loss, state: monitor.advance(scalars, float, loss, state)

    def own(monitor: Any) -> Callable[[float, Any], Any]:
        return lambda loss, state: monitor.update(backend.asarray(loss, dtype=dtype, device=device), state)

    for monitor in plan.monitors:
        known = isinstance(monitor, Monitor)
        like = backend.asarray(0.0, dtype=dtype, device=device)
        states.append(monitor.first() if known else watching(monitor, like))
        advances.append(fast(monitor) if known else own(monitor))
    return Watcher(states, advances) if states else None
