"""Makes tests/fixtures/spool/v1, the spool of the worked example in docs/formats/spool.md: with fixed id and salt."""
from __future__ import annotations

import shutil
import sys
from pathlib import Path

from istat.clock import FakeClock
from istat.spool import opening
from istat.spool.spool import Limits, Spool

PLACE = Path(__file__).parents[1] / "fixtures/spool/v1"
GROUP = "a:8111 | b:8111"
NOW = 1325395000


def make(folder: Path) -> None:
    """Make the spool in a folder that is not there."""
    folder.mkdir(parents=True)
    slots = opening.lock(folder)
    slots.write(opening.Identity(bytes(range(16)), NOW, int.from_bytes(b"SALT", "little")).packed())
    slots.close()
    spool = Spool.open(folder, Limits(), FakeClock(NOW))
    cursor = spool.group(GROUP)
    spool.keep([GROUP])
    spool.append(b"foo.bar 5\n*hits 3\n", NOW, 2)
    spool.append(b"foo.bar 1325394000 7.25\n", NOW, 1, mark=(b"web1", 7, 3))
    frame = cursor.read(spool.last)
    assert frame is not None
    cursor.sending("a:8111", frame.sequence)
    spool.close()


if __name__ == "__main__":
    shutil.rmtree(PLACE, ignore_errors=True)
    make(PLACE)
    data = next(PLACE.glob("*.spool")).read_bytes()
    for at in range(0, len(data), 16):
        part = data[at:at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        sys.stdout.write(f"{at:04x}  {part.hex(' '):<47}  {text}\n")
