"""A whole server with a plugin that has settings and metrics of its own, and what it may get wrong."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from istat.clock import FakeClock
from istat.metrics import Metric
from istat.settings.declaration import Values
from istat.settings.setting import PluginSettings, Setting
from istat_server.hookspecs import ServerContext, hookimpl
from istat_server.options import DECLARATION
from tests.server.assembled import Changeable, Plugin, Whole

Read = Callable[[], Mapping[str, Any]]


class Toy:
    """A plugin with two settings, two metrics, and a service that takes settings over."""

    __name__ = "toy"

    def __init__(self) -> None:
        self.contexts: list[ServerContext] = []
        self.read: Read = lambda: {"plugins.toy.lines": 3, "plugins.toy.depth": 1.5}
        self.service = Changeable("toy", [])

    @hookimpl
    def istat_settings(self) -> PluginSettings:
        return PluginSettings("toy", [Setting("port", int, 0, "Its port."),
                                      Setting("greeting", str, "hello", "What it says.", reloadable=True)])

    @hookimpl
    def istat_metrics(self) -> list[Metric]:
        return [Metric("plugins.toy.lines", "lines", "lines taken", event=True),
                Metric("plugins.toy.depth", "lines", "lines that wait")]

    @hookimpl
    def istat_outputs(self, server: ServerContext) -> list[Changeable]:
        self.contexts.append(server)
        server.metrics.source("toy", lambda: self.read())
        return [self.service]


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def whole(tmp_path: Path, clock: FakeClock, toy: Toy) -> Iterator[Whole]:
    folder, file = tmp_path / "store", tmp_path / "server.toml"
    file.write_text("[plugins.toy]\nport = 7\n")
    plugin = Plugin(folder)
    whole = Whole(folder, clock, "--config", str(file), plugins=[plugin, toy])
    whole.plugin = plugin
    whole.server.open()
    yield whole
    whole.end()


def raises() -> Mapping[str, float]:
    raise RuntimeError("it broke")


def test_a_plugin_is_given_the_settings_that_it_declared(whole: Whole, toy: Toy) -> None:
    (context,) = toy.contexts
    assert dict(context.settings.plugins["toy"]) == {"port": 7, "greeting": "hello"}


def test_metrics_of_a_plugin_are_told_as_ours_are(whole: Whole) -> None:
    text = whole.ask("/metrics").text
    assert "# TYPE istatd_plugins_toy_lines_total counter\nistatd_plugins_toy_lines_total 3\n" in text
    whole.server.feed_metrics()
    names = whole.ask("/api/v1/names", params={"match": "istatd.plugins.*"}).json["names"]
    assert sorted((one["name"], one["kind"]) for one in names) == [
        ("istatd.plugins.toy.depth", "gauge"), ("istatd.plugins.toy.lines", "event")]


@pytest.mark.parametrize("read", [raises, lambda: {"plugins.toy.depth": "deep"}, lambda: {"of.nobody": 1}, lambda: 5])
def test_a_source_that_fails_leaves_answers_and_self_metrics_as_they_are(whole: Whole, toy: Toy, read: Any,
                                                                         caplog: pytest.LogCaptureFixture) -> None:
    """On 4dc0046 `/metrics` and `/api/v1/status` answered 500, and no self-metrics came any more."""
    toy.read = read
    for _ in range(3):
        for path in ("/metrics", "/api/v1/status"):
            assert whole.ask(path).status_code == 200
        whole.server.feed_metrics()
    assert len([record for record in caplog.records if "metrics of toy" in record.message]) == 1
    metrics = whole.ask("/metrics").text
    assert 'istatd_metrics_failed_total{kind="toy"} 10\n' in metrics
    assert "\nistatd_app_uptime " in metrics and "\nistatd_counters " in metrics
    toy.read = lambda: {"plugins.toy.depth": 9}
    assert "istatd_plugins_toy_depth 9\n" in whole.ask("/metrics").text, "it is asked again"


def test_self_metrics_go_on_when_they_could_not_be_fed_once(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending:
        turns = 2

        def wait(self, seconds: float) -> bool:
            self.turns -= 1
            return self.turns < 0

    fed: list[int] = []

    def feed() -> None:
        fed.append(1)
        raise RuntimeError("the store is full")

    monkeypatch.setattr(whole.server, "feed_metrics", feed)
    monkeypatch.setattr(whole.server, "_ending", Ending())
    whole.server._tick_metrics()
    assert len(fed) == 2
    assert whole.faults.count == 2
    monkeypatch.undo()


def test_a_reload_gives_a_plugin_what_may_change_and_names_the_rest(whole: Whole, toy: Toy, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[plugins.toy]\nport = 8\ngreeting = "bye"\n')
    new = whole.declaration.load(["--store", str(whole.plugin.folder), "--config", str(file)], {})
    renewal = whole.declaration.renew(whole.settings, new)
    assert (renewal.changed, renewal.waiting) == (["plugins.toy.greeting"], ["plugins.toy.port"])
    whole.server.reload(renewal.values)
    assert toy.service.taken is not None
    assert dict(toy.service.taken.plugins["toy"]) == {"port": 7, "greeting": "bye"}


def test_a_service_that_fails_to_take_settings_over_keeps_no_other_from_it(whole: Whole, toy: Toy) -> None:
    class Broken(Changeable):
        def reload(self, settings: Values) -> None:
            raise RuntimeError("no device")

    whole.server._services.insert(0, Broken("broken", []))
    whole.server.reload(whole.settings)
    assert toy.service.taken is whole.settings
    assert whole.faults.count == 1
    del whole.server._services[0]


def test_the_servers_own_declaration_knows_no_plugin() -> None:
    assert DECLARATION.plugins is None
