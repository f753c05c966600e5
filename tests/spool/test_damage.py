"""Damaged bytes: what can be read arrives once, and every line that does not is counted."""
from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from istat.pagecache import ownfiles
from tests.spool.harness import GROUP, drain, kill, lost, open_spool, put

FRAMES = 60


def filled(folder: Path, clean: bool, segments: int = 3) -> None:
    """A spool of frames of three lines, in so many segments."""
    for segment in range(segments):
        spool = open_spool(folder)
        put(spool, *range(segment * FRAMES, (segment + 1) * FRAMES), lines=3)
        if clean or segment < segments - 1:
            spool.close()
        else:
            kill(spool)


def damage(path: Path, flips: list[int]) -> None:
    data = bytearray(path.read_bytes())
    for flip in flips:
        data[flip % len(data)] ^= 1 + flip % 255
    path.write_bytes(data)


@settings(max_examples=60)
@example([(2, 131073)], False)      # a header, in the length of its marks
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1 << 20)), min_size=1, max_size=12), st.booleans())
def test_flipped_bytes_in_segments_are_stepped_over_and_counted(tmp_path_factory: pytest.TempPathFactory,
                                                                flips: list[tuple[int, int]], clean: bool) -> None:
    folder = tmp_path_factory.mktemp("spool")
    filled(folder, clean)
    for place, path in enumerate(sorted(folder.glob("*.spool"))):
        damage(path, [at for which, at in flips if which == place])
    spool = open_spool(folder)
    got = drain(spool, spool.group(GROUP))
    assert got == sorted(set(got))
    assert len(got) >= 3 * FRAMES - len(flips)
    counted = lost(spool).get("damaged", 0)
    if clean:       # else what is damaged at the very end cannot be told from what was never written
        assert counted == 3 * (3 * FRAMES - len(got))
    assert counted <= 3 * (3 * FRAMES - len(got))
    put(spool, 1000)
    assert drain(spool, spool.group(GROUP)) == [1000]
    assert spool.group(GROUP).behind == (0, 0, 0.0)
    spool.close()


@pytest.mark.parametrize("want", (errno.EMFILE, errno.ENFILE))
def test_want_of_descriptors_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, want: int) -> None:
    filled(tmp_path, clean=True)
    spool = open_spool(tmp_path)
    cursor = spool.group(GROUP)
    real = ownfiles.descriptor

    def none_left(path: Path, *given: object, **named: object) -> int:
        if path.suffix == ".spool":
            raise OSError(want, os.strerror(want))
        return real(path, *given, **named)      # type: ignore[arg-type]

    monkeypatch.setattr(ownfiles, "descriptor", none_left)
    with pytest.raises(OSError):
        cursor.read(spool.last)
    assert cursor.behind[:2] == (3 * FRAMES, 9 * FRAMES)
    spool.tick()
    monkeypatch.setattr(ownfiles, "descriptor", real)
    assert drain(spool, cursor) == list(range(3 * FRAMES))
    assert not any(lost(spool).values())
    spool.close()


def test_a_flipped_length_is_no_end(tmp_path: Path) -> None:
    filled(tmp_path, clean=True, segments=1)
    (path,) = tmp_path.glob("*.spool")
    size = (path.stat().st_size - 80) // FRAMES
    damage(path, [80 + 4 * size + 6])
    spool = open_spool(tmp_path)
    assert len(drain(spool, spool.group(GROUP))) == FRAMES - 1
    assert lost(spool) == {"damaged": 3}
    loss = spool.losses()[0]
    assert (loss.reason, loss.lines, loss.group) == ("damaged", 3, GROUP)
    spool.close()


def test_lines_that_look_like_frames_are_none(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "a")
    put(spool, 1)
    (path,) = (tmp_path / "a").glob("*.spool")
    frame = path.read_bytes()[80:]
    other = open_spool(tmp_path / "b")
    other.append(b"x" + frame, 5, 2)
    put(other, 2)
    (path,) = (tmp_path / "b").glob("*.spool")
    damage(path, [80 + 5])
    kill(other)
    other = open_spool(tmp_path / "b")
    assert drain(other, other.group(GROUP)) == [2]
    for one in (spool, other):
        one.close()


def test_without_an_identity_it_is_that_of_the_segments(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    id, epoch, last = spool.id, spool.epoch, put(spool, 1, 2, 3)[-1]
    drain(spool, spool.group(GROUP), most=1)
    spool.close()
    (tmp_path / "identity").unlink()
    again = open_spool(tmp_path)
    assert (again.id, again.epoch) == (id, epoch)
    assert put(again, 4)[0] > last
    assert drain(again, again.group(GROUP)) == [2, 3, 4]
    again.close()


def test_another_spools_segment_is_left_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        spool = open_spool(tmp_path / name)
        put(spool, *range(3 if name == "a" else 1))
        spool.close()
    (theirs,) = (tmp_path / "a").glob("*.spool")
    theirs.rename(tmp_path / "b/0000000000000009.spool")
    spool = open_spool(tmp_path / "b")
    assert drain(spool, spool.group(GROUP)) == [0]
    spool.tick()
    assert (tmp_path / "b/0000000000000009.spool").exists()
    spool.close()


def test_frames_in_doubt_that_are_damaged_are_lost_when_they_are_needed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2, 3, lines=5)
    cursor = spool.group(GROUP)
    for sequence in (1, 2, 3):
        cursor.sending("a", sequence)
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    damage(path, [80 + 68 + 1])
    again = open_spool(tmp_path)
    cursor = again.group(GROUP)
    assert lost(again) == {}
    assert [frame.sequence for frame in cursor.again(1, 3)] == [2, 3]
    assert lost(again) == {"damaged": 5} and cursor.doubts("a") == [(2, 3)]
    cursor.refused("a", 2)
    assert cursor.give_up("a") == (1, 5)
    assert drain(again, cursor) == [2, 3]
    again.close()


def test_a_segment_of_noise_costs_what_was_in_it(tmp_path: Path) -> None:
    filled(tmp_path, clean=True)
    path = sorted(tmp_path.glob("*.spool"))[1]
    path.write_bytes(random.Random(5).randbytes(path.stat().st_size))
    spool = open_spool(tmp_path)
    assert drain(spool, spool.group(GROUP)) == [*range(FRAMES), *range(2 * FRAMES, 3 * FRAMES)]
    assert lost(spool) == {"damaged": 3 * FRAMES}
    spool.close()


@pytest.mark.parametrize("name", ["0" * 16, "9" * 20, "9" * 5000, str((1 << 63) - 1), str(1 << 62), "00000000000000001",
                                  "x", "²" * 16])
def test_files_of_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    filled(tmp_path, True, 1)
    stray = tmp_path / f"{name[:200]}.spool"
    stray.write_bytes(b"stray" * 100)
    spool = open_spool(tmp_path)
    assert put(spool, 500) == [FRAMES + 1]
    assert len(drain(spool, spool.group(GROUP))) == FRAMES + 1
    spool.close()
    assert stray.read_bytes() == b"stray" * 100
