"""Runs one command to its end, or to its deadline: bounded output, nothing left behind (keeper.py: how).

Knows nothing of samples. `run` must be called in a thread of its own: it blocks.
"""

from __future__ import annotations

import atexit
import errno
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from . import keeper
from .limits import Limits

MAX_OUTPUT = 64 * 1024  # bytes of standard output; more is a runaway script
MAX_ERRORS = 4 * 1024  # bytes of standard error that are kept, the last ones, as they say why it failed
CHUNK = 16 * 1024  # bytes read at once
PIPEFUL = 64 * 1024  # bytes that a pipe can hold: what is still to be read after the end
# Seconds after the deadline at which a warden that told nothing is given up. It has END_SECONDS of them itself.
GIVE_UP = keeper.END_SECONDS + 0.5

TOO_LATE = "not finished"
TOO_MUCH = f"printed more than {MAX_OUTPUT} bytes"
LOST = "what watched over it was killed"
NOT_STARTED = "cannot be started: "  # before what the system said of it
# What ended something for a limit, in words that say which.
OF_LIMITS: dict[int, str] = {
    signal.SIGXCPU: "took more CPU time than it may", signal.SIGXFSZ: "wrote a larger file than it may",
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `failure` is None, or a few words that say what went wrong."""

    output: bytes
    errors: bytes
    seconds: float
    failure: str | None


class Keeper:
    """The program keeper.py, seen from here: begun with the first run, and anew should it have ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # runs begin in several threads
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._closed = False

    def ask(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Have a run begun. OSError when that cannot be."""
        with self._lock:
            try:
                socket.send_fds(self._begun(), [request], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._forget()
                socket.send_fds(self._begun(), [request], descriptors)

    def close(self) -> None:
        """End it, and wait until what it watches over is gone; nothing can be run afterwards."""
        with self._lock:
            self._closed = True
            process = self._process
            self._forget(wait=False)
        if process is not None:
            try:
                process.wait(GIVE_UP + keeper.END_SECONDS)
            except subprocess.TimeoutExpired:
                return  # it goes on alone

    def _begun(self) -> socket.socket:
        if self._closed:
            raise OSError(errno.ESHUTDOWN, "the agent ends")
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno())]
                # Of a session of its own: a Ctrl-C in a terminal is for the agent, which then ends it.
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
                                                 pass_fds=[theirs.fileno()], start_new_session=True)
            self._socket = ours
        return self._socket

    def _forget(self, wait: bool = True) -> None:
        if self._socket is not None:
            self._socket.close()
        if wait and self._process is not None:
            self._process.wait()
        self._process = self._socket = None


_keeper = Keeper()
_running: set[socket.socket] = set()  # their ends with the wardens, so that no run outlives the agent


@dataclass(frozen=True)
class Begun:
    """Our ends of a run: the socket of its warden, pipes with standard output and error, and its channel, if it has one
    (where there is a channel, output is with the errors)."""

    warden: socket.socket
    output: int
    errors: int
    channel: socket.socket | None


def begin(request: bytes, kept: ExitStack, channel: bool = False) -> Begun:
    """Have a run begun. What it takes is closed with `kept`. OSError when it cannot be."""
    if len(request) > keeper.REQUEST_BYTES:
        raise OSError(errno.E2BIG, "the command is too long")
    with ExitStack() as passed:
        warden, theirs = _pair(kept, passed, socket.SOCK_SEQPACKET)
        _running.add(warden)
        kept.callback(_running.discard, warden)
        errors, their_errors = _pipe(kept, passed)
        if channel:
            ours, their_channel = _pair(kept, passed, socket.SOCK_STREAM)
            _keeper.ask(request, [theirs.fileno(), their_errors, their_errors, their_channel.fileno()])
            return Begun(warden, errors, errors, ours)
        output, their_output = _pipe(kept, passed)
        _keeper.ask(request, [theirs.fileno(), their_output, their_errors])
        return Begun(warden, output, errors, None)


def _pair(kept: ExitStack, passed: ExitStack, kind: int) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    kept.enter_context(ours)
    passed.enter_context(theirs)
    return ours, theirs


@dataclass
class _Run:
    """What is known of a run while it lasts."""

    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    told: list[str] | None = None  # by the warden, at the end
    failure: str | None = None  # for which we ended it


def run(command: Sequence[str], timeout: float, environment: Mapping[str, str], program: str = "",
        limits: Limits = Limits()) -> Outcome:  # noqa: B008 - it cannot be changed
    """Run `command` without a shell, in a session of its own, in `/`, with nothing on standard input.

    `program`: the file to run, if not `command[0]`. The run ends with the command, whoever holds its outputs open, or
    when `timeout` [s] is over, there is too much output, or it starts more processes than `limits` says; then all that
    it started is killed. When it was us who ended it, what it printed before counts up to its last complete line.
    """
    began = time.monotonic()
    pairs = [f"{name}={value}" for name, value in environment.items()]
    request = keeper.encode(began + timeout, program or command[0], command, pairs, limits.words(timeout))
    with ExitStack() as kept:
        try:
            begun = begin(request, kept)
        except OSError as error:
            return Outcome(b"", b"", 0.0, f"{NOT_STARTED}{error.strerror}")
        found = _follow(begun.warden, begun.output, begun.errors, began + timeout + GIVE_UP)
    return _outcome(found, timeout, time.monotonic() - began, limits)


def _pipe(kept: ExitStack, passed: ExitStack) -> tuple[int, int]:
    """The ends of a pipe: one that we keep, one for the script."""
    ours, theirs = os.pipe()
    kept.callback(os.close, ours)
    passed.callback(os.close, theirs)
    return ours, theirs


def _follow(warden: socket.socket, output: int, errors: int, until: float) -> _Run:
    """Read both outputs until the warden tells the end, and then what is left in them."""
    run = _Run()
    with selectors.DefaultSelector() as selector:
        selector.register(warden, selectors.EVENT_READ)
        for pipe, data in ((output, run.output), (errors, run.errors)):
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ, data)
        while run.told is None:
            ready = [key for key, _ in selector.select(max(0.0, until - time.monotonic()))]
            if not ready and time.monotonic() >= until:
                run.failure = run.failure or TOO_LATE
                return run
            for key in ready:
                if key.fileobj is warden:
                    run.told = warden.recv(CHUNK).decode().split()
                elif not _take(key.fd, key.data, run):
                    selector.unregister(key.fileobj)
            if len(run.output) > MAX_OUTPUT and run.failure is None:
                run.failure = TOO_MUCH
                warden.shutdown(socket.SHUT_WR)
    for pipe, data in ((output, run.output), (errors, run.errors)):
        for _ in range(PIPEFUL // CHUNK):
            if not _take(pipe, data, run):
                break
    return run


def _take(pipe: int, data: bytearray, run: _Run) -> bool:
    """Read what is there; False when there is, and will be, nothing."""
    try:
        more = os.read(pipe, CHUNK)
    except BlockingIOError:
        return False
    if data is run.errors:
        data += more
        del data[:-MAX_ERRORS]
    elif len(data) <= MAX_OUTPUT:  # the rest is thrown away
        data += more
    return bool(more)


def _outcome(run: _Run, timeout: float, seconds: float, limits: Limits = Limits()) -> Outcome:  # noqa: B008
    """What the run was in the end."""
    how, *words = run.told or ["lost"]
    if how == keeper.FAILED:
        return Outcome(b"", b"", 0.0, f"{NOT_STARTED}{os.strerror(int(words[0]))}")
    failure = run.failure
    if failure is None and len(run.output) > MAX_OUTPUT:
        failure = TOO_MUCH
    if failure is None and how != keeper.ENDED:
        crowd = f"started more than {limits.processes} processes"
        failure = {keeper.LATE: TOO_LATE, keeper.CROWD: crowd}.get(how, LOST)
    output = bytes(run.output[:MAX_OUTPUT])
    if failure is not None:  # killed by us, perhaps in the middle of a line
        output = output[: output.rfind(b"\n") + 1]
    else:
        failure = ending(words[0])
    if failure == TOO_LATE:
        failure = f"{TOO_LATE} after {timeout:g} s"
    if words[1:]:
        left = f"left processes that cannot be ended ({', '.join(words[1:])})"
        failure = f"{failure}, and {left}" if failure else left
    return Outcome(output, bytes(run.errors), seconds, failure)


def ending(status: str) -> str | None:
    """What was wrong with how the command itself ended, or None."""
    if status == str(None):
        return "could not be ended"
    number = int(status)
    if number >= 0:
        return f"exit status {number}" if number else None
    try:
        ended = f"ended by {signal.Signals(-number).name}"
        return f"{OF_LIMITS[-number]} ({ended})" if -number in OF_LIMITS else ended
    except ValueError:  # a real-time signal
        return f"ended by signal {-number}"


@atexit.register
def _end_all() -> None:
    for warden in list(_running):
        with suppress(OSError):  # it has ended just now
            warden.shutdown(socket.SHUT_RDWR)
    _keeper.close()
