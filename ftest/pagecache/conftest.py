"""The disk that the tests of the page cache use: an ext4 of its own, on a loop device.

What a file system does with the page cache is its own affair: tmpfs is the page cache, and an overlay tells of other
files. So these tests make the one that they are about. Whoever cannot mount one fails in continuous integration: this
skip is none that tests/skips.py lists, since nothing else shows that the tools tell the truth.
"""
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE = 4 << 30          # [bytes] of the image, nearly all of it a hole
INODES = 400_000        # fleets of 100,000 files, and of 300,000


@pytest.fixture(scope="session")
def disk() -> Iterator[Path]:
    """The root folder of an ext4 that only these tests use. Every user may look into it."""
    with tempfile.TemporaryDirectory(prefix=f"istat-disk-{os.getpid()}-", ignore_cleanup_errors=True) as made:
        place = Path(made)
        place.chmod(0o755)
        image, where = place / "image", place / "disk"
        where.mkdir()
        with image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", "-N", str(INODES), "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
             str(image))
        _run("mount", "-o", "loop,noatime,noinit_itable", str(image), str(where))
        try:
            yield where
        finally:
            if subprocess.run(["umount", str(where)], check=False).returncode:
                subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.fixture
def folder(disk: Path) -> Path:
    """A new folder on that disk, for one test."""
    return Path(tempfile.mkdtemp(prefix="test-", dir=disk))


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no ext4 on a loop device: {error}")
    if done.returncode:
        pytest.skip(f"no ext4 on a loop device: {done.stderr.strip()}")
