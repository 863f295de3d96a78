"""What is run on pillars, and how: `nox -l` lists it, `nox` alone runs lint, tests, package and docs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "tests", "package", "docs"]
nox.options.error_on_missing_interpreters = True


def _said(*command: str) -> str | None:
    """What a command prints, or None where it is absent, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _open_pyenv() -> None:
    """Let pyenv's shims start every version that pyenv has, not only the one it has selected."""
    if shutil.which("pyenv") is None or "PYENV_VERSION" in os.environ:
        return
    listed = (_said("pyenv", "versions", "--bare") or "").split()
    installed = [name for name in listed if re.fullmatch(r"3\.\d+\.\d+", name)]
    installed.sort(key=lambda name: tuple(map(int, name.split("."))), reverse=True)
    if installed:
        os.environ["PYENV_VERSION"] = ":".join(installed)


def _working_pythons() -> list[str]:
    """The supported versions that really start here, oldest first: a name on the path proves nothing."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    say = "import ssl, sys; print('%d.%d' % sys.version_info[:2])"
    return [v for v in SUPPORTED if v == running or _said(f"python{v}", "-c", say) == v]


_open_pyenv()
PYTHONS = _working_pythons()
OLDEST = PYTHONS[0]
TESTED = sorted({PYTHONS[0], PYTHONS[-1]}, key=PYTHONS.index)


def _group(name: str) -> list[str]:
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


def _install_wheel(session: nox.Session, extras: str = "") -> None:
    """Build the wheel and install it: what is tested is what users get, never the source tree."""
    folder = Path(session.virtualenv.location) / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    build = ("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder))
    if session.run_install(*build, str(ROOT), silent=True) is None:
        # `nox -R` installs nothing: what is there stays
        return
    [wheel] = folder.glob("pillars_math-*.whl")
    if extras:
        session.install(f"pillars-math[{extras}] @ {wheel.resolve().as_uri()}")
    # An environment that is used again holds the same version number over older code.
    session.install("--force-reinstall", *(["--no-deps"] if extras else []), str(wheel))


def _workers(session: nox.Session) -> list[str]:
    """Two test processes, a module in one of them; none of our own where the caller says how many, or debugs."""
    chosen = any(argument.startswith(("-n", "--pdb", "--numprocesses")) for argument in session.posargs)
    # What JAX compiled for a test, the next tests of its module use again.
    return [] if chosen else ["-n", "2", "--dist", "loadfile"]


def _one_thread_each() -> dict[str, str]:
    """Test processes side by side must not each start a BLAS thread for every core."""
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


_NONE_CHOSEN = 5  # what pytest exits with where arguments leave no test
_WHOLE = ("tests", "--ignore=tests/docs")  # the docs have a session of their own, with every extra there


def _test_environment(session: nox.Session) -> None:
    _install_wheel(session, "jax,cli,report")
    session.install(*_group("test"))


def _pytest(session: nox.Session, marks: str, *arguments: str, x64: bool = False) -> None:
    """The test command in one precision of JAX; what JAX compiled is kept for the next runs."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(Path(session.virtualenv.location).parent / "jax-programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    env = {"JAX_ENABLE_X64": str(int(x64)), "JAX_PLATFORMS": "cpu", **_one_thread_each(), **cache}
    paths = session.posargs or _WHOLE
    command = ("python", "-m", "pytest", "-q", "-m", f"not gpu{marks}", *_workers(session), *arguments)
    session.run(*command, *paths, env=env, success_codes=[0, *([_NONE_CHOSEN] if session.posargs else [])])


@nox.session
def tests(session: nox.Session) -> None:
    """The built wheel on this Python: alone, then every test but the slow, JAX in 32 bits and under jit."""
    _install_wheel(session)
    session.install("pytest")
    session.run("python", "-m", "pytest", "--noconftest", "-q", "tests/base_install.py")
    _test_environment(session)
    _pytest(session, " and not slow", "--jax-mode=jit")


@nox.session(name="tests(numpy)")
def tests_numpy(session: nox.Session) -> None:
    """Every test that JAX's precision cannot change, the slow ones too."""
    _test_environment(session)
    _pytest(session, " and not jax")


@nox.session(name="tests(jax)")
@nox.parametrize("x64", [False, True], ids=["32 bits", "64 bits"])
def tests_jax(session: nox.Session, x64: bool) -> None:
    """Every test that JAX's precision can change, in both, the slow ones too."""
    _test_environment(session)
    _pytest(session, " and jax", x64=x64)


@nox.session(python=TESTED)
def matrix(session: nox.Session) -> None:
    """What plain `nox` leaves: the newest Python, JAX in 64 bits and eagerly; what is slow, once, on the oldest.

    Slow is what costs minutes and is worth one run for each change: processes that are killed, every gradient's audit,
    a planted fault for every contract, the contracts' second draws.
    """
    _test_environment(session)
    if session.python == OLDEST:
        _pytest(session, " and slow")
    if session.python == TESTED[-1]:
        _pytest(session, " and not slow", "--jax-mode=eager", "-k", "not strict", x64=True)


def _usable_cuda(session: nox.Session) -> str:
    """The CUDA that the driver speaks; where there is no usable GPU the session is *not run*, and says why."""
    seen = _said("nvidia-smi")
    if seen is None:
        session.skip("*not run*: nvidia-smi is absent or fails, so there is no usable NVIDIA GPU here")
    version = re.search(r"CUDA Version:\s*(\d+)", seen)
    cuda = version.group(1) if version else "none"
    if cuda not in {"12", "13"}:
        session.skip(f"*not run*: the driver speaks CUDA {cuda}; CuPy and JAX want 12 or 13")
    return cuda


@nox.session(name="tests(cupy)", python=OLDEST)
def tests_cupy(session: nox.Session) -> None:
    """The GPU tests, on CuPy and JAX; says *not run*, and why, where there is no usable GPU."""
    cuda = _usable_cuda(session)
    _install_wheel(session, f"cuda{cuda},cli")
    session.install(f"jax[cuda{cuda}]", *_group("test"))
    env = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    session.run("python", "-m", "pytest", "-q", "-m", "gpu", *(session.posargs or ["tests"]), env=env)


def _bench(session: nox.Session, name: str, extras: str = "") -> None:
    """One backend's benchmarks on the built wheel, saved with the commit; arguments go to pytest."""
    _install_wheel(session, extras)
    session.install(*_group("bench"))
    saved = ("--benchmark-autosave", f"--benchmark-storage=file://bench/results/{name}")
    pace = ("--benchmark-max-time=0.5", "--benchmark-warmup=off")
    command = ("python", "-m", "pytest", "-q", "bench", f"--backend={name}")
    session.run(*command, *saved, *pace, *session.posargs)


@nox.session(name="bench(numpy)", python=OLDEST)
def bench_numpy(session: nox.Session) -> None:
    """The benchmarks on NumPy, into bench/results/numpy; `-- --benchmark-compare` holds them against the last."""
    _bench(session, "numpy")


@nox.session(name="bench(jax)", python=OLDEST)
def bench_jax(session: nox.Session) -> None:
    """The benchmarks on JAX, into bench/results/jax."""
    _bench(session, "jax", "jax")


@nox.session(name="bench(cupy)", python=OLDEST)
def bench_cupy(session: nox.Session) -> None:
    """The benchmarks on CuPy, into bench/results/cupy; says *not run*, and why, where there is no usable GPU."""
    _bench(session, "cupy", f"cuda{_usable_cuda(session)}")


@nox.session(python=OLDEST)
def races(session: nox.Session) -> None:
    """`pillars bench` on the built wheel (arguments go to it); then every case of the suites against its peers."""
    _install_wheel(session, "all")
    session.install(*_group("bench"))
    session.run("pillars", "bench", *session.posargs)
    for suite in ("dispatch", "speed", "stability", "checkers"):
        session.run("python", f"bench/{suite}.py")


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Ruff, its formatter, mypy in strict mode and the layers of the house."""
    session.install("-e", ".[cli,report]", *_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=OLDEST)
def package(session: nox.Session) -> None:
    """Wheel and source distribution, built as for an index, and what it would refuse of them."""
    session.install("build", "twine>=6.1")
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder), str(ROOT))
    session.run("twine", "check", "--strict", *map(str, sorted(folder.iterdir())))


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Every example of the docstrings and the README, executed as a reader would."""
    _install_wheel(session, "all")
    session.install(*_group("test"))
    env = {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg"}
    doctests = ["--doctest-modules", "--pyargs", "pillars"]
    # Its modules import CuPy at once, and CuPy's own import is all that could fail here.
    cupy_room = "--ignore-glob=*/on_cupy/*"
    session.run("python", "-m", "pytest", "-q", cupy_room, *doctests, env=env)
    session.run("python", "-m", "pytest", "-q", "tests/docs", *session.posargs, env=env)
