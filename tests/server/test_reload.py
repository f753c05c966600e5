"""What SIGHUP changes, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from istat.daemon import service
from istat.settings.declaration import Values
from istat_server import main
from istat_server.options import DECLARATION


class Stub:
    """A server that only takes settings over."""

    def __init__(self, settings: Values) -> None:
        self.settings = settings

    def reload(self, settings: Values) -> None:
        self.settings = settings
        if settings["max-connections"] == 13:
            raise RuntimeError("a plugin's fault")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the service manager is told."""
    messages: list[str] = []
    monkeypatch.setattr(service, "notify", lambda message: messages.append(message.partition("\n")[0]))
    monkeypatch.setattr(main, "configure_log", lambda settings: None)
    return messages


def test_what_wants_a_restart_is_named_until_there_was_one(tmp_path: Path, told: list[str],
                                                           caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "server.toml"
    file.write_text("stat-port = 1111\nmax-connections = 5\n")
    arguments = ["--config", str(file)]
    server: Any = Stub(DECLARATION.load(arguments, {}))
    file.write_text("stat-port = 2222\nmax-connections = 6\n")
    for _ in range(2):
        caplog.clear()
        main.reload(server, DECLARATION, arguments)
        assert "these settings change with a restart only: stat-port" in caplog.text
        assert (server.settings["stat-port"], server.settings["max-connections"]) == (1111, 6)
    assert told == ["RELOADING=1", "READY=1"] * 2


def test_a_reload_that_a_plugin_breaks_ends_all_the_same(tmp_path: Path, told: list[str]) -> None:
    file = tmp_path / "server.toml"
    file.write_text("max-connections = 13\n")
    arguments = ["--config", str(file)]
    server: Any = Stub(DECLARATION.load([], {}))
    with pytest.raises(RuntimeError):
        main.reload(server, DECLARATION, arguments)
    assert told == ["RELOADING=1", "READY=1"]
