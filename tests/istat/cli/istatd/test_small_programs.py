"""istatd_loadtest, istatd_netcat, istatd_sleep, random_numbers and istatd_query as a shell uses them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import pytest

from istat.cli import command
from istat.cli.istatd import loadtest
from istat.clock import FakeClock
from istat_server.tools import ALIASES, COMMANDS

ROOT = Path(__file__).parents[4]
NOW = 1325394000


def program(name: str, *words: object) -> int:
    status: int = resolve_name(ALIASES[name]).main([str(word) for word in words], FakeClock(NOW))
    return status


def process(name: str, *words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The program as its script runs it."""
    module, attribute = ALIASES[name].split(":")
    code = f"import sys; from {module} import {attribute}; sys.exit({attribute}.main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], input=stdin, capture_output=True, cwd=ROOT,
                          timeout=60, check=False)


class Taking:
    """Takes one connection and keeps what comes, until the other side ends; then says `answer`."""

    def __init__(self, answer: bytes = b"") -> None:
        self.taken = b""
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listening.accept()
        with peer:
            while data := peer.recv(1 << 16):
                self.taken += data
            peer.sendall(self._answer)

    def ended(self) -> bytes:
        self._thread.join(20)
        self._listening.close()
        return self.taken


def test_loadtest_sends_so_many_samples_of_so_many_counters(capsys: pytest.CaptureFixture[str]) -> None:
    taking = Taking()
    assert program("istatd_loadtest", "--num", 60, "--interval", 1, "--counters", 7, "--seed", 3, "--host",
                   f"127.0.0.1:{taking.port}") == 0
    assert re.fullmatch(r"Sent 60 metrics in [0-9.e-]+ seconds\.", capsys.readouterr().out.splitlines()[-1])
    lines = taking.ended().decode().splitlines()
    names = [line.split()[0] for line in lines]
    assert len(lines) == 60 and len(set(names)) == 7 and names[:7] == names[7:14]
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+\.[a-z]+\.[a-z]+ -?[0-9.]+", line) for line in lines)


def test_loadtests_of_one_seed_are_the_same() -> None:
    first, again, other = (list(loadtest.samples(loadtest.Load(100, 1, 10, seed))) for seed in (1, 1, 2))
    assert first == again != other


def test_loadtests_go_to_the_stat_port_of_a_host_that_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(loadtest, "send", lambda load, host, port, *_more: asked.append((host, port)) or 1.0)
    assert program("istatd_loadtest", "--host", "stats.example.net") == 0
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    assert command.main(["loadtest", "--to", "stats.example.net"], FakeClock(NOW), brought) == 0
    assert asked == [("stats.example.net", 8111)] * 2


def test_loadtests_limits_and_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--num", 0), ("--num", 10**7 + 1), ("--interval", 0), ("--interval", 10**5 + 1), ("--counters", 0),
                  ("--counters", 10**4 + 1), ("--num", "x")):
        assert program("istatd_loadtest", *words) == 1
    assert "--counters wants a number of 1 to 10000" in capsys.readouterr().err
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert program("istatd_loadtest", "--host", f"127.0.0.1:{free.getsockname()[1]}") == 2


def test_netcat_relays_both_ways() -> None:
    taking = Taking(b"answer\n")
    done = process("istatd_netcat", "-q", 20, "127.0.0.1", taking.port, stdin=b"line one\nline two\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"answer\n", b"")
    assert taking.ended() == b"line one\nline two\n"


def test_netcat_waits_for_no_peer_that_waits_for_it() -> None:
    """More is under way than both ends have room for: who sends all before it reads never ends."""
    sent = bytes(range(256)) * (1 << 16)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def echo() -> None:
            peer, _ = listening.accept()
            with peer:
                while data := peer.recv(1 << 16):
                    peer.sendall(data)

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        done = process("istatd_netcat", "-q", 20, "127.0.0.1", listening.getsockname()[1], stdin=sent)
        thread.join(20)
    assert done.returncode == 0 and done.stdout == sent


def test_netcat_does_not_wait_unless_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = process("istatd_netcat", "127.0.0.1", silent.getsockname()[1], stdin=b"x")
        assert (done.returncode, done.stdout) == (0, b"")
        port = silent.getsockname()[1]
    assert process("istatd_netcat", "127.0.0.1", port).returncode == 2
    assert process("istatd_netcat", "127.0.0.1").returncode == process("istatd_netcat", "h", "x").returncode == 1


def test_sleep_and_random_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert program("istatd_sleep", "0.01") == 0
    for wrong in ("x", "-1", "nan", "inf"):
        assert program("istatd_sleep", wrong) == 1
    capsys.readouterr()
    assert program("random_numbers", 50, -500) == 0
    values = [int(line) for line in capsys.readouterr().out.split()]
    assert len(values) == 50 and all(-600 <= value <= -400 for value in values)
    assert program("random_numbers", "-t", "20") == 0
    times = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(times) == 20 and times == sorted(set(times))


class Answers(BaseHTTPRequestHandler):
    """As istatd answers."""

    heard: ClassVar[list[tuple[str, str, bytes]]] = []
    DATA: ClassVar[dict[str, Any]] = {"avg": 6.125, "count": 2, "max": 7.25, "min": 5, "sdev": 1.59, "sum": 12.25,
                                      "sumsq": 77.5625}

    def do_GET(self) -> None:
        self.heard.append(("GET", self.path, b""))
        if self.path.startswith("/none"):
            self._say(404, b"No such counter none\n")
            return
        self._say(200, json.dumps({"buckets": [{"data": self.DATA, "time": NOW}], "end": NOW + 60, "interval": 10,
                                   "start": NOW}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(("POST", self.path, body))
        found = {"start": NOW, "end": NOW + 60, "interval": 10, "data": [{"time": NOW, **self.DATA}]}
        self._say(200, json.dumps({"zz": "Not found.", "foo.bar": found, "start": NOW, "stop": NOW + 60}).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.heard.clear()
    made = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


ROW = f"  {NOW}         6.12         5.00         7.25            2        12.25        77.56"


@pytest.mark.parametrize("name", ["istatd_query", "istatd_query.py"])
def test_query_of_one_counter_is_a_get(name: str, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program(name, "-H", server, "-s", NOW, "-e", NOW + 60, "-n", 5, "foo.bar") == 0
    assert Answers.heard == [("GET", f"/foo.bar?start={NOW}&end={NOW + 60}&samples=5", b"")]
    assert capsys.readouterr().out.splitlines() == [
        f"GET http://{server}/foo.bar?start={NOW}&end={NOW + 60}&samples=5",
        f"start: {NOW} end: {NOW + 60} interval: 10", " ".join(f"{name:>12}" for name in (
            "time", "avg", "min", "max", "count", "sum", "sumsq")), ROW]


def test_query_of_several_is_a_post(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program("istatd_query", "-H", server, "-s", NOW, "foo.bar", "zz") == 0
    assert [(method, path, json.loads(body)) for method, path, body in Answers.heard] == [
        ("POST", "/*", {"keys": ["foo.bar", "zz"], "start": NOW})]
    out = capsys.readouterr().out
    assert "error: zz: Not found.\n" in out and f"foo.bar:\nstart: {NOW}" in out and ROW in out
    assert program("istatd_query", "-H", server, "-p", "-r", "foo.bar") == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["zz"] == "Not found."


def test_query_prints_errors_and_ends_with_0(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program("istatd_query", "-H", server, "none") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "error: 404 No such counter none"
    assert program("istatd_query", "-H", "127.0.0.1:1", "a") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "error: http://127.0.0.1:1: cannot connect: Connection refused (is istat-server running there?)")
    assert program("istatd_query", "-H", server, "-s", "x", "-p", "a") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "error: -s wants a whole number, not x"
    for host in ("a..b", "[", "x" * 300, "http://"):
        assert program("istatd_query", "-H", host, "a") == 0, host
        assert capsys.readouterr().out.splitlines()[-1].startswith("error: "), host


@pytest.mark.parametrize("answer", [{}, {"buckets": 5}, {"buckets": [5]}, {"buckets": [{"data": 5}]}, [], "x"])
def test_what_is_no_answer_of_istatds_is_told(answer: object, server: str, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Answers, "do_GET", lambda self: self._say(200, json.dumps(answer).encode()))
    assert program("istatd_query", "-H", server, "a") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "error: what answers there is no server of counters"


def test_values_that_no_number_says_are_a_dash(server: str, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"buckets": [{"time": Infinity, "data": {"avg": NaN, "count": 1e999, "sum": 2}}]}'
    monkeypatch.setattr(Answers, "do_GET", lambda self: self._say(200, body))
    assert program("istatd_query", "-H", server, "a") == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["-", "-", "-", "-", "-", "2.00", "-"]


def test_the_sub_command_loadtest(capsys: pytest.CaptureFixture[str]) -> None:
    taking = Taking()
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    words = ["loadtest", "--to", f"127.0.0.1:{taking.port}", "--samples", "5", "--interval", "1", "--json"]
    assert command.main(words, FakeClock(NOW), brought) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 5 and len(taking.ended().splitlines()) == 5
    for wrong in (["--samples", "0"], ["--ca", "x.pem"], ["--to", "x y"]):
        assert command.main(["loadtest", *wrong], FakeClock(NOW), brought) == 2, wrong
