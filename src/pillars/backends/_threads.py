"""The one thread pool, and the one place that limits BLAS.

Threads help where NumPy releases the interpreter lock, from about a millisecond of work. Everything threaded in pillars
comes through `pool_map`: one pool a process, no oversubscription by nested calls, results in order.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import Any, TypeVar

from pillars._errors import ShapeError

__all__ = ["blas_libraries", "num_threads", "pool_map", "single_threaded_blas"]

T = TypeVar("T")
R = TypeVar("R")

_in_task: ContextVar[bool] = ContextVar("pillars_in_task", default=False)


def num_threads() -> int:
    """How many threads pillars works with: PILLARS_NUM_THREADS, else the CPUs that this process may use.

    The variable is read at every call, so that it may be set after the import.

    Raises
    ------
    ShapeError : PILLARS_NUM_THREADS is not a positive integer.
    """
    text = os.environ.get("PILLARS_NUM_THREADS", "").strip()
    if not text:
        return _usable_cpus()
    if not text.isdecimal() or int(text) < 1:
        raise ShapeError(
            f"PILLARS_NUM_THREADS: got {text!r}, expected a positive integer such as 4. "
            "Change it, or unset it to use every CPU of this process."
        )
    return int(text)


def _usable_cpus() -> int:
    try:
        # a container or taskset may allow fewer CPUs than the machine has
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class _Pool:
    """The executor, made at the first use and again when more threads are asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.workers = 0

    def submit(self, f: Callable[[], None], workers: int) -> Future[None] | None:
        with self.lock:
            if self.executor is None or self.workers < workers:
                if self.executor is not None:
                    self.executor.shutdown(wait=False)
                self.executor = ThreadPoolExecutor(workers, thread_name_prefix="pillars")
                self.workers = workers
            try:
                return self.executor.submit(f)
            except RuntimeError:  # the interpreter is shutting down: the caller does the work alone
                return None


_pool = _Pool()


def pool_map(f: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply `f` to every item on the pool's threads: ``list(map(f, items))``, in that order.

    Parameters
    ----------
    f : function of one item. Worth a thread from about a millisecond of work that releases the interpreter lock.
    items : iterable, drawn up at once.

    Returns
    -------
    list of results, in the order of the items, whatever order they finished in.

    Raises
    ------
    The exception of the first item, in order, whose call failed: the one that a plain loop would raise. Items not
    yet begun by then are not begun; those under way are waited for.

    Notes
    -----
    The calling thread works too. Each call runs in a copy of the caller's context (``contextvars.copy_context``): it
    sees the caller's ContextVars, and what it sets stays its own. Called from inside a task, or with one thread or one
    item, everything runs inline, in order, so nested use neither deadlocks nor takes more threads. After a fork the
    child starts its own pool at its first use.

    Examples
    --------
    >>> pool_map(abs, [-3, 2, -1])
    [3, 2, 1]
    """
    work = list(items)
    threads = 1 if _in_task.get() else min(num_threads(), len(work))
    if threads <= 1:
        return [copy_context().run(f, item) for item in work]

    context = copy_context()
    results: list[Any] = [None] * len(work)
    failures: dict[int, BaseException] = {}
    tickets = itertools.count()  # next() on it is atomic

    def task(item: T) -> R:
        _in_task.set(True)
        return f(item)

    def run() -> None:
        while not failures:
            # once drawn it is run, so every item before a failed one has its chance to fail first
            i = next(tickets)
            if i >= len(work):
                return
            try:
                results[i] = context.copy().run(task, work[i])
            except BaseException as error:
                failures[i] = error

    helpers = [_pool.submit(run, threads - 1) for _ in range(threads - 1)]
    run()
    for helper in helpers:
        # One that was never begun (the pool is busy elsewhere) is not waited for: no cycle of waiting can form.
        if helper is not None and not helper.cancel():
            helper.result()
    if failures:
        raise failures[min(failures)]
    return results


class _BlasLimit:
    """One BLAS thread while anyone holds it: the setting is process-global, so holders are counted."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders = 0
        self.mine = threading.local()
        self.libraries: list[Any] = []
        self.modules = 0
        self.before: list[int] = []

    def acquire(self) -> None:
        with self.lock:
            if self.holders == 0:
                if self.modules != len(sys.modules):  # with which libraries come: SciPy's, that JAX calls too
                    from threadpoolctl import ThreadpoolController

                    # Finding the libraries costs half a millisecond, asking those found a few microseconds.
                    self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                    self.modules = len(sys.modules)
                self.before = [library.num_threads for library in self.libraries]
                self.set([1] * len(self.libraries))
            self.holders += 1
        self.mine.depth = getattr(self.mine, "depth", 0) + 1

    def release(self) -> None:
        self.mine.depth = getattr(self.mine, "depth", 0) - 1
        with self.lock:
            self.holders -= 1
            if self.holders == 0:
                self.set(self.before)

    def set(self, numbers: list[int]) -> None:
        for library, number in zip(self.libraries, numbers, strict=True):
            # Newer threadpoolctl lets one thread alone set OpenBLAS's number, and passes over the others in silence.
            # Here holders are counted over all threads: the last one to leave restores, whoever came first.
            free = getattr(library, "clear_controlling_thread", None)
            if free is not None:
                free(force=True)
            library.set_num_threads(number)
            if free is not None:
                free(force=True)

    def after_fork(self) -> None:
        """Keep what the forking thread holds; the other threads, and their holds, are gone."""
        self.lock = threading.Lock()
        self.holders = max(getattr(self.mine, "depth", 0), 0)
        if self.holders == 0 and self.before:
            self.set(self.before)


_blas = _BlasLimit()


class single_threaded_blas:  # noqa: N801 - a context manager, named for what it does
    """Limit BLAS to one thread while entered: ``with single_threaded_blas(): ...``.

    For work that is already spread over `pool_map` (BLAS threads inside its tasks fight over the same cores), and for
    results that must have the same bits on every machine (some factorisations differ on one and two BLAS threads).

    The limit is the whole process's while anyone is inside, other threads' products included; what was set before
    comes back when the last one leaves. Costs 10 µs, and 1 where it is in force already.
    Not limited: a BLAS library that is loaded while the limit is in force; and, in OpenBLAS built on OpenMP (no wheel
    of NumPy is), the threads that have not entered.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        _blas.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _blas.release()


def blas_libraries() -> list[str]:
    """The BLAS libraries loaded here: name, version, the processor its kernels are for where it says, threads."""
    from threadpoolctl import threadpool_info

    result = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return [
        f"{one['internal_api']} {one['version'] or 'of unknown version'}"
        + (f", kernels for {one['architecture']}" if one.get("architecture") else "")
        + f", {one['num_threads']} {'thread' if one['num_threads'] == 1 else 'threads'}"
        for one in result
    ]


def _after_fork_in_child() -> None:
    global _pool  # noqa: PLW0603 - the parent's threads do not exist here, and its lock may be held forever
    _pool = _Pool()
    _blas.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
