"""The lists of how_a_call_travels.md, from calls that are traced: `python docs/journey.py --write` writes them anew."""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import pillars
from pillars.calculus import sgd

PAGE = Path(__file__).with_name("how_a_call_travels.md")
PACKAGE = Path(pillars.__file__).parent
# what `linecache` calls the functions that are written for a record
_GENERATED = "<operation "


class Journey(NamedTuple):
    """Where a call went.

    Attributes
    ----------
    stops : file of pillars -> the function by which it was first entered, in that order.
    moves : calls from a function of one of these files to one of another.
    """

    stops: dict[str, str]
    moves: int


def travel(call: Callable[[], Any]) -> Journey:
    """Follow a call through the files of pillars; what happens while a module is imported is left out."""
    stops: dict[str, str] = {}
    path: list[str] = []
    moves, imports = 0, 0

    def observe(frame: FrameType, event: str, _: Any) -> None:
        nonlocal moves, imports
        if event not in ("call", "return"):
            return
        if frame.f_code.co_name == "<module>":
            imports += 1 if event == "call" else -1
            return
        place = _place(frame.f_code)
        if place is None or imports:
            return
        if event == "return":
            path.pop()
            return
        moves += bool(path) and path[-1] != place
        stops.setdefault(place, frame.f_code.co_name)
        path.append(place)

    sys.setprofile(observe)
    try:
        call()
    finally:
        sys.setprofile(None)
    return Journey(stops, moves)


def _place(code: CodeType) -> str | None:
    """The file in the package, or the name of what was generated; None for all other code."""
    if code.co_filename.startswith(_GENERATED):
        return code.co_filename
    path = Path(code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def _subject(place: str) -> str:
    """The first sentence of a file's docstring."""
    if place.startswith(_GENERATED):
        return "Written for this operation's signature."
    text = ast.get_docstring(ast.parse((PACKAGE / place).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def listed(journey: Journey) -> str:
    """The journey as it stands on the page."""
    generated = sum(place.startswith(_GENERATED) for place in journey.stops)
    files = f"{len(journey.stops) - generated} files"
    files += f" and {generated} generated function{'s' * (generated > 1)}" if generated else ""
    lines = [f"{files}, {journey.moves} moves between them:", ""]
    for number, (place, function) in enumerate(journey.stops.items(), 1):
        link = f"`{place}`" if place.startswith(_GENERATED) else f"[`{place}`](../src/pillars/{place})"
        lines.append(f"{number}. {link}, by `{function}`: {_subject(place)}")
    return "\n".join(lines)


def parts() -> dict[str, str]:
    """Name -> what stands between its marks."""
    softmax, gradient_descent = pillars.softmax, pillars.gradient_descent
    gradient = pillars.grad(lambda x: np.sum(np.tanh(x) * x))
    logits = np.asarray([2.0, 1.0, 0.0])
    x, y = np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([1.0, 2.0])
    optimizer = sgd(0.01)

    def loss(w: Any, x: Any, y: Any) -> Any:
        return np.mean((x @ w - y) ** 2)

    calls: dict[str, Callable[[], Any]] = {
        "softmax": lambda: softmax(logits),
        "grad": lambda: gradient(logits),
        "descent": lambda: gradient_descent(loss, np.zeros(2), x, y, optimizer=optimizer, steps=3),
    }
    source = "".join(linecache.getlines(softmax.__code__.co_filename)).rstrip()
    made = {
        "softmax, generated source": f"```text\n{source}\n```",
        "softmax, first call": listed(travel(calls["softmax"])),
    }
    for name, call in calls.items():
        call()
        made[f"{name}, second call"] = listed(travel(call))
    return made


def written(text: str) -> str:
    """The page with all of its generated parts new."""
    for name, part in parts().items():
        begin, end = f"<!-- journey: {name} -->", "<!-- end of journey -->"
        shown = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        if not shown.search(text):
            raise SystemExit(f"{PAGE.name}: there is no {begin}, expected one for what is traced.")
        text = shown.sub(lambda _, begin=begin, end=end, part=part: f"{begin}\n{part}\n{end}", text)
    return text


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    new = written(old)
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        raise SystemExit(f"{PAGE.name} is not what calls do now: python docs/journey.py --write")
