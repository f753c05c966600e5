"""Keeps a foreign plugin that runs in the agent's process from ending it, from taking its files and limits, from making
a second one of it, and from starting processes that would outlive it: what only a child may do, of which all is ended.

Whoever tries is told so by a PluginError, and is to be isolated. What a plugin does in threads of its own, and in C, is
not seen. Knows Python's audit events, and no collector.
"""

from __future__ import annotations

import _thread
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from istat.errors import PluginError

# Audit events (docs.python.org/3/library/audit_events.html) of what starts a process, or makes another one of ours.
STARTS = frozenset(("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"))
ENDS = frozenset(("os.kill", "os.killpg", "signal.pthread_kill"))
LIMIT, LIMIT_OF = "resource.setrlimit", "resource.prlimit"  # the latter of a process; it asks for them, too
# There is no event for these: what ends the agent at once, by a signal or an error in its first thread, or soon.
CALLS: tuple[tuple[Any, str], ...] = (
    (os, "_exit"), (os, "abort"), (os, "closerange"), (signal, "raise_signal"), (signal, "alarm"),
    (signal, "setitimer"), (_thread, "interrupt_main"),
)
CURE = "it runs in a child of its own from now on, where it may; @collector(isolated=True) says so from the start"

_here = threading.local()
_exit = os._exit
_on = False


@contextmanager
def guarded(verdict: Callable[[str], None]) -> Iterator[None]:
    """In the `with`, this thread runs foreign code. `verdict` is told why it is to be isolated, when it is."""
    _switch_on()
    own, before = os.getpid(), getattr(_here, "verdict", None)
    _here.verdict = verdict
    try:
        yield
    finally:
        if os.getpid() != own:  # a fork that was not seen has come back into the agent's code
            _exit(1)
        _here.verdict = before


def _switch_on() -> None:
    """With the first foreign code: a hook cannot be removed, and costs each event 100 ns."""
    global _on
    if not _on:
        _on = True
        sys.addaudithook(_audit)
        for module, name in CALLS:
            setattr(module, name, _watched(f"{module.__name__}.{name}", getattr(module, name)))


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    verdict = getattr(_here, "verdict", None)
    if verdict is None:
        return
    if event in STARTS:
        _refuse(verdict, f"it starts processes ({event})")
    elif event == LIMIT or event == LIMIT_OF and arguments[0] in (0, os.getpid()) and arguments[2] is not None:
        _refuse(verdict, f"it sets limits of the agent ({event})")
    elif event in ENDS and _meets_us(event, int(arguments[0])):
        _refuse(verdict, f"it sends signals to the agent ({event})")


def _meets_us(event: str, number: int) -> bool:
    """Whether a signal to this process, group or thread reaches the agent."""
    group = os.getpgid(0)
    if event == "os.kill":
        return number in (os.getpid(), 0, -1, -group)
    return event == "signal.pthread_kill" or number in (0, group)


def _watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which foreign code may not call."""
    @functools.wraps(call)
    def asked(*given: Any, **named: Any) -> Any:
        verdict = getattr(_here, "verdict", None)
        if verdict is not None:
            _refuse(verdict, f"it called {name}({', '.join(map(repr, given))})")
        return call(*given, **named)

    return asked


def _refuse(verdict: Callable[[str], None], why: str) -> NoReturn:
    verdict(why)
    raise PluginError(f"{why}: {CURE}")
