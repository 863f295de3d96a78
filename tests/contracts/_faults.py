"""Which fault each contract must notice, and where that is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from contracts import (
    _plants,
    bad_inputs,
    caches,
    depth,
    derivatives,
    grad,
    interface,
    jit,
    kernels,
    kinds,
    oracle,
    parity,
    purity,
    scale,
    special_points,
    vmap,
)
from pillars.backends import Record

__all__ = ["FAULTS", "Fault"]


class Fault(NamedTuple):
    """A fault, the contract that must notice it, and where that is run."""

    contract: str
    name: str
    check: Callable[..., None]
    variant: str
    plant: Callable[[Record], Any]
    everywhere: bool = True  # in every operation; otherwise in one, softmax


FAULTS = (
    Fault("oracle", "body off by a thousandth", oracle.check, "numpy", _plants.body_off),
    Fault("kernel", "kernel off by a thousandth", kernels.check, "numpy", _plants.kernel_off),
    Fault("kind", "another dtype", kinds.check, "numpy", _plants.another_dtype),
    Fault("kind", "another shape", kinds.check, "numpy", _plants.another_shape),
    Fault("kind", "another library", kinds.check, "strict", _plants.another_library),
    Fault("kind", "another device", kinds.check, "strict-device1", _plants.another_device),
    Fault("purity", "writes to its input", purity.check, "numpy", _plants.writes_to_input),
    Fault("purity", "writes to its input", purity.check, "strict", _plants.writes_to_input),
    Fault("purity", "returns its input", purity.check, "numpy", _plants.returns_its_input),
    Fault("purity", "refuses read-only input", purity.check, "numpy", _plants.refuses_read_only),
    Fault("purity", "gradient writes to its cotangent", purity.check, "numpy", _plants.gradient_writes),
    Fault("parity", "off on another library", parity.check, "strict", _plants.off_beside_numpy),
    Fault(
        "parity", "off on another library", parity.check, "jax", _plants.off_beside_numpy, everywhere=False
    ),
    Fault("scale", "off far from 1", scale.check, "numpy", _plants.off_far_from_one),
    Fault("jit", "off under a trace", jit.check, "jax-jit", _plants.off_under_trace),
    Fault("jit", "branches on values", jit.check, "jax-jit", _plants.branches_on_values, everywhere=False),
    Fault("vmap", "remembers its first answer", vmap.check, "numpy", _plants.remembers_its_first_answer),
    Fault("vmap", "leaves JAX", vmap.check, "jax", _plants.leaves_jax, everywhere=False),
    Fault("grad", "a wrong rule", grad.check, "numpy", _plants.wrong_rule_everywhere),
    Fault("grad", "a wrong rule", grad.check, "jax", _plants.wrong_rule_everywhere, everywhere=False),
    Fault("grad", "forward mode off", grad.check, "jax", _plants.forward_mode_off),
    Fault("depth", "gradient without slopes", depth.check, "numpy", _plants.gradient_without_slopes),
    Fault("depth", "gradient without slopes", depth.check, "strict", _plants.gradient_without_slopes),
    Fault("traced cotangent", "gradient assigns", depth.check_cotangent, "numpy", _plants.gradient_assigns),
    Fault("differences", "gradient off", derivatives.check, "numpy", _plants.gradient_off),
    Fault("differences", "gradient misshapen", derivatives.check, "numpy", _plants.gradient_misshapen),
    Fault("differences", "gradient missing", derivatives.check, "numpy", _plants.gradient_missing),
    Fault(
        "autodiff",
        "gradient off",
        derivatives.check_autodiff,
        "numpy",
        _plants.gradient_off,
        everywhere=False,
    ),
    Fault("complex step", "gradient off", derivatives.check_complex_step, "numpy", _plants.gradient_off),
    Fault(
        "needs",
        "gradient of all or nothing",
        derivatives.check_needs,
        "numpy",
        _plants.gradient_of_all_or_nothing,
    ),
    Fault(
        "special points",
        "second derivative off",
        special_points.check,
        "numpy",
        _plants.second_derivative_off,
        everywhere=False,
    ),
    Fault("special points", "gradient off", special_points.check, "numpy", _plants.gradient_off),
    Fault("bad inputs", "bare error", bad_inputs.check, "numpy", _plants.bare_error_on_odd_layout),
    Fault("bad inputs", "wrong answer", bad_inputs.check, "numpy", _plants.wrong_for_odd_layout),
    Fault("bad inputs", "warning", bad_inputs.check, "numpy", _plants.warns),
    Fault("bad inputs", "writes to its input", bad_inputs.check, "numpy", _plants.writes_to_input),
    Fault("bad inputs", "unhelpful error", bad_inputs.check, "numpy", _plants.unhelpful),
    Fault("bad inputs", "hang", bad_inputs.check, "numpy", _plants.hangs, everywhere=False),
    Fault("mixed", "first library wins", bad_inputs.check_mixed, "numpy", _plants.first_library_wins),
    Fault("mixed", "devices unchecked", bad_inputs.check_mixed, "strict", _plants.devices_unchecked),
    Fault("caches", "numbers are static", caches.check, "jax", _plants.numbers_are_static),
    Fault("caches", "names are static", caches.check, "jax", _plants.names_are_static),
    Fault(
        "caches",
        "forgets what it compiled",
        caches.check,
        "jax",
        _plants.forgets_what_it_compiled,
        everywhere=False,
    ),
    Fault("interface", "no docstring", interface.check, "numpy", _plants.of_function("__doc__", None)),
    Fault("interface", "sections missing", interface.check, "numpy", _plants.sections_missing),
    Fault(
        "interface",
        "does not pickle",
        interface.check,
        "numpy",
        _plants.of_function("__qualname__", "elsewhere"),
    ),
)
