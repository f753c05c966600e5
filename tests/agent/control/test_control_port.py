"""The control socket: questions and answers, careless clients, and what lies at its path already."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.threadpool import ThreadPool

from istat.daemon.listening.binding import CannotListen, PortInUse
from istat.errors import IstatError, SettingsError
from istat_agent.control import port
from istat_agent.control.asking import AgentUnreachable, Refused, ask
from istat_agent.control.port import ControlPort


def echo(question: dict[str, Any]) -> dict[str, Any]:
    return {"heard": question["words"]}


def wrong(question: dict[str, Any]) -> dict[str, Any]:
    raise SettingsError(["one is wrong", "so is another"])


def broken(question: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError


def slow(question: dict[str, Any]) -> dict[str, Any]:
    gevent.sleep(60)
    return {}


def long(question: dict[str, Any]) -> dict[str, Any]:
    return {"long": "x" * port.MOST}


@contextmanager
def listening(path: Path | str) -> Iterator[ControlPort]:
    one = ControlPort(str(path), {"echo": echo, "wrong": wrong, "broken": broken, "slow": slow, "long": long})
    one.start()
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads for clients, which block as those of other processes do."""
    threads = ThreadPool(2)
    yield threads
    threads.kill()


def asked(pool: ThreadPool, path: Path, question: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
    def outcome() -> dict[str, Any] | IstatError:
        try:
            return ask(str(path), question, seconds)
        except IstatError as error:
            return error

    found = pool.apply(outcome)
    if isinstance(found, IstatError):
        raise found
    return found


def said(path: Path, data: bytes) -> dict[str, Any]:
    """What is answered to these bytes."""
    with closing(gevent.socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(path))
        sock.sendall(data)
        answer = b""
        while more := sock.recv(1 << 16):
            answer += more
        found: dict[str, Any] = json.loads(answer)
        return found


def test_a_question_is_answered_and_the_socket_is_ours_alone(tmp_path: Path, pool: ThreadPool) -> None:
    path = tmp_path / "control"
    with listening(path):
        assert asked(pool, path, {"ask": "echo", "words": "grüß"}) == {"heard": "grüß"}
        assert asked(pool, path, {"ask": "echo", "words": "again"}) == {"heard": "again"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_refusals_have_words_and_the_exit_code_of_their_error(tmp_path: Path, pool: ThreadPool) -> None:
    path = tmp_path / "control"
    with listening(path):
        with pytest.raises(Refused, match="one is wrong\nso is another") as caught:
            asked(pool, path, {"ask": "wrong"})
        assert caught.value.exit_code == 78
        with pytest.raises(Refused, match="a fault of the agent's own"):
            asked(pool, path, {"ask": "broken"})
        with pytest.raises(Refused, match="cannot be asked for 'dance'; it knows echo, wrong"):
            asked(pool, path, {"ask": "dance"})
        with pytest.raises(Refused, match="more than 1048576 bytes"):
            asked(pool, path, {"ask": "long"})
        for line in (b"\n", b"[]\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n", b'{"ask": ["echo"]}\n', b"GET /\r\n"):
            assert said(path, line)["status"] == 1


def test_other_users_are_refused_though_they_got_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control"
    with listening(path):
        monkeypatch.setattr(port, "asker", lambda sock: os.geteuid() + 1)
        assert "only root and the user" in said(path, b'{"ask": "echo", "words": "x"}\n')["error"]


def test_silent_and_endless_clients_cost_nobody_anything(
        tmp_path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "QUESTION_SECONDS", 0.2)
    path = tmp_path / "control"
    with listening(path):
        silent = [gevent.socket.socket(socket.AF_UNIX) for _ in range(port.PLACES + 4)]
        for sock in silent:
            sock.connect(str(path))
        assert asked(pool, path, {"ask": "echo", "words": "x"}) == {"heard": "x"}
        for sock in silent:
            assert sock.recv(1) == b""      # let go
            sock.close()
        with closing(gevent.socket.socket(socket.AF_UNIX)) as endless, pytest.raises(OSError):
            endless.connect(str(path))
            while True:
                endless.sendall(b"x" * port.READ)
        with closing(gevent.socket.socket(socket.AF_UNIX)) as gone:
            gone.connect(str(path))
            gone.sendall(b'{"ask": "long"}\n')
        assert asked(pool, path, {"ask": "echo", "words": "x"}) == {"heard": "x"}


def test_an_agent_that_does_not_answer_is_given_up(tmp_path: Path, pool: ThreadPool) -> None:
    path = tmp_path / "control"
    with listening(path), pytest.raises(AgentUnreachable, match=r"has not answered within 0.1 s"):
        asked(pool, path, {"ask": "slow"}, 0.1)


def test_a_socket_that_a_dead_agent_left_is_replaced_and_a_live_one_is_not(tmp_path: Path, pool: ThreadPool) -> None:
    path = tmp_path / "control"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    with pytest.raises(AgentUnreachable, match=r"no agent listens at .* \(one that has ended left it\): start it"):
        ask(str(path), {}, 1)
    with listening(path):
        with pytest.raises(PortInUse, match="in use by another process"):
            ControlPort(str(path), {}).start()
        assert asked(pool, path, {"ask": "echo", "words": "x"}) == {"heard": "x"}
    assert not path.exists()


def test_what_others_planted_is_not_touched(tmp_path: Path) -> None:
    path, theirs = tmp_path / "control", tmp_path / "theirs"
    path.write_text("a diary")
    with pytest.raises(PortInUse, match="is no socket"):
        ControlPort(str(path), {}).start()
    assert path.read_text() == "a diary"
    path.unlink()
    path.symlink_to(theirs)
    with pytest.raises(PortInUse):
        ControlPort(str(path), {}).start()
    assert not theirs.exists() and path.is_symlink()


def test_the_file_of_who_came_after_us_stays(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with listening(path):
        path.unlink()
        path.write_text("of another")
    assert path.read_text() == "of another"


def test_an_agent_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AgentUnreachable, match="no agent listens at .*: start it .systemctl start") as caught:
        ask(str(tmp_path / "control"), {}, 1)
    assert caught.value.exit_code == 120
    with pytest.raises(CannotListen, match="the folder of .* does not exist"):
        ControlPort(str(tmp_path / "no" / "control"), {}).start()
    with pytest.raises(CannotListen, match="cannot listen on .*too long"):
        ControlPort(str(tmp_path / ("x" * 200)), {}).start()
    with pytest.raises(AgentUnreachable, match="cannot be asked: .*too long"):
        ask(str(tmp_path / ("x" * 200)), {}, 1)


def test_what_answers_otherwise_is_no_agent(tmp_path: Path, pool: ThreadPool) -> None:
    path = tmp_path / "control"
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))
        other.listen(5)

        def answer(data: bytes) -> None:
            sock, _ = other.accept()
            with sock:
                sock.recv(1 << 16)
                sock.sendall(data)

        talk = pool.spawn(answer, b"")
        with pytest.raises(AgentUnreachable, match="has ended the connection without an answer"):
            asked(pool, path, {"ask": "plugins"})
        talk.get()
        for data in (b"HTTP/1.1 200 OK\r\n", b"[1]", b'{"answer": 1}', b"[" * 100_000):
            talk = pool.spawn(answer, data)
            with pytest.raises(AgentUnreachable, match="does not answer as an agent would"):
                asked(pool, path, {"ask": "plugins"})
            talk.get()
