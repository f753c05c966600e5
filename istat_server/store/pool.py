"""What the store needs of threads: start a call, wait for it without stopping the hub. Knows no store."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Work(Protocol):
    """A call under way in a pool."""

    def ready(self) -> bool:
        """Whether it has ended."""

    def get(self) -> Any:
        """Its result, or raises what it raised; waits without stopping the hub."""


class Pool(Protocol):
    """Threads, as gevent.threadpool.ThreadPool has them."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> Work:
        """Start a call."""

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        """Call and wait without stopping the hub."""


class Delivering:
    """A pool whose calls deliver what they raise to whoever waits for them, and to nobody else.

    gevent's tells the hub as well, where errors count as faults that nobody expected (findings/ shows it).
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def spawn(self, function: Callable[..., Any], *args: Any) -> Work:
        """See Pool.spawn."""
        return _Delivered(self._pool.spawn(_outcome, function, args))

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        """See Pool.apply."""
        return _delivered(self._pool.apply(_outcome, (function, args)))


class _Delivered:
    def __init__(self, work: Work) -> None:
        self._work = work

    def ready(self) -> bool:
        return self._work.ready()

    def get(self) -> Any:
        return _delivered(self._work.get())


def _outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        return None, error


def _delivered(outcome: tuple[Any, BaseException | None]) -> Any:
    result, error = outcome
    if error is not None:
        raise error
    return result


class _Done:
    def __init__(self, result: Any) -> None:
        self._result = result

    def ready(self) -> bool:
        return True

    def get(self) -> Any:
        return self._result


class InlinePool:
    """A pool without threads: calls happen at once. For tests and one-shot commands."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> Work:
        """Call now."""
        return _Done(function(*args))

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        """Call now."""
        return function(*args)


def given(*pools: Pool | None) -> Pool:
    """The first pool that there is, or one without threads. (A ThreadPool without work has length 0: it is falsy.)"""
    return next((pool for pool in pools if pool is not None), InlinePool())
