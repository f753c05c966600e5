"""istatd_flush, istatd_purge, istatd_stat, istatd_delete_counters and their sub-commands, against a port that plays a
script of answers: what goes out, what is printed, how they end."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.cli import command
from istat.cli.istatd import adminport
from istat.clock import FakeClock
from istat.errors import ServerUnreachable, UsageError
from istat_server.options import DECLARATION as SERVER
from istat_server.tools import ALIASES, COMMANDS

ROOT = Path(__file__).parents[4]
STATS = b"http.port=18011\r\nhttp.current=0\r\nok\r\n"


class Port:
    """Listens, takes a line, answers it; then the next. `heard` are the lines."""

    def __init__(self, *answers: bytes) -> None:
        self.heard: list[bytes] = []
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            peer, _ = self._listening.accept()
        except OSError:
            return
        with peer, peer.makefile("rb") as lines:
            for answer in self._answers:
                self.heard.append(lines.readline())
                peer.sendall(answer)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listening.close()


@pytest.fixture
def playing() -> Iterator[partial[Port]]:
    made: list[Port] = []

    def play(*answers: bytes) -> Port:
        made.append(Port(*answers))
        return made[-1]

    yield partial(play)
    for port in made:
        port.close()


def program(name: str, *words: object) -> int:
    status: int = resolve_name(ALIASES[name]).main([str(word) for word in words], FakeClock(1e9))
    return status


def istat(*words: object) -> int:
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    return command.main([str(word) for word in words], FakeClock(1e9), brought)


def test_flush_waits_for_ok_and_says_how_long(playing: partial[Port], capsys: pytest.CaptureFixture[str]) -> None:
    port = playing(b"ok\r\n")
    assert program("istatd_flush", "127.0.0.1", port.port) == 0
    assert port.heard == [b"flush\r\n"] and capsys.readouterr() == ("flush took 0 seconds\n", "")
    assert program("istatd_flush", "-q", "127.0.0.1", playing(b"ok\r\n").port) == 0
    assert capsys.readouterr() == ("", "")
    assert program("istatd_flush", "-v", "127.0.0.1", playing(b"ok\r\n").port) == 0
    assert capsys.readouterr() == ("flush took 0 seconds\n", "> flush\n< ok\n")


def test_purge_sends_both_numbers(playing: partial[Port], capsys: pytest.CaptureFixture[str]) -> None:
    for words, line in (((), b"purge 0,0\r\n"), ((5,), b"purge 5,0\r\n"), ((5, 60), b"purge 5,60\r\n")):
        port = playing(b"ok\r\n")
        assert program("istatd_purge", "127.0.0.1", port.port, *words) == 0
        assert port.heard == [line] and capsys.readouterr().out == "purge took 0 seconds\n"


def test_stat_prints_the_lines_before_ok(playing: partial[Port], capsys: pytest.CaptureFixture[str]) -> None:
    port = playing(STATS)
    assert program("istatd_stat", "127.0.0.1", port.port) == 0
    assert port.heard == [b"stats\r\n"] and capsys.readouterr().out == "http.port=18011\nhttp.current=0\n"


@pytest.mark.parametrize("name", ["istatd_flush", "istatd_purge", "istatd_stat"])
def test_the_exit_status_tells_usage_network_and_refusal(name: str, playing: partial[Port],
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("127.0.0.1",), ("127.0.0.1", "x"), ("127.0.0.1", "1", "2", "3", "4"), ("-z", "127.0.0.1", "1")):
        assert program(name, *words) == 1, words
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert program(name, "127.0.0.1", free.getsockname()[1]) == 2
    assert program(name, "127.0.0.1", playing(b"").port) == 2           # it hangs up
    capsys.readouterr()
    assert program(name, "127.0.0.1", playing(b"huh? not now\r\n").port) == 3
    assert "huh? not now" in capsys.readouterr().err


def test_each_pattern_is_a_command_of_its_own(playing: partial[Port], capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTAT_ADMIN_TOKEN", "secret")
    port = playing(b"ok\r\n", b"a.b\r\na.c\r\nok\r\n", b"ok\r\n")
    assert program("istatd_delete_counters", "--admin", f"127.0.0.1:{port.port}", "a.*", "none") == 0
    assert port.heard == [b"auth secret\r\n", b"delete.pattern a.*\r\n", b"delete.pattern none\r\n"]
    assert capsys.readouterr() == ("a.b\na.c\n", "")
    monkeypatch.delenv("ISTAT_ADMIN_TOKEN")
    refused = playing(b"huh? auth first\r\n")
    assert program("istatd_delete_counters", "--admin", f"127.0.0.1:{refused.port}", "a.*") == 3
    assert refused.heard == [b"delete.pattern a.*\r\n"]
    for pattern in ("a,b", "a b", "a\nquit"):
        assert program("istatd_delete_counters", pattern) == 1


def test_a_token_is_never_told(playing: partial[Port], capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTAT_ADMIN_TOKEN", "secret")
    port = playing(b"huh? no\r\n")
    assert program("istatd_delete_counters", "--admin", f"127.0.0.1:{port.port}", "a.*") == 3
    assert "secret" not in "".join(capsys.readouterr())


def test_answers_are_bounded(playing: partial[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adminport, "MOST_LINE", 100)
    monkeypatch.setattr(adminport, "MOST_LINES", 3)
    with adminport.AdminPort("127.0.0.1", playing(b"x" * 200).port) as port, pytest.raises(ServerUnreachable):
        port.ask("stats")
    with adminport.AdminPort("127.0.0.1", playing(b"x\r\n" * 9).port) as port, pytest.raises(ServerUnreachable):
        port.ask("stats")
    monkeypatch.setattr(adminport, "ANSWER_SECONDS", 0.05)
    with (socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServerUnreachable),
          adminport.AdminPort("127.0.0.1", silent.getsockname()[1]) as port):
        port.ask("stats")


def test_an_admin_port_is_the_same_one_wherever_none_is_named(monkeypatch: pytest.MonkeyPatch,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, int]] = []

    class Noted:
        def __init__(self, host: str, port: int, *_more: object) -> None:
            asked.append((host, port))
            raise ServerUnreachable("nobody")

    monkeypatch.setattr("istat.cli.istatd.admin.AdminPort", Noted)
    for words in (("stat",), ("ring", "flush"), ("ring", "purge")):
        assert istat(*words) == istat(*words, "--admin", "localhost") == ServerUnreachable.exit_code
    assert program("istatd_delete_counters", "a") == program("istatd_delete_counters", "--admin", "localhost", "a") == 2
    assert set(asked) == {("localhost", 8112)} and len(asked) == 8
    (setting,) = (one for one in SERVER.settings.values() if one.name == "admin-port")
    page = (ROOT / "docs/formats/admin-port.md").read_text()
    assert "such as 8112" in setting.help and "admin-port = 8112" in page      # what is advised is what is asked


def test_the_sub_commands(playing: partial[Port], capsys: pytest.CaptureFixture[str]) -> None:
    assert istat("stat", "--admin", f"127.0.0.1:{playing(STATS).port}", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"http.port": "18011", "http.current": "0"}
    assert istat("stat", "--admin", playing(STATS).port) == 0
    assert capsys.readouterr().out == "http.port=18011\nhttp.current=0\n"
    assert istat("ring", "flush", "--admin", f"127.0.0.1:{playing(b'ok' + bytes([10])).port}") == 0
    port = playing(b"ok\r\n")
    assert istat("ring", "purge", "--age", 60, "--keep", 2, "--admin", f"127.0.0.1:{port.port}", "--json") == 0
    assert port.heard == [b"purge 2,60\r\n"]
    assert istat("stat", "--admin", "x y") == UsageError.exit_code
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert istat("stat", "--admin", f"127.0.0.1:{free.getsockname()[1]}") == ServerUnreachable.exit_code
    assert "is its admin-port on" in capsys.readouterr().err
