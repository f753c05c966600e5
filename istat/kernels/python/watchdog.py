"""Ends this process when its event loop stands still while something of others runs: the specification.

    watchdog = Watchdog(marks, program, arguments, environment, keep, folder, seconds, told)
    watchdog.start(); ...; watchdog.beat(); ...; watchdog.stop()

`marks`: a buffer that can be written, with a header of HEADER bytes and slots of SLOT bytes; a slot whose first byte is
not 0 is of something that runs now (docs/formats/marks.md). The loop calls `beat` again and again; without a call for
`seconds`, while there is a mark, it has stopped, whoever holds the interpreter.

This build, without a thread that needs no interpreter, ends the process with status 1 and a traceback on standard
error; whoever started it starts it anew. The native one executes the program anew in its own process.
"""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Sequence
from typing import Any

HEADER, SLOT = 32, 256  # bytes
ANEW, STILL = 16, 20  # where in the header two numbers of 4 bytes are (little end first): see docs/formats/marks.md


class Watchdog:
    """Watches from `start` to `stop`."""

    #: Whether the program is executed anew; else it ends.
    EXECUTES = False

    def __init__(self, marks: Any, program: bytes, arguments: Sequence[bytes], environment: Sequence[bytes],
                 keep: Sequence[int], folder: int, seconds: float, told: int) -> None:
        """For an execution: `program` with `arguments` and `environment` (NAME=VALUE), in the folder with the
        descriptor `folder`, with the descriptors `keep`; before it the signal `told` is raised, unless 0, which is to
        say where all threads are."""
        self._marks, self._seconds, self._watches, self._armed = memoryview(marks), seconds, False, False

    def start(self) -> None:
        """Watch from now on."""
        self._watches = True
        self.beat()

    def beat(self) -> None:
        """The loop turns."""
        if not self._watches:
            return
        if any(self._marks[HEADER::SLOT]):
            self.marked()
        elif self._armed:
            faulthandler.cancel_dump_traceback_later()
            self._armed = False

    def marked(self) -> None:
        """Something has begun to run: to be called by whoever sets a mark."""
        if self._watches:
            self._armed = True
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=sys.__stderr__ or sys.stderr)

    def stop(self) -> None:
        """Watch no longer."""
        if self._watches:
            faulthandler.cancel_dump_traceback_later()
        self._watches = False
        self._marks.release()
