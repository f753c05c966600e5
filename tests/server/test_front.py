"""What stands before the HTTP application, and the counting of our own faults."""
from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import gevent
import pytest

from istat_server.faults import Faults
from istat_server.front import Front


def ask(front: Front, method: str = "GET") -> tuple[str, bytes, Any]:
    said: list[str] = []
    parts = front({"REQUEST_METHOD": method}, lambda status, headers, *more: said.append(status))
    return said[0], b"".join(parts), parts


def test_it_says_starting_until_there_is_an_application() -> None:
    front = Front()
    assert ask(front)[0] == "503 Service Unavailable"
    assert ask(front, "HEAD")[1] == b""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"hello"]

    front.serve(app)
    assert ask(front)[:2] == ("200 OK", b"hello")
    assert (front.requests, front.errors) == (3, 2)


def test_a_request_is_in_progress_until_its_answer_is_closed() -> None:
    front = Front()
    parts = ask(front)[2]
    assert front.current == 1
    parts.close()
    assert front.current == 0

    def broken(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise RuntimeError("broken")

    front.serve(broken)
    with pytest.raises(RuntimeError):
        ask(front)
    assert front.current == 0


def test_a_fault_is_told_once_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            try:
                raise ValueError("odd")
            except ValueError as error:
                faults.note("a test", error)
    assert faults.count == 5
    assert len(caplog.records) == 1
    assert "unexpected error in a test" in caplog.text
    assert "ValueError: odd" in caplog.text


def test_faults_of_greenlets_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    hub, faults = gevent.get_hub(), Faults()
    before = hub.handle_error
    faults.watch(hub)
    try:
        with caplog.at_level(logging.ERROR):
            gevent.spawn(lambda: 1 / 0).join()
    finally:
        hub.handle_error = before
    assert faults.count == 1
    assert "ZeroDivisionError" in caplog.text
