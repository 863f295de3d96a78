"""Optimisers: pure init and update, with everything that changes, the learning rate included, in a visible state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import (
    Backend,
    backend,
    dtype_kind,
    dtype_name,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.calculus._norms import norm_of_leaves, wide
from pillars.calculus._numbers import rate, within
from pillars.calculus._parameters import check_leaves, matching_leaves, number_on, rate_dtype
from pillars.calculus._steps import Adam, AdamW, Sgd, Step

__all__ = ["Optimizer", "Update", "adam", "adamw", "refuse_rate", "scheduled", "sgd"]


@dataclass(frozen=True)
class Init:
    """params -> the first state."""

    rule: Any
    learning_rate: Any
    schedule: Callable[[Any], Any] | None

    def __call__(self, params: Any) -> Any:
        leaves, treedef = tree_flatten(params)
        check_leaves("Optimizer.init", params)
        home = backend(leaves[0])
        xp = home.xp
        dtype, device = rate_dtype(xp, leaves), home.device_beside(leaves[0])
        step = home.asarray(0, dtype=xp.int32, device=device)
        rate = self.learning_rate
        if self.schedule is not None:
            rate = scheduled(self.rule, self.schedule, step)
            refuse_rate(self.rule, rate, home)
        zeros = [
            tree_unflatten(treedef, [xp.zeros_like(wide(xp, p)) for p in leaves])
            for _ in range(self.rule.slots)
        ]
        slots = (*zeros, None)[: len(self.rule.state._fields) - 2]
        return self.rule.state(step, number_on(home, rate, dtype, device), *slots)


@dataclass(frozen=True)
class Update:
    """(grads, state, params) -> Step."""

    rule: Any
    schedule: Callable[[Any], Any] | None

    def __call__(self, grads: Any, state: Any, params: Any) -> Step:
        home = backend(tree_leaves(params)[0])
        with home.quiet():
            return self._stepped(home, grads, state, params)

    def _stepped(self, home: Backend, grads: Any, state: Any, params: Any) -> Step:
        leaves, treedef = tree_flatten(params)
        xp = home.xp
        refuse_another_state(self.rule, state, leaves, treedef)
        grad_leaves = matching_leaves("Optimizer.update: grads", grads, params, home)
        rate = state.learning_rate
        if self.schedule is not None:
            refuse_rate(self.rule, rate, home)
        step = state.step + 1
        scalars = self.rule.scalars(xp.astype(step, rate.dtype), rate, xp.expm1)
        slots = [tree_leaves(tree) for tree in state[2 : 2 + self.rule.slots]]
        moved, kept = [], []
        for p, g, *mine in zip(leaves, grad_leaves, *slots, strict=True):
            p_wide, g_wide = wide(xp, p), wide(xp, g)
            fitted = tuple(_fit(xp, s, p_wide.dtype) for s in scalars)
            after, mine_after = self.rule.leaf(xp, p_wide, g_wide, tuple(mine), fitted)
            moved.append(home.as_arrays(xp.astype(after, p.dtype, copy=False)))
            kept.append([home.as_arrays(s) for s in mine_after])
        trees = [tree_unflatten(treedef, [mine[i] for mine in kept]) for i in range(self.rule.slots)]
        following = rate
        if self.schedule is not None:
            following = scheduled(self.rule, self.schedule, step)
            following = number_on(home, following, rate.dtype, home.device_beside(rate))
        old = norm_of_leaves(xp, leaves, rate.dtype)
        change = norm_of_leaves(
            xp, [wide(xp, b) - wide(xp, a) for a, b in zip(leaves, moved, strict=True)], rate.dtype
        )
        ratio = xp.where(
            old > 0, change / xp.where(old > 0, old, xp.ones_like(old)), xp.full_like(old, xp.inf)
        )
        grad_norm = norm_of_leaves(xp, grad_leaves, rate.dtype)
        after_state = (home.as_arrays(step), following, *trees, None)[: len(state)]
        return Step(
            tree_unflatten(treedef, moved),
            self.rule.state(*after_state),
            *(home.as_arrays(x) for x in (grad_norm, rate, ratio)),
        )


@dataclass(frozen=True)
class Optimizer:
    """A pair of pure functions; those of pillars compare and hash by their hyper-parameters.

    Attributes
    ----------
    init : params -> state. The state has the fields ``step`` and ``learning_rate`` (that of the next update), so
        that a run's rate can be read, logged, and changed with ``state._replace(learning_rate=...)``.
    update : (grads, state, params) -> :class:`Step`.

    Examples
    --------
    >>> sgd(0.1, momentum=0.9) == sgd(0.1, momentum=0.9)
    True
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], Step]


def sgd(
    learning_rate: Any, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    r"""Gradient descent, with momentum if asked.

    v ← βv + g + λp, and p ← p − η·v; for Nesterov p ← p − η·(g + λp + βv) with the new v.

    Parameters
    ----------
    learning_rate : η above 0, which may be traced; or a schedule, step -> rate of at least 0, called with the 0-d
        count of the steps before.
    momentum : β in [0, 1).
    nesterov : look ahead; needs a momentum.
    weight_decay : λ >= 0, added to the gradient as λ·p.

    Returns
    -------
    Optimizer(init, update); the state is ``SgdState(step, learning_rate, velocity)``.

    Raises
    ------
    ShapeError : a value outside its range, or NaN; a schedule's rate too, where it is known, and its shape always.
    DTypeError : no number.

    Notes
    -----
    On a quadratic whose largest curvature is λ_max it is stable below η = 2(1 + β)/λ_max; Nesterov's form below
    (2 + 2β)/((1 + 2β)·λ_max). The first velocity is the first gradient, as in torch and optax. Float16 and bfloat16
    parameters are stepped in float32 and rounded once; their velocity is float32.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton (2013), On the importance of initialization and momentum in deep learning.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = sgd(0.1)
    >>> params = {"w": np.asarray([1.0, 2.0])}
    >>> step = optimizer.update({"w": np.asarray([3.0, 4.0])}, optimizer.init(params), params)
    >>> step.params["w"], step.grad_norm
    (array([0.7, 1.6]), array(5.))
    """
    momentum = within("sgd", "momentum", momentum, 0.0, 1.0)
    if not isinstance(nesterov, bool):
        raise DTypeError(f"sgd: nesterov is {shown(nesterov)}, expected True or False.")
    if nesterov and not momentum:
        raise ShapeError(
            "sgd: nesterov is True and momentum 0, expected a momentum above 0: it looks ahead along it."
        )
    return _optimizer(
        "sgd", learning_rate, Sgd(momentum, nesterov, within("sgd", "weight_decay", weight_decay, 0.0))
    )


def adam(learning_rate: Any, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    r"""Adam: a step per parameter, scaled by running means of the gradient and of its square.

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², and p ← p − η·m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Parameters
    ----------
    learning_rate : η above 0, which may be traced; or a schedule, step -> rate of at least 0.
    beta1, beta2 : in [0, 1).
    epsilon : >= 0, outside the root. With 0 a gradient that has always been 0 gives NaN.

    Returns
    -------
    Optimizer(init, update); the state is ``AdamState(step, learning_rate, first_moment, second_moment)``.

    Raises
    ------
    ShapeError : a value outside its range, or NaN; a schedule's rate too, where it is known, and its shape always.
    DTypeError : no number.

    Notes
    -----
    The first step is η·g/(|g| + ε): η in every coordinate, whatever the gradient's size. Scaling the loss changes
    nothing but by ε, as long as g² is in the dtype's range: in float32, from |g| of 2e19 on it is infinite and that
    coordinate stays where it is; below 1e-22 it is 0, which only ε then keeps from being divided by. Float16 and
    bfloat16 parameters are stepped in float32; their moments are float32.

    References
    ----------
    Kingma, Ba (2015), Adam: a method for stochastic optimization, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = adam(0.001)
    >>> params = np.asarray([1.0, 2.0])
    >>> optimizer.update(np.asarray([3.0, -400.0]), optimizer.init(params), params).params
    array([0.999, 2.001])
    """
    rule = Adam(
        within("adam", "beta1", beta1, 0.0, 1.0),
        within("adam", "beta2", beta2, 0.0, 1.0),
        within("adam", "epsilon", epsilon, 0.0),
    )
    return _optimizer("adam", learning_rate, rule)


def adamw(
    learning_rate: Any,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    r"""Adam with decoupled weight decay: every step also shrinks the parameters, whatever their gradients.

    p ← (1 − ηλ)·p − η·m̂/(√v̂ + ε), with m̂ and v̂ as in :func:`adam`.

    Parameters
    ----------
    learning_rate : η above 0, which may be traced; or a schedule, step -> rate of at least 0.
    beta1, beta2 : in [0, 1).
    epsilon : >= 0, outside the root. With 0 a gradient that has always been 0 gives NaN.
    weight_decay : λ >= 0. All leaves decay, biases too. The default is torch's; optax's is 1e-4.

    Returns
    -------
    Optimizer(init, update); the state is ``AdamState(step, learning_rate, first_moment, second_moment)``.

    Raises
    ------
    ShapeError : a value outside its range, or NaN; a schedule's rate too, where it is known, and its shape always.
    DTypeError : no number.

    Notes
    -----
    The rate multiplies the decay, as in torch and optax: a schedule lowers both. Added to the gradient instead, as in
    :func:`sgd`, the decay would be divided by √v̂ with it, and parameters with large gradients would hardly decay.
    Half precision as in :func:`adam`.

    References
    ----------
    Loshchilov, Hutter (2019), Decoupled weight decay regularization, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = adamw(0.001, weight_decay=0.1)
    >>> params = np.asarray([1.0, 2.0])
    >>> optimizer.update(np.asarray([3.0, 0.0]), optimizer.init(params), params).params
    array([0.9989, 1.9998])
    """
    rule = AdamW(
        within("adamw", "beta1", beta1, 0.0, 1.0),
        within("adamw", "beta2", beta2, 0.0, 1.0),
        within("adamw", "epsilon", epsilon, 0.0),
        within("adamw", "weight_decay", weight_decay, 0.0),
    )
    return _optimizer("adamw", learning_rate, rule)


def scheduled(rule: Any, schedule: Callable[[Any], Any], step: Any) -> Any:
    """A schedule's rate, made sure to be one real number; its value is looked at only where it is used."""
    where, rate = f"{_name(rule)}: learning_rate, a schedule, returned", schedule(step)
    if not hasattr(rate, "shape"):
        if isinstance(rate, bool) or not hasattr(rate, "__float__"):
            raise DTypeError(f"{where} {rate!r}, expected a number.")
    elif rate.shape != ():
        raise ShapeError(
            f"{where} shape {tuple(rate.shape)}, expected one number, (). Index it, or take the mean."
        )
    elif dtype_kind(rate.dtype) not in ("float", "half", "integer"):
        raise DTypeError(f"{where} dtype {dtype_name(rate.dtype)}, expected a real number.")
    return rate


def refuse_another_state(rule: Any, state: Any, leaves: list[Any], treedef: Any) -> None:
    """Refuse a state that this rule's init has not made of such parameters."""
    if not isinstance(state, rule.state):
        raise DTypeError(
            f"{_name(rule)}: state is a {type(state).__name__}, expected the {rule.state.__name__} that init of this "
            "optimiser, or its last update, has returned."
        )
    for tree in state[2 : 2 + rule.slots]:
        found, structure = tree_flatten(tree)
        if structure != treedef or any(s.shape != p.shape for s, p in zip(found, leaves, strict=True)):
            raise ShapeError(
                f"{_name(rule)}: state has arrays of shapes {[tuple(s.shape) for s in found]!r:.80}, expected those of "
                f"the parameters, {[tuple(p.shape) for p in leaves]!r:.80}: it is of other parameters. Call init anew."
            )


def refuse_rate(rule: Any, rate: Any, home: Backend) -> None:
    """Refuse a schedule's rate that is negative or NaN; 0 is what many end with. What is traced has no value."""
    if home.is_tracer(type(rate)):
        return
    number = float(rate)
    if not number >= 0:
        raise ShapeError(
            f"{_name(rule)}: learning_rate, a schedule, returned {number:g}, expected a number of at least 0."
        )


def _name(rule: Any) -> str:
    return type(rule).__name__.lower()


def _optimizer(name: str, learning_rate: Any, rule: Any) -> Optimizer:
    if callable(learning_rate):
        return Optimizer(Init(rule, None, learning_rate), Update(rule, learning_rate))
    return Optimizer(Init(rule, rate(name, learning_rate), None), Update(rule, None))


def _fit(xp: Any, scalar: Any, dtype: Any) -> Any:
    return scalar if isinstance(scalar, float) or scalar.dtype == dtype else xp.astype(scalar, dtype)
