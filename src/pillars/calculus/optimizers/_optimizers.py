"""Optimisers: pure init and update, with everything that changes, the learning rate included, in a visible state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import dtype_name, rate, within
from pillars.calculus.optimizers._init_and_update import Init, Update
from pillars.calculus.optimizers._update_rules import Adam, AdamW, Sgd, Step

__all__ = ["Optimizer", "adam", "adamw", "sgd"]

_MOMENTS = ("float16", "bfloat16", "float32", "float64")


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


def adam(
    learning_rate: Any,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    amsgrad: bool = False,
    moment_dtype: Any = None,
) -> Optimizer:
    r"""Adam: a step per parameter, scaled by running means of the gradient and of its square.

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², and p ← p − η·m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Parameters
    ----------
    learning_rate : η above 0, which may be traced; or a schedule, step -> rate of at least 0.
    beta1, beta2 : in [0, 1).
    epsilon : >= 0, outside the root. With 0 a gradient that has always been 0 gives NaN.
    amsgrad : divide by the root of the largest v so far, entry by entry, in the place of v: steps never grow because
        the gradient has become small. One array more like the parameters.
    moment_dtype : "float16", "bfloat16", "float32" or "float64": what m is kept in between two steps. None: the
        parameters' dtype, float32 for half precision.

    Returns
    -------
    Optimizer(init, update); the state is ``AdamState(step, learning_rate, first_moment, second_moment,
    largest_second_moment)``, the last one None without amsgrad.

    Raises
    ------
    ShapeError : a value outside its range, or NaN; a schedule's rate too, where it is known, and its shape always.
    DTypeError : no number, no such dtype, or one that the parameters' library does not have.

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
        **_moments("adam", amsgrad, moment_dtype),
    )
    return _optimizer("adam", learning_rate, rule)


def adamw(
    learning_rate: Any,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    amsgrad: bool = False,
    moment_dtype: Any = None,
) -> Optimizer:
    r"""Adam with decoupled weight decay: every step also shrinks the parameters, whatever their gradients.

    p ← (1 − ηλ)·p − η·m̂/(√v̂ + ε), with m̂ and v̂ as in :func:`adam`.

    Parameters
    ----------
    learning_rate : η above 0, which may be traced; or a schedule, step -> rate of at least 0.
    beta1, beta2 : in [0, 1).
    epsilon : >= 0, outside the root. With 0 a gradient that has always been 0 gives NaN.
    weight_decay : λ >= 0. All leaves decay, biases too. The default is torch's; optax's is 1e-4.
    amsgrad, moment_dtype : as in :func:`adam`.

    Returns
    -------
    Optimizer(init, update); the state is that of :func:`adam`.

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
        **_moments("adamw", amsgrad, moment_dtype),
    )
    return _optimizer("adamw", learning_rate, rule)


def _moments(where: str, amsgrad: Any, moment_dtype: Any) -> dict[str, Any]:
    if not isinstance(amsgrad, bool):
        raise DTypeError(f"{where}: amsgrad is {shown(amsgrad)}, expected True or False.")
    name = moment_dtype
    if isinstance(moment_dtype, type) or hasattr(moment_dtype, "name"):
        name = dtype_name(moment_dtype)
    if not (name is None or (isinstance(name, str) and name in _MOMENTS)):
        raise DTypeError(
            f"{where}: moment_dtype is {shown(moment_dtype)}, expected one of {', '.join(_MOMENTS)}."
        )
    return {"amsgrad": amsgrad, "moment_dtype": name}


def _optimizer(name: str, learning_rate: Any, rule: Any) -> Optimizer:
    if callable(learning_rate):
        return Optimizer(Init(rule, None, learning_rate), Update(rule, learning_rate))
    return Optimizer(Init(rule, rate(name, learning_rate), None), Update(rule, None))
