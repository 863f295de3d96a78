"""Gradient descent, whole: on JAX one compiled loop, elsewhere a lean one in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import CapabilityError, DTypeError, ShapeError, shown
from pillars.backends import common_dtype, count, procedure, tree_leaves, within
from pillars.calculus._parameters import backend_of_parameters, number_on, start, with_data
from pillars.calculus.descent._callbacks import Breaks
from pillars.calculus.descent._checkpoint import Checkpoint, identity
from pillars.calculus.descent._compiled_loop import descend_compiled, descend_in_trace
from pillars.calculus.descent._compiled_program import Given
from pillars.calculus.descent._eager_loop import descend_eagerly
from pillars.calculus.descent._plan import Bounds, Metrics, Plan, rows_of
from pillars.calculus.descent._program_cache import keeper
from pillars.calculus.descent._result import Descent
from pillars.calculus.descent._status import UPHILL
from pillars.calculus.descent._wrong_sign import points_uphill
from pillars.calculus.losses import LeastSquaresLoss
from pillars.calculus.optimizers import Optimizer, sgd
from pillars.random import as_key

__all__ = ["gradient_descent"]


@procedure(
    unsupported=dict.fromkeys(
        ("grad on numpy", "grad on cupy"), "its steps are not traced: write them out, or use JAX"
    )
)
def gradient_descent(
    loss: Callable[..., Any],
    params: Any,
    *data: Any,
    optimizer: Optimizer | None = None,
    steps: int = 1000,
    gradient: Callable[..., Any] | None = None,
    batch_size: int | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    monitor: Any = None,
    tolerance: float | None = None,
    rng: Any = 0,
    callback: Callable[[int, Metrics], Any] | None = None,
    checkpoint: Any = None,
    every: int = 100,
) -> Descent:
    r"""Minimise a loss by gradient descent, and say how it went.

    Parameters
    ----------
    loss : ``loss(params, *batch) -> 0-d``; or a :class:`LeastSquaresLoss`, whose descents on all rows cost next to
        nothing a step.
    params : where to start: a floating array, a float, or a tree of them (dict, list, tuple, NamedTuple, dataclass).
        Never written. Fields of a dataclass that hold text, functions, integers, or are marked ``{"static": True}`` in
        its metadata stay as they are; it is put together field by field, without its ``__init__``.
    data : arrays, lists of numbers, trees of arrays: handed to `loss` as they are, or a batch of their rows.
    optimizer : see :func:`sgd`, :func:`adam`; None: ``sgd(0.01)``. Its rate is no part of the compiled program.
    steps : how many, 0 or more.
    gradient : ``gradient(params, *batch) -> like params``, hand-derived; None: automatic differentiation of `loss`.
    batch_size : rows a step, drawn without replacement until fewer than a batch are left; a new order every epoch.
        None: all rows in every step.
    clip_norm : scale gradients whose norm is above this down to it. The history has the norm before.
    clip_value : in its place: bring every entry of the gradient into [−clip_value, clip_value].
    monitor : see :class:`LossMonitor`, :class:`EarlyStopping`; or any pair of ``init(like) -> state`` and
        ``update(loss, state) -> state`` whose states have a boolean ``halted``. It sees the loss of every step, before
        the step is taken, and is part of the compiled program. Or a list of several: the first to halt ends the run,
        of two at the same loss the one that stands first, and ``monitor`` of the result is its place.
    tolerance : stop where the gradient's norm is at most this. None: take all steps.
    rng : int seed, key, or NumPy Generator: of the rows' order.
    callback : ``callback(step, metrics)`` after every `every` steps; metrics are the floats loss (before the last
        step), learning_rate, grad_norm, and params after it, a copy: for losses on other data. True, or a 0-d
        boolean array of it such as a monitor's `halted`, ends the run; any
        other value does nothing.
    checkpoint : a file's path, written every `every` steps and after the last one, and taken up again where it is
        there: the same call, begun anew after an interruption, ends with the same bits as one that was not
        interrupted. See the notes.
    every : steps between two calls of the callback, and between two checkpoints.

    Returns
    -------
    Descent(params, loss, history, steps, status_code, sharpness, limit, params_step, monitor), with the properties
        status and advice. Arrays of the parameters' library and dtype. `loss` is that of `params`, on all data.
        `history` has the arrays loss, learning_rate and grad_norm, one entry a step: loss and norm before it.
        `params_step` says after how many steps `params` were reached. `status`, the word for `status_code`, is one of

        - "steps": all steps were taken.
        - "converged": the gradient's norm reached the tolerance.
        - "halted": the monitor halted it, and `params` are those of the loss that it saw last, or with
          ``restore_best=True`` the best ones; or the callback did.
        - "diverged": all steps were taken, the last three each raised the loss, and it ends above all it ever was; in
          batches, the loss on all data ends above what their noise explains.
        - "nonfinite": a loss, parameter or gradient was NaN or infinite, and the run stopped there; `params` are the
          last ones that were finite together with their loss.
        - "interrupted": Ctrl-C, or a KeyboardInterrupt of the loss or the callback, ended it; see the notes.

        `advice` says what to do. Where the loss grew by a steady factor under :func:`sgd`, it names the curvature this
        implies and the largest stable learning rate (fields `sharpness`, `limit`).

    Raises
    ------
    ShapeError : a loss that is not 0-d; a gradient whose structure or shapes differ from the parameters' (the leaf is
        named); options outside their range, rates of a schedule too; data without rows, or
        of different lengths in batches.
    DTypeError : parameters that are not floating, a complex loss, options that are no numbers.
    BackendError : arrays of two libraries.
    CapabilityError : a callback or a checkpoint inside the caller's jit.
    CheckpointError : a checkpoint that is damaged, or of another run; the file is left as it is.
    Whatever a callback raises: the exception then has an attribute ``descent``, the Descent until there, of status
        "running". An error of writing the checkpoint has it too.

    Notes
    -----
    Cost: one loss and one gradient a step; autodiff gives both for about the price of three losses. On NumPy a step
    adds some 10 µs. On JAX the whole descent is one program. It is kept for descents whose functions are the same, or
    read the same values (see :func:`pillars.backends.fingerprint`), so that sweeping rates or data compiles once;
    where that cannot be told (a loss that captures NumPy arrays: pass them as data) it is compiled anew, never taken
    from before: a changed closure is always seen. What JAX itself keeps is not ours to see: a function under the
    caller's own ``jax.jit``, or a NumPy array that a live program of theirs captured, refilled since. Inside
    the caller's jit, vmap or grad it becomes part of their program, the history keeps its full length (NaN after the
    end), and `status_code` is the status as an integer.

    A checkpoint holds everything that the next steps depend on: parameters, those before the last step, the optimiser's
    arrays and rate, the monitor, the key of the rows' order, the history. It is in the safetensors layout, parameters
    under their places in the tree such as ``params['w']``; the other names, and all on JAX, are our own. A file takes
    the place of the one before in one move, after it has reached the disk: a process that is killed, at any moment,
    leaves one or the other. It is taken up by the run that wrote it alone, known by backend, starting
    parameters, shapes and a sample of the data, optimiser, batches, rng, monitor, clipping and tolerance, and by the
    loss having had this value at the start; `steps` may be raised, to go on. Of schedules, optimisers and monitors of
    your own only the names are known. The file stays at the end: the same call once more is over at once.

    Ctrl-C ends a descent after the step that is under way, with all that it has reached; with a checkpoint that is
    written too. Pressed once more, or where the caller's own handler raises KeyboardInterrupt, it ends at once, with
    what the last whole step reached. No exception is raised: what runs several descents looks at the status. On JAX a
    compiled program cannot be stopped: with a callback or a checkpoint the descent looks up every `every` steps,
    without either only at its end, and is "interrupted" with all its steps taken; one that ended by itself until then
    keeps its status. Python's own handler of SIGINT is put back at the end; another one, and any in other threads than
    the main one, is left in place.

    On a quadratic whose largest curvature is λ, plain descent is stable below a rate of 2/λ: see :func:`sgd`.

    References
    ----------
    Cohen, Kaur, Li, Kolter, Talwalkar (2021), Gradient descent on neural networks typically occurs at the edge of
    stability, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
    >>> fitted = gradient_descent(lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y, steps=50)
    >>> fitted.status, fitted.params.round(4)
    ('steps', np.float64(2.0036))
    >>> too_fast = gradient_descent(
    ...     lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y, optimizer=sgd(0.1), steps=50
    ... )
    >>> too_fast.status, too_fast.params.round(2), too_fast.limit.round(4)
    ('diverged', np.float64(-18231.97), np.float64(0.0909))
    """
    monitors = _several(monitor)
    _check_options(loss, gradient, optimizer, monitors, callback)
    steps, every = count("gradient_descent", "steps", steps, 0), count("gradient_descent", "every", every, 1)
    clip = _bound("clip_norm", clip_norm, above=True)
    limit = _bound("clip_value", clip_value, above=True)
    if clip is not None and limit is not None:
        raise ShapeError(
            f"gradient_descent: clip_norm is {clip:g} and clip_value {limit:g}, expected one of them: leave out the "
            "other."
        )
    small = _bound("tolerance", tolerance, above=False)
    size = None if batch_size is None else count("gradient_descent", "batch_size", batch_size, 1)
    held = _held(loss, gradient, data)
    backend = backend_of_parameters("gradient_descent", params, held or data)
    params = start("gradient_descent", params, held or data, backend)
    if held:
        loss, gradient, data = loss.on(backend, params, 0 if size else steps)  # type: ignore[attr-defined]
    data = with_data("gradient_descent", params, data, backend)
    optimizer = sgd(0.01) if optimizer is None else optimizer
    rows = 0 if size is None else rows_of(data, size)
    plan = Plan(backend, loss, gradient, optimizer, steps, rows, size, monitors)
    bounds = Bounds(clip, limit, small)
    key = _key(rng, None if batch_size is None else tree_leaves(params)[0])
    store = None if checkpoint is None else Checkpoint(checkpoint, backend)
    if backend.name != "jax":
        key, breaks = _breaks(plan, params, held or data, data, key, rng, bounds, callback, store, every)
        return _with_its_sign_checked(
            plan, params, data, descend_eagerly(plan, params, data, key, bounds, breaks)
        )
    state = optimizer.init(params)
    dtype = common_dtype(backend.xp, *(p.dtype for p in tree_leaves(params)), backend.xp.float32)
    given = Given(data, key, *(None if x is None else number_on(backend, x, dtype) for x in bounds))
    if backend.in_trace() or any(backend.is_tracer(type(x)) for x in tree_leaves((params, state, given))):
        for name, wanted in (("callback", callback), ("checkpoint", checkpoint)):
            if wanted is not None:
                raise CapabilityError(
                    f"gradient_descent: got a {name} inside a compiled function, expected none: nothing has a value "
                    "there. Read the history of the result, or call it outside jit."
                )
        return descend_in_trace(plan, params, state, given)
    key, breaks = _breaks(plan, params, held or data, data, key, rng, bounds, callback, store, every)
    given = given._replace(key=key)
    result = descend_compiled(plan, params, state, given, breaks, keeper(plan, (params, data)))
    return _with_its_sign_checked(plan, params, data, result)


def _with_its_sign_checked(plan: Plan, params: Any, data: Any, found: Descent) -> Descent:
    """The result of a run that blew up, with the given gradient looked at: its sign comes before any rate."""
    if plan.gradient is None or found.status not in ("diverged", "nonfinite") or not int(found.steps):
        return found
    try:
        if not points_uphill(plan, params, data):
            return found
    # a loss of the caller's that cannot be asked once more, out of turn: the run stands as it is
    except Exception:
        return found
    xp = plan.backend.xp
    nan = xp.full_like(found.limit, xp.nan)
    return found._replace(status_code=xp.full_like(found.status_code, UPHILL), sharpness=nan, limit=nan)


def _breaks(
    plan: Plan,
    params: Any,
    told: Any,
    data: Any,
    key: Any,
    rng: Any,
    bounds: Bounds,
    callback: Any,
    store: Checkpoint | None,
    every: int,
) -> tuple[Any, Breaks]:
    """What the descent stops for, and the key: that of the run which is taken up, where it was drawn anew."""
    if store is None:
        return key, Breaks(every, callback)
    drawn = key is not None and (rng is None or hasattr(rng, "bit_generator"))
    owner = identity(plan, params, told, key, drawn, **bounds._asdict())
    saved = store.load(owner, plan.steps)
    if key is not None:
        if saved is not None:
            key = saved.tree("key", key, plan.backend)
        store.always = {"key": key}
    if saved is not None:
        saved.refuse_another_loss(plan, params, data, key)
    return key, Breaks(every, callback, store, saved)


def _held(loss: Any, gradient: Any, data: tuple[Any, ...]) -> tuple[Any, ...]:
    """The data of a loss that holds its own, of which the descent may make what it likes."""
    if not isinstance(loss, LeastSquaresLoss) or gradient is not None:
        return ()
    if data:
        raise ShapeError(
            f"gradient_descent: got {len(data)} arguments of data beside a LeastSquaresLoss, expected none: "
            "it holds its own. Leave them out, or use mean_squared_error(x @ w, y)."
        )
    return loss.x, loss.y


def _several(monitor: Any) -> tuple[Any, ...]:
    """The monitors: none, one, or those of a list; a pair of functions may be a NamedTuple."""
    if isinstance(monitor, (list, tuple)) and not hasattr(monitor, "update"):
        return tuple(monitor)
    return () if monitor is None else (monitor,)


def _check_options(
    loss: Any, gradient: Any, optimizer: Any, monitors: tuple[Any, ...], callback: Any
) -> None:
    for name, f in (("loss", loss), ("gradient", gradient), ("callback", callback)):
        if not callable(f) and (f is not None or name == "loss"):
            raise DTypeError(f"gradient_descent: {name} is {shown(f)}, expected a function.")
    for name, pair, such in (
        ("optimizer", optimizer, "an Optimizer such as pillars.calculus.sgd(0.01)"),
        *(
            ("monitor", one, "one monitor such as pillars.calculus.LossMonitor(), or a list of several")
            for one in monitors
        ),
    ):
        parts = [getattr(pair, part, None) for part in ("init", "update")]
        if not (pair is None and name == "optimizer") and (
            isinstance(pair, type) or not all(callable(part) for part in parts)
        ):
            raise DTypeError(f"gradient_descent: {name} is {shown(pair)}, expected {such}.")


def _key(rng: Any, like: Any) -> Any:
    """The key beside `like`; None, but `rng` looked at, where there is nothing to draw."""
    if like is not None:
        return as_key(rng, like=like)
    drawn = rng is None or hasattr(rng, "bit_generator")  # entropy, or a generator's next number
    if not drawn and not (type(rng) is int and 0 <= rng < 2**64):
        as_key(rng)
    return None


def _bound(name: str, value: Any, *, above: bool) -> Any:
    where = "gradient_descent"
    return None if value is None else within(where, name, value, 0.0, above=above, to=True)
