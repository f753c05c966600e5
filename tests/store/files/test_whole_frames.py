"""A file that was written whole is checked a piece at a time: any other byte, and any end, is told."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.errors import StoreError
from istat_server.store.files import journal


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three frames, of which each is longer than a piece."""
    monkeypatch.setattr(journal.ownfiles, "PIECE", 7)
    path = tmp_path / "00000001.names"
    journal.write_whole(path, journal.KIND_NAMES, 1, b"u" * 16, (b"a" * 20, b"b" * 9, b"c" * 8))
    return path


def test_a_sound_file_is_sound(names: Path) -> None:
    journal.verify(names)


def test_each_byte_counts(names: Path) -> None:
    sound = names.read_bytes()
    for at in range(len(sound)):
        names.write_bytes(sound[:at] + bytes([sound[at] ^ 0x10]) + sound[at + 1:])
        with pytest.raises(StoreError):
            journal.verify(names)


def test_an_end_within_a_frame_is_told(names: Path) -> None:
    sound, told = names.read_bytes(), 0
    for size in range(len(sound)):
        names.write_bytes(sound[:size])
        try:
            journal.verify(names)
        except StoreError:
            told += 1
    assert told == len(sound) - 3       # but for ends of frames: how long it is, who sends it says
