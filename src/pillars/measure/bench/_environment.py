"""What a measurement depends on beside the code: machine, versions, threads, precision, date."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from pillars._version import __version__
from pillars.backends import blas_libraries, num_threads

__all__ = ["Environment", "environment"]

_PACKAGES = ("numpy", "jax", "jaxlib", "cupy", "array-api-compat", "array-api-extra", "scipy")
_VARIABLES = (
    "PILLARS_BACKEND",
    "PILLARS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "XLA_FLAGS",
    "CUPY_TF32",
)


class Environment(NamedTuple):
    """Where and with what a measurement was taken.

    Attributes
    ----------
    date : UTC, ISO 8601.
    commit : of the git tree that the package runs from, "+" where files differ from it; None outside one.
    python, system, cpu, cores, threads : the interpreter, the machine, the processors it may use, pillars' threads.
    load : processes that wanted a core, averaged over the minute before; None where the system does not say.
    blas : the BLAS libraries, with the processor that their kernels are for: one that a library does not know runs an
        older one's, at half its speed or less.
    packages : pillars, and distributions that are installed -> version.
    variables : environment variables that change speed or precision, those set.
    """

    date: str
    commit: str | None
    python: str
    system: str
    cpu: str
    cores: int
    threads: int
    load: float | None
    blas: list[str]
    packages: dict[str, str]
    variables: dict[str, str]


def environment() -> Environment:
    """Describe this process and machine. Starts git once; about 10 ms."""
    return Environment(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=_cpu(),
        cores=_cores(),
        threads=num_threads(),
        load=_load(),
        blas=blas_libraries(),
        packages=_versions(),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def _cores() -> int:
    """The cores this process may use: containers and schedulers often grant fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    result = {"pillars": __version__}
    for name in _PACKAGES:
        candidates = [name] if name != "cupy" else ["cupy", "cupy-cuda13x", "cupy-cuda12x"]
        for candidate in candidates:
            try:
                result[candidate] = metadata.version(candidate)
                break
            except metadata.PackageNotFoundError:
                continue
    return result


def _commit() -> str | None:
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        try:
            ran = subprocess.run(
                ["git", "-C", str(here.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return ran.stdout.strip() if ran.returncode == 0 else None

    # an installed copy may lie inside somebody else's git tree: ask whether that tree knows this very file
    if git("ls-files", "--error-unmatch", here.name) is None:
        return None
    commit = git("rev-parse", "--short=12", "HEAD")
    return commit and commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
