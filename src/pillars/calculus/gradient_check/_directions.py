"""The directions of a gradient check, and the search for entries with a derivative where others sit on a kink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pillars.calculus.gradient_check._flat_function import Subject
from pillars.calculus.gradient_check._line_probe import Probe, probe
from pillars.calculus.gradient_check._step_ladder import Problem

__all__ = ["Survey", "along", "differentiable_among", "kink_note", "survey"]

_COORDINATES = 16  # up to as many entries are checked one by one
_SIGNED = 8
_JOINT_LEAVES = 8  # with more leaves than this, directions span them all
_SEARCHES = 48


class Survey(NamedTuple):
    """The directions that were walked.

    Attributes
    ----------
    smooth : (direction, probe) of those along which nothing speaks against a derivative.
    broken : of those that cross a kink or a jump at the point.
    words : how many directions of which kind.
    """

    smooth: list[tuple[Any, Probe]]
    broken: list[tuple[Any, Probe]]
    words: str


def along(subject: Subject, places: Any) -> Any:
    """A direction with random signs that moves entries by about as much as a step of 1 is to be there.

    Lengths are drawn too, so that kinks of opposite bends do not cancel, nor steps fall on a grid that is exact.
    """
    size = len(places)
    lengths = subject.random.uniform(1.0, 1.5, size) * subject.random.choice([-1.0, 1.0], size)
    u = subject.host.zeros(subject.x.size)
    u[places] = lengths * subject.host.maximum(1.0, subject.host.abs(subject.x[places]))
    return u


def survey(subject: Subject, problem: Problem, bad: Any) -> Survey:
    """Walk every entry of small arguments and signed directions of large ones, around kinks where there are any."""
    host = subject.host
    groups, begin = [], 0
    for size in subject.sizes:
        groups.append(host.arange(begin, begin + size))
        begin += size
    groups = [group[~bad[group]] for group in groups if group.size]
    if len(groups) > _JOINT_LEAVES:
        groups = [host.concatenate(groups)]
    smooth: list[tuple[Any, Probe]] = []
    broken: list[tuple[Any, Probe]] = []
    single, signed, spared = 0, 0, 0

    def walk(directions: list[Any]) -> bool:
        clean = True
        for u in directions:
            result = probe(problem, u)
            (smooth if result.differentiable else broken).append((u, result))
            clean = clean and result.differentiable
        return clean

    for group in groups:
        if group.size <= _COORDINATES:
            walk([along(subject, [int(i)]) for i in group])
            single += group.size
            continue
        signed += _SIGNED
        before = len(smooth)
        if walk([along(subject, group) for _ in range(_SIGNED)]):
            continue
        del smooth[before:]
        blocks = list(_blocks(subject, problem, group, broken))
        rest = host.concatenate([host.zeros(0, dtype=int), *(block for block, _, _ in blocks)])
        smooth += [(u, result) for _, u, result in blocks]
        spared += group.size - rest.size
        if rest.size > 1:
            walk([along(subject, rest) for _ in range(_SIGNED)])
    parts = ([f"{single} entries"] if single else []) + (
        [f"{signed} signed directions, seed {subject.seed}"] if signed else []
    )
    without = f", {spared} entries at kinks left out" if spared else ""
    return Survey(smooth, broken, " and ".join(parts) + without)


def differentiable_among(subject: Subject, problem: Problem, places: Any) -> bool:
    """Whether the function has a derivative along some of these entries."""
    return next(_blocks(subject, problem, places, []), None) is not None


def _blocks(
    subject: Subject, problem: Problem, places: Any, broken: list[tuple[Any, Probe]]
) -> Iterator[tuple[Any, Any, Probe]]:
    """Blocks of entries without kinks, by halving those with: in the order of their values, where kinks are neighbours.

    Large blocks go first and blocks of one value last, so that the search is over after a few of a long row of zeros.
    """
    host = subject.host
    places = places[host.argsort(subject.x[places], stable=True)]
    waiting = [places] if places.size else []
    for _ in range(_SEARCHES):
        if not waiting:
            return
        waiting.sort(key=lambda block: (bool(subject.x[block[0]] != subject.x[block[-1]]), block.size))
        block = waiting.pop()
        u = along(subject, block)
        result = probe(problem, u)
        if result.differentiable:
            yield block, u, result
            continue
        broken.append((u, result))
        if block.size > 1:
            waiting += [block[: block.size // 2], block[block.size // 2 :]]


def kink_note(broken: list[tuple[Any, Probe]]) -> str | None:
    """What stands in the way of a derivative; of an entry alone where one was found."""
    if not broken:
        return None
    jumping = [each for each in broken if each[1].gap]
    u, result = max(jumping or broken, key=lambda each: (-(each[0] != 0).sum(), each[1].jump))
    places = [int(i) for i in u.nonzero()[0]]
    where = f"along entry {places[0]}" if len(places) == 1 else "in such a direction"
    if result.gap:
        return f"a jump {where}: the function changes by {result.gap:.3g}, however small the step"
    return f"a kink {where}: the slopes on its two sides differ by {result.jump:.3g}, however small the step"
