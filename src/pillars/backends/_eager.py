"""What NumPy, CuPy and the strict namespace share: loops in Python, no compiler, gradients by the tracing array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pillars._errors import ShapeError
from pillars.backends._generic_call import run_generic
from pillars.backends._operation import choose
from pillars.backends._protocol import Backend
from pillars.backends._registry import load
from pillars.backends._tree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = ["EagerBackend"]

_REVERSE = "pillars.calculus.autodiff"


class EagerBackend(Backend):
    """A backend whose functions run as they are called."""

    notes: ClassVar[dict[str, str]] = {
        "jit": "nothing to compile: jit returns the function unchanged",
        "vmap": "loops over the axis in Python and stacks",
        "grad": "reverse mode by the tracing array, with hand-derived gradients where there are any",
    }

    def owns(self, kind: type) -> bool:
        return issubclass(kind, self.array_type)

    array_type: type

    def entry(self, record: Any, kinds: tuple[type, ...], traced_number: bool) -> Callable[..., Any]:
        def run(*values: Any) -> Any:
            given = list(values)
            return run_generic(self, record, given, choose(self, record, given)[0])

        return run

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def grad(self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
        made: Callable[..., Any] = load(f"{_REVERSE}:grad")(f, argnums)
        return made

    def value_and_grad(
        self, f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        made: Callable[..., Any] = load(f"{_REVERSE}:value_and_grad")(f, argnums, has_aux=has_aux)
        return made

    def vjp(self, f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        made: tuple[Any, Callable[[Any], tuple[Any, ...]]] = load(f"{_REVERSE}:vjp")(f, *args)
        return made

    def vmap(
        self, f: Callable[..., Any], in_axes: int | Sequence[int | None] | None = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        def mapped(*args: Any) -> Any:
            axes = (in_axes,) * len(args) if in_axes is None or isinstance(in_axes, int) else tuple(in_axes)
            if len(axes) != len(args):
                raise ShapeError(
                    f"vmap: got {len(args)} arguments and {len(axes)} in_axes, expected as many of each."
                )
            lengths = {
                leaf.shape[axis]
                for arg, axis in zip(args, axes, strict=True)
                if axis is not None
                for leaf in tree_leaves(arg)
            }
            if len(lengths) != 1:
                raise ShapeError(
                    f"vmap: got mapped axes of lengths {sorted(lengths)}, expected one length. "
                    "Use in_axes=None for what is not mapped."
                )
            rows = [
                f(*(_row(self.xp, arg, axis, position) for arg, axis in zip(args, axes, strict=True)))
                for position in range(lengths.pop())
            ]
            if not rows:
                raise ShapeError(
                    f"vmap on {self.name}: got a mapped axis of length 0, expected at least 1: it loops over the axis, "
                    "and without a call there is no result's shape. Handle the empty batch outside."
                )
            return self._stack(rows, out_axes)

        return mapped

    def _stack(self, rows: list[Any], axis: int = 0) -> Any:
        columns = [tree_flatten(row) for row in rows]
        leaves = [
            self.xp.stack([self._array(leaf) for leaf in parts], axis=axis)
            for parts in zip(*(leaves for leaves, _ in columns), strict=True)
        ]
        return tree_unflatten(columns[0][1], leaves)

    def _array(self, leaf: Any) -> Any:
        return leaf if self.owns(type(leaf)) else self.asarray(leaf)

    def scan(
        self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None
    ) -> tuple[Any, Any]:
        leaves = tree_leaves(xs)
        lengths = {leaf.shape[0] for leaf in leaves} | ({length} if length is not None else set())
        if len(lengths) != 1:
            raise ShapeError(
                f"scan: got leading lengths {sorted(lengths)}, expected one. Pass length= where there are no xs."
            )
        carry, out = init, []
        for position in range(lengths.pop()):
            row = tree_map(lambda leaf, at=position: leaf[at, ...], xs)
            carry, y = f(carry, row)
            out.append(y)
        return carry, (self._stack(out) if out else None)

    def while_loop(self, condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
        state = init
        while bool(condition(state)):
            state = body(state)
        return state

    def cond(
        self, predicate: Any, on_true: Callable[..., Any], on_false: Callable[..., Any], *operands: Any
    ) -> Any:
        return on_true(*operands) if bool(predicate) else on_false(*operands)

    def synchronize(self, x: Any = None) -> Any:
        return x

    def device_of(self, x: Any) -> Any:
        return x.device


def _row(xp: Any, arg: Any, axis: int | None, position: int) -> Any:
    if axis is None:
        return arg
    return tree_map(lambda leaf: xp.moveaxis(leaf, axis, 0)[position, ...], arg)
