"""A toy of our server for smoke tests of the benchmarks: the line protocol and the few routes they use.

It keeps 10 s buckets in dictionaries, forgets them when it ends, and is slow. Never published.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import signal
import socketserver
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

STEP = 10  # [s]
BUCKETS: dict[str, dict[int, tuple[int, float]]] = defaultdict(dict)
GUARD = threading.Lock()


def take(lines: bytes) -> None:
    """Adds the samples of whole `name time value` lines."""
    with GUARD:
        for line in lines.splitlines():
            name, time, value = line.split()
            buckets = BUCKETS[name.decode()]
            start = int(time) // STEP * STEP
            count, total = buckets.get(start, (0, 0.0))
            buckets[start] = (count + 1, total + float(value))


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            take(line)


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        take(self.request[0])


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True


def series(question: dict[str, Any]) -> dict[str, Any]:
    """The answer of `/api/v1/series`: count and avg in buckets of 10 s, or of as many as the points need."""
    start, end, points = (int(question[key]) for key in ("from", "to", "points"))
    steps = max(1, -(-(end - start) // (points * STEP)))
    interval = steps * STEP
    first = start // interval * interval
    size = max(1, -(-(end - first) // interval))
    found = []
    for name in question["names"]:
        counts, sums = [0] * size, [0.0] * size
        with GUARD:
            held = list(BUCKETS.get(name, {}).items())
        for time, (count, total) in held:
            at = (time - first) // interval
            if 0 <= at < size:
                counts[at] += count
                sums[at] += total
        averages = [total / count if count else None for total, count in zip(sums, counts, strict=True)]
        found.append({"name": name, "kind": "gauge", "count": counts, "avg": averages})
    return {"start": first, "interval": interval, "points": size, "series": found, "missing": []}


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(address.query).items()}
        if address.path == "/api/v1/series":
            self._answer(series({**asked, "names": parse_qs(address.query)["name"]}))
        elif address.path == "/api/v1/names":
            with GUARD:
                names = fnmatch.filter(BUCKETS, asked["match"])
            self._answer({"names": [{"name": name, "kind": "gauge"} for name in names], "truncated": False})
        else:
            self._answer({"status": "ok"})

    def do_POST(self) -> None:
        self._answer(series(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)  # one packet: two would wait for a delayed acknowledgement

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Silent: a line for each request would be all that the log holds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--stat-port", "--http-port"):
        parser.add_argument(name, type=int, default=0)
    parser.add_argument("--store")
    parser.add_argument("--listen-address", default="127.0.0.1")
    chosen = parser.parse_args()
    tcp = Tcp((chosen.listen_address, chosen.stat_port), Lines)
    udp = socketserver.UDPServer(tcp.server_address, Datagrams)
    http = ThreadingHTTPServer((chosen.listen_address, chosen.http_port), Http)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for server in (tcp, udp, http):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(
        f"istat-server ready stat-port={tcp.server_address[1]} http-port={http.server_address[1]}", flush=True
    )
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
