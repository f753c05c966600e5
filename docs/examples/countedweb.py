"""A web program that counts its requests by method, path and status. docs/cubes-tutorial.md goes through it.

    python countedweb.py wsgiref 8080 --folder frames
    python countedweb.py gevent 8080 --folder frames --stats 127.0.0.1:8111
"""

from __future__ import annotations

import argparse
import sys

if sys.argv[1:2] == ["gevent"]:     # before anything else is imported
    from gevent import monkey

    monkey.patch_all()

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from istat.client import StatClient
from istat.cube import (
    Collector,
    Easy,
    FolderSink,
    Instance,
    JsonExporter,
    LinesSink,
    PrometheusExporter,
    Sampling,
)
from istat.cube.export.prometheus import CONTENT_TYPE

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
BOUNDARIES = {"latency_us": [100, 1_000, 10_000, 100_000, 1_000_000]}


def what_is_counted() -> Instance:
    """The master: its cubes, dimensions and metrics."""
    master = Instance("shop")
    http = master.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests")
    http.register_histogram("latency_us", lowest=1, highest=60_000_000)
    http.register_hll("clients")
    http.set_sampling(Sampling.TOPK, max_cells=1000, primary="requests", overflow_cell=True)
    return master


class Counting:
    """WSGI middleware: counts each request when its answer has been sent."""

    def __init__(self, application: Application, easy: Easy) -> None:
        self.application = application
        self.requests = easy.counter("http", "requests")
        self.latency = easy.histogram("http", "latency_us")
        self.clients = easy.hll("http", "clients")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        begun, status = time.perf_counter(), ["500"]

        def started(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            status[0] = line[:3]
            return start_response(line, headers, *error)

        try:
            yield from self.application(environ, started)
        finally:
            key = (environ["REQUEST_METHOD"], environ["PATH_INFO"], int(status[0]))
            self.requests.incrby(key)
            self.latency.record(key, int((time.perf_counter() - begun) * 1e6))
            self.clients.add(key, environ["REMOTE_ADDR"])


class Shop:
    """The program itself, with two pages about its own figures."""

    def __init__(self, total: Collector) -> None:
        self.total = total

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            text = PrometheusExporter(self.total.snapshot(), boundaries=BOUNDARIES).export()
            return answer(start_response, "200 OK", text, CONTENT_TYPE)
        if path == "/cells.json":
            text = JsonExporter(self.total.snapshot()).export_flat()
            return answer(start_response, "200 OK", text, "application/json")
        if path == "/" or path.startswith("/item/"):
            return answer(start_response, "200 OK", f"Welcome to {path}\n")
        if path == "/slow":
            time.sleep(0.05)
            return answer(start_response, "200 OK", "at last\n")
        return answer(start_response, "404 Not Found", "there is no such page\n")


def answer(start_response: Callable[..., Any], status: str, text: str, kind: str = "text/plain") -> list[bytes]:
    """A whole answer."""
    data = text.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
    return [data]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """wsgiref's server, with a thread for each request."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def serve(server: str, port: int, application: Application) -> None:
    """Until Ctrl-C."""
    if server == "gevent":
        from gevent.pywsgi import WSGIServer as GeventServer

        GeventServer(("127.0.0.1", port), application, log=None).serve_forever()
    else:
        make_server("127.0.0.1", port, application, ThreadingServer, Quiet).serve_forever()


def main() -> None:
    """Count, and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("server", choices=("wsgiref", "gevent"))
    parser.add_argument("port", type=int)
    parser.add_argument("--folder", default="frames", help="where frames go")
    parser.add_argument("--stats", help="HOST:PORT of an istat-server that takes samples")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds")
    arguments = parser.parse_args()

    total = Collector("shop")                       # all since the start, for the two pages
    sinks: list[Callable[[Instance], object]] = [total.merge, FolderSink(arguments.folder)]
    if arguments.stats:
        host, port = arguments.stats.split(":")
        sinks.append(LinesSink(partial(StatClient, host, int(port))))

    def sink(frame: Instance) -> None:
        for one in sinks:
            one(frame)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))       # so that what was counted last is handed over
    with Easy(what_is_counted(), interval=arguments.interval, sink=sink) as easy:
        try:
            serve(arguments.server, arguments.port, Counting(Shop(total), easy))
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
