"""A daemon that cannot start is started again and again by the service manager: from the third time on it waits first.

systemd 252 restarts at an even pace. The count of starts that failed one after another stands in a file of the
runtime folder, which the unit keeps from restart to restart (RuntimeDirectoryPreserve=restart) and drops at a stop.
Without such a folder there is no waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILE = "failed-starts"
# Failures that are followed by a start at once: a kill must be made good within seconds.
AT_ONCE = 3
LONGEST = 60.0      # between two starts [s]


class BackOff:
    """Counts starts until one succeeds."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ`: RUNTIME_DIRECTORY as systemd.exec(5) sets it; of several folders the first."""
        folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._file = Path(folder) / FILE if folder else None
        self.failed = self._read()

    def _read(self) -> int:
        try:
            text = self._file.read_text(encoding="ascii") if self._file else ""
        except (OSError, UnicodeDecodeError):
            return 0        # the first start; or a file that we did not write
        return int(text) if text.isascii() and text.isdigit() else 0

    def begin(self) -> float:
        """Count a start as failed until succeeded() says otherwise. Returns how long to wait before it [s]."""
        if self._file is None:
            return 0.0
        try:
            self._file.write_text(str(self.failed + 1), encoding="ascii")
        except OSError:
            return 0.0      # a full or foreign folder must not keep a daemon from starting
        return 0.0 if self.failed < AT_ONCE else min(LONGEST, 2.0 ** (self.failed - AT_ONCE + 1))

    def succeeded(self) -> None:
        """The start has succeeded: the next failure is the first one."""
        if self._file is not None and self._file.exists():
            self._file.unlink()
