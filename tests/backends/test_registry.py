"""Which backends there are: namespaces by type, what is available and why not, kernels by string, a lazy package."""

from __future__ import annotations

import importlib.machinery
import inspect
import json
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import pillars
from backends._toys import scaled
from contracts._support import operations
from pillars.backends import (
    Adapter,
    _registry as registry,
    available,
    kernel_table,
    namespace,
    register_array_type,
)
from pillars.probability import softmax


def test_namespaces_by_type():
    assert namespace(np.ones(2)) is np
    assert namespace(np.ones(2), np.ones(2)) is np
    strict = pytest.importorskip("array_api_strict")
    assert namespace(strict.ones(2)) is strict
    with pytest.raises(pillars.BackendError, match="got arrays of numpy and strict"):
        namespace(np.ones(2), strict.ones(2))
    with pytest.raises(pillars.BackendError, match="namespace: got list, expected an array"):
        namespace([1.0])


def test_the_namespace_of_jax_inside_and_outside_a_trace():
    jax = pytest.importorskip("jax")
    seen = []
    jax.jit(lambda x: seen.extend([namespace(x), namespace(x, np.ones(2)), namespace(np.ones(2), x)]))(
        jax.numpy.ones(2)
    )
    assert seen == [jax.numpy] * 3
    assert namespace(jax.numpy.ones(2)) is jax.numpy


def test_arrays_inside_a_program_of_jax_are_its_own():
    jax = pytest.importorskip("jax")
    closed = jax.make_jaxpr(lambda x: x * np.asarray([1.0, 2.0, 3.0]))(jax.numpy.ones(3))
    inside = [*closed.consts, *(x.val for e in closed.eqns for x in e.invars if hasattr(x, "val"))]
    constant = next(x for x in inside if getattr(x, "shape", ()) == (3,))
    if type(constant) is np.ndarray:
        pytest.skip("not applicable: this JAX keeps NumPy's arrays as they are")
    assert namespace(constant) is jax.numpy
    assert pillars.backend(constant).name == "jax"
    assert pillars.backend(constant).device_beside(constant) is None
    found = softmax(constant)
    assert isinstance(found, jax.Array)
    np.testing.assert_array_equal(found, softmax(jax.numpy.asarray(constant)))
    # NumPy's own array classes are not
    assert not pillars.backend("jax").owns(np.ma.MaskedArray)


def test_an_adapter_handles_its_own_arrays():
    class Wrapped:
        shape, dtype = (), np.dtype(float)

    register_array_type(
        Wrapped, Adapter(lambda record, values: (record.name, len(values)), lambda x: "its namespace")
    )
    try:
        assert scaled(Wrapped()) == ("_toys.scaled", 6)
        assert scaled(np.ones(2), by=Wrapped()) == ("_toys.scaled", 6)
        assert namespace(np.ones(2), Wrapped()) == "its namespace"
    finally:
        registry._adapters.pop(Wrapped)


def test_available_says_what_is_here():
    found = available()
    assert set(found) == {"numpy", "cupy", "jax"}
    assert found["numpy"] == (True, np.__version__, ("cpu",), "")
    for one in found.values():
        assert one.usable == (one.reason == "")


def _cupy_without_a_gpu() -> types.ModuleType:
    """What `import cupy` gives on a machine with CuPy and no GPU: a whole library that fails at first use."""

    class CUDARuntimeError(RuntimeError):
        pass

    def fail(*_):
        raise CUDARuntimeError(
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
        )

    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.ndarray = type("ndarray", (), {"__module__": "cupy"})
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=fail), Device=fail)
    cupy.asarray = fail
    return cupy


@pytest.fixture
def cupy_without_a_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", _cupy_without_a_gpu())
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", types.ModuleType("array_api_compat.cupy"))
    import array_api_compat

    monkeypatch.setattr(array_api_compat, "cupy", sys.modules["array_api_compat.cupy"], raising=False)
    for name in [name for name in sys.modules if name.startswith("pillars.backends.on_cupy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(registry._instances, "cupy", raising=False)
    before = dict(registry._by_type)
    yield
    registry._by_type.clear()
    registry._by_type.update(before)
    registry._instances.pop("cupy", None)
    for name in [name for name in sys.modules if name.startswith("pillars.backends.on_cupy")]:
        sys.modules.pop(name)


@pytest.mark.usefixtures("cupy_without_a_gpu")
def test_cupy_without_a_gpu_is_reported_with_its_reason():
    found = available()["cupy"]
    assert not found.usable
    assert found.version == "14.2.0"
    assert "cudaErrorInsufficientDriver" in found.reason
    with pytest.raises(pillars.BackendError, match="cudaErrorInsufficientDriver"):
        pillars.use("cupy")


@pytest.mark.usefixtures("cupy_without_a_gpu")
def test_cupy_without_a_gpu_breaks_nothing_else():
    class Foreign:
        pass

    assert scaled(np.ones(2)) == 4.0
    with pytest.raises(pillars.DTypeError, match="Foreign"):
        scaled(Foreign())
    with pytest.raises(pillars.BackendError, match="namespace: got"):
        namespace(Foreign())


def test_a_broken_library_is_reported_not_raised(monkeypatch):
    monkeypatch.setitem(registry.BACKENDS, "jax", ("a_library_that_breaks", registry.BACKENDS["jax"][1]))
    spec = importlib.machinery.ModuleSpec("a_library_that_breaks", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: spec)
    found = available()["jax"]
    assert not found.usable
    assert found.reason.startswith("importing a_library_that_breaks failed")


def test_a_failure_without_words_is_told_with_the_setting_that_may_explain_it(monkeypatch):
    def fail(target):
        raise AssertionError

    monkeypatch.setattr(registry, "load", fail)
    monkeypatch.setattr(registry, "_unusable", {})
    monkeypatch.delitem(registry._instances, "jax", raising=False)
    monkeypatch.setitem(registry.BACKENDS, "jax", ("array_api_compat", registry.BACKENDS["jax"][1]))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    said = "AssertionError without a message (JAX_PLATFORMS='cuda' is set)"
    assert available()["jax"].reason == said
    with pytest.raises(pillars.BackendError, match=re.escape(f"not usable here: {said}. Choose another")):
        pillars.backend("jax")
    monkeypatch.delenv("JAX_PLATFORMS")
    assert available()["jax"].reason == "AssertionError without a message"


def test_what_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(registry.BACKENDS, "jax", ("no_such_library", "no_such:Backend"))
    monkeypatch.delitem(registry._instances, "jax", raising=False)
    assert "pip install jax" in available()["jax"].reason
    with pytest.raises(pillars.BackendError, match=r"pip install jax"):
        pillars.backend("jax")


def _targets() -> list[tuple[str, str, str]]:
    return [
        (name, operation, target)
        for name in registry.BACKENDS
        for operation, target in kernel_table(name).items()
    ]


def test_every_kernel_serves_an_operation_that_exists():
    known = {record.name for record in operations()}
    assert [operation for _, operation, _ in _targets() if operation not in known] == []


def test_every_kernel_resolves_and_has_its_operation_s_signature():
    records = {record.name: record for record in operations()}
    usable = available()
    for name, operation, target in _targets():
        if not usable[name].usable:
            continue
        kernel = registry.load(target)
        record = records[operation]
        expected = [(p.name, p.positional) for p in record.parameters if p not in record.names]
        own = inspect.signature(kernel).parameters.values()
        assert [(p.name, p.kind is p.POSITIONAL_ONLY) for p in own] == expected, target
        assert kernel.minimum_size >= 0, target
        if kernel.eligible is not None:
            positional = [None for _, positional in expected if positional]
            options = {name: None for name, positional in expected if not positional}
            inspect.signature(kernel.eligible).bind(*positional, **options)


def _python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_computing_on_numpy_loads_no_other_library():
    code = (
        "import sys, json, pillars, numpy\n"
        "before = [name for name in ('jax', 'cupy', 'scipy') if name in sys.modules]\n"
        "pillars.softmax(numpy.ones(3)); pillars.softmax([1.0, 2.0])\n"
        "after = [name for name in ('jax', 'cupy', 'array_api_strict') if name in sys.modules]\n"
        "print(json.dumps([before, after]))"
    )
    assert json.loads(_python(code)) == [[], []]


def test_no_global_setting_is_changed():
    pytest.importorskip("jax")
    code = (
        "import jax, numpy, warnings, pillars\n"
        "before = jax.config.jax_enable_x64, numpy.geterr(), list(warnings.filters)\n"
        "pillars.backend('jax'); pillars.softmax(jax.numpy.ones(3)); pillars.softmax(numpy.ones(3))\n"
        "print(before == (jax.config.jax_enable_x64, numpy.geterr(), list(warnings.filters)))"
    )
    assert _python(code, JAX_ENABLE_X64="0").strip() == "True"
