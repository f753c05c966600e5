"""An agent's forwarding, assembled over a forwarder that remembers: ticks, own lines, the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gevent
import pytest

from istat.clock import FakeClock
from istat.errors import SettingsError
from istat_agent.counters import Counters
from istat_agent.forwarding import relay as module
from istat_agent.forwarding.folder import context_of
from istat_agent.forwarding.ports import Ports
from istat_agent.forwarding.relay import TICK_SECONDS, Relay
from istat_agent.options import DECLARATION
from tests.agent.forwarding.fakes import FakeForwarder


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> FakeForwarder:
    way = FakeForwarder()
    monkeypatch.setattr(module, "Forwarder", lambda *given, wait: way)
    return way


def values(**changed: Any) -> Any:
    flags = [word for name, value in changed.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return DECLARATION.load(["--forward", "a:1", *flags], {})


def test_lines_without_a_time_have_that_at_which_they_came_after_a_silence_too(way: FakeForwarder) -> None:
    clock = FakeClock(1_700_000_000)
    relay = Relay(values(), Ports(), Counters(), clock)
    relay.own(b"a 1\n")
    assert way.ticks == 0, "the last tick is just over"
    clock.advance(TICK_SECONDS * 10)
    relay.own(b"b 1\n")
    relay.own(b"c 1\n")
    assert way.ticks == 1 and way.text == way.waiting == b"a 1\nb 1\nc 1\n"
    relay.tell(b"#agent web1\n")
    relay.flush()
    assert way.told == {"": b"#agent web1\n"} and way.ticks == 2


def test_what_has_come_gets_its_tick_soon(way: FakeForwarder) -> None:
    relay = Relay(values(), Ports(), Counters(), FakeClock(1_700_000_000))
    relay.start()
    relay.own(b"a 1\n")
    end = time.monotonic() + 10
    while not way.ticks:
        assert time.monotonic() < end
        gevent.sleep(0.01)
    relay.stop()


def test_the_counters_tell_what_the_forwarder_has_counted(way: FakeForwarder) -> None:
    counters = Counters()
    Relay(values(), Ports(), counters, FakeClock(0))
    assert counters.forwarding()["forward.lines"] == 3.0


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    assert context_of(values()) is None
    with pytest.raises(SettingsError):
        context_of(values(forward_tls="yes", forward_ca=tmp_path / "nothing.pem"))


def test_a_tick_that_fails_is_told_and_the_next_one_comes(way: FakeForwarder, monkeypatch: pytest.MonkeyPatch,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def tick() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("odd")

    monkeypatch.setattr(way, "tick", tick)
    relay = Relay(values(), Ports(), Counters(), FakeClock(1_700_000_000))
    relay.start()
    end = time.monotonic() + 10
    while len(calls) < 2:
        assert time.monotonic() < end
        relay.own(b"a 1\n")
        gevent.sleep(0.01)
    relay.stop()
    assert "forwarding: a fault of our own" in caplog.text
