"""Which way samples take to the server: what `auto` is, what does not fit it, what a reload may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.errors import SettingsError
from istat.forwarding.targets import Target, Targets
from istat.settings.setting import Values
from istat_agent import transport
from istat_agent.main import load
from istat_agent.options import DECLARATION


def said(*flags: str) -> Values:
    return transport.resolved(DECLARATION.load(flags, {}))


@pytest.mark.parametrize("server", ["127.0.0.1:8111", "127.9.0.1", "[::1]:9", "localhost", "LocalHost.", "0.0.0.0",
                                    "[::ffff:127.0.0.1]:9", "a.localhost", ":8111"])
def test_to_this_machine_it_is_udp(server: str) -> None:
    values = said("--server", server)
    assert values["transport"] == "udp" and not values["forward"]


@pytest.mark.parametrize("server", ["stats.example.net", "10.1.2.3:9", "[fe80::1]:9", "localhost.example.net"])
def test_to_another_one_it_is_forwarded_to(server: str) -> None:
    values = said("--server", server)
    ((target,),) = values["forward"]
    assert (target.host, target.port, target.original) == (values["server"].host, values["server"].port, False)
    assert transport.resolved(values) is values


def test_what_is_said_of_the_server_holds_of_its_target(tmp_path: Path) -> None:
    values = said("--server", "Stats.example.net:9", "--tls", "--tls-ca", str(tmp_path), "--token", "abc")
    assert values["forward"] == (Targets([Target("stats.example.net", 9)]),)
    assert (values["forward-tls"], values["forward-ca"], values["forward-token"]) == (True, tmp_path, "abc")
    assert said("--server", "b", "--stat-port", "8125")["stat-port"] == 8125


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_ways_that_are_named_stay(way: str) -> None:
    values = said("--server", "b", "--transport", way)
    assert values["transport"] == way and not values["forward"]


@pytest.mark.parametrize(("flags", "problem"), [
    (["--server", ""], "server is empty"),
    (["--server", "b", "--forward-token", "x"], "forward-token is set, and forward is not: of server"),
    (["--server", "b", "--forward-tls"], "forward-tls is set, and forward is not: of server it is called tls"),
    (["--server", "b", "--transport", "udp", "--tls"], "tls is for transport = tcp only"),
    (["--server", "b", "--transport", "tcp", "--token", "x"], "token is for acknowledged batches"),
    (["--token", "x"], "token is for acknowledged batches"),
    (["--server", "b", "--token", " x"], "token has signs that no samples-token can have"),
    (["--server", "b", "--transport", "tcp", "--stat-port", "1"], "stat-port takes what is to be forwarded"),
    (["--forward", "a", "--token", "x"], "token is set, and forward"),
])
def test_settings_that_do_not_fit_each_other_are_told(flags: list[str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load(flags, {})
    assert any(one.startswith(problem) for one in caught.value.problems), caught.value.problems


def test_without_a_folder_for_the_spool_it_is_tcp() -> None:
    plain = transport.without_spool(said("--server", "b"))
    assert plain is not None and plain["forward"] == () and plain["transport"] not in ("udp", "auto")
    for more in (("--spool", "/x"), ("--token", "x"), ("--stat-port", "1"), ("--stat-path", "/x")):
        assert transport.without_spool(said("--server", "b", *more)) is None, more
    assert transport.without_spool(said("--forward", "b")) is None


def test_a_reload_changes_the_server_only_where_there_is_no_spool() -> None:
    here, there, other = said(), said("--server", "b"), said("--server", "c", "--transport", "tcp")
    assert transport.held(here, other) == (other, [])
    for old, new in ((here, there), (there, here), (there, other), (there, said("--server", "c"))):
        kept, waiting = transport.held(old, new)
        assert (kept["server"], kept["transport"], kept["forward"]) == (
            old["server"], old["transport"], old["forward"]) and waiting == ["server"]
        assert transport.held(kept, new)[1] == ["server"], "told again at the next one"
    assert transport.held(there, said("--server", "b", "--token", "x"))[1] == ["token"]
    assert transport.held(there, said("--server", "b", "--tags", "a.b"))[1] == []


def test_a_reload_leaves_what_is_said_of_forward_to_the_settings() -> None:
    old, new = said("--forward", "a"), said("--forward", "b")
    kept, waiting = transport.held(old, new)
    renewal = DECLARATION.renew(old, kept)
    assert waiting == [] and renewal.waiting == ["forward"] and renewal.values["forward"] == old["forward"]
    kept, waiting = transport.held(old, said())
    assert DECLARATION.renew(old, kept).values["forward"] == old["forward"] and waiting == []


def test_an_agent_without_a_spool_stays_so_over_reloads() -> None:
    plain = transport.without_spool(said("--server", "b"))
    assert plain is not None
    assert transport.held(plain, said("--server", "b"))[1] == []
    kept, waiting = transport.held(plain, said("--server", "c"))
    assert kept["server"].host == "c" and not kept["forward"] and waiting == []


def test_all_who_read_the_settings_see_them_resolved() -> None:
    assert load(["--server", "b"])["forward"] == (Targets([Target("b", 8111)]),)
    assert load([])["transport"] == "udp"
