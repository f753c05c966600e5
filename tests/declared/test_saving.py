"""What is declared outlives a restart, and a disk that fails costs nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.threadpool import ThreadPool

from istat.clock import FakeClock
from istat.errors import StoreFull
from istat_server.declared import saving
from istat_server.declared.declared import Declared
from istat_server.declared.saving import Saving
from istat_server.keyvalue import offline
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender
from istat_server.store.pool import Delivering, InlinePool

SENDER = Sender("tcp", "10.0.0.7:99", 0.0)
DEADLINE = 30.0     # seconds that only a broken machine needs


class Server:
    def __init__(self, folder: Path, pool: Any = None) -> None:
        clock = FakeClock(1_000_000)
        self.declared = Declared(clock, Mistakes(clock))
        self.saving = Saving(self.declared, folder / "settings", clock, pool or InlinePool())
        self.saving.load()

    def say(self, text: str) -> None:
        self.declared.take(text.encode(), SENDER)

    @property
    def names(self) -> list[str]:
        return [metric.name for metric in self.declared.all()]


@pytest.fixture
def pool() -> Iterator[Delivering]:
    made = ThreadPool(1)
    yield Delivering(made)
    made.kill()


def file_of(folder: Path) -> Path:
    return folder / "settings/metrics.declared"


def test_a_restart_knows_what_was_declared_and_who_did(tmp_path: Path) -> None:
    one = Server(tmp_path)
    one.say('cpu.user {"unit":"%"}')
    one.saving.stop()
    two = Server(tmp_path)
    assert two.names == ["cpu.user"] and two.declared.kept() == [("tcp_10.0.0.7", b'cpu.user {"unit":"%"}')]
    before = file_of(tmp_path).stat()
    assert before.st_mode & 0o777 == 0o640
    two.say('cpu.user {"unit":"%"}')
    two.saving.stop()
    assert file_of(tmp_path).stat() == before


def test_it_is_written_soon_after_a_change_and_not_for_each(
        tmp_path: Path, pool: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SETTLE_SECONDS", 0.05)
    server = Server(tmp_path, pool)
    writes: list[int] = []
    real = server.saving._folder.write
    monkeypatch.setattr(server.saving._folder, "write", lambda *told: writes.append(1) or real(*told))
    server.saving.start()
    for number in range(100):
        server.say(f"m{number} {{}}")
    with gevent.Timeout(DEADLINE):
        while not file_of(tmp_path).exists():
            gevent.sleep(0.01)
    server.say("later {}")
    gevent.sleep(0.2)       # a minute is not over: the end writes it
    assert len(writes) == 1
    server.saving.stop()
    assert len(writes) == 2 and len(Server(tmp_path).names) == 101


@pytest.mark.parametrize("spoil, kept", [
    (lambda data: data[:50], 0), (lambda data: data.replace(b"two", b"tow"), 2), (lambda data: b"\x00" * 10, 0),
    (lambda data: data + b"\n" * (17 << 20), 0),
])  # fmt: skip
def test_a_damaged_file_is_told_and_what_is_whole_is_used(
        tmp_path: Path, spoil: Callable[[bytes], bytes], kept: int, caplog: pytest.LogCaptureFixture) -> None:
    one = Server(tmp_path)
    for name in ("one", "two", "three"):
        one.say(f"{name} {{}}")
    one.saving.stop()
    file_of(tmp_path).write_bytes(spoil(file_of(tmp_path).read_bytes()))
    with caplog.at_level(logging.WARNING):
        two = Server(tmp_path)
    assert len(two.names) == kept and "senders tell it again" in caplog.text
    for name in ("one", "two", "three"):
        two.say(f"{name} {{}}")
    two.saving.stop()
    assert len(Server(tmp_path).names) == 3


def test_a_store_in_memory_has_no_folder_and_none_is_made(tmp_path: Path) -> None:
    server = Server(tmp_path / "nowhere")
    server.say("a {}")
    server.saving.stop()
    assert server.names == ["a"] and list(tmp_path.iterdir()) == []


def test_where_nothing_is_declared_nothing_is_written(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.say("no declaration")
    server.saving.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_told_and_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path)
    (tmp_path / "settings").write_text("no folder")
    server.say("a {}")
    with caplog.at_level(logging.WARNING):
        server.saving.save()
    assert "what is declared of metrics cannot be kept" in caplog.text
    (tmp_path / "settings").unlink()
    server.saving.save()
    assert Server(tmp_path).names == ["a"]


def test_what_could_not_be_written_is_tried_again_without_another_change(
        tmp_path: Path, pool: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(saving, "BETWEEN_SECONDS", 0.01)
    server = Server(tmp_path, pool)
    tries: list[int] = []
    real = server.saving._folder.write

    def write(*told: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise StoreFull("the disk is full")
        return real(*told)

    monkeypatch.setattr(server.saving._folder, "write", write)
    server.saving.start()
    server.say("a {}")
    with gevent.Timeout(DEADLINE):
        while not file_of(tmp_path).exists():
            gevent.sleep(0.01)
    server.saving.stop()
    assert len(tries) == 3 and Server(tmp_path).names == ["a"]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "settings").mkdir()
    file_of(tmp_path).symlink_to(other)
    with caplog.at_level(logging.WARNING):
        server = Server(tmp_path)
    assert "no plain file" in caplog.text
    server.say("a {}")
    server.saving.stop()
    assert other.read_text() == "mine" and not file_of(tmp_path).is_symlink()


def test_a_check_reads_it(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.say("a {}")
    server.saving.stop()
    found = offline.check(tmp_path / "settings")
    assert found.files == 1 and found.problems == []
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes().replace(b"a {", b"b {"))
    (problem,) = offline.check(tmp_path / "settings").problems
    assert problem == offline.Problem("metrics.declared", "1 damaged lines, which are left out")
