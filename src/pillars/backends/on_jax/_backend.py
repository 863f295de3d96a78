"""JAX, as the rest of pillars sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from pillars._errors import BackendError
from pillars.backends._call_arguments import float_of, promote
from pillars.backends._capabilities import feature_of, require
from pillars.backends._dtypes import native
from pillars.backends._generic_call import narrow, one_device
from pillars.backends._operation import choose
from pillars.backends._protocol import Backend
from pillars.backends._scaling import binary_scale_by_comparison
from pillars.backends.on_jax._derivatives import with_rules
from pillars.backends.on_jax._jaxpr_observer import is_literal, run_told
from pillars.backends.on_jax._pytrees import opened, opening, sealed
from pillars.backends.on_jax._tracer_errors import explained, explaining
from pillars.backends.on_jax.linear import held

__all__ = ["JaxBackend"]

_binary_scale = jax.jit(partial(binary_scale_by_comparison, jnp), static_argnums=(1, 2))


class JaxBackend(Backend):
    """JAX: operations are jitted once; inside somebody's jit they are traced as they are."""

    name = "jax"
    xp = jnp
    differentiates = True
    notes: ClassVar[dict[str, str]] = {
        "vmap": "jax.vmap",
        "jit": "jax.jit",
        "grad": "jax.grad of the body, or its rule",
    }

    def owns(self, kind: type) -> bool:
        if issubclass(kind, np.ndarray):
            return is_literal(kind)
        return issubclass(kind, (jax.Array, jax.core.Tracer)) or self.is_tracer(kind)

    def is_tracer(self, kind: type) -> bool:
        return issubclass(kind, jax.core.Tracer)

    def explaining(self) -> AbstractContextManager[Any]:
        return explaining()

    def in_trace(self) -> bool:
        # an array made inside a trace belongs to it; there is no public question to ask instead
        return isinstance(jnp.zeros(()), jax.core.Tracer)

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(f"{device.platform}:{device.id}" for device in jax.devices())

    @property
    def default_float(self) -> Any:
        return jnp.result_type(float)

    def _device(self, device: Any) -> Any:
        if not isinstance(device, str):
            return device
        platform, _, number = device.partition(":")
        for candidate in jax.devices(platform):
            if candidate.id == int(number or 0):
                return candidate
        raise BackendError(f"jax: got device {device!r}, expected one of {', '.join(self.devices)}.")

    def device_of(self, x: Any) -> Any:
        # a literal of a program is NumPy's own array still, which says "cpu"
        if self.is_tracer(type(x)) or isinstance(x, np.ndarray):
            return None
        return x.device

    def device_beside(self, x: Any) -> Any:
        # what nobody placed goes along with whatever it meets, and so must what is made beside it
        if self.is_tracer(type(x)) or not getattr(x, "committed", True):
            return None
        device = self.device_of(x)
        if not isinstance(device, jax.sharding.Sharding):
            return device
        if isinstance(device, jax.sharding.NamedSharding):
            mesh = device.mesh
        else:
            mesh = jax.sharding.Mesh(sorted(device.device_set, key=lambda one: one.id), ("all",))
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None) -> Any:
        made = jnp.asarray(native(obj), dtype=dtype)
        return made if device is None else jax.device_put(made, self._device(device))

    def stored_dtype(self, dtype: Any) -> Any:
        return jax.dtypes.canonicalize_dtype(dtype)

    def double(self) -> AbstractContextManager[Any]:
        # before 0.8 the context was an experiment, and the name in jax itself another thing or none
        switch: Any = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
        return cast("AbstractContextManager[Any]", switch(True))

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def binary_scale(
        self, x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False
    ) -> Any:
        return _binary_scale(x, axis, keepdims)

    def entry(self, record: Any, kinds: tuple[type, ...], traced_number: bool) -> Callable[..., Any]:
        if record.unsupported:
            for kind in kinds:
                if self.is_tracer(kind):
                    require(record, self.name, feature_of(kind), "Call it outside, and pass its result in.")
        if any(kind.__name__ == "DynamicJaxprTracer" for kind in kinds):
            return self._inline(record)
        return self._compiled(record)

    def explain_entry(self, record: Any, values: list[Any]) -> list[str]:
        notes = []
        if any(type(value).__name__ == "DynamicJaxprTracer" for value in values):
            notes.append("traced as it is inside a jit")
        else:
            notes.append("jitted once")
        if record.jax_derivative == "vjp":
            notes.append("custom_vjp: reverse mode only")
        return notes

    def _inline(self, record: Any) -> Callable[..., Any]:
        def inline(*values: Any) -> Any:
            given = list(values)
            record.run_check(given)
            return self._compute(record, given)

        return inline

    def _compute(self, record: Any, values: list[Any]) -> Any:
        """The operation on JAX values, without its check: what the record's jit compiles."""
        dtype = float_of(self, record, values)
        values = promote(self, record, values, dtype)
        function = with_rules(record, values, choose(self, record, values)[0])
        return narrow(self, record, function(values), dtype)

    def _compiled(self, record: Any) -> Callable[..., Any]:
        if "jit" not in record.cache:
            kept = [p for p in record.parameters if p not in record.names]
            statics = tuple(place for place, p in enumerate(kept) if p in record.statics)

            def compute(*given: Any) -> Any:
                values: list[Any] = [None] * len(record.parameters)
                for parameter, value in zip(kept, given, strict=True):
                    values[parameter.position] = value
                return self._compute(record, values)

            compute.__name__ = compute.__qualname__ = record.body.__name__
            record.cache["jit"] = jax.jit(compute, static_argnums=statics)
            record.cache["places"] = [p.position for p in kept]
        compiled, places = record.cache["jit"], record.cache["places"]

        def run(*values: Any) -> Any:
            record.run_check(list(values))
            try:
                return compiled(*[values[place] for place in places])
            except ValueError:
                one_device(self, record, list(values))  # says which two devices, where that was it
                raise

        return run

    def held(self, tree: Any) -> AbstractContextManager[Any]:
        return held(tree)

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return _Through(jax.jit(opening(f)))

    def grad(self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
        return _Through(jax.grad(explained(opening(f)), argnums))

    def value_and_grad(
        self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        return _Through(jax.value_and_grad(explained(opening(f)), argnums, has_aux))

    def vjp(self, f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        out, pullback = jax.vjp(explained(opening(f)), *map(sealed, args))
        return opened(out), _Through(pullback)

    def jvp(
        self, f: Callable[..., Any], at: tuple[Any, ...], along: tuple[Any, ...], otherwise: Callable[[], Any]
    ) -> Any:
        """The change of `f` along a vector in forward mode; `otherwise` where a rule inside has no forward mode."""
        try:
            return opened(jax.jvp(opening(f), sealed(at), sealed(along))[1])
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
            return otherwise()

    def run_told(self, f: Callable[..., Any], args: tuple[Any, ...], note: Callable[..., None]) -> Any:
        """``f(*args)``, equation by equation, with `note` told of each."""
        return opened(run_told(opening(f), sealed(args), note))

    def vmap(
        self, f: Callable[..., Any], in_axes: int | Sequence[int | None] | None = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        return _Through(jax.vmap(opening(f), in_axes, out_axes))

    def scan(
        self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None
    ) -> tuple[Any, Any]:
        carry, out = jax.lax.scan(opening(f), sealed(init), sealed(xs), length)
        return opened(carry), opened(out)

    def while_loop(self, condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
        return opened(jax.lax.while_loop(opening(condition), opening(body), sealed(init)))

    def cond(
        self, predicate: Any, on_true: Callable[..., Any], on_false: Callable[..., Any], *operands: Any
    ) -> Any:
        return opened(jax.lax.cond(predicate, opening(on_true), opening(on_false), *map(sealed, operands)))

    def memory(self, f: Callable[..., Any], *args: Any) -> int | None:
        """What the compiler planned for `f` as a whole: results and all that it keeps in between."""
        compiled: Any = f if hasattr(f, "lower") else self.jit(f)
        plan = compiled.lower(*map(sealed, args)).compile().memory_analysis()
        if plan is None:
            return None
        return int(plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes)

    def synchronize(self, x: Any = None) -> Any:
        return opened(jax.block_until_ready(sealed(x)))


class _Through:
    """A function of JAX's on trees that JAX need not know; what else it has is the function's."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        return opened(
            self.function(*map(sealed, args), **{name: sealed(value) for name, value in options.items()})
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)
