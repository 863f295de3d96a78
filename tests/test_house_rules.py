"""Rules of the house that a reader feels: folders one can take in, rooms with faces, comments in their place.

Each rule is a function from a folder to what breaks it, so that a planted violation can show that it looks.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pillars"
TESTS = ROOT / "tests"
MOST_MODULES = 25
LONGEST_TEST = 650
# words of our own that had a name in the field
GONE = re.compile(r"\b(?:home_of|_?blamed|restless|carrying)\b|\bhome(?= = |\.)|(?<=\.)home\b")

# path in the source -> what runs it where no test names it or anything in it
UNTESTED = {
    "backends/_frames": "tests/backends/test_frames.py, through asarray",
    "backends/_host_numbers": "every option of every function",
    "backends/on_cupy/_backend": "the GPU cases of every test that takes a variant",
    "backends/on_jax/_backend": "the JAX cases of every test that takes a variant",
    "backends/on_numpy/_logged": "tests/probability, through log_softmax and logsumexp",
    "backends/on_strict/_backend": "the strict cases of every test that takes a variant",
    "calculus/autodiff/_fast_entry": "tests/calculus/autodiff/test_fast_entry.py, through operations on traced arrays",
    "calculus/autodiff/_keywords": "tests/calculus/autodiff, by NumPy's argument names",
    "calculus/autodiff/_several_results": "tests/calculus/autodiff, through svd, eigh and qr",
    "calculus/autodiff/_tape": "every gradient",
    "calculus/descent/_callbacks": "tests/calculus/descent, by callbacks and what they raise",
    "calculus/descent/_compiled_program": "every descent on JAX",
    "calculus/descent/_eager_gradients": "every descent on NumPy",
    "calculus/descent/_plan": "every descent",
    "calculus/descent/_watcher": "every descent with a monitor",
    "calculus/descent/_wrong_sign": "tests/calculus/descent, by the advice",
    "calculus/gradient_check/_line_probe": "every check of a gradient",
    "calculus/optimizers/_schedule_formulas": "every schedule",
    "calculus/optimizers/_schedule_pieces": "tests/calculus/optimizers/test_schedule_cycles.py, through join_schedules",
    "measure/audit/cases/_directions": "tests/calculus/autodiff/functions, case by case",
}


def crowded(source: Path) -> list[str]:
    """Folders of more modules than one takes in at a look."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())]
    counts = {folder: len([p for p in folder.glob("*.py") if p.stem != "__init__"]) for folder in folders}
    return [f"{folder.name}: {number} modules" for folder, number in counts.items() if number > MOST_MODULES]


def _module(path: Path, source: Path) -> tuple[str, ...]:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path) -> list[str]:
    """Every module that a file imports, `from package import module` both ways."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def private_imports(source: Path) -> list[str]:
    """Imports of a private module from outside the folder in which it lies."""
    found = []
    for path in sorted(source.rglob("*.py")):
        here = path.relative_to(source.parent).parent.parts
        for name in imported(path):
            parts = tuple(name.split("."))
            if parts[0] != source.name:
                continue
            for i in range(1, len(parts)):
                if not parts[i].startswith("_") or parts[i].startswith("__"):
                    continue
                folder = parts[:i]
                is_module = source.parent.joinpath(*parts[: i + 1]).with_suffix(".py").is_file()
                # the ground, beside the front door, is everybody's; the backends are one room
                beside = folder[:2] == here[:2] == (source.name, "backends")
                if is_module and len(folder) > 1 and here[: len(folder)] != folder and not beside:
                    found.append(f"{'/'.join((*here, path.name))} imports {name}")
    return sorted(set(found))


def comments_behind_brackets(folder: Path) -> list[str]:
    """Lines that close a bracket and then say something about it."""
    behind = re.compile(r"^\s*[)\]}]+[,:]?\s+#\s(?!fmt:|noqa|type:)")
    return [
        f"{path.relative_to(folder)}:{number}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if behind.match(line)
    ]


def long_tests(tests: Path) -> list[str]:
    """Test files that hold more than one subject."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in tests.rglob("*.py")}
    return [f"{path.name}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_TEST]


def untested(source: Path, tests: Path) -> list[str]:
    """Modules that no test file reaches: by an import, a name in a text, or what a room's face opens of them."""
    texts = "\n".join(
        path.read_text(encoding="utf-8") for path in tests.rglob("*.py") if path.name != Path(__file__).name
    )
    words = set(re.findall(r"\w+", texts))
    found = []
    for path in sorted(source.rglob("*.py")):
        if path.stem in ("__init__", "__main__"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))} | {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        if path.stem not in words and not (defined - {"__all__"}) & words:
            found.append(str(path.relative_to(source)))
    return found


def gone_words(source: Path) -> list[str]:
    """Names of our own that were replaced by the field's."""
    return [
        f"{path.relative_to(source)}: {match.group()}"
        for path in sorted(source.rglob("*.py"))
        for match in GONE.finditer(path.read_text(encoding="utf-8"))
    ]


def test_a_folder_is_taken_in_at_a_look() -> None:
    assert crowded(SOURCE) == []


def test_rooms_are_entered_through_their_faces() -> None:
    assert private_imports(SOURCE) == []


def test_a_comment_stands_above_its_line() -> None:
    assert comments_behind_brackets(SOURCE) == []
    assert comments_behind_brackets(TESTS) == []


def test_a_test_file_holds_one_subject() -> None:
    assert long_tests(TESTS) == []


def test_every_module_is_reached_by_a_test() -> None:
    left = [name.removesuffix(".py") for name in untested(SOURCE, TESTS)]
    assert left == sorted(UNTESTED), "a module without a test, or a reason that is no longer needed"


def test_words_that_are_gone_stay_gone() -> None:
    assert gone_words(SOURCE) == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    source = tmp_path / "pillars"
    for room in ("linalg", "calculus"):
        (source / room).mkdir(parents=True)
        (source / room / "__init__.py").write_text('"""A room."""\n', encoding="utf-8")
    (source / "linalg" / "_inside.py").write_text("def secret():\n    return 1\n", encoding="utf-8")
    return source


def test_a_crowded_folder_is_caught(planted: Path) -> None:
    assert crowded(planted) == []
    for i in range(MOST_MODULES + 1):
        (planted / "linalg" / f"_m{i}.py").touch()
    assert crowded(planted) == [f"linalg: {MOST_MODULES + 2} modules"]


@pytest.mark.parametrize(
    "line",
    [
        "from pillars.linalg._inside import secret",
        "import pillars.linalg._inside",
        "from pillars.linalg import _inside",
    ],
)
def test_a_private_import_is_caught(planted: Path, line: str) -> None:
    (planted / "linalg" / "_beside.py").write_text(f"{line}\n", encoding="utf-8")
    assert private_imports(planted) == []
    (planted / "calculus" / "_far.py").write_text(f"{line}\n", encoding="utf-8")
    assert private_imports(planted) == ["pillars/calculus/_far.py imports pillars.linalg._inside"] or (
        "pillars/calculus/_far.py imports pillars.linalg._inside.secret" in private_imports(planted)
    )


def test_a_comment_behind_a_bracket_is_caught(planted: Path) -> None:
    (planted / "linalg" / "_a.py").write_text("x = (\n    1\n)  # one\ny = [1]  # fine\n", encoding="utf-8")
    assert comments_behind_brackets(planted) == ["linalg/_a.py:3"]


def test_a_long_test_file_is_caught(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text("x = 1\n" * (LONGEST_TEST + 1), encoding="utf-8")
    assert long_tests(tmp_path) == [f"test_long.py: {LONGEST_TEST + 1} lines"]


def test_a_module_that_no_test_reaches_is_caught(planted: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    assert untested(planted, tests) == ["linalg/_inside.py"]
    (tests / "test_inside.py").write_text("from pillars.linalg import secret\n", encoding="utf-8")
    assert untested(planted, tests) == []


def test_a_word_that_is_gone_is_caught(planted: Path) -> None:
    (planted / "linalg" / "_a.py").write_text("blamed = 1\n", encoding="utf-8")
    assert gone_words(planted) == ["linalg/_a.py: blamed"]
