"""A real server and its admin port, driven as istatd's scripts do it: nothing that was flushed is lost, nothing that
comes behind a flush is refused, and what is deleted can be had again."""
from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from ftest.harness.manager import Manager
from ftest.harness.serverprocess import ServerProcess
from tests.ports import own_port

pytestmark = [pytest.mark.seconds(15)]
TOKEN = "ru1es"
FAKE = 1_325_395_000


class Admin:
    """A connection to an admin port."""

    def __init__(self, server: ServerProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port_of(server, "admin")), 30)
        self._file = self._socket.makefile("rb")

    def ask(self, line: str) -> list[str]:
        """The lines of the answer, without their ends."""
        self._socket.sendall(f"{line}\n".encode())
        found: list[str] = []
        while not found or not re.match(r"ok$|huh\? ", found[-1]):
            text = self._file.readline()
            assert text.endswith(b"\r\n"), f"{line}: {found} {text!r}"
            found.append(text[:-2].decode())
        return found

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def port_of(server: ServerProcess, name: str) -> int:
    """Where it listens, as it says itself."""
    found = re.search(rf" {name}-port=(\d+)", server.ready_line)
    assert found, server.ready_line
    return int(found[1])


@contextmanager
def admin_of(server: ServerProcess, token: str = "") -> Iterator[Admin]:
    found = Admin(server)
    if token:
        assert found.ask(f"auth {token}") == ["ok"]
    yield found
    found.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """One whose clock stands, with a token for what changes."""
    with ServerProcess(tmp_path, admin_port=0, fake_time=FAKE, admin_token=TOKEN) as found:
        yield found


def total(server: ServerProcess, name: str) -> float:
    """The sum of all buckets of a counter, of events what happened; 0 where it is not there."""
    answer = requests.get(f"{server.url}/{name}", params={"start": FAKE - 600, "stop": FAKE + 600}, timeout=10)
    if answer.status_code == 404:
        return 0
    found = answer.json()
    return sum(bucket["data"]["sum"] * (found["interval"] if name.startswith("hits") else 1)
               for bucket in found["buckets"])


def listened_on(port: int) -> set[str]:
    """The addresses that the kernel has a listening TCP socket of this port for."""
    found = {one.laddr.ip for one in psutil.net_connections("tcp")
             if one.status == psutil.CONN_LISTEN and one.laddr.port == port}
    assert found
    return found


def test_a_session(server: ServerProcess) -> None:
    with admin_of(server) as admin:
        assert admin.ask("stats") == [f"http.port={server.http_port}", "http.current=0", f"fakeTime.value={FAKE}", "ok"]
        assert admin.ask("flush") == ["ok"] and admin.ask("purge 0,60") == ["ok"]
        assert admin.ask("delete.ctr d.a.b") == ["huh? this wants the admin-token first: auth TOKEN"]
        assert admin.ask("quiet") == ["huh? ('help' for help) (received 'quiet')"]
    listening = server.get("/api/v1/status")["listening"]
    assert listening["admin-port"] == port_of(server, "admin")
    assert listened_on(port_of(server, "admin")) <= {"127.0.0.1", "::1"}, "on this machine only"


def test_what_was_flushed_is_seen_at_once_and_outlives_a_crash(server: ServerProcess) -> None:
    with admin_of(server) as admin:
        for number in range(5):
            server.send_tcp(b"a.gauge %d\n*hits 10\n" % number)
            server.send_udp(b"a.gauge %d\n*hits 10\n" % number)
            assert admin.ask("flush") == ["ok"]
            assert total(server, "a.gauge") == number * (number + 1) and total(server, "hits") == 20 * (number + 1)
    server.restart(kill=True)
    assert total(server, "a.gauge") == 20 and total(server, "hits") == 100
    # What the server tells of itself was flushed with it: the four commands before the last one, a rate of 10 s.
    assert total(server, "istatd.admin.commands") == pytest.approx(0.4)


def test_events_that_come_behind_flushes_are_taken(server: ServerProcess) -> None:
    """Whatever bucket they are of: the present one, those before it, and those of a minute ago."""
    with admin_of(server, TOKEN) as admin:
        for _ in range(6):
            server.send_tcp(b"*hits 1\n*hits %d 1\n*hits %d 1\n*hits %d 1\n" % (FAKE - 10, FAKE - 60, FAKE - 300))
            assert admin.ask("flush") == ["ok"]
        assert admin.ask(f"faketime {FAKE + 10}") == ["ok"]
        server.send_tcp(b"*hits 1\n*hits %d 1\n" % FAKE)
        assert admin.ask("flush") == ["ok"]
        assert admin.ask("stats")[-2] == f"fakeTime.value={FAKE + 10}"
    assert total(server, "hits") == 26
    assert not any(server.refused().values())


def test_a_sample_of_the_time_that_was_set_is_taken_at_once(server: ServerProcess) -> None:
    with admin_of(server, TOKEN) as admin:
        for step in range(1, 6):
            assert admin.ask(f"faketime {FAKE + step * 100}") == ["ok"]
            server.send_tcp(b"hits.at %d 1\n" % (FAKE + step * 100 + 60))
        assert admin.ask("flush") == ["ok"]
    assert not any(server.refused().values())


def test_what_is_deleted_again_and_again_is_the_newest_when_it_comes_back(server: ServerProcess) -> None:
    ruling = {"headers": {"Authorization": f"Bearer {TOKEN}"}, "timeout": 10}
    with admin_of(server, TOKEN) as admin:
        for value in (1, 2, 3):
            server.send_tcp(b"d.a.b %d\n*d.events 1\n" % value)
            assert admin.ask("flush") == ["ok"]
            assert total(server, "d.a.b") == value
            assert admin.ask("delete.ctr d.a.b,nosuch") == ["d.a.b", "nosuch", "ok"]
            assert total(server, "d.a.b") == 0
        for number in range(60):
            server.send_tcp(b"many.c%d 1\n" % number)
        assert admin.ask("flush") == ["ok"]
        assert sorted(admin.ask("delete.pattern many.*,d.ev*")) == sorted(
            ["d.events", *(f"many.c{number}" for number in range(60)), "ok"])
    names = server.get("/", q="many.*")
    assert names["matching_names"] == []
    deleted = requests.get(f"{server.url}/api/v1/deleted", params={"match": "d.a.b"}, **ruling).json()
    undone = requests.post(f"{server.url}/api/v1/undelete", json={"names": ["d.a.b"]}, **ruling)
    assert undone.status_code == 200, (undone.text, deleted)
    assert total(server, "d.a.b") == 3


def test_others_are_served_while_clients_are_careless(server: ServerProcess) -> None:
    silent = [Admin(server) for _ in range(30)]
    for number in range(50):
        server.send_tcp(b"x%d 1\n" % number)
    with socket.create_connection(("127.0.0.1", port_of(server, "admin")), 10) as long:
        long.sendall(b"x" * 1_000_000)
        assert server.healthy()
        with admin_of(server, TOKEN) as admin:
            assert admin.ask("delete.ctr " + ",".join(f"x{number}" for number in range(50)))[-1] == "ok"
        long.sendall(b"\nquit\n")
        assert long.makefile("rb").readline() == b"huh? a line has at most 65536 bytes\r\n"
    with socket.create_connection(("127.0.0.1", port_of(server, "admin")), 10) as page:
        page.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nflush\r\n")
        assert page.makefile("rb").read().startswith(b"HTTP/1.1 421 ")
    for one in silent:
        one.close()
    metrics = requests.get(server.url + "/metrics", timeout=10).text
    assert re.search(r"^istatd_admin_connections_total 3[3-9]", metrics, re.MULTILINE)


def test_an_open_port_asks_for_nothing(tmp_path: Path) -> None:
    is_open = {"ISTAT_SERVER_ADMIN_OPEN": "yes"}
    with ServerProcess(tmp_path, admin_port=0, environment=is_open) as server, admin_of(server) as admin:
        assert admin.ask("delete.ctr x") == ["x", "ok"]
        assert admin.ask("faketime 5") == ["huh? Not started with --fake-time."]
        now = int(time.time())
        server.send_tcp(b"hits.x %d 5\n" % now)
        assert admin.ask("flush") == ["ok"]
        assert server.get("/hits.x")["buckets"]


def test_a_server_without_samples_and_pages_has_its_admin_port(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, admin_port=0, stat_port="off", http_port="off")
    server._spawn()
    try:
        server.ready_line = server._first_line()
        assert re.fullmatch(r"istat-server ready admin-port=\d+\s*", server.ready_line), server.log()
        with admin_of(server) as admin:
            assert admin.ask("stats") == ["ok"] and admin.ask("flush") == ["ok"]
    finally:
        assert server.terminate() == 0
    server.assert_no_traceback()


def test_commands_that_come_between_two_lives_are_answered_by_the_next(tmp_path: Path) -> None:
    """The service manager keeps the sockets of admin port and exporter, as it does those of samples."""
    admin_port, prometheus_port = own_port(), own_port()
    manager = Manager(tmp_path)
    server = ServerProcess(tmp_path, admin_port=admin_port, prometheus_port=prometheus_port,
                           environment={"NOTIFY_SOCKET": str(manager.path)})
    with server:
        manager.listen()
        assert {f"tcp-127.0.0.1-{port}" for port in (admin_port, prometheus_port)} <= set(manager.kept)
        server.kill9()
        with socket.create_connection(("127.0.0.1", admin_port), 60) as waiting:
            waiting.sendall(b"flush\n")
            manager.pass_on(server)
            server.start()
            assert waiting.recv(100) == b"ok\r\n"
        assert requests.get(f"http://127.0.0.1:{prometheus_port}/metrics", timeout=10).status_code == 200
        assert server.log().count("was handed over") == len(manager.kept)
    manager.close()


def test_services_want_ports_of_their_own(tmp_path: Path) -> None:
    port = own_port()
    code, said = ServerProcess(tmp_path, admin_port=port, prometheus_port=port).start_expecting_failure()
    assert code == 78 and said == ("istat-server: the setting admin-port and the setting prometheus-port would both "
                                   f"listen on tcp port {port} of 127.0.0.1: give one of them another\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        code, said = ServerProcess(tmp_path, admin_port=number).start_expecting_failure()
        assert code == 87 and f"port {number} of 127.0.0.1 is in use" in said
