"""The ground floor: the record behind every operation, and the only room that names NumPy, CuPy or JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.backends._accurate_sums import averaged, summed, unbroadcast
from pillars.backends._call_arguments import (
    backend_of_call as backend_of_call,
    common_backend,
    normalise as normalise,
)
from pillars.backends._capabilities import Capability, capabilities, capability, require
from pillars.backends._context import Choice, backend, chosen, refuse_traced, use, using
from pillars.backends._convert import asarray, move
from pillars.backends._cost import Cost, Flops, call_cost, count_flops, gradient_cost, per_entry
from pillars.backends._derivative import asks_what_is_reached as asks_what_is_reached, forward_and_pullback
from pillars.backends._dtypes import (
    common_dtype,
    dtype_kind,
    dtype_name,
    dtype_range,
    limited,
    refuse_narrowing,
)
from pillars.backends._eager import EagerBackend as EagerBackend
from pillars.backends._example_inputs import Call, Draw
from pillars.backends._fingerprint import fingerprint
from pillars.backends._generic_call import run_generic as run_generic
from pillars.backends._host_numbers import host_number, plain_bool, plain_float, plain_int
from pillars.backends._kernels import kernel, kernel_table, pullback_of as pullback_of
from pillars.backends._operation import (
    Explanation,
    Operation,
    Procedure,
    explain,
    forced_kernels,
    in_reference as in_reference,
    operation,
    procedure,
    reference_bodies,
)
from pillars.backends._option_checks import MOST as MOST, count as count, rate as rate, within as within
from pillars.backends._protocol import Availability, Backend
from pillars.backends._public_function import compile_source as compile_source, entry_key as entry_key
from pillars.backends._record import Parameter, Record, records
from pillars.backends._registry import (
    Adapter,
    available,
    backend_of_type as backend_of_type,
    namespace,
    register_array_type,
)
from pillars.backends._scaling import binary_scale
from pillars.backends._threads import blas_libraries, num_threads, pool_map, single_threaded_blas
from pillars.backends._tree import (
    TreeDef as TreeDef,
    is_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)

__all__ = [
    "Adapter",
    "Availability",
    "Backend",
    "Call",
    "Capability",
    "Choice",
    "Cost",
    "Draw",
    "Explanation",
    "Flops",
    "Operation",
    "Parameter",
    "Procedure",
    "Record",
    "asarray",
    "available",
    "averaged",
    "backend",
    "binary_scale",
    "blas_libraries",
    "call_cost",
    "capabilities",
    "capability",
    "chosen",
    "common_backend",
    "common_dtype",
    "count_flops",
    "dtype_kind",
    "dtype_name",
    "dtype_range",
    "explain",
    "fingerprint",
    "forced_kernels",
    "forward_and_pullback",
    "gradient_cost",
    "host_number",
    "is_node",
    "kernel",
    "kernel_table",
    "limited",
    "move",
    "namespace",
    "num_threads",
    "operation",
    "per_entry",
    "plain_bool",
    "plain_float",
    "plain_int",
    "pool_map",
    "procedure",
    "records",
    "reference_bodies",
    "refuse_narrowing",
    "refuse_traced",
    "register_array_type",
    "require",
    "single_threaded_blas",
    "summed",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_paths",
    "tree_unflatten",
    "unbroadcast",
    "use",
    "using",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
