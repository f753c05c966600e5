"""A server that is fuzzed, and somebody else who asks it and sends to it meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ftest.harness.serverprocess import ServerProcess

TOKEN = "right"
OTHERS = "127.0.0.2"        # fuzzers come from 127.0.0.1
ANSWER_SECONDS = 60.0       # nobody is kept waiting so long, unless the server hangs
PAUSE = 0.05                # [s] between two questions of somebody else
# How much larger the server may get [bytes]: four times what bodies and answers may hold at once.
GROWTH = 256 << 20


class Other:
    """A well-meaning client and sender, in a thread of its own: how often it was served, and what went wrong."""

    def __init__(self, server: ServerProcess) -> None:
        self.served = 0
        self.wrong: list[str] = []
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Other:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * ANSWER_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(PAUSE):
            try:
                self._ask()
                self.served += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.wrong.append(repr(error))
                return

    def _ask(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self._server.http_port, timeout=ANSWER_SECONDS,
                                          source_address=(OTHERS, 0))
        with contextlib.closing(link):
            link.request("GET", "/health")
            assert link.getresponse().read() == b'{"status":"ok"}'
        with socket.create_connection(("127.0.0.1", self._server.stat_port), ANSWER_SECONDS, (OTHERS, 0)) as sock:
            sock.sendall(b"fuzz.a 1\n*fuzz.e 2\nfuzz.a.b 3\nbeside.%d 1\n" % (self.served % 100))


@contextlib.contextmanager
def fuzzed(folder: Path, **options: object) -> Iterator[ServerProcess]:
    """A server with some counters. In the end it is there yet, not much larger, without a fault, and somebody else was
    served all the while."""
    server = ServerProcess(folder, token=TOKEN, admin_token=TOKEN, **options)
    with server:
        now = int(time.time())
        server.send_tcp(b"".join(b"fuzz.a %d 1\n*fuzz.e %d 2\nfuzz.a.b %d 3\n" % (t, t, t)
                                 for t in range(now - 3600, now, 10)))
        server.wait_for_samples(1080)
        before = server.resident_bytes()
        with Other(server) as other:
            yield server
        assert other.wrong == [] and other.served > 0
        grown = server.resident_bytes() - before
        assert grown < GROWTH, f"{grown} bytes more"
        assert server.healthy()
        assert "incident" not in server.log(), server.log()
