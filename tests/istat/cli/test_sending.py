"""`istat send`: what goes out, and what the server is asked about it."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from istat.cli import asking, command, sending
from istat.clock import FakeClock
from istat.errors import BadLine, BadName, ServerUnreachable, UsageError
from tests.certificates import Authority
from tests.ports import own_port

NOW = 1325395000
WORD = "0123456789abcdef"


class Server:
    """Stands for QueryClient: what a server knows of the sender of the word, and why it refuses all, if it does."""

    made: list[str] = []
    sender: dict[str, Any] | None = {"refused": {}}
    refusing = ""
    error: Exception | None = None
    late = 0        # so many questions are answered without it

    def __init__(self, url: str, timeout: float, **files: object) -> None:
        self.url = url
        assert timeout == sending.ASK_SECONDS
        self.made.append(url)

    def newest_agents(self, limit: int) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        Server.late -= 1
        others = [{"name": "other", "metadata": {"send": "another"}, "refused": {"bad_number": 1}}]
        if self.sender is None or Server.late >= 0:
            return others
        return [*others, {"name": "me", "metadata": {"send": WORD}, **self.sender}]

    def status(self) -> dict[str, Any]:
        return {"store": {"refusing": self.refusing},
                "refused_help": {"from_past": {"what": "samples of long ago", "cure": "set the clock"}}}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> type[Server]:
    Server.made.clear()
    for name, value in (("sender", {"refused": {}}), ("refusing", ""), ("error", None), ("late", 0)):
        monkeypatch.setattr(Server, name, value)
    for variable in asking.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(asking, "QueryClient", Server)
    monkeypatch.setattr(sending, "PAUSE", 0)
    monkeypatch.setattr(sending.secrets, "token_hex", lambda size: WORD)
    return Server


def run(*arguments: str) -> int:
    return command.main(arguments, FakeClock(NOW), brought={})


@contextmanager
def takes() -> Iterator[tuple[str, socket.socket]]:
    """The address of something that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def read(listener: socket.socket) -> bytes:
    """All that came by the next connection."""
    connection = listener.accept()[0]
    connection.settimeout(5)
    with connection, connection.makefile("rb") as file:
        return file.read()


def test_a_sample_goes_out_with_a_word_behind_it_and_the_server_is_asked_for_that(
        capsys: pytest.CaptureFixture[str]) -> None:
    Server.late = 3     # until it has read the line
    with takes() as (to, listener):
        assert run("send", "*mail.sent", "3", "--to", to, "--time", str(NOW)) == 0
        assert read(listener) == b"*mail.sent 1325395000 3.0\n#send 0123456789abcdef\n"
    assert Server.made == ["http://127.0.0.1:8000"]
    assert capsys.readouterr() == ("", "")
    assert Server.late == -1


def test_whom_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with takes() as (to, _):
        assert run("send", "a", "1", "--to", to.replace("127.0.0.1", "localhost")) == 0
        assert run("send", "a", "1", "--to", to, "--server", "http://one:9") == 0
        monkeypatch.setenv("ISTAT_URL", "http://two:9")
        assert run("send", "a", "1", "--to", to) == 0
        assert run("send", "a", "1", "--to", to, "--unasked") == 0
    assert Server.made == ["http://localhost:8000", "http://one:9", "http://two:9"]


def test_where_it_sends_is_in_the_environment(monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ISTAT_URL", raising=False)
    with takes() as (to, listener):
        monkeypatch.setenv("ISTAT_TO", to)
        assert run("send", "a", "1") == 0
        assert read(listener).startswith(b"a 1.0\n")
        monkeypatch.setenv("ISTAT_TO", "127.0.0.1:1")
        assert run("send", "a", "2", "--to", to) == 0
        assert read(listener).startswith(b"a 2.0\n")
    assert Server.made == ["http://127.0.0.1:8000"] * 2
    monkeypatch.setenv("ISTAT_TO", "nowhere:x")
    assert run("send", "a", "1") == UsageError.exit_code
    assert capsys.readouterr().err.startswith("istat: ISTAT_TO (where samples are sent) wants an address such as")


def test_a_sample_that_was_refused_is_told_with_the_reason_and_what_was_meant(
        capsys: pytest.CaptureFixture[str]) -> None:
    Server.sender = {"refused": {"from_past": 1, "new_kind": 1}}
    with takes() as (to, _):
        assert run("send", "a", "5", "--to", to, "--time", "17") == BadLine.exit_code
        assert capsys.readouterr().err == ("istat: the sample was not taken: from_past: samples of long ago; set the "
                                           "clock / new_kind\n")
        assert run("send", "a", "5", "--to", to, "--time", "17", "--json") == BadLine.exit_code
    assert json.loads(capsys.readouterr().out) == {
        "sent": "a 17 5.0", "taken": False, "why": "from_past: samples of long ago; set the clock / new_kind"}


def test_where_it_cannot_be_asked_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for change, words in (({"error": ServerUnreachable("no answer from http://127.0.0.1:8000")}, "no answer from http://"),
                          ({"error": None, "sender": {}}, "too old to tell"),
                          ({"sender": None}, "does not know its sender; is it another server?")):
        for name, value in change.items():
            setattr(Server, name, value)
        with takes() as (to, _):
            assert run("send", "a", "1", "--to", to) == 0
            said = capsys.readouterr()
            assert said.err.startswith("istat: whether the sample was taken is not known: ") and words in said.err
            assert "--server URL or ISTAT_URL" in said.err and not said.out
            assert run("send", "a", "1", "--to", to, "--json") == 0
            assert json.loads(capsys.readouterr().out)["taken"] is None


def test_a_store_that_takes_nothing_and_a_closed_connection_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    Server.sender, Server.refusing = None, "the disk is full"
    with takes() as (to, _):
        assert run("send", "a", "1", "--to", to) == BadLine.exit_code
    assert "was not taken: the server takes none now: the disk is full" in capsys.readouterr().err
    with takes() as (to, listener), pytest.MonkeyPatch.context() as patched:
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        patched.setattr(sending.time, "sleep", lambda seconds: closing.join(5))
        closing.start()
        sent = run("send", "a", "1", "--to", to)
        closing.join(5)
    assert (sent, "closes the connection, or answers: it takes no samples" in capsys.readouterr().err) in (
        (BadLine.exit_code, True), (ServerUnreachable.exit_code, False)), "it may be closed before we write"


def test_what_answers_is_no_stat_port(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
        answered.set()
        done.wait(5)
        connection.close()

    Server.sender, answered, done = None, threading.Event(), threading.Event()
    with takes() as (to, listener), pytest.MonkeyPatch.context() as patched:
        patched.setattr(sending.time, "sleep", lambda seconds: answered.wait(5))
        answering = threading.Thread(target=answer, args=[listener])
        answering.start()
        assert run("send", "a", "1", "--to", to) == BadLine.exit_code
        done.set()
        answering.join(5)
    assert "it takes no samples (is it the stat-port?)" in capsys.readouterr().err


def test_nothing_is_sent_that_is_no_sample(capsys: pytest.CaptureFixture[str]) -> None:
    with takes() as (to, listener):
        assert run("send", "a", "3", "--to", to, "--time", "1325395061000") == UsageError.exit_code
        assert capsys.readouterr().err == ("istat: --time 1325395061000 is in milliseconds, and nothing was sent: say "
                                           "--time 1325395061\n")
        assert run("send", "a b", "1", "--to", to) == BadName.exit_code
        for value in ("-inf", "nan", "-nan", "1e999"):
            assert run("send", "a", value, "--to", to) == BadLine.exit_code
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert Server.made == []


@pytest.mark.parametrize(("value", "told"), [
    ("1,5", "'1,5' has a comma for a decimal point (LC_NUMERIC=C); perhaps you mean: 1.5"),
    ("5%", "'5%' has a unit; its place is the name; perhaps you mean: 5"),
    ("shop.queue", "'shop.queue' is no number; first comes the name, then the value"),
    ("", "'' is no number"), ("1 2", "'1 2' is no number"), ("c=5", "'c=5' is no number"),
])
def test_a_value_that_is_no_number_is_told_with_what_was_meant(value: str, told: str,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("send", "a.b", value)
    assert f"argument VALUE: {told}" in capsys.readouterr().err


def test_a_time_that_is_no_number_is_told_what_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("send", "a", "1", "--time", "2012-01-01")
    assert "'2012-01-01' is no time: it wants whole Unix seconds, such as date +%s prints" in capsys.readouterr().err


def test_a_time_ahead_by_this_machines_clock_is_said_and_left_to_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    with takes() as (to, _):
        assert run("send", "a", "3", "--to", to, "--time", str(NOW + 61)) == 0
        assert "more than a minute ahead" in capsys.readouterr().err
        assert run("send", "a", "3", "--to", to, "--time", str(NOW + 60)) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("value", "sent"), [("-5", b"-5.0"), ("-.5", b"-0.5"), ("-1e3", b"-1000.0"),
                                             ("-2.5E-6", b"-2.5e-06"), ("-5.", b"-5.0"), ("1e3", b"1000.0")])
def test_negative_values_are_values(value: str, sent: bytes) -> None:
    with takes() as (to, listener):
        assert run("send", "a.b", value, "--to", to, "--time", "-1") == 0
        assert read(listener).splitlines()[0] == b"a.b -1 " + sent


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    to = f"127.0.0.1:{own_port()}"
    assert run("send", "a", "1", "--to", to) == ServerUnreachable.exit_code
    assert f"cannot connect to {to}: Connection refused; the sample was not sent (" in capsys.readouterr().err
    assert Server.made == ["http://127.0.0.1:8000"]


@contextmanager
def takes_tls(authority: Authority, wants_cert: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """The address of something that takes samples by TLS over one connection, and what it has taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    if wants_cert:
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    taken: list[bytes] = []

    def serve() -> None:
        with listener.accept()[0] as plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as secret:
            taken.append(secret.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", taken
        thread.join(10)


def test_by_tls(authority: Authority) -> None:
    sent = b"a 1.0\n#send 0123456789abcdef\n"
    with takes_tls(authority) as (to, taken):
        assert run("send", "a", "1", "--to", to, "--tls", "--ca", str(authority.ca)) == 0
    assert taken == [sent]
    mine = ["--cert", str(authority.folder / "other.pem"), "--key", str(authority.folder / "other.key")]
    with takes_tls(authority, wants_cert=True) as (to, taken):
        assert run("send", "a", "1", "--to", to, "--tls", "--ca", str(authority.ca), *mine) == 0
    assert taken == [sent]


def test_by_tls_to_whom_it_does_not_fit(authority: Authority, capsys: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    ca = str(authority.ca)
    with takes_tls(authority) as (to, taken):
        assert run("send", "a", "1", "--to", to, "--tls") == ServerUnreachable.exit_code
    assert "the sample was not sent: the certificate of 127.0.0.1:" in capsys.readouterr().err and not taken
    Server.sender = None
    with takes_tls(authority, wants_cert=True) as (to, taken):
        assert run("send", "a", "1", "--to", to, "--tls", "--ca", ca) == ServerUnreachable.exit_code
    assert "it may want another certificate than it got" in capsys.readouterr().err and not taken
    assert run("send", "a", "1", "--to", f"127.0.0.1:{own_port()}", "--tls", "--ca", ca) == 85
    assert "is istat-server running there" in capsys.readouterr().err
    for words, told in ((["--ca", ca], "--ca is for --tls: say that, too"),
                        (["--tls", "--ca", ca, "--key", "k"], "a key needs its certificate"),
                        (["--tls", "--ca", "/none.pem"], "cannot be read: .*/none.pem"),
                        (["--tls", "--cert", ca], "a file that TLS wants cannot be read")):
        assert run("send", "a", "1", *words) == UsageError.exit_code
        assert re.search(told, capsys.readouterr().err)
    Server.sender = {"refused": {}}
    with takes() as (to, _):
        assert run("send", "a", "1", "--to", to, "--ca", ca, "--server", "https://one:8000") == 0, "it is for that one"
        monkeypatch.setenv("ISTAT_CA", ca)
        assert run("send", "a", "1", "--to", to) == 0, "it is for questions, too"
