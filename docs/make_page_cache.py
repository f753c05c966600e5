"""Make the pictures of docs/page-cache.md anew, in docs/page-cache/, and print what the commands in it print.

    python docs/make_page_cache.py          # as root, with rrdtool: it mounts an ext4 of its own on a loop device

What is seen is this kernel's and this file system's doing, so that it is made by hand and looked at, not by the tests.
"""
from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from istat.pagecache.ownfiles import put_away  # noqa: E402

ISTAT = Path(sys.executable).with_name("istat")
PICTURES = ROOT / "docs/page-cache"
PAGE = 4096
MRTG = 105_312          # bytes of MRTG's RRD file: 26 pages
FLEET = 40              # files of it
READ_AHEAD_KB = 128     # Linux's default; devices and distributions have others
NOW = 1_700_000_100
ARCHIVES = [f"RRA:{kind}:0.5:{steps}:800" for kind in ("AVERAGE", "MAX") for steps in (1, 6, 24, 288)]


@contextmanager
def disk() -> Iterator[Path]:
    """A new ext4, with the read-ahead that most machines have."""
    with tempfile.TemporaryDirectory(prefix="istat-pictures-") as made:
        image, where = Path(made) / "image", Path(made) / "disk"
        where.mkdir()
        with image.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop,noatime", image, where], check=True)
        try:
            number = where.stat().st_dev
            ahead = Path(f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}/read_ahead_kb")
            ahead.write_text(str(READ_AHEAD_KB))
            yield where
        finally:
            subprocess.run(["umount", where], check=True)


def istat(*words: object, show: bool = True, cwd: Path | None = None) -> None:
    """Run a command as a reader would, and show it."""
    done = subprocess.run([ISTAT, *map(str, words)], cwd=cwd, text=True, capture_output=True, check=False)
    if show:
        print(f"$ istat {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")


@contextmanager
def made(path: Path) -> Iterator[int]:
    """A file that is on the disk, and not in memory; open."""
    path.write_bytes(os.urandom(MRTG))
    handle = os.open(path, os.O_RDWR)
    try:
        put_away(handle)
        yield handle
    finally:
        os.close(handle)


def touch(handle: int, advice: int | None = None) -> None:
    """One byte of page 13, by a mapping of the file."""
    with mmap.mmap(handle, 0) as mapping:
        if advice is not None:
            mapping.madvise(advice)
        _byte = mapping[13 * PAGE]


def reading(folder: Path) -> None:
    """One byte of a cold file, got in some ways: what comes with it."""
    folder.mkdir()
    with made(folder / "1 read at page 0") as handle:
        os.pread(handle, 1, 0)
    with made(folder / "2 read at page 13") as handle:
        os.pread(handle, 1, 13 * PAGE)
    with made(folder / "3 read up to page 7") as handle:
        os.read(handle, 8 * PAGE)
    with made(folder / "4 mapped, page 13") as handle:
        touch(handle)
    with made(folder / "5 mapped, fadvise RANDOM") as handle:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        touch(handle)
    with made(folder / "6 mapped, madvise RANDOM") as handle:
        touch(handle, mmap.MADV_RANDOM)
    istat("fincore", "--heatmap", PICTURES / "readahead.svg", "--cell", 16, ".", cwd=folder, show=False)
    istat("fincore", "-p", "-o", "FILE,TOTAL,RES,RANGES", ".", cwd=folder)


def folios(folder: Path) -> None:
    """A page of a file that is in memory in folios of 64 KiB."""
    folder.mkdir()
    for name in ("written at once", "written page by page"):
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        size = 16 if name == "written at once" else 1
        for at in range(0, 64, size):
            os.pwrite(handle, bytes(size * PAGE), at * PAGE)
        os.fsync(handle)
        os.close(handle)
    istat("fadvise", "--range", f"{20 * PAGE}:{PAGE}", ".", cwd=folder)
    istat("fincore", "--heatmap", PICTURES / "folios.svg", "--cell", 14, ".", cwd=folder, show=False)
    istat("fadvise", "--range", f"{20 * PAGE}:{PAGE}", "--whole-folios", "written at once", cwd=folder)


def fleet(folder: Path) -> None:
    """Forty files of MRTG: an update of each, without advice and with rrdtool's own."""
    folder.mkdir()
    for number in range(FLEET):
        name = folder / f"if{number:02d}.rrd"
        subprocess.run(["rrdtool", "create", name, "--start", str(NOW - 300), "--step", "300",
                        "DS:in:COUNTER:600:0:U", "DS:out:COUNTER:600:0:U", *ARCHIVES], check=True)
    for turn, words in enumerate((["fadvise", "run", "--no-advice", "--"], [])):
        istat("fadvise", ".", cwd=folder, show=False)
        for number in range(FLEET):
            update = ["rrdtool", "update", f"if{number:02d}.rrd", f"{NOW + 300 * turn}:{number}:{number}"]
            subprocess.run([*([ISTAT, *words] if words else []), *update], cwd=folder, check=True)
        subprocess.run(["sync", "-f", folder], check=True)
        name = "without" if words else "with"
        istat("fincore", "--heatmap", PICTURES / f"fleet-{name}-advice.svg", "--cell", 6, ".", cwd=folder, show=False)
        istat("fincore", "--hist", ".", cwd=folder)
        if not words:
            istat("fincore", "--by-page", "--layout", "rrd", ".", cwd=folder)


def simulated(folder: Path) -> None:
    """The same fleet by the model and the simulator: figure 13 of the paper, and where a machine's limit is."""
    folder.mkdir()
    for name, readahead in (("advice", "random"), ("in-2007", "linux-2.6.9"), ("today", "mmap-now")):
        istat("pagetrace", "generate", f"{name}.log.gz", "--readahead", readahead, "--meta", "--days", 30, cwd=folder)
    istat("cachesim", "advice.log.gz", "in-2007.log.gz", "today.log.gz", "--frames-per-file", "3-32", "--plot",
          PICTURES / "misses.svg", cwd=folder)
    istat("cachesim", "advice.log.gz", "--frames-per-file", 8, "--by-slot", "--plot", PICTURES / "slots.svg",
          cwd=folder)
    istat("cacheplan", "--memory", "10G", "--plot", PICTURES / "knee.svg", cwd=folder)
    istat("cacheplan", "--layout", "mrtg=320000", "--memory", "10G", cwd=folder)
    istat("cacheplan", "--layout", "store=1000000", "--memory", "10G", cwd=folder)


def main() -> None:
    """All of them, or those that are named."""
    with disk() as where:
        for part in (reading, folios, fleet, simulated):
            if not sys.argv[1:] or part.__name__ in sys.argv[1:]:
                part(where / part.__name__)


if __name__ == "__main__":
    main()
