"""A client of istatd at a real server and store: the bytes of its answers on the wire."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(5)
T = 1325394000      # 2012-01-01 05:00:00 UTC
ANSWER = (b'{"buckets":[{"data":{"avg":6.125,"count":2,"max":7.25,"min":5,"sdev":1.590990257669732,"sum":12.25,'
          b'"sumsq":77.5625},"time":1325394000},{"data":{"avg":1000,"count":1,"max":1000,"min":1000,"sdev":0,'
          b'"sum":1000,"sumsq":1000000},"time":1325394030}],"end":1325394060,"interval":10,"start":1325394000}\n')
GET = f"/foo.bar?start={T}&end={T + 60}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("istatd")
    (folder / "files").mkdir()
    (folder / "files" / "hello.html").write_text("hello")
    with ServerProcess(folder, fake_time=T + 900, files_dir=folder / "files") as running:
        lines = [f"foo.bar {T} 5", f"foo.bar {T + 2} 7.25", f"Foo.Bar {T + 30} 1000", f"*mail.sent {T + 10} 20"]
        running.send_tcp("".join(f"{line}\r\n" for line in lines).encode())
        running.send_tcp(b"".join(b"long.one %d %d\n" % (T + 10 * k, k) for k in range(60)))
        running.wait_for_samples(64)
        yield running


@pytest.fixture
def link(server: ServerProcess) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    yield made
    made.close()


def test_one_connection_for_all_questions(link: http.client.HTTPConnection) -> None:
    def ask(method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        link.request(method, path, body)
        answer = link.getresponse()
        return answer.status, answer.read()

    assert ask("GET", GET) == (200, ANSWER)
    opened = link.sock
    assert ask("HEAD", GET) == (200, b"")
    assert ask("OPTIONS", "/*") == (204, b"")
    assert ask("GET", GET + "&format=csv")[1].splitlines()[1] == (
        b"2012-01-01T05:00:00Z,1325394000,2,5,7.25,12.25,77.5625,6.125,1.590990257669732")
    question = {"keys": ["foo.bar", "zz"], "start": T, "stop": T + 10, "compact": True}
    assert ask("POST", "/*", json.dumps(question)) == (200, (
        b'{"zz":"Not found.","foo.bar":{"start":1325394000,"end":1325394010,"interval":10,"data":['
        b'[1325394000,2,5,7.25,12.25,77.5625,6.125,1.590990257669732]]},'
        b'"start":1325394000,"stop":1325394010,"interval":10}'))
    assert ask("POST", "/*", "[]") == (400, b'{"error":"the body must be a JSON object"}\n')
    assert ask("GET", f"/mail.sent?start={T}&end={T}&samples=1") == (
        400, b'{"error":"HTTP exception: end must be greater than start!"}\n')
    assert ask("PUT", "/foo.bar", "x") == (405, b'{"error":"Bad method"}\n')
    assert ask("GET", "/files/hello.html") == ask("GET", "/?f=hello.html") == (200, b"hello")
    listing = json.loads(ask("GET", "/?q=foo*")[1])["matching_names"]
    assert listing == [{"is_leaf": False, "type": 2, "name": "foo"}, {"is_leaf": True, "type": 0, "name": "foo.bar"}]
    assert link.sock is opened, "and it is open yet"
    link.request("GET", GET, headers={"Connection": "close"})
    assert link.getresponse().read() == ANSWER
    assert opened.recv(1) == b"", "closed where that is asked for"


@pytest.mark.parametrize(("accepted", "coding"), [
    ("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0.5, deflate", "deflate"), ("gzip;q=0.5, identity", None),
])
def test_codings(link: http.client.HTTPConnection, accepted: str, coding: str | None) -> None:
    path = f"/long.one?start={T}&end={T + 600}"
    link.request("GET", path, headers={"Accept-Encoding": accepted})
    answer = link.getresponse()
    body = answer.read()
    assert answer.getheader("Content-Encoding") == coding
    unpacked = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(coding or "", bytes)(body)
    assert len(json.loads(unpacked)["buckets"]) == 60


def test_a_client_of_http_1_0_reads_to_the_end(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), 10) as client:
        client.sendall(f"GET {GET} HTTP/1.0\r\n\r\n".encode())
        found = b""
        while part := client.recv(65536):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in head
    assert body == ANSWER


def test_nothing_is_packed_where_the_settings_say_so(tmp_path: Path) -> None:
    environment = {"ISTAT_SERVER_DISALLOW_COMPRESSED_RESPONSES": "true"}
    with ServerProcess(tmp_path, environment=environment) as server:
        link = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
        link.request("GET", "/api/v1/openapi.json", headers={"Accept-Encoding": "gzip, deflate"})
        answer = link.getresponse()
        assert answer.getheader("Content-Encoding") is None
        assert json.loads(answer.read())["openapi"] == "3.0.3"
        link.close()
