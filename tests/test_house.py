"""The house stands as it was drawn: rooms, layers, front door, sizes, what is shipped."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.resources
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pillars

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pillars"
LONGEST = 350
ORDER = (
    "cli > report > measure | diagnosis > algorithms > layers | statistics > probability > calculus > linalg "
    "> reduce > random > backends > _errors | _typing | _version"
)
ROOMS = [room for room in re.split(r" [|>] ", ORDER) if not room.startswith("_")]
PROMISED = {
    "pillars": (
        "use using backend available asarray move explain audit softmax linear gradient_descent grad "
        "value_and_grad PillarsError ShapeError DTypeError BackendError CapabilityError CheckpointError"
    ),
    "pillars.random": "key split bits uniform normal integers permutation",
    "pillars.reduce": "Moments",
    "pillars.layers": "linear relu leaky_relu gelu silu tanh sigmoid",
    "pillars.calculus": (
        "grad value_and_grad vjp jacobian hvp check_gradient mean_squared_error mean_absolute_error huber sgd adam "
        "gradient_descent reduce_on_plateau LeastSquaresLoss "
        "Descent GradientCheck Optimizer Step"
    ),
    "pillars.probability": "softmax log_softmax logsumexp sigmoid log_sigmoid cross_entropy erf ndtr",
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def python(code: str) -> str:
    """What a fresh interpreter prints: this one has imported everything already."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked() -> list[Path]:
    """The repository's files; in an unpacked source distribution, everything but what building leaves."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    skipped = {".venv", ".nox", ".wheels", "__pycache__", "build", "dist"}
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    return [
        path for path in files if not skipped & set(path.relative_to(ROOT).parts) and ".git" not in path.parts
    ]


def test_every_room_stands() -> None:
    missing = [room for room in ROOMS if not (SOURCE / room / "__init__.py").is_file()]
    assert missing == []


def test_nothing_stands_outside_the_rooms() -> None:
    found = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert found - set(ROOMS) - {"__init__", "__main__", "_errors", "_typing", "_version"} == set()


def test_the_layers_are_those_of_the_house() -> None:
    contract = PYPROJECT["tool"]["importlinter"]["contracts"][0]
    assert " > ".join(contract["layers"]) == ORDER
    assert contract["containers"] == ["pillars"]
    assert contract["exhaustive"] is True


def lint_layers(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the source: what is judged is the tree, not what is installed."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    code = "import sys; from importlinter import cli; sys.path.insert(0, '.'); sys.exit(cli.lint_imports())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "pillars", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_go_down_only(copy: Path) -> None:
    done = lint_layers(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        ("reduce", "import pillars.probability", "imports go down only"),
        ("layers", "from pillars import statistics", "imports go down only"),
        ("calculus", "import numpy as np", "only the ground floor names NumPy, CuPy, JAX"),
        ("linalg", "from rich.table import Table", "tables, figures and pages have one home"),
        ("statistics", "from scipy import special", "peers stay outside the package"),
        ("backends", "import pillars", "the front door is for users"),
        ("calculus/autodiff", "import pillars.calculus.descent", "inside calculus imports go down only"),
        ("measure/bench", "import pillars.measure.audit", "inside measure imports go down only"),
    ],
)
def test_a_planted_import_is_caught(copy: Path, room: str, line: str, broken: str) -> None:
    (copy / "pillars" / room / "_planted.py").write_text(f"{line}\n", encoding="utf-8")
    done = lint_layers(copy)
    assert done.returncode == 1
    assert f"{broken} BROKEN" in done.stdout


def test_a_room_that_nobody_placed_is_caught(copy: Path) -> None:
    (copy / "pillars" / "attic").mkdir()
    (copy / "pillars" / "attic" / "__init__.py").write_text("", encoding="utf-8")
    done = lint_layers(copy)
    assert done.returncode == 1
    assert "attic" in done.stdout


def private_imports(folder: Path) -> list[str]:
    """What a room takes from a module of another room that is not that room's face."""
    found = []
    for path in folder.rglob("*.py"):
        package = path.relative_to(folder.parent).parent.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("pillars."):
                continue
            for name in [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]:
                file = folder.parent.joinpath(*name.split(".")).with_suffix(".py")
                home = tuple(name.split(".")[:-1])
                if file.is_file() and file.stem.startswith("_") and package[: len(home)] != home:
                    found.append(f"{path.relative_to(folder)} imports {name}")
    return found


def test_a_room_is_entered_by_its_door(copy: Path) -> None:
    found = [line for line in private_imports(SOURCE) if not line.startswith("backends/")]
    assert found == []  # the ground floor alone reaches into the folders of its libraries
    planted = "from pillars.calculus.autodiff._rule import RULES\n"
    (copy / "pillars" / "diagnosis" / "_planted.py").write_text(planted, encoding="utf-8")
    assert any("_planted" in line for line in private_imports(copy / "pillars"))


def test_a_module_holds_one_subject() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    long = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST]
    assert long == [], f"past {LONGEST} lines a module holds a second subject, which is a second file"


def test_no_folder_of_tests_is_a_package() -> None:
    """tests/ is on the path: tests/random/__init__.py would hide the standard library's random."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_nothing_is_unfinished() -> None:
    words = re.compile("T[O]DO|F[I]XME|X[X]X|NotImpl[e]mentedError")
    found = [path for path in SOURCE.rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_no_path_of_a_machine_is_in_the_repository() -> None:
    homes = re.compile(r"(?<![\w.~*-])/(?:root|home|Users|work|mnt)/\w")
    assert homes.search("see {}home/someone/file".format("/"))
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in homes.finditer(text)]
    assert found == []


def test_every_room_is_reached_through_the_door() -> None:
    assert [room for room in ROOMS if room != "cli" and not hasattr(pillars, room)] == []


def test_the_door_lists_what_it_opens() -> None:
    assert set(pillars.__all__) <= set(dir(pillars))
    assert [name for name in pillars.__all__ if not hasattr(pillars, name)] == []


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pillars.no_such_name
    with pytest.raises(AttributeError, match=r"it is pillars\.calculus\.adam"):
        _ = pillars.adam


@pytest.mark.parametrize(
    ("room", "name", "said"),
    [
        ("calculus", "hesian", "did you mean pillars.calculus.hessian?"),
        ("calculus", "gradient", "pillars.calculus.grad?"),
        ("calculus", "SGD", "did you mean pillars.calculus.sgd"),
        ("calculus", "SVDD", "did you mean pillars.linalg.SVD?"),
        ("linalg", "softmax", "it is pillars.probability.softmax"),
        ("probability", "Softmax", "did you mean pillars.probability.softmax"),
        ("statistics", "pca", "it is pillars.linalg.pca"),
        ("layers", "layernorm", "did you mean pillars.layers.layer_norm?"),
    ],
)
def test_a_name_that_a_room_does_not_have_is_told_the_nearest(room: str, name: str, said: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(said)) as info:
        getattr(importlib.import_module(f"pillars.{room}"), name)
    assert str(info.value).startswith(f"module 'pillars.{room}' has no attribute '{name}': ")


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in {"cli", "report"}])
def test_every_room_tells_of_a_name_that_it_does_not_have(room: str) -> None:
    loaded = importlib.import_module(f"pillars.{room}")
    with pytest.raises(AttributeError, match=r"did you mean pillars\.(probability\.)?softmax\b"):
        _ = loaded.sofmaxx
    # what is private, or a module nobody has imported, is no misspelling
    with pytest.raises(AttributeError, match=r"has no attribute '_softmaxx'$"):
        _ = loaded._softmaxx


def test_modules_of_a_room_are_still_imported_by_name() -> None:
    assert python("from pillars.measure import data; print(data.__name__)").strip() == "pillars.measure.data"


@pytest.mark.parametrize("module", PROMISED)
def test_promised_names_resolve(module: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in PROMISED[module].split() if not hasattr(loaded, name)] == []
    assert set(PROMISED[module].split()) <= set(loaded.__all__)


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_every_name_of_a_room_resolves_and_is_documented(room: str) -> None:
    loaded = importlib.import_module(f"pillars.{room}")
    assert loaded.__doc__
    public = getattr(loaded, "__all__", [])
    assert [name for name in public if not hasattr(loaded, name)] == []
    made = [name for name in public if callable(getattr(loaded, name))]
    assert [name for name in made if not getattr(loaded, name).__doc__] == []


def test_importing_the_package_loads_no_backend_and_no_extra() -> None:
    loaded = set(json.loads(python("import json, sys, pillars; print(json.dumps(list(sys.modules)))")))
    assert "pillars" in loaded
    heavy = {"jax", "cupy", "matplotlib", "typer", "rich", "pyarrow", "narwhals", "jinja2", "scipy"}
    assert loaded & (heavy | {"safetensors"}) == set()


def test_rooms_load_at_first_use() -> None:
    code = "import sys, pillars; assert '{0}' not in sys.modules; pillars.{1}; assert '{0}' in sys.modules"
    python(code.format("pillars.statistics", "statistics"))
    python(code.format("pillars.measure", "measure"))


def test_the_version_is_said_once() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    said = re.search(r'__version__ = "(.+)"', (SOURCE / "_version.py").read_text(encoding="utf-8"))
    assert said is not None
    assert pillars.__version__ == said.group(1)
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited == [pillars.__version__]
    try:
        installed = importlib.metadata.version(PYPROJECT["project"]["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pillars runs from its source tree here, and is not installed")
    assert installed == said.group(1)


def test_everything_in_the_source_is_in_what_is_installed() -> None:
    installed = importlib.resources.files("pillars")
    names = [path.relative_to(SOURCE) for path in tracked() if path.is_relative_to(SOURCE)]
    assert Path("py.typed") in names
    assert any(name.match("measure/data/*.npz") for name in names)
    assert [str(name) for name in names if not installed.joinpath(name.as_posix()).is_file()] == []


def test_every_tracked_file_is_in_the_source_distribution() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0 or not listing.stdout:
        pytest.skip("no git tree: perhaps the source distribution itself")
    roots = {name.partition("/")[0] for name in listing.stdout.split("\0") if name}
    included = {
        name.removeprefix("/") for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    }
    added_by_hatchling = {".gitignore", "LICENSE", "README.md", "pyproject.toml"}
    assert roots == included | added_by_hatchling


def test_the_data_carries_its_attribution() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (SOURCE / "measure" / "data").glob("*.txt")]
    for text in (*texts, (ROOT / "README.md").read_text(encoding="utf-8")):
        assert all(
            word in text for word in ("UCI Machine Learning Repository", "Alpaydin", "Kaynak", "CC BY 4.0")
        )
    assert texts


@pytest.mark.parametrize("extra", ["jax", "cuda12", "cuda13", "cli", "report", "all"])
def test_extras_are_declared(extra: str) -> None:
    assert PYPROJECT["project"]["optional-dependencies"][extra]
