"""The GPU tests and the bench in one command, for a machine with a GPU and no network; writes one JSON.

    python bench/gpu.py --fetch        where there is a network: pure wheels into .wheels/, which git ignores
    python bench/gpu.py --out FILE     on the GPU's machine, from the repository carried there with .wheels/

It needs what such machines have (NumPy, JAX, CuPy, SciPy, pytest); what else they lack comes from .wheels/.
The package runs from the source tree. Everything together ends within --minutes: the bench first, interrupted
where it takes over half of them, and what it measured until then kept; then the tests. Without a usable GPU the
JSON says "not run" and why, and the exit status is 0; it is 1 where a test or the bench failed.

    pillars bench --from FILE --html PAGE   shows the bench in FILE
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / ".wheels"

# distribution -> the module that proves it is there
CARRIED = {
    "annotated-doc": "annotated_doc",
    "array-api-compat": "array_api_compat",
    "array-api-extra": "array_api_extra",
    "array-api-strict": "array_api_strict",
    "attrs": "attr",
    "click": "click",
    "execnet": "execnet",
    "iniconfig": "iniconfig",
    "markdown-it-py": "markdown_it",
    "mdurl": "mdurl",
    "mpmath": "mpmath",
    "narwhals": "narwhals",
    "packaging": "packaging",
    "pluggy": "pluggy",
    "pygments": "pygments",
    "pytest": "pytest",
    "pytest-xdist": "xdist",
    "rich": "rich",
    "shellingham": "shellingham",
    "sortedcontainers": "sortedcontainers",
    "threadpoolctl": "threadpoolctl",
    "typer": "typer",
    "typing-extensions": "typing_extensions",
}
VERSIONS = (
    *("numpy", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "cupy-cuda12x", "cupy-cuda13x"),
    *("scipy", "scikit-learn", "torch", "hypothesis", "pytest", "array-api-compat", "array-api-extra"),
)

# Each library answers in a process of its own: a driver that hangs or aborts must not end the report.
PROBES = {
    "cupy": "import cupy; assert float(cupy.arange(4.0).sum()) == 6",
    "jax": "import jax; jax.devices('gpu'); assert float(jax.numpy.arange(4.0).sum()) == 6",
}


def fetch() -> int:
    """Download the pure wheels, each into its own folder, so that only what is missing goes on the path."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    for name in CARRIED:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--only-binary=:all:",
        ]
        pure = ["--python-version", "3.12", "--implementation", "py", "--abi", "none", "--platform", "any"]
        subprocess.run([*pip, *pure, "--target", str(WHEELS / name), name], check=True)
    size = sum(path.stat().st_size for path in WHEELS.rglob("*") if path.is_file())
    print(f"{len(CARRIED)} distributions, {size / 2**20:.1f} MiB, in {WHEELS.name}/")
    return 0


def environment() -> dict[str, str]:
    """The source tree, and from .wheels/ what this machine lacks, in front of everything else."""
    lacking = [name for name, module in CARRIED.items() if importlib.util.find_spec(module) is None]
    carried = [WHEELS / name for name in lacking if (WHEELS / name).is_dir()]
    path = os.pathsep.join(map(str, [ROOT / "src", *carried, *filter(None, [os.environ.get("PYTHONPATH")])]))
    # JAX would take three quarters of the memory that CuPy needs as well.
    return {**os.environ, "PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def call(command: list[str], timeout: float, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, output and errors; 124 where the time ran out, 127 where the command is not there."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return 124, said, f"no answer after {timeout:.0f} s"
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def commit() -> dict[str, Any]:
    """Which code this is; for a tree carried without its history, PILLARS_COMMIT can say so."""
    rc, head, _ = call(["git", "rev-parse", "HEAD"], 30)
    if rc != 0:
        return {"commit": os.environ.get("PILLARS_COMMIT"), "dirty": None}
    _, changes, _ = call(["git", "status", "--porcelain"], 30)
    return {"commit": head.strip(), "dirty": bool(changes.strip())}


def device() -> dict[str, Any] | None:
    """The GPU by name, its memory and its driver; None where nvidia-smi has nothing to say."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    rc, said, _ = call(query, 60)
    if rc != 0 or not said.strip():
        return None
    name, memory, driver = (part.strip() for part in said.splitlines()[0].split(","))
    return {"name": name, "memory_mib": int(memory), "driver": driver, "count": len(said.splitlines())}


def versions() -> dict[str, str]:
    """The versions that decide a figure, of what is installed here."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def usable(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Whether CuPy and JAX reach a GPU, and why not."""
    found = {}
    for name, code in PROBES.items():
        rc, _, errors = call([sys.executable, "-c", code], 180, env)
        found[name] = {
            "usable": rc == 0,
            "reason": "" if rc == 0 else last_line(errors) or f"exit status {rc}",
        }
    return found


def run_tests(env: dict[str, str], timeout: float) -> dict[str, Any]:
    """The tests that need a GPU: counts, and each failure with the end of its report."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        # a module's tests in one process: they share what JAX compiled
        options += ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
        rc, said, errors = call([sys.executable, "-m", "pytest", *options, "tests"], timeout, env)
        seconds = round(time.perf_counter() - start, 1)
        if not report.is_file():
            return {"exit": rc, "seconds": seconds, "error": (said + errors)[-4000:]}
        suite = next(ET.parse(report).getroot().iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    bad = [
        (case, part) for case in suite.iter("testcase") for part in case if part.tag in {"failure", "error"}
    ]
    failed = [
        {"test": f"{case.get('classname')}::{case.get('name')}", "report": (part.text or "")[-2000:]}
        for case, part in bad
    ]
    reasons: dict[str, int] = {}
    for part in suite.iter("skipped"):
        reason = part.get("message", "")
        reasons[reason] = reasons.get(reason, 0) + 1
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    return {
        "exit": rc,
        "seconds": seconds,
        "passed": passed,
        **counts,
        "failed": failed,
        "skip_reasons": reasons,
    }


def run_bench(env: dict[str, str], timeout: float, quick: bool) -> dict[str, Any]:
    """What `pillars bench --json` prints, on every backend that is usable here."""
    start = time.perf_counter()
    code = "from pillars.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", "--json", *(["--quick"] if quick else [])]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as running:
        try:
            said, errors = running.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)  # which it answers with what it has measured
            try:
                said, errors = running.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                running.kill()
                said, errors = running.communicate()
    found: dict[str, Any] = {"exit": running.returncode, "seconds": round(time.perf_counter() - start, 1)}
    try:
        return {**found, "result": json.loads(said)}
    except json.JSONDecodeError:
        return {**found, "error": (said + errors)[-4000:]}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole report."""
    end = time.monotonic() + 60 * arguments.minutes
    env = environment()
    report: dict[str, Any] = {
        "schema": 1,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
        "device": device(),
        "versions": versions(),
        "backends": usable(env),
    }
    if not any(backend["usable"] for backend in report["backends"].values()):
        reasons = "; ".join(f"{name}: {backend['reason']}" for name, backend in report["backends"].items())
        return {**report, "status": "not run", "reason": f"no usable GPU: {reasons}"}
    report["bench"] = run_bench(env, (end - time.monotonic()) / 2, arguments.quick)
    report["tests"] = run_tests(env, max(end - time.monotonic() - 10, 10))
    cut = "result" in report["bench"] and report["bench"]["result"]["interrupted"]
    wrong = [
        f"{part}: exit status {report[part]['exit']}"
        for part in ("bench", "tests")
        if report[part]["exit"] and not (part == "bench" and cut)
    ]
    if not report["tests"].get("passed"):
        wrong.append("no GPU test passed")
    if "result" not in report["bench"]:
        wrong.append("the bench printed no JSON")
    return {**report, "status": "failed" if wrong else "passed", "reason": "; ".join(wrong)}


def main() -> int:
    """Parse, run, write; the exit status says whether anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="where the JSON goes; else to standard output")
    parser.add_argument("--fetch", action="store_true", help="download the pure wheels, then stop")
    parser.add_argument("--quick", action="store_true", help="the short form of the bench")
    parser.add_argument("--minutes", type=float, default=9, help="that everything together may take")
    arguments = parser.parse_args()
    if arguments.fetch:
        return fetch()
    report = measure(arguments)
    text = json.dumps(report, indent=1)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text + "\n", encoding="utf-8")
        print(f"{report['status']}{': ' if report['reason'] else ''}{report['reason']} ({arguments.out})")
    return int(report["status"] == "failed")


if __name__ == "__main__":
    sys.exit(main())
