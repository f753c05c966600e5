"""A daemon that fails is started again and again by the service manager: from the third time on it waits first.

systemd 252 restarts at an even pace. The count of failures one after another stands in a file of the runtime folder,
which the unit keeps from restart to restart (RuntimeDirectoryPreserve=restart) and drops at a stop. A start has failed
when the daemon ends before it was up for STEADY seconds, unless it was told to. Without such a folder it never waits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from istat.access import guarded

log = logging.getLogger(__name__)

FILE = "failed-starts"
MOST_DIGITS = 9     # of the count in it
# Failures that are followed by a start at once: a kill must be made good within seconds.
AT_ONCE = 3
LONGEST = 60.0      # between two starts [s]
# A daemon that is up for so long has not failed: one that is killed for its memory may die a while after READY [s].
STEADY = 60.0


class BackOff:
    """Counts starts until one succeeds or is ended by someone."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ`: RUNTIME_DIRECTORY as systemd.exec(5) sets it; of several folders the first."""
        folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._file = Path(folder) / FILE if folder else None
        self.failed = self._read()

    def _read(self) -> int:
        if self._file is None:
            return 0
        try:
            with open(guarded.open_file(self._file, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                text = file.read(MOST_DIGITS)
        except OSError:
            return 0        # the first start; or a file that we did not write
        return int(text) if text.isdigit() else 0

    def begin(self) -> float:
        """Count a start as failed until succeeded() says otherwise. Returns how long to wait before it [s]."""
        if self._file is None:
            return 0.0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
            with open(guarded.open_file(self._file, flags, 0o644), "wb") as file:
                file.write(b"%d" % (self.failed + 1))
        except OSError:
            return 0.0      # a full or foreign folder must not keep a daemon from starting
        return 0.0 if self.failed < AT_ONCE else min(LONGEST, 2.0 ** (self.failed - AT_ONCE + 1))

    def forget(self) -> None:
        """It has been up for STEADY seconds, or was told to end: the next failure is the first one."""
        if self._file is None:
            return
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:    # not our folder any more: root was given up since
            log.warning("cannot remove %s, so the next start may wait: %s", self._file, error.strerror)
