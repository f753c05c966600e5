"""Clients, against small real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from istat.client import QueryClient, StatClient, samples_address
from istat.clock import FakeClock
from istat.errors import BadLine, BadName, BadQuery, ServerUnreachable, UnknownCounter, UsageError
from istat.wire.lines import sample_line
from tests.certificates import Authority
from tests.ports import own_port


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        yield receiver


def test_lines() -> None:
    assert sample_line("cpu.user^host.a", 12.5) == b"cpu.user^host.a 12.5\n"
    assert sample_line("*hits", 3, 1325395000.9) == b"*hits 1325395000 3\n"
    assert sample_line("x", 1e-320) == b"x 1e-320\n"


@pytest.mark.parametrize("name", ["", "*", "a b", "a\n", "#a", "@a", "a\x7f"])
def test_names_that_the_server_would_refuse(name: str) -> None:
    with pytest.raises(BadName):
        sample_line(name, 1)


def test_values_that_the_server_would_refuse() -> None:
    with pytest.raises(BadLine, match="not finite"):
        sample_line("a", float("nan"))


def test_metrics_are_declared_with_the_next_samples_and_each_hour(udp: socket.socket) -> None:
    clock = FakeClock()
    client = StatClient("127.0.0.1", udp.getsockname()[1], clock=clock)
    line = b'#metric queue.<name>.length {"unit":"jobs","kind":"gauge","help":"jobs that wait"}\n'
    for _ in range(2):
        client.describe("queue.<name>.length", "jobs", "jobs that wait")
        client.gauge("queue.a.length", 3, time=1000)
        client.flush()
    clock.advance(3600)
    client.gauge("queue.a.length", 4, time=4600)
    client.describe("hits", event=True, link="https://example.net")
    client.close()
    assert [udp.recv(2000) for _ in range(3)] == [
        line + b"queue.a.length 1000 3\n", b"queue.a.length 1000 3\n",
        line + b'#metric hits {"kind":"event","link":"https://example.net"}\nqueue.a.length 4600 4\n']
    assert (client.sent, client.dropped) == (3, 0)
    with pytest.raises(BadLine, match="no http:// or https://"):
        client.describe("hits", link="javascript:1")


def test_over_a_new_connection_metrics_are_declared_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        clock = FakeClock()
        client = StatClient("127.0.0.1", server.getsockname()[1], "tcp", clock=clock)
        client.describe("a", "s")
        for number in range(2):
            clock.advance(2)
            client.gauge("a", number)
            client.flush()
            with server.accept()[0] as there:
                assert there.recv(1000) == b'#metric a {"unit":"s","kind":"gauge"}\na %d\n' % number
            client._disconnect()


def test_udp_batches_stay_below_the_size(udp: socket.socket) -> None:
    with StatClient("127.0.0.1", udp.getsockname()[1], clock=FakeClock(), batch_bytes=30) as client:
        for value in range(5):
            client.gauge("queue", value, time=1000)  # 13 bytes each: two in a batch
        client.event("mail", 2)
    assert [udp.recv(100) for _ in range(3)] == [
        b"queue 1000 0\nqueue 1000 1\n",
        b"queue 1000 2\nqueue 1000 3\n",
        b"queue 1000 4\n*mail 2\n",
    ]
    assert (client.sent, client.dropped) == (6, 0)


def test_a_batch_does_not_linger(udp: socket.socket) -> None:
    clock = FakeClock()
    client = StatClient("127.0.0.1", udp.getsockname()[1], clock=clock)
    client.gauge("a", 1)
    clock.advance(1)
    client.gauge("a", 2)
    assert udp.recv(100) == b"a 1\na 2\n"
    client.close()


def test_a_gauge_is_no_event() -> None:
    with pytest.raises(BadName, match="use event"):
        StatClient().gauge("*a", 1)


@pytest.mark.parametrize(("environment", "address"), [
    ({}, ("127.0.0.1", 8111)),
    ({"ISTAT_TO": "stats.example.net:9"}, ("stats.example.net", 9)),
    ({"ISTAT_TO": "stats.example.net"}, ("stats.example.net", 8111)),
    ({"ISTAT_TO": "[::1]:9", "ISTAT_URL": "http://other:8000"}, ("::1", 9)),
    ({"ISTAT_URL": "https://stats.example.net:8443/x"}, ("stats.example.net", 8111)),
    ({"ISTAT_URL": "http://[::1]:8000"}, ("::1", 8111)),
    ({"ISTAT_TO": "", "ISTAT_URL": ""}, ("127.0.0.1", 8111)),
])
def test_the_environment_says_where_samples_go(environment: dict[str, str], address: tuple[str, int]) -> None:
    assert samples_address(environment) == address


@pytest.mark.parametrize(("environment", "words"), [
    ({"ISTAT_TO": "a:b"}, "ISTAT_TO (where samples are sent) wants an address such as stats.example.net:8111"),
    ({"ISTAT_TO": "http://one:8000"}, "ISTAT_TO (where samples are sent) wants an address such as"),
    ({"ISTAT_TO": ":80"}, "ISTAT_TO (where samples are sent) is ':80', which names no host: write it as HOST:PORT"),
    ({"ISTAT_TO": "one:0"}, "ISTAT_TO (where samples are sent) is 'one:0', which names no port: write it as HOST:PORT"),
    ({"ISTAT_URL": "one"}, "ISTAT_URL is 'one', which is no address of a server: write it as http://HOST:PORT"),
    ({"ISTAT_URL": "http://[::1"}, "ISTAT_URL is 'http://[::1', which is no address of a server"),
])
def test_an_environment_that_is_wrong_is_told(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        samples_address(environment)
    assert str(caught.value).startswith(words)


def test_a_client_without_arguments_sends_where_the_environment_says_and_arguments_win(
        udp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = udp.getsockname()[1]
    monkeypatch.setenv("ISTAT_TO", f"127.0.0.1:{port}")
    with StatClient() as client:
        client.gauge("a", 1)
    assert udp.recv(100) == b"a 1\n"
    monkeypatch.setenv("ISTAT_TO", "127.0.0.1:1")
    for client in (StatClient("127.0.0.1", port), StatClient(port=port)):
        with client:
            client.gauge("b", 2)
        assert udp.recv(100) == b"b 2\n"
    monkeypatch.setenv("ISTAT_TO", "a:b")
    with pytest.raises(UsageError, match="ISTAT_TO"):
        StatClient()
    with StatClient("127.0.0.1", port) as client:       # what is not needed is not looked at
        client.gauge("c", 3)
    assert udp.recv(100) == b"c 3\n"


def test_who_is_asked_is_in_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTAT_URL", raising=False)
    assert QueryClient().url == "http://127.0.0.1:8000"
    monkeypatch.setenv("ISTAT_URL", "http://one:9/")
    assert (QueryClient().url, QueryClient("http://two:9").url) == ("http://one:9", "http://two:9")


def test_tcp_holds_lines_while_the_server_is_away_up_to_its_capacity() -> None:
    clock, port = FakeClock(), own_port()
    client = StatClient("127.0.0.1", port, "tcp", clock=clock, batch_bytes=8, capacity=20)
    for value in range(8):
        client.gauge("a", value)
    assert (client.sent, client.dropped) == (0, 3)
    with socket.create_server(("127.0.0.1", port)) as server:
        client.flush()
        assert client.sent == 0, "the next attempt waits for a second"
        clock.advance(1)
        client.close()
        server.settimeout(5)
        connection = server.accept()[0]
        connection.settimeout(5)
        assert connection.recv(100) == b"a 0\na 1\na 2\na 3\na 4\n"
        connection.close()
    assert (client.sent, client.dropped) == (5, 3)


def test_tls_to_a_server_that_is_believed_and_none_to_another(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    taken: list[bytes] = []

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            connection = server.accept()[0]
            try:
                with context.wrap_socket(connection, server_side=True) as secret:
                    taken.append(secret.recv(100))
            except OSError:
                taken.append(b"refused")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        for believed, count in ((ssl.create_default_context(cafile=authority.ca), (1, 0)),
                                (ssl.create_default_context(), (0, 1))):
            with StatClient("127.0.0.1", port, "tcp", tls=believed) as client:
                client.gauge("a", 1)
            assert (client.sent, client.dropped) == count
        thread.join(10)
    assert taken == [b"a 1\n", b"refused"]
    with pytest.raises(ValueError, match="tcp only"):
        StatClient(tls=ssl.create_default_context())


def test_what_cannot_be_sent_before_the_end_is_counted() -> None:
    with StatClient("127.0.0.1", own_port(), "tcp") as client:
        client.gauge("a", 1)
    assert (client.sent, client.dropped) == (0, 1)


class Answers(BaseHTTPRequestHandler):
    """Answers by path from a table; notes what it was asked."""

    table: ClassVar[dict[str, tuple[int, bytes]]] = {
        "/health": (200, b'{"status":"ok"}'),
        "/api/v1/series": (200, b'{"start":10,"interval":10,"points":1,"series":[],"missing":[]}'),
        "/api/v1/agents": (200, b'{"agents":[{"name":"a"}]}'),
        "/api/v1/search": (400, b'{"error":"say what to look for"}'),
        "/api/v1/status": (500, b"oops"),
        "/gone": (404, b'{"error":"No such counter gone"}'),
        "/api/v1/names": (200, b"[1]"),
    }
    asked: ClassVar[list[tuple[str, bytes]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        status, body = self.table.get(self.path.partition("?")[0], (404, b""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def client() -> Iterator[QueryClient]:
    Answers.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield QueryClient(f"http://127.0.0.1:{server.server_port}/", timeout=5)
    server.shutdown()
    thread.join()
    server.server_close()


def test_series_are_asked_for_by_post(client: QueryClient) -> None:
    assert client.series(["a", "b"], 10.7, 19.2, columns=["avg", "max"])["interval"] == 10
    assert Answers.asked == [
        ("/api/v1/series", b'{"names": ["a", "b"], "columns": "avg,max", "from": 10, "to": 20}')
    ]


def test_other_answers(client: QueryClient) -> None:
    assert client.healthy()
    assert client.agents() == [{"name": "a"}]
    with pytest.raises(UnknownCounter, match="No such counter gone"):
        client.buckets("gone", 5)
    assert Answers.asked[-1][0] == "/gone?samples=1000&start=5"


def test_refusals_and_strangers(client: QueryClient) -> None:
    with pytest.raises(BadQuery, match="say what to look for") as caught:
        client.search("")
    assert caught.value.status == 400
    with pytest.raises(ServerUnreachable, match="status 500"):
        client.status()
    with pytest.raises(ServerUnreachable, match="does not answer as an istat-server would .status 404 for "):
        client.children()   # another program's page for what it does not have
    for url in ("foo", "127.0.0.1:8000", "ftp://stats:8000", "http://"):
        with pytest.raises(UsageError, match="is no address of a server: write it as http://HOST:PORT"):
            QueryClient(url).status()
    with pytest.raises(ServerUnreachable, match="does not answer as an istat-server"):
        client.names()


@pytest.mark.parametrize("url", ["foo", "foo:8000", "127.0.0.1:8000", "ftp://foo", "http://", "http://:80"])
def test_an_address_that_is_none_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UsageError, match="write it as http://HOST:PORT, such as http://127.0.0.1:8000$"):
        QueryClient(url).names()


def test_nobody_there() -> None:
    client = QueryClient(f"http://127.0.0.1:{own_port()}", timeout=2)
    assert not client.healthy()
    with pytest.raises(ServerUnreachable, match="is istat-server running there"):
        client.status()


@pytest.fixture
def secure(authority: Authority, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server with TLS; with the parameter True it wants a certificate."""
    Answers.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    if getattr(request, "param", False):
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_with_tls_is_believed_by_its_authority_only(authority: Authority, secure: str, tmp_path: Path) -> None:
    assert QueryClient(secure, ca=authority.ca).healthy()
    with pytest.raises(ServerUnreachable, match="is not believed: unable to get local issuer .*--ca FILE"):
        QueryClient(secure, ca=Authority(tmp_path, "strange").ca).status()
    with pytest.raises(ServerUnreachable, match="does it speak TLS. then write https://"):
        QueryClient(secure.replace("https", "http")).status()
    with pytest.raises(UsageError, match="a file that TLS wants cannot be read: .*none.pem"):
        QueryClient(secure, ca=tmp_path / "none.pem").status()


@pytest.mark.parametrize("secure", [True], indirect=True)
def test_a_server_may_want_a_certificate(authority: Authority, secure: str) -> None:
    mine = {"cert": authority.folder / "other.pem", "key": authority.folder / "other.key"}
    assert QueryClient(secure, ca=authority.ca, **mine).healthy()
    assert not QueryClient(secure, ca=authority.ca).healthy()
    with pytest.raises(UsageError, match="a key needs its certificate"):
        QueryClient(secure, key="other.key")


def test_tls_with_a_server_that_has_none_is_told(client: QueryClient) -> None:
    with pytest.raises(ServerUnreachable, match="does not speak TLS; try http://127.0.0.1"):
        QueryClient(client.url.replace("http", "https"), timeout=5).status()


def test_the_token_goes_with_each_request_whatever_netrc_says(
    client: QueryClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heard: list[str | None] = []
    monkeypatch.setattr(Answers, "log_message", lambda self, *_: heard.append(self.headers["Authorization"]))
    QueryClient(client.url, token="s3cret").healthy()
    assert heard == ["Bearer s3cret"]
