"""What a process that we start may take, it and each that it starts, in limits of setrlimit(2): they hold without
control groups, and whoever is not root cannot raise them. `keeper.py` sets them. Knows no process.
"""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass

MIB = 1024 * 1024
MEMORY = 256 * MIB  # bytes: a program in Python takes 10 MB, one in Java 100 MB
FILES = 1024  # what a user's programs have by default
FILE_BYTES = 1024 * MIB  # more than what a check has to write, and less than what fills a disk
PROCESSES = 128  # a pipeline has ten, a build on a large machine a hundred
CPU = resource.RLIMIT_CPU


@dataclass(frozen=True)
class Limits:
    """All of them are of each process for itself, but `processes`, which the system counts for the user."""

    # Private memory that can be written [bytes]: reserved address space does not count, as Go and Java need much of it.
    memory: int = MEMORY
    files: int = FILES  # open ones
    file_bytes: int = FILE_BYTES  # of a file that is written
    # CPU time [s]; of what lasts: of one reading. None: as much as the deadline has seconds.
    cpu: int | None = None
    # Processes and threads above what the user has when it begins. Root is not held by the system: the warden counts.
    processes: int = PROCESSES

    def words(self, timeout: float | None = None) -> str:
        """As the keeper is told: RESOURCE=NUMBER, and `processes`. `timeout` [s]: the deadline, where there is one."""
        limits = [(resource.RLIMIT_DATA, self.memory), (resource.RLIMIT_NOFILE, self.files),
                  (resource.RLIMIT_FSIZE, self.file_bytes), (resource.RLIMIT_CORE, 0)]
        if timeout is not None:
            limits.append((CPU, self.cpu_seconds(timeout)))
        return " ".join([*(f"{number}={most}" for number, most in limits), f"processes={self.processes}"])

    def cpu_seconds(self, timeout: float) -> int:
        """CPU time of a reading that has to end within `timeout` seconds; the system counts in whole ones."""
        return self.cpu if self.cpu is not None else max(1, math.ceil(timeout))
