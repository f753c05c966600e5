"""What the program says when it is ready."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from istat_server import main


@pytest.mark.parametrize(("listen", "tls", "told"), [
    ("127.0.0.1", False, "http://127.0.0.1:8000/"),
    ("stats.example.net", True, "https://stats.example.net:8000/"),
    ("2001:db8::5", False, "http://[2001:db8::5]:8000/"),
    ("[2001:db8::5]", False, "http://[2001:db8::5]:8000/"),
    ("::1", False, "http://[::1]:8000/"),
    ("::", False, "http://[::1]:8000/ (and at every address of this machine)"),
    ("*", False, "http://127.0.0.1:8000/ (and at every address of this machine)"),
    ("0.0.0.0", True, "https://127.0.0.1:8000/ (and at every address of this machine)"),
])
def test_the_address_that_is_told_can_be_opened(listen: str, tls: bool, told: str) -> None:
    assert main.http_url(listen, 8000, tls) == told


def told_of(*words: str, services: list[str] | None = None) -> Any:
    """Sockets of which this is told."""
    return SimpleNamespace(told=lambda: list(words), told_services=lambda: services or [])


def test_a_server_that_cannot_say_that_it_is_ready_serves(monkeypatch: pytest.MonkeyPatch,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    ready: list[str] = []
    monkeypatch.setattr(main.gc, "freeze", lambda: None)
    monkeypatch.setattr(main.service, "ready", ready.append)
    settings: Any = {"listen-address": "", "http-listen-address": "::", "tls-cert": None}
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        main.tell_ready(settings, told_of("stat-port=8111"), SimpleNamespace(port=8000))  # type: ignore[arg-type]
        monkeypatch.undo()
    assert ready == ["samples on port 8111, HTTP on port 8000"]
    assert "standard output cannot be written (No space left on device)" in caplog.text


@pytest.mark.parametrize(("words", "services", "http", "says", "to_the_manager"), [
    (["stat-port=1", "toy-port=2"], ["admin-port=3"], SimpleNamespace(port=4),
     "stat-port=1 http-port=4 toy-port=2 admin-port=3", "samples on port 1, toy-port=2, HTTP on port 4, admin-port=3"),
    ([], ["prometheus-port=5"], None, "prometheus-port=5", "samples on no port, HTTP on no port, prometheus-port=5"),
])
def test_what_is_off_is_not_told(words: list[str], services: list[str], http: Any, says: str, to_the_manager: str,
                                 monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ready: list[str] = []
    monkeypatch.setattr(main.gc, "freeze", lambda: None)
    monkeypatch.setattr(main.service, "ready", ready.append)
    settings: Any = {"listen-address": "", "http-listen-address": "127.0.0.1", "tls-cert": None}
    main.tell_ready(settings, told_of(*words, services=services), http)
    assert capsys.readouterr().out == f"istat-server ready {says}\n"
    assert ready == [to_the_manager]
