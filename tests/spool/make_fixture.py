"""Makes the spools of the worked examples in docs/formats/spool.md, with fixed id and salt: tests/fixtures/spool/v1,
and v2, which has a segment that was made coarser."""
from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from istat.clock import FakeClock
from istat.spool import opening
from istat.spool.spool import Limits, Spool

PLACE = Path(__file__).parents[1] / "fixtures/spool/v1"
COARSER = PLACE.with_name("v2")
GROUP = "a:8111 | b:8111"
NOW = 1325395000
AGE = 3600      # [s] after which the second one's samples are merged into hours


def begin(folder: Path, clock: FakeClock, limits: Limits) -> Spool:
    """A spool in a folder that is not there."""
    folder.mkdir(parents=True)
    slots = opening.lock(folder)
    slots.write(opening.Identity(bytes(range(16)), NOW, int.from_bytes(b"SALT", "little")).packed())
    slots.close()
    spool = Spool.open(folder, limits, clock)
    spool.group(GROUP)
    spool.keep([GROUP])
    return spool


def send(spool: Spool) -> None:
    """Send the next frame to the first target, which does not answer."""
    cursor = spool.group(GROUP)
    frame = cursor.read(spool.last)
    assert frame is not None
    cursor.sending("a:8111", frame.sequence)


def make(folder: Path) -> None:
    """The first one."""
    spool = begin(folder, FakeClock(NOW), Limits())
    spool.append(b"foo.bar 5\n*hits 3\n", NOW, 2)
    spool.append(b"foo.bar 1325394000 7.25\n", NOW, 1, mark=(b"web1", 7, 3))
    send(spool)
    spool.close()


def make_coarser(folder: Path) -> None:
    """The second one."""
    clock = FakeClock(NOW)
    spool = begin(folder, clock, Limits(age=AGE, coarsen=True))
    spool.append(b"foo.bar 5\n*hits 3\n", NOW, 2)
    spool.append(b"foo.bar 1325395007 7.25\n", NOW + 10, 1, mark=(b"web1", 7, 3))
    spool.append(b"foo.bar 4\n*hits 1\nonce 1\n", NOW + 20, 3)
    clock.advance(AGE // 4)
    spool.tick()
    spool.append(b"foo.bar 6\n", int(clock.now()), 1)       # in another segment
    clock.advance(AGE)
    spool.tick()
    while spool.coarsens:
        spool.coarsen()
        time.sleep(0.001)       # it is synced by a thread
    send(spool)
    spool.close()


def show(path: Path) -> None:
    """Its bytes as the page has them."""
    data = path.read_bytes()
    for at in range(0, len(data), 16):
        part = data[at:at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        sys.stdout.write(f"{at:04x}  {part.hex(' '):<47}  {text}\n")


if __name__ == "__main__":
    for place, maker in ((PLACE, make), (COARSER, make_coarser)):
        shutil.rmtree(place, ignore_errors=True)
        maker(place)
        show(min(place.glob("*.spool")))
