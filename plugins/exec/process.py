"""Runs one command to its end, or to its deadline: bounded output, nothing left behind.

Knows nothing of samples. Must be called in a thread of its own: it blocks.
"""

from __future__ import annotations

import atexit
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_OUTPUT = 64 * 1024  # bytes of standard output; more is a runaway script
MAX_ERRORS = 4 * 1024  # bytes of standard error that are kept; more is read and thrown away
CHUNK = 16 * 1024  # bytes read at once

TOO_LATE = "not finished"

_running: set[int] = set()  # process groups, so that none outlives the agent


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `failure` is None, or a few words that say what went wrong."""

    output: bytes
    errors: bytes
    seconds: float
    failure: str | None


def run(command: Sequence[str], timeout: float, environment: Mapping[str, str]) -> Outcome:
    """Run `command` without a shell, in a process group of its own, in `/`, with nothing on standard input.

    When `timeout` [s] is over or there is too much output, the whole group is killed. What it printed
    before counts, up to its last complete line.
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(b"", b"", 0.0, f"cannot be started: {error.strerror}")
    _running.add(process.pid)
    try:
        output, errors, failure = _read(process, began + timeout)
        if failure is None:
            failure = _wait(process, began + timeout)
    finally:
        ending = _finish(process)
        _running.discard(process.pid)
    if failure is not None:  # killed by us, perhaps in the middle of a line
        output = output[: output.rfind(b"\n") + 1]
    failure = f"{TOO_LATE} after {timeout:g} s" if failure == TOO_LATE else failure or ending
    return Outcome(output, errors, time.monotonic() - began, failure)


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, str | None]:
    """Both outputs until they are closed, the deadline is over, or there is too much."""
    assert process.stdout is not None and process.stderr is not None
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                return bytes(output), bytes(errors), TOO_LATE
            for key, _ in ready:
                data = os.read(key.fd, CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data is output or len(errors) < MAX_ERRORS:
                    key.data.extend(data)
            if len(output) > MAX_OUTPUT:
                return bytes(output[:MAX_OUTPUT]), bytes(errors), f"printed more than {MAX_OUTPUT} bytes"
    return bytes(output), bytes(errors), None


def _wait(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    """Wait for the process to end, but do not reap it yet: its group's number stays ours until then."""
    watch = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(watch)
    return None if ended else TOO_LATE


def _finish(process: subprocess.Popen[bytes]) -> str | None:
    """End what is left of the group, children that went to the background included, and reap.

    What was wrong with how the process itself ended, or None.
    """
    _kill_group(process.pid)
    status = process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}" if status else None


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # all gone, or no longer ours (a set-uid program)
        return


@atexit.register
def _kill_all() -> None:
    for group in list(_running):
        _kill_group(group)
