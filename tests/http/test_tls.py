"""The HTTP server with a certificate: TLS only, kept-open connections, silent clients, a quiet end."""

from __future__ import annotations

import logging
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
import requests

from istat.daemon import tls
from istat.daemon.tls import Certificate, client_context
from istat_server.faults import Faults
from istat_server.http.server import HttpServer
from istat_server.http.transport import body, handler
from tests.certificates import Authority
from tests.http.test_server import in_thread, talk
from tests.ports import open_http_socket

T = 1325394000


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path) -> Certificate:
    for name in ("server.pem", "server.key"):
        shutil.copy(authority.folder / name, tmp_path / name)
    return Certificate(tmp_path / "server.pem", tmp_path / "server.key")


@pytest.fixture
def server(app: Any, certificate: Certificate) -> Iterator[HttpServer]:
    server = HttpServer(app, open_http_socket("127.0.0.1", 0), certificate=certificate)
    server.start()
    yield server
    server.stop()


def connect(server: HttpServer, authority: Authority) -> Any:
    plain = gevent.socket.create_connection(("127.0.0.1", server.port), 10)
    return client_context(authority.ca).wrap_socket(plain, server_hostname="127.0.0.1")


def test_requests_over_one_connection(server: HttpServer, authority: Authority) -> None:
    url = f"https://127.0.0.1:{server.port}"

    def work() -> list[Any]:
        with requests.Session() as session:
            ca = str(authority.ca)      # at each request: a session's own gives way to the environment's
            bulk = {"names": ["foo.bar"], "from": T - 80000, "to": T, "points": 2000}
            return [session.get(url + "/health", verify=ca),
                    *(session.post(url + "/api/v1/series", json=bulk, verify=ca) for _ in range(3))]

    health, *bulk = in_thread(work)
    assert health.json() == {"status": "ok"}
    assert len(bulk[2].json()["series"][0]["avg"]) == 2000


def test_the_application_hears_of_it(certificate: Certificate, authority: Authority) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.url_scheme"].encode()]

    server = HttpServer(app, open_http_socket("127.0.0.1", 0), certificate=certificate)
    server.start()
    with connect(server, authority) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1000).endswith(b"https") or client.recv(1000).endswith(b"https")
    server.stop()


def test_plain_http_is_not_answered(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert b"HTTP" not in talk(server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not caplog.records, "anyone can do that: no line of the log for it"


def test_silent_clients_cost_nobody_and_are_let_go(
    server: HttpServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls.Certificate.accept, "__defaults__", (0.3,))
    silent = [gevent.socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(50)]
    gevent.sleep(0.05)
    with gevent.Timeout(5), connect(server, authority) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
    with gevent.Timeout(5):
        assert {one.recv(10) for one in silent} == {b""}
    for one in silent:
        one.close()


def test_slow_and_idle_connections_end_without_a_fault(
    server: HttpServer, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(handler, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(handler, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(body, "SILENT_SECONDS", 0.3)
    with gevent.Timeout(5):
        for sent in (b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: ",
                     b"POST /* HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"):
            with connect(server, authority) as client:
                client.sendall(sent)
                while client.recv(1000):
                    pass
    assert not caplog.records


def test_stopping_does_not_wait_for_idle_connections(
    app: Any, certificate: Certificate, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    server = HttpServer(app, open_http_socket("127.0.0.1", 0), certificate=certificate)
    server.start()
    client = connect(server, authority)
    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    client.recv(65536)
    with gevent.Timeout(1):
        server.stop()
    assert client.recv(10) == b""
    client.close()
    assert not caplog.records


def test_a_client_that_goes_away_is_no_fault(
    server: HttpServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    body = b'{"names":["foo.bar"],"from":%d,"to":%d,"points":2000}' % (T - 80000, T)
    head = b"POST /api/v1/series HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for sent in (b"", b"GET", head, head + body, (head + body) * 20):
        client = connect(server, authority)
        client.sendall(sent)
        client.close()
        gevent.sleep(0.02)
    assert not caplog.records


def test_who_is_refused_and_gone_is_no_fault(
    server: HttpServer, authority: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal cannot be sent, which TLS says in another way than a socket."""
    hub, faults = gevent.get_hub(), Faults()
    monkeypatch.setattr(hub, "handle_error", hub.handle_error)      # and as it was in the end
    faults.watch(hub)
    for sent in (b"#hostname vm\n", b"x" * 9000, b"GET / HTTP/1.1\r\nno header\r\n\r\n"):
        client = connect(server, authority)
        client.sendall(sent)
        client.close()
        gevent.sleep(0.05)
    assert faults.count == 0 and not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_renewed_certificate_is_shown_to_new_connections(
    server: HttpServer, certificate: Certificate, authority: Authority, tmp_path: Path
) -> None:
    with connect(server, authority) as before:
        for suffix in ("pem", "key"):
            shutil.copy(authority.folder / f"other.{suffix}", tmp_path / f"server.{suffix}")
        certificate.renew()
        with connect(server, authority) as after:
            assert [part[0] for part in after.getpeercert()["subject"]] == [("commonName", "other")]
        before.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in before.recv(1000), "who was connected stays so"


def test_a_client_of_another_protocol_version_is_no_fault(server: HttpServer, authority: Authority) -> None:
    context = client_context(authority.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with gevent.socket.create_connection(("127.0.0.1", server.port), 10) as plain, \
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
