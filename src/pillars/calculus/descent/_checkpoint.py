"""Where a descent stood: written every so many steps, and taken up again by the same descent."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pillars._errors import CheckpointError, DTypeError, shown
from pillars.backends import (
    Backend,
    backend as backend_of,
    dtype_name,
    tree_flatten,
    tree_leaves,
    tree_paths,
    tree_unflatten,
)
from pillars.calculus._parameters import rate_dtype
from pillars.calculus.descent._monitors import Monitor
from pillars.calculus.descent._plan import Plan
from pillars.calculus.descent._safetensors import read, write
from pillars.calculus.optimizers import Init, Optimizer, PlateauInit, PlateauUpdate, Update

__all__ = ["Checkpoint", "Saved", "identity"]

_FORMAT = "pillars descent 1"
_SAMPLE = 1 << 16  # entries of an array of data that are looked at
_HISTORY = "history"


class Saved:
    """What a file holds: arrays by name, the steps that had been taken, and the history of them."""

    def __init__(self, where: str, arrays: dict[str, Any]) -> None:
        self.where = where
        self.arrays = arrays
        self.step = int(self._named("step"))
        self.history = self._named(_HISTORY)

    def _named(self, name: str) -> Any:
        if name not in self.arrays:
            raise CheckpointError(
                f"gradient_descent: checkpoint {self.where} has no {name!r}, expected all that this descent needs. "
                "It is left as it is: move it away to begin anew."
            )
        return self.arrays[name]

    def tree(self, name: str, like: Any, backend: Backend) -> Any:
        """The tree that was saved under this name, its leaves of the kinds of those of `like`."""
        leaves, treedef = tree_flatten(like)
        result = []
        for path, leaf in zip(tree_paths(like, name), leaves, strict=True):
            array = self._named(path)
            if isinstance(leaf, (bool, int, float)):
                result.append(type(leaf)(array.item()))
                continue
            if tuple(array.shape) != tuple(leaf.shape) or dtype_name(array.dtype) != dtype_name(leaf.dtype):
                raise CheckpointError(
                    f"gradient_descent: checkpoint {self.where} has {path} of shape {tuple(array.shape)} and "
                    f"{dtype_name(array.dtype)}, expected {tuple(leaf.shape)} and {dtype_name(leaf.dtype)}. It is left "
                    "as it is: move it away to begin anew."
                )
            result.append(backend.asarray(array.copy(), dtype=leaf.dtype, device=backend.device_beside(leaf)))
        return tree_unflatten(treedef, result)

    def refuse_another_loss(self, plan: Plan, params: Any, data: Any, key: Any) -> None:
        """Refuse a loss that is not at the start what the first loss was; functions' code cannot be compared."""
        if not self.step:
            return
        batch = plan.batch(data, plan.order(key, 0), 0) if plan.batch_size else data
        xp = plan.backend.xp
        with plan.backend.quiet():
            value = plan.value(params, *batch)
        now, then = float(value), float(self.history[0, 0])
        # compiled, and with another number of threads, it may round otherwise
        eps = max(_eps(xp, dtype) for dtype in (value.dtype, rate_dtype(xp, tree_leaves(params))))
        if not abs(now - then) <= math.sqrt(eps) * max(abs(now), abs(then)):
            raise CheckpointError(
                f"gradient_descent: checkpoint {self.where} is of another run: its loss began at {then:.9g}, expected "
                f"{now:.9g}, that of this one. It is left as it is: give this run another path, or move the file away. "
                "A loss that draws random numbers should be handed them as data."
            )


def _eps(xp: Any, dtype: Any) -> float:
    """The spacing of numbers at 1; NumPy's finfo does not know bfloat16."""
    return 2.0**-7 if dtype_name(dtype) == "bfloat16" else float(xp.finfo(dtype).eps)


class Checkpoint:
    """One file, and whose it is.

    Parameters
    ----------
    path : where. Its folder must be there.
    backend : the backend of the arrays.
    """

    def __init__(self, path: Any, backend: Backend) -> None:
        if not isinstance(path, (str, os.PathLike)) or isinstance(path, bytes):
            raise DTypeError(
                f"gradient_descent: checkpoint is {shown(path)}, expected a path such as 'run.safetensors'."
            )
        self.path, self.backend = Path(path), backend
        self.owner: dict[str, str] = {}
        self.always: dict[str, Any] = {}  # trees that every file holds
        if "\0" in str(self.path):
            raise CheckpointError(
                f"gradient_descent: checkpoint is {str(self.path)!r}, expected a path without NUL."
            )
        if self.path.is_dir() or not self.path.parent.is_dir():
            what = "is a folder" if self.path.is_dir() else "is in a folder that is not there"
            raise CheckpointError(
                f"gradient_descent: checkpoint {str(self.path)!r} {what}, expected a file's path in a folder that is."
            )

    def load(self, owner: Mapping[str, str], steps: int) -> Saved | None:
        """What the file holds, if there is one, of a descent with this identity.

        Raises
        ------
        CheckpointError : it is damaged, or another descent's; it stays as it is.
        """
        self.owner = {"format": _FORMAT, **owner}
        if not self.path.exists():
            return None
        where = repr(str(self.path))
        arrays, metadata = read(self.path)
        for name, mine in self.owner.items():
            if metadata.get(name) != mine:
                raise CheckpointError(
                    f"gradient_descent: checkpoint {where} is of another run: its {name} is "
                    f"{metadata.get(name, 'not there')}, expected {mine}. It is left as it is: give this run another "
                    "path, or move the file away."
                )
        saved = Saved(where, arrays)
        if saved.step > steps:
            raise CheckpointError(
                f"gradient_descent: checkpoint {where} is of step {saved.step}, expected at most steps={steps}. Raise "
                "steps to go on from there, or give this run another path."
            )
        return saved

    def save(self, step: int, history: Any, **trees: Any) -> None:
        """Write the file anew: `history` has one row a step, the trees are what :meth:`Saved.tree` gives back."""
        host = backend_of("numpy").xp
        arrays = {"step": host.asarray(step, dtype=host.int64), _HISTORY: self.backend.to_numpy(history)}
        for name, tree in {**self.always, **trees}.items():
            for path, leaf in zip(tree_paths(tree, name), tree_leaves(tree), strict=True):
                plain = isinstance(leaf, (bool, int, float))
                arrays[path] = host.asarray(leaf) if plain else self.backend.to_numpy(leaf)
        write(self.path, arrays, self.owner)


def identity(plan: Plan, params: Any, data: Any, key: Any, drawn: bool, **numbers: Any) -> dict[str, str]:
    """What makes a descent this one and no other, in words: whatever its bits depend on but functions' code."""
    backend = plan.backend
    return {
        "backend": backend.name,
        "parameters": ", ".join(
            f"{path or 'array'} {dtype_name(leaf.dtype)}{list(leaf.shape)}"
            for path, leaf in zip(tree_paths(params), tree_leaves(params), strict=True)
        ),
        "start": _digest(backend, params, whole=True),
        "data": _digest(backend, data, whole=False),
        "optimizer": _optimizer(plan.optimizer),
        "gradient": "by autodiff" if plan.gradient is None else "given",
        "batch_size": str(plan.batch_size),
        "rng": "drawn anew" if drawn else "none" if key is None else str(backend.to_numpy(key).tolist()),
        "monitor": " and ".join(
            repr(one) if isinstance(one, Monitor) else _name(one) for one in plan.monitors
        )
        or "None",
        **{name: str(number) for name, number in numbers.items()},
    }


def _optimizer(optimizer: Any) -> str:
    """The rule with its numbers and rate; of a schedule or an optimiser of the caller's own the name."""
    if type(optimizer.update) is PlateauUpdate and type(optimizer.init) is PlateauInit:
        outer = optimizer.update
        inner = _optimizer(Optimizer(optimizer.init.inner, outer.inner))
        rest = f", then {outer.cooldown} that do not count" if outer.cooldown else ""
        least = f", down to {outer.min_rate!r}" if outer.min_rate else ""
        return f"{inner}, times {outer.factor!r} after {outer.patience}{rest}{least}"
    if type(optimizer.update) is not Update:
        return _name(optimizer.update)
    init, rule = optimizer.init, optimizer.update.rule
    schedule = optimizer.update.schedule
    if type(init) is not Init:  # of the caller's own: it may begin anywhere
        return f"{rule!r} begun by {_name(init)}"
    if schedule is None:
        return f"{rule!r} at {float(init.learning_rate)!r}"
    own = not type(schedule).__module__.startswith("pillars.")
    return f"{rule!r} at {_name(schedule) if own else repr(schedule)}"


def _name(f: Any) -> str:
    return "None" if f is None else str(getattr(f, "__qualname__", type(f).__qualname__))


def _digest(backend: Backend, tree: Any, *, whole: bool) -> str:
    """A digest of a tree's shapes, dtypes and numbers; of large arrays of a part of these, evenly spread."""
    result = hashlib.blake2b(digest_size=16)
    for path, leaf in zip(tree_paths(tree), tree_leaves(tree), strict=True):
        if not hasattr(leaf, "shape"):
            result.update(f"{path} {leaf!r};".encode())
            continue
        result.update(f"{path} {dtype_name(leaf.dtype)} {tuple(leaf.shape)};".encode())
        host = backend.to_numpy(leaf if whole else _spread(leaf))
        result.update(backend_of("numpy").xp.ascontiguousarray(host).tobytes())
    return result.hexdigest()


def _spread(x: Any) -> Any:
    """At most some sixty thousand entries of an array, the first axes thinned out first."""
    surplus, cuts = math.prod(x.shape) / _SAMPLE, []
    for n in x.shape:
        step = max(1, min(n, math.ceil(surplus)))
        cuts.append(slice(None, None, step))
        surplus /= step
    return x[tuple(cuts)] if x.shape else x
