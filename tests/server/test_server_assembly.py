"""The server's parts put together: in which order they begin and end, and what happens when one fails.

`istat_server.main` has signals and settings beside it.
"""
from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gevent.event import Event

from istat.clock import FakeClock
from istat.errors import PluginError, StoreError, StoreFull, StoreLocked
from istat_server import builtin, main
from istat_server.hookspecs import ServerContext, hookimpl
from istat_server.http.routes import Access, Route
from istat_server.ingest.pump import Outcome
from istat_server.sockets import Sockets
from tests.ingest.fakes import port_of, stat_port, udp_of, until
from tests.server.assembled import Part, Plugin, Whole, greet, values_of

PATIENCE = 5.0      # far longer than anything here takes [s]
MANY = 200_000      # steps that a pump comes to only when it does not stop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def whole(folder: Path, clock: FakeClock) -> Iterator[Whole]:
    whole = Whole(folder, clock)
    yield whole
    whole.end()


def send(udp: socket.socket, data: bytes, to: Sockets) -> None:
    """Send a datagram, and wait without a turn of the hub until the system has brought it, and what was sent before."""
    udp.sendto(data, ("127.0.0.1", port_of(to)))
    assert select.select(udp_of(to), [], [], PATIENCE)[0]


# --- beginning and ending -----------------------------------------------------------------------------------


def test_parts_begin_and_end_in_order(folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Whole(folder, clock)
    stop = whole.server.pump.stop

    def pump_stops() -> None:
        whole.order.append("pump stops")
        stop()

    monkeypatch.setattr(whole.server.pump, "stop", pump_stops)
    whole.server.open()
    assert whole.order == ["store", "inputs", "outputs", "routes"]
    whole.server.start()
    assert whole.order[4:] == ["in starts", "other in starts", "out starts"]
    whole.server.end_input()
    assert whole.order[7:] == ["pump stops", "in stops", "other in stops", "out stops"]
    assert whole.ask("/api/v1/names").status_code == 200, "queries are still answered"
    whole.server.close()
    assert whole.order[11:] == ["store closes"]


def test_plugins_are_given_the_servers_own_parts(whole: Whole) -> None:
    whole.server.open()
    first, *others = whole.plugin.contexts
    assert others == [first, first]
    server = whole.server
    assert (first.store, first.intake, first.pump, first.roster) == (whole.store, server.intake, server.pump,
                                                                     server.roster)
    assert (first.mistakes, first.metrics, first.settings, first.clock) == (server.mistakes, server.metrics,
                                                                            whole.settings, whole.clock)


def test_what_an_input_takes_as_it_ends_is_kept(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock)
    whole.plugin.inputs[1].at_stop = lambda: whole.feed(b"late 1325394990 3\n")
    whole.server.open()
    whole.server.start()
    whole.feed(b"early 1325394990 1\n")
    whole.end()
    assert values_of(folder, clock, b"early") == [(1325394990, 1, 1.0)]
    assert values_of(folder, clock, b"late") == [(1325394990, 1, 3.0)]


def test_the_pump_works_from_the_start_to_the_end(whole: Whole) -> None:
    class Readable:
        """There is more and more of it, but not without an end."""

        def __init__(self) -> None:
            self.steps = 0
            self.worked = Event()

        def work(self) -> Outcome:
            self.steps += 1
            self.worked.set()
            return Outcome.MORE if self.steps < MANY else Outcome.CLOSED

    readable: Any = Readable()
    whole.server.open()
    whole.server.pump.ready(readable)
    assert not readable.worked.wait(0), "not yet"
    whole.server.start()
    assert readable.worked.wait(PATIENCE)
    whole.server.end_input()
    steps = readable.steps
    Event().wait(0)
    assert readable.steps == steps < MANY


def test_the_built_in_parts_take_what_has_arrived_and_close_their_sockets(folder: Path, clock: FakeClock) -> None:
    sockets = stat_port()
    whole = Whole(folder, clock, plugins=[builtin], sockets=sockets)
    server = whole.server
    server.open()
    server.start()
    with socket.create_connection(("127.0.0.1", port_of(sockets))) as tcp, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        until(lambda: server.metrics.values()["statserver.connected"] == 1)
        assert whole.ask("/api/v1/status").json["system"]["senders_online"] == 1
        tcp.sendall(b"by.tcp 1325394990 1\nno end")
        send(udp, b"by.udp 1325394990 2\n", sockets)
        server.end_input()
        assert tcp.recv(10) == b"", "it is closed"
    assert [sock.fileno() for sock in sockets.all()] == [-1, -1]
    ingest = whole.ask("/api/v1/status").json["ingest"]
    assert (ingest["samples"], ingest["udp.datagrams"], ingest["udp.bytes"], ingest["connects"]) == (2, 1, 20, 1)
    assert whole.ask("/api/v1/status").json["refused"]["incomplete"] == 1
    server.close()
    assert values_of(folder, clock, b"by.tcp") == [(1325394990, 1, 1.0)]
    assert values_of(folder, clock, b"by.udp") == [(1325394990, 1, 2.0)]


# --- parts that fail ----------------------------------------------------------------------------------------


def test_a_plugin_that_wants_one_of_our_routes_ends_the_start(folder: Path, clock: FakeClock) -> None:
    """On 4dc0046 it replaced ours without a word, and /api/v1/delete then answered without a token."""
    class Thief:
        @hookimpl
        def istat_routes(self, server: ServerContext) -> list[Route]:
            return [Route("/api/v1/delete", {"POST": greet}, Access.OPEN, "all is well")]

    whole = Whole(folder, clock)
    whole = Whole(folder, clock, plugins=[whole.plugin, Thief()])
    with pytest.raises(PluginError, match="the plugins .*Thief and istat_server.builtin both bring .*/api/v1/delete"):
        whole.server.open()
    assert whole.ask("/api/v1/delete", "POST").status_code == 503, "it is no server"
    whole.server.close()


def test_a_store_that_nobody_opens(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock, plugins=[])
    with pytest.raises(StoreError, match="no plugin opens the store that the settings name"):
        whole.server.open()
    assert whole.ask("/health").status_code == 503
    whole.server.close()


def test_a_store_that_the_system_refuses_is_one_sentence(whole: Whole, folder: Path) -> None:
    whole.plugin.failing["store"] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StoreFull) as caught:
        whole.server.open()
    assert str(caught.value) == (f"the store {folder} cannot be opened: No space left on device; make room on its "
                                 f"disk (df {folder}), or name another folder with --store")
    assert whole.order == ["store"], "nothing is made that needs a store"
    assert whole.ask("/health").status_code == 503


def test_a_store_that_a_plugin_fails_to_open_is_one_sentence(whole: Whole) -> None:
    whole.plugin.failing["store"] = ValueError("no such table")
    with pytest.raises(PluginError, match="the plugin [A-Z]\\w+: istat_open_store: ValueError: no such table \\(line "):
        whole.server.open()


@pytest.mark.parametrize("given", ["a store", object()])
def test_what_is_no_store_is_a_sentence(folder: Path, clock: FakeClock, given: object) -> None:
    class Strange:
        @hookimpl
        def istat_open_store(self) -> object:
            return given

    whole = Whole(folder, clock, plugins=[Strange()])
    with pytest.raises(PluginError, match="the plugin Strange: istat_open_store gives .* which is no store: it lacks "
                                          "capabilities, ladder, .*interface.py"):
        main.open_and_start(whole.server)


@pytest.mark.parametrize("given", [5, type("Endless", (), {"name": "endless", "start": lambda self: None})()])
def test_what_is_no_service_is_a_sentence(folder: Path, clock: FakeClock, given: Any) -> None:
    whole = Whole(folder, clock)
    whole.plugin.outputs = [given]
    with pytest.raises(PluginError, match="the plugin Plugin: istat_outputs gives .*, which is no service: it wants "
                                          "name, start, stop"):
        main.open_and_start(whole.server)
    assert values_of(folder, clock, b"a") == [], "the store is free"


def test_a_part_that_wants_to_end_the_process_ends_nothing_else(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock)
    main.open_and_start(whole.server)
    whole.plugin.inputs[0].at_stop = lambda: sys.exit(3)
    whole.feed(b"a 1\n")
    whole.end()
    assert whole.faults.count == 1 and len(values_of(folder, clock, b"a")) == 1


@pytest.mark.parametrize("failing", ["open", "start"])
def test_a_server_that_cannot_start_has_let_go_of_its_store(folder: Path, clock: FakeClock, failing: str) -> None:
    whole = Whole(folder, clock)

    def fails() -> None:
        raise RuntimeError("no device")

    if failing == "open":
        whole.plugin.failing["routes"] = RuntimeError("no device")
    else:
        whole.plugin.outputs[0].at_start = fails
    with pytest.raises(PluginError, match="no device"):
        main.open_and_start(whole.server)
    assert values_of(folder, clock, b"a") == [], "the store is free"


def test_a_second_server_of_the_same_store_is_refused_and_the_first_goes_on(whole: Whole, folder: Path,
                                                                           clock: FakeClock) -> None:
    whole.server.open()
    second = Whole(folder, clock)
    with pytest.raises(StoreLocked, match="is in use by another istat-server"):
        second.server.open()
    second.server.close()
    whole.feed(b"a 1\n")
    assert whole.ask("/api/v1/names").json["names"] == [{"name": "a", "kind": "gauge"}]


@pytest.mark.parametrize("hook", ["inputs", "outputs", "routes"])
def test_a_plugin_that_fails_while_opening_leaves_the_store_to_be_closed(folder: Path, clock: FakeClock,
                                                                         hook: str) -> None:
    whole = Whole(folder, clock)
    whole.plugin.failing[hook] = RuntimeError("no device")
    with pytest.raises(PluginError, match=f"the plugin Plugin: istat_{hook}: RuntimeError: no device \\(line "):
        whole.server.open()
    assert not [event for event in whole.order if "starts" in event]
    assert whole.ask("/api/v1/names").status_code == 503, "it is no server yet"
    whole.server.close()
    assert values_of(folder, clock, b"a") == [], "the store is free"


def test_a_part_that_fails_to_start_leaves_nothing_running_once_the_input_was_ended(folder: Path,
                                                                                    clock: FakeClock) -> None:
    sockets = stat_port()
    plugin = Plugin(folder)

    def fails() -> None:
        raise RuntimeError("no device")

    plugin.outputs[0].at_start = fails

    class Outputs:
        @hookimpl
        def istat_outputs(self, server: ServerContext) -> list[Part]:
            return plugin.outputs

    whole = Whole(folder, clock, plugins=[builtin, Outputs()], sockets=sockets)
    whole.server.open()
    with pytest.raises(PluginError, match="out cannot start: RuntimeError: no device \\(line "):
        whole.server.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        send(udp, b"a 1325394990 2\n", sockets)
    whole.end()
    assert plugin.order == ["out starts", "out stops"]
    assert [sock.fileno() for sock in sockets.all()] == [-1, -1]
    assert values_of(folder, clock, b"a") == [(1325394990, 1, 2.0)], "what had arrived is in a store that is free"


def test_a_part_that_fails_to_end_keeps_no_other_from_ending(whole: Whole, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError("it is stuck")

    whole.plugin.inputs[0].at_stop = fails
    whole.server.open()
    whole.server.start()
    whole.end()
    assert whole.order[-4:] == ["in stops", "other in stops", "out stops", "store closes"]
    assert whole.faults.count == 1
    assert "unexpected error in the end of in;" in caplog.text
    assert "it is stuck" in caplog.text
