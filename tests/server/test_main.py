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


def test_a_server_that_cannot_say_that_it_is_ready_serves(monkeypatch: pytest.MonkeyPatch,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    ready: list[str] = []
    monkeypatch.setattr(main.gc, "freeze", lambda: None)
    monkeypatch.setattr(main.service, "ready", ready.append)
    settings: Any = {"listen-address": "", "http-listen-address": "::", "tls-cert": None}
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        main.tell_ready(settings, SimpleNamespace(told=lambda: ["stat-port=8111"]),  # type: ignore[arg-type]
                        SimpleNamespace(port=8000))  # type: ignore[arg-type]
        monkeypatch.undo()
    assert ready == ["samples on port 8111, HTTP on port 8000"]
    assert "standard output cannot be written (No space left on device)" in caplog.text
