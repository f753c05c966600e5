"""Endpoints: who offers which, what cannot be meant, and that no two are one."""
from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from istat.daemon.handover import Handover
from istat.errors import PluginError, SettingsError
from istat.settings.declaration import Values
from istat.wire.lines import LINES
from istat_server import builtin, main
from istat_server.hookspecs import Endpoint, Transport, hookimpl
from istat_server.ingest import endpoints
from istat_server.options import DECLARATION
from istat_server.plugins import plugin_manager
from istat_server.sockets import CannotListen, Sockets, open_endpoints, placed
from tests.ports import own_port

NUMBERS = itertools.count(1)


class Offering:
    """A plugin with endpoints."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.__name__ = f"offering{next(NUMBERS)}"

    @hookimpl
    def istat_endpoints(self, settings: Values) -> Any:
        if isinstance(self.given[0], Exception):
            raise self.given[0]
        return self.given


def opened(*plugins: object, **settings: object) -> Sockets:
    """The sockets of a server with these plugins and ours."""
    values = {"stat_port": 0, "http_port": 0, **settings}
    found = DECLARATION.load([f"--{name.replace('_', '-')}={value}" for name, value in values.items()], {})
    offers = main.offered(plugin_manager([builtin, *plugins], installed=False), found)
    return open_endpoints(offers, found["udp-buffer-size"], Handover())


@pytest.fixture
def free() -> int:
    return own_port()


def test_all_are_bound_and_told_ours_first(tmp_path: Path) -> None:
    path = str(tmp_path / "toy.sock")
    sockets = opened(Offering(Endpoint("toy", Transport.TCP, LINES), Endpoint("toy", Transport.UDP, LINES),
                              Endpoint("toy", Transport.UNIX, LINES, path=path)))
    stat, toy, local = sockets.told()
    bound = {one.endpoint.transport: one for one in sockets.bound if one.endpoint.name == "toy"}
    assert (stat.partition("=")[0], toy, local) == ("stat-port", f"toy-port={bound[Transport.TCP].endpoint.port}",
                                                    f"toy-path={path}")
    assert bound[Transport.TCP].endpoint.port == bound[Transport.UDP].endpoint.port > 0, "a name has one free port"
    assert [one.lasting for one in sockets.bound] == [False, False, False, False, True]
    sockets.close()


@pytest.mark.parametrize(("address", "settings"), [
    ("127.0.0.1", {}), ("*", {}), ("", {"listen-address": "*"}), ("127.0.0.1", {"listen-address": "127.0.0.1"}),
])
def test_two_of_one_address_are_refused_by_their_names(free: int, address: str, settings: dict[str, str]) -> None:
    toy = Offering(Endpoint("toy", Transport.TCP, LINES, address, free))
    with pytest.raises(SettingsError, match=rf"the setting stat-port and toy of \S+ .* on tcp port {free} of "):
        opened(toy, stat_port=free, **settings)
    with pytest.raises(SettingsError, match=rf"toy of \S+ and the setting http-port would both .* tcp port {free}"):
        opened(toy, http_port=free)


def test_one_port_of_two_transports_or_addresses_is_no_clash(free: int) -> None:
    sockets = opened(Offering(Endpoint("toy", Transport.UDP, LINES, "127.0.0.1", free),
                              Endpoint("toy", Transport.TCP, LINES, "127.0.0.2", free)), http_port=free)
    assert sockets.told()[1:] == [f"toy-port={free}"]
    sockets.close()


def test_one_path_or_one_name_of_two_plugins_is_refused() -> None:
    one = Offering(Endpoint("a", Transport.UNIX, LINES, path="/run/x"))
    with pytest.raises(SettingsError, match="a of .* and b of .* would both listen on /run/x"):
        opened(one, Offering(Endpoint("b", Transport.UNIX_DATAGRAM, LINES, path="/run/x")))
    with pytest.raises(PluginError, match=r"istat_server.builtin and \S+ both call an endpoint stat"):
        opened(Offering(Endpoint("stat", Transport.TCP, LINES)))


def test_a_plugin_that_cannot_say_is_named() -> None:
    with pytest.raises(PluginError, match=r"the plugin \S+ cannot say where it listens: KeyError: 'toy'"):
        opened(Offering(KeyError("toy")))
    with pytest.raises(PluginError, match="gives 2100 for an endpoint"):
        opened(Offering(2100))


@pytest.mark.parametrize(("given", "words"), [
    (lambda: 5, "TypeError: 'int' object is not iterable"),
    (lambda: Endpoint("toy", Transport.TCP, LINES), "TypeError: 'Endpoint' object is not iterable"),
    (lambda: sys.exit(3), "SystemExit: 3"),
    (lambda: (1 / 0 for _ in "x"), "ZeroDivisionError"),
    (lambda: [Endpoint("toy", Transport.TCP, None)], "ValueError: None is no protocol"),     # type: ignore[arg-type]
    (lambda: [Endpoint("toy", Transport.TCP, LINES, 5)], "an endpoint's address is of the type str, not 5"),  # type: ignore[arg-type]
])
def test_what_is_no_list_of_endpoints_is_a_sentence(given: Callable[[], Any], words: str) -> None:
    class Strange:
        @hookimpl
        def istat_endpoints(self, settings: Values) -> Any:
            return given()

    with pytest.raises(PluginError, match="cannot say where it listens: ") as caught:
        opened(Strange())
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_no_host_can_have_is_told(name: str) -> None:
    with pytest.raises(CannotListen, match="^listen-address '.*' is not an address: no host can have that name"):
        opened(listen_address=name)


@pytest.mark.parametrize("wrong", [
    {"name": "Toy 1"}, {"port": 65536}, {"path": "/run/x"}, {"transport": Transport.UNIX, "path": "x"},
    {"transport": Transport.UNIX, "path": "/" + "x" * 107}, {"transport": Transport.UNIX_DATAGRAM},
])
def test_what_cannot_be_meant_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name is|has a port|absolute"):
        Endpoint(**{"name": "toy", "transport": Transport.TCP, "protocol": LINES, **wrong})


def test_udp_may_be_kept_at_home(caplog: pytest.LogCaptureFixture) -> None:
    offers = [endpoints.Offer(Endpoint("toy", transport, LINES, "*", 1), "me")
              for transport in (Transport.UDP, Transport.TCP)]
    udp, tcp = placed(offers, udp_at_home="samples-tls")
    assert {host for _, host in udp.addresses} <= {"127.0.0.1", "::1"}
    assert tcp.addresses[0][1] == "0.0.0.0"
    assert "toy takes UDP on this machine only" in caplog.text
