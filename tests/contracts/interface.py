"""A public function is a real one: it pickles, says its signature, and documents what the style asks for."""

from __future__ import annotations

import inspect
import pickle
import pydoc
import re

from contracts._support import draw, no_error, public
from contracts._variants import Variant
from pillars.backends import Record

__all__ = ["RUNS_ON", "check"]

RUNS_ON = ("numpy",)


def check(record: Record, where: Variant, seed: int) -> None:
    function, body = record.function, record.body
    with no_error(f"{record.name}: pickled"):
        assert pickle.loads(pickle.dumps(function)) is function, (
            f"{record.name}: another function out of its pickle"
        )
    assert inspect.isfunction(function), f"{record.name}: a {type(function).__name__}, not a function"
    assert inspect.signature(function) == inspect.signature(body), (
        f"{record.name}: another signature than its body"
    )
    own = inspect.signature(function, follow_wrapped=False).parameters
    theirs = inspect.signature(body).parameters
    assert [(p.name, p.kind) for p in own.values()] == [(p.name, p.kind) for p in theirs.values()], (
        record.name
    )
    assert function.__doc__, f"{record.name}: no docstring"
    assert function.__doc__.strip().splitlines()[0] in pydoc.plain(pydoc.render_doc(function)), record.name
    assert function.__name__ == body.__name__
    assert function.__module__ == body.__module__
    if record.kind == "operation":
        assert record.domain is not None, f"{record.name}: no domain"
        draw(record, seed)
    if public(record):
        _documented(record, function.__doc__)


def _documented(record: Record, text: str) -> None:
    text = inspect.cleandoc(text)
    sections = {
        title
        for title in ("Parameters", "Returns", "Raises", "Examples")
        if re.search(f"^{title}\n-+$", text, re.MULTILINE)
    }
    wanted = {"Parameters", "Returns", "Examples"} | ({"Raises"} if record.rules.check else set())
    assert wanted <= sections, f"{record.name}: its docstring lacks {', '.join(sorted(wanted - sections))}"
    assert ">>> " in text, f"{record.name}: its examples cannot be run"
    listed = text.partition("Parameters\n")[2].partition("\nReturns\n")[0]
    heads = {
        name.strip()
        for line in listed.splitlines()
        if " : " in line
        for name in line.partition(" : ")[0].split(",")
    }
    missing = [name for name in inspect.signature(record.body).parameters if name not in heads]
    assert not missing, f"{record.name}: its docstring says nothing of {', '.join(missing)}"
