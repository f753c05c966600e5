"""The server's plugins are found, asked what they declare, and refused in a sentence that names them."""
from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from istat.errors import PluginError, SettingsError
from istat.metrics import Metric
from istat.settings.setting import PluginSettings, Setting, Values
from istat.wire import lines
from istat_server import main
from istat_server.hookspecs import Endpoint, Transport, hookimpl
from istat_server.plugins import Found, find_plugins, of_each


class Toy:
    """A plugin that declares what it is given."""

    def __init__(self, settings: Any = (), metrics: Any = (), name: str = "toy") -> None:
        self.settings, self.metrics, self.__name__ = settings, metrics, name

    @hookimpl
    def istat_settings(self) -> Any:
        return self.settings

    @hookimpl
    def istat_metrics(self) -> Any:
        return self.metrics


PORT = PluginSettings("toy", [Setting("port", int, 0, "Its port.", reloadable=True)])
LINES = Metric("plugins.toy.lines", "lines", "lines taken", event=True)


def found(*plugins: object) -> Found:
    return find_plugins(plugins, installed=False)


def told(*plugins: object) -> str:
    problem = found(*plugins).problem
    assert problem is not None
    return str(problem)


def test_plugins_tell_their_settings_and_metrics() -> None:
    one = found(Toy(PORT, [LINES]), Toy([], [], "other"))
    assert (one.settings, one.metrics, one.problem) == ((PORT,), (LINES,), None)


@pytest.mark.parametrize(("metric", "words"), [
    (Metric("lines", "", "x"), "the metric 'lines' is not called plugins.NAME.SOMETHING"),
    (Metric("plugins.toy", "", "x"), "is not called plugins.NAME.SOMETHING"),
    (Metric("plugins.toy.a b", "", "x"), "is not called plugins.NAME.SOMETHING"),
    (Metric("plugins.toy.a\nb 1", "", "x"), "is not called plugins.NAME.SOMETHING"),
    (Metric("plugins.toy.a", "", ""), "the metric plugins.toy.a wants a help"),
    (Metric("plugins.toy.a", "", "x\n# TYPE y"), "the metric plugins.toy.a wants a help (and a unit) on one line"),
    ("plugins.toy.a", "it gives 'plugins.toy.a', which is no Metric"),
])
def test_a_metric_that_cannot_be_is_told(metric: Any, words: str) -> None:
    assert told(Toy(metrics=[metric])).startswith("the plugin toy: istat_metrics: ")
    assert words in told(Toy(metrics=[metric]))


def test_a_name_belongs_to_one_plugin() -> None:
    other = Toy(metrics=[Metric("plugins.toy.more", "", "more")], name="other")
    assert told(other, Toy(PORT)) == "the plugin other: istat_metrics: plugins.toy belongs to the plugin toy; " \
                                     "take another name"
    assert "two metrics of plugins have the name istatd_plugins_toy_a_b" in told(
        Toy(metrics=[Metric("plugins.toy.a.b", "", "x"), Metric("plugins.toy.a-b", "", "x")]))
    assert "the table plugins.toy is declared twice" in told(Toy([PORT, PORT]))


def test_what_a_plugin_raises_is_a_sentence_and_the_others_are_asked() -> None:
    class Broken:
        @hookimpl
        def istat_settings(self) -> None:
            raise RuntimeError("no\ndevice")

        @hookimpl
        def istat_metrics(self) -> int:
            return 5

    one = found(Broken(), Toy(PORT))
    assert one.settings == (PORT,)
    first, second = str(one.problem).split("\n")
    assert "istat_settings: RuntimeError: no device (line " in first
    assert "istat_metrics: TypeError: 'int' object is not iterable" in second


def test_what_is_no_list_is_a_sentence() -> None:
    class Numbers:
        @hookimpl
        def istat_outputs(self, server: object) -> Any:
            return 5

    with pytest.raises(PluginError, match="the plugin Numbers: istat_outputs: TypeError: 'int' object is not iterable"):
        list(of_each(found(Numbers()).manager, "istat_outputs", server=None))


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder whose modules are plugins, as if they were installed: `good`, `broken`, `gone` and `strange`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = {"good": "", "broken": "import nothing_of_that_name\n", "ends": "raise SystemExit(3)\n",
             "strange": "from istat_server.hookspecs import hookimpl\n@hookimpl\ndef istat_input(server): ...\n"}
    for name, text in texts.items():
        (tmp_path / f"plugin_{name}.py").write_text(text)
    entries = [importlib.metadata.EntryPoint(name, f"plugin_{name}", "istat_server") for name in texts]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points",
                        lambda **chosen: entries if chosen == {"group": "istat_server"} else real(**chosen))
    return tmp_path


def test_each_plugin_that_cannot_be_used_is_named_in_a_sentence(entry_points: Path) -> None:
    one = find_plugins()
    assert one.manager.has_plugin("good")
    broken, ends, strange = str(one.problem).split("\n")
    assert broken.startswith("the plugin broken (plugin_broken) cannot be loaded: ModuleNotFoundError: No module named "
                             f"'nothing_of_that_name' (line 1 of {entry_points}/plugin_broken.py); install it: ")
    assert ends.startswith("the plugin ends (plugin_ends) cannot be loaded: SystemExit: 3")
    assert strange.startswith("the plugin strange (plugin_strange) does not fit: unknown hook 'istat_input'")
    assert "the hooks are istat_settings, istat_metrics, " in strange


def test_the_command_tells_of_plugins_and_settings_at_once(entry_points: Path, capsys: pytest.CaptureFixture[str],
                                                           tmp_path: Path) -> None:
    assert main.main(["--check-config"]) == 86
    assert len(capsys.readouterr().err.splitlines()) == 3
    file = tmp_path / "server.toml"
    file.write_text("[plugins.broken]\na = 1\n")
    assert main.main(["--check-config", "--config", str(file), "--stat-port", "x"]) == 78
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and all(line.startswith("istat-server: ") for line in said)
    assert said[3] == "istat-server: --stat-port wants a port from 1 to 65535, 0 for a free one, or off, not 'x'"
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert caught.value.code == 0, "what asks no plugin is answered"


def test_check_config_asks_what_the_settings_name(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        @hookimpl
        def istat_endpoints(self, settings: Values) -> list[Endpoint]:
            return [Endpoint("greedy", Transport.TCP, lines.LINES, port=settings["stat-port"])]

    monkeypatch.setattr(main, "find_plugins", lambda given: find_plugins([*given, Greedy()], installed=False))
    certificate = tmp_path / "none.pem"
    assert main.main(["--check-config", "--stat-port", "8111", "--tls-cert", str(certificate)]) == 78
    assert capsys.readouterr().err.splitlines() == [
        f"istat-server: tls-cert {certificate} cannot be read: No such file or directory; name another file",
        "istat-server: the setting stat-port and greedy of Greedy would both listen on tcp port 8111 of "
        "127.0.0.1: give one of them another"]


def test_tables_of_no_plugin_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[plugins.toi]\nport = 1\n")
    monkeypatch.setattr(main, "find_plugins", lambda builtin: found(Toy(PORT)))
    assert main.main(["--config", str(file), "--check-config"]) == SettingsError.exit_code
    assert capsys.readouterr().err == (f"istat-server: {file}: plugins.toi: there is no plugin with such settings (did "
                                       "you mean 'toy'?); there are toy\n")
    with pytest.raises(SystemExit):
        main.main(["--sample-config"])
    assert "[plugins.toy]\n\n# Its port.\n#port = 0\n" in capsys.readouterr().out
