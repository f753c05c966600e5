"""The standard output of our programs where it cannot be written to: its disk is full, it is closed. Python would say
so in words of its own when all is over, with status 120, or nowhere. Knows no program.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

FAILED = 1      # the exit status: what was to be printed was not


class Watched(io.FileIO):
    """The file behind standard output, which remembers that it could not be written: whoever printed may have
    swallowed that, and no flush says it a second time."""

    problem: OSError | None = None

    def write(self, data: Any, /) -> int:
        """See io.FileIO."""
        try:
            return super().write(data)
        except OSError as error:
            self.problem = error
            raise


def run(body: Callable[[], int], tell: Callable[[str], object],
        refused: Callable[[OSError], int] | None = None) -> int:
    """The exit status of a program, once all that it printed is written. Where that cannot be, `tell` says so, unless
    whoever read it, such as `head`, had enough. `refused`: what becomes of another OSError; None: it goes on."""
    before = sys.stdout
    if before is None:      # it was closed before we began: what is printed shall fail, and nothing else
        before = sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115 - till the end
    watched = _watch()
    try:
        status = _ended(body, watched, refused)
        if watched is not None and watched.problem is not None:
            problem = watched.problem
            let_go()
            if not isinstance(problem, BrokenPipeError):
                tell(f"standard output cannot be written: {problem.strerror}")
                status = status or FAILED
        return status
    finally:
        sys.stdout = before


def _ended(body: Callable[[], int], watched: Watched | None, refused: Callable[[OSError], int] | None) -> int:
    """The status that the program itself ends with. SystemExit, such as that of --help, if all was written by then."""
    def failed() -> bool:
        with suppress(OSError, ValueError):     # ValueError: somebody has closed it
            sys.stdout.flush()
        return watched is not None and watched.problem is not None

    try:
        status = body()
    except SystemExit as end:
        if not failed():
            raise
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BrokenPipeError:
        return 0
    except OSError as error:
        if failed():
            return FAILED
        if refused is None:
            raise
        return refused(error)
    failed()
    return status


def _watch() -> Watched | None:
    """Put a watched file behind standard output, where it is one."""
    stream: Any = sys.stdout
    try:
        watched = Watched(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError, AttributeError):   # a test's
        return None
    with suppress(OSError):
        stream.flush()
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(watched), encoding=stream.encoding, errors=stream.errors,
                                  line_buffering=stream.line_buffering)
    return watched


def let_go() -> None:
    """What is printed from now on goes nowhere, and that is well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Watched):
        raw.problem = None
