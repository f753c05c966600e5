"""Marks, verdicts and what is handed on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from istat_agent.isolation import anew, verdicts
from istat_agent.isolation.marks import BYTES, NAME_BYTES, SLOTS, Marks, open_marks
from istat_agent.isolation.verdicts import Verdicts

FIXTURE = Path(__file__).parents[2] / "fixtures" / "marks"


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Marks]:
    made = open_marks(str(tmp_path))
    yield made
    made.close()


def again(folder: Path) -> Marks:
    """As the next process finds them: a copy, since the first one has the lock."""
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    (copy / "marks").write_bytes((folder / "marks").read_bytes())
    return open_marks(str(copy))


def test_what_ran_is_known_to_who_comes_next(marks: Marks, tmp_path: Path) -> None:
    assert marks.left == ()
    with marks.running("/etc/d/one.py"), marks.running("/etc/d/two.py"), marks.running("/etc/d/two.py"):
        with marks.running("/etc/d/over.py"):
            pass
        found = again(tmp_path)
    assert sorted(found.left) == ["/etc/d/one.py", "/etc/d/two.py"] and not found.stood_still
    found.close()
    after = again(tmp_path)
    assert after.left == ()
    after.close()


def test_clearing_is_the_word_that_nothing_crashed(marks: Marks, tmp_path: Path) -> None:
    with marks.running("a"):
        marks.clear()
        found = again(tmp_path)
        assert found.left == ()
        found.close()


def test_long_names_and_more_than_there_is_room_for(marks: Marks, tmp_path: Path) -> None:
    with marks.running("/x" * 500):
        found = again(tmp_path)
    assert found.left == (("/x" * 500)[:NAME_BYTES],)
    found.close()
    runs = [marks.running(str(number)) for number in range(SLOTS + 5)]
    for one in runs:
        one.__enter__()
    found = again(tmp_path)
    assert len(found.left) == SLOTS
    found.close()
    for one in runs:
        one.__exit__(None, None, None)


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"x" * BYTES, b"istatMRK\x02\0" + bytes(BYTES - 10)])
def test_what_is_no_file_of_marks_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "marks").write_bytes(damage)
    made = open_marks(str(tmp_path))
    assert made.left == () and (tmp_path / "marks").stat().st_size == BYTES
    made.close()


def test_a_damaged_name_is_no_mark(marks: Marks, tmp_path: Path) -> None:
    with marks.running("/etc/d/one.py"):
        data = (tmp_path / "marks").read_bytes().replace(b"one.py", b"0ne.py")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "marks").write_bytes(data)
    made = open_marks(str(tmp_path / "other"))
    assert made.left == ()
    made.close()


def test_the_fixture_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "marks").write_bytes((FIXTURE / "marks-1").read_bytes())
    made = open_marks(str(tmp_path))
    assert made.left == ("/etc/istatd/plugins.d/redis.py", "entry point fans (fans:plugin)")
    assert made.stood_still and made.anew == 3
    made.close()
    (tmp_path / "verdicts").write_bytes((FIXTURE / "verdicts-1").read_bytes())
    verdicts = Verdicts(str(tmp_path))
    assert verdicts.why("/etc/istatd/plugins.d/redis.py", "12") == "it starts processes (os.fork)"


def test_a_folder_that_has_an_agent_is_left_to_it(marks: Marks, tmp_path: Path) -> None:
    with marks.running("a"):
        other = open_marks(str(tmp_path))
        assert other.left == ()
        with other.running("b"):
            found = again(tmp_path)
        assert found.left == ("a",)
        found.close()
        other.close()


def test_a_verdict_lasts_until_the_plugin_changes(tmp_path: Path) -> None:
    first = Verdicts(str(tmp_path))
    first.isolate("/d/a.py", "it starts processes", "1")
    first.isolate("/d/b.py", "the agent ended by a crash while it ran")
    second = Verdicts(str(tmp_path))
    assert second.why("/d/a.py", "1") == "it starts processes"
    assert second.why("/d/b.py", "7") == "the agent ended by a crash while it ran", "as it is found first"
    assert second.why("/d/c.py", "1") == ""
    third = Verdicts(str(tmp_path))
    assert third.why("/d/b.py", "8") == "" and third.why("/d/b.py", "7") == "", "a change ends it for good"
    assert third.why("/d/a.py", "1") != ""
    assert Verdicts(str(tmp_path)).why("/d/b.py", "7") == ""


def test_verdicts_that_are_damaged_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "verdicts").write_bytes(b"istat-verdicts 1 00000000\n[]")
    assert Verdicts(str(tmp_path)).why("a", "1") == ""
    (tmp_path / "verdicts").write_bytes(b"\xff\xfe")
    made = Verdicts(str(tmp_path))
    made.isolate("a", "why", "1")
    assert Verdicts(str(tmp_path)).why("a", "1") == "why"


def test_of_more_verdicts_than_fit_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST", 2)
    known = Verdicts(str(tmp_path))
    for name in ("a", "b", "a", "c"):
        known.isolate(name, f"why {name}", "1")
    assert [Verdicts(str(tmp_path)).why(name, "1") for name in "abc"] == ["why a", "", "why c"]


def test_without_a_folder_they_go_on_by_their_descriptors() -> None:
    first, marks = Verdicts(""), open_marks("")
    assert first.descriptor is not None
    first.isolate("a", "why", "1")
    environ = {anew.VARIABLE: anew.told([("verdicts", first.descriptor), ("marks", marks.descriptor), ("gone", 9999)])}
    with marks.running("b"):
        handed = anew.Handed(environ)
        assert handed.anew and environ == {}
        assert handed.take("gone") is None
        assert Verdicts("", handed.take("verdicts")).why("a", "1") == "why"
        kept = handed.take("marks")
        assert kept is not None
        assert Marks(os.dup(kept)).left == ("b",)
    assert handed.take("marks") is None
    os.close(first.descriptor)
    marks.close()


def test_a_start_that_is_not_anew() -> None:
    handed = anew.Handed({})
    assert not handed.anew and handed.take("marks") is None and handed.take_all("listen") == []


def test_standing_still_again_and_again_is_waited_for() -> None:
    assert [anew.pause(times) for times in range(9)] == [0, 0, 0, 0, 1, 2, 4, 8, 10]
