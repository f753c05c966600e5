"""Random requests to a real server: each is answered, none with a fault, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ftest.fuzz.asking import Asked, requests_of
from ftest.fuzz.serving import ANSWER_SECONDS, TOKEN, fuzzed
from ftest.harness.serverprocess import ServerProcess

AT_ONCE = 25        # requests of one example, which go over one connection where it stays open
NO_BODY = (204, 302, 304)
# Of a thousand requests at least so many are taken: else nothing that lies behind the refusals was asked.
LEAST_TAKEN = 100
# What a refusal says; replicas have a word for each reason (docs/protocols/replication.md).
SAID = (["error"], ["error", "reason"])
REFUSALS = {400, 401, 403, 404, 405, 408, 409, 410, 411, 413, 414, 415, 416, 417, 421, 431, 501, 503}


class Line:
    """A connection to the server, opened anew when it was closed."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._sock: socket.socket | None = None
        self.statuses: Counter[int] = Counter()

    def ask(self, asked: Asked) -> http.client.HTTPResponse:
        """The answer, whose body was read. AssertionError when none comes in time."""
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._server.http_port), ANSWER_SECONDS)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):     # it may refuse before it has all
            self._sock.sendall(asked.wire(TOKEN))
        answer = http.client.HTTPResponse(self._sock, method=asked.method)
        try:
            answer.begin()
            check(asked, answer, answer.read())
            self.statuses[answer.status] += 1
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise AssertionError(f"no answer to {asked}: {error!r}") from error
        if answer.will_close or ("Connection", "close") in asked.headers:
            self.close()
        answer.close()
        return answer

    def close(self) -> None:
        """The next request has a connection of its own."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def check(asked: Asked, answer: http.client.HTTPResponse, body: bytes) -> None:
    """Whether this is an answer of ours: a refusal is a sentence, and what says that it is JSON is."""
    status, coding = answer.status, answer.getheader("Content-Encoding")
    assert status in REFUSALS or 200 <= status < 400, (asked, status, body)
    assert answer.getheader("X-Content-Type-Options") == "nosniff" or status >= 400
    if asked.method == "HEAD" or status in NO_BODY:
        assert body == b""
        return
    body = zlib.decompress(body, 47) if coding in ("gzip", "deflate") else body
    if status >= 400 or (answer.getheader("Content-Type") or "").startswith("application/json"):
        try:
            said = json.loads(body, parse_constant=_no_json)
        except ValueError as error:
            raise AssertionError(f"{asked} is answered {status} with {body[:500]!r}: {error}") from error
        nothing = status == 404 and said is None and "s=" in asked.target      # a namespace without such a key
        assert status < 400 or nothing or list(said) in SAID, (asked, status, body)


def _no_json(name: str) -> None:
    raise ValueError(f"there is no {name} in JSON")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with fuzzed(tmp_path_factory.mktemp("fuzzed")) as server:
        yield server


def ask_at_random(server: ServerProcess, portions: int) -> None:
    """So many times a thousand requests. AssertionError tells the first few that had no right answer."""
    some = st.lists(requests_of(server.get("/api/v1/openapi.json")), min_size=AT_ONCE, max_size=AT_ONCE)
    wrong: list[str] = []
    with contextlib.closing(Line(server)) as line:
        for _ in range(portions):       # Hypothesis keeps what it has drawn until a test ends
            line.statuses.clear()
            ask_portion(line, some, wrong)
            assert not wrong, "\n".join(wrong[:5])
            taken = sum(count for status, count in line.statuses.items() if status < 300)
            assert taken >= LEAST_TAKEN, line.statuses
            print(line.statuses)


def ask_portion(line: Line, some: st.SearchStrategy[list[Asked]], wrong: list[str]) -> None:
    """A thousand requests, and what was wrong with their answers. No example fails by itself: what came before changes
    what is answered, so the same would not fail again."""
    @settings(max_examples=1000 // AT_ONCE, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example])
    @given(some)
    def ask(requests: list[Asked]) -> None:
        for asked in requests:
            try:
                line.ask(asked)
            except AssertionError as error:
                line.close()
                wrong.append(str(error)[:2000])

    ask()


@pytest.mark.seconds(20)
def test_a_thousand_random_requests(server: ServerProcess) -> None:
    ask_at_random(server, 1)


@pytest.mark.slow
@pytest.mark.seconds(600)
def test_a_hundred_thousand_random_requests(tmp_path: Path) -> None:
    with fuzzed(tmp_path) as server:
        ask_at_random(server, 100)
