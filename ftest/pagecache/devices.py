"""What a block device was asked to read and write, as the kernel counts it (iostats of the device)."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

SECTOR = 512            # bytes, of these counts on any device


class Traffic(NamedTuple):
    """Bytes."""

    read: int
    written: int

    def since(self, before: Traffic) -> Traffic:
        return Traffic(self.read - before.read, self.written - before.written)


def traffic(folder: Path) -> Traffic:
    """Of the device that a folder is on, when all that was written to it has got there."""
    subprocess.run(["sync", "-f", os.fspath(folder)], check=True)
    number = folder.stat().st_dev
    words = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text().split()
    return Traffic(int(words[2]) * SECTOR, int(words[6]) * SECTOR)
