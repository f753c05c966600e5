"""The agent's own lines on their way into the spool, what it tells of forwarding, and what its settings may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.errors import SettingsError, SpoolError
from istat.plugin import Config, Emit
from istat.settings.types import OFF
from istat_agent.counters import Counters, self_collector
from istat_agent.forwarding.folder import prepare_folder
from istat_agent.forwarding.own import OwnLines
from istat_agent.options import DECLARATION
from tests.agent.forwarding.fakes import FakeForwarder


class FakeRelay:
    def __init__(self) -> None:
        self.text, self.told, self.flushes = b"", [], 0     # type: bytes, list[bytes], int

    def own(self, text: bytes) -> None:
        self.text += text

    def tell(self, text: bytes) -> None:
        self.told.append(text)

    def flush(self) -> None:
        self.flushes += 1


def test_own_lines_go_into_the_spool_and_are_counted() -> None:
    relay, counters, news = FakeRelay(), Counters(), [b"#failing 0\n"]
    own = OwnLines(relay, b"#agent web1\n", counters, lambda: news)
    own.forever()
    own.offer([b"a 1 2\n", b"b 1 3\n"])
    own.offer([])
    news[0] = b"#failing 1\n"
    own.tell()
    own.flush()
    own.close()
    assert relay.text == b"a 1 2\nb 1 3\n" and counters.samples == 2 and relay.flushes == 1
    assert relay.told == [b"#agent web1\n#failing 0\n", b"#agent web1\n#failing 1\n"]


def test_what_collectors_declare_is_told_at_the_start_and_when_it_changes() -> None:
    relay, metrics = FakeRelay(), [b"#metric a {}\n", b"#metric b {}\n"]
    own = OwnLines(relay, b"#agent web1\n", Counters(), list, lambda: metrics)
    own.forever()
    own.declare()
    assert relay.told == [b"#agent web1\n", *2 * [b"#metric a {}\n#metric b {}\n"]]


def test_another_introduction_is_told_once() -> None:
    relay = FakeRelay()
    own = OwnLines(relay, b"#agent web1\n", Counters(), list)
    for _ in range(2):
        own.renew(b"#agent web2\n")
    assert relay.told == [b"#agent web2\n"]


def test_the_agent_tells_what_was_forwarded() -> None:
    counters = Counters()
    definition = self_collector(counters)
    names = {metric.name: metric for metric in definition.metrics}
    assert names["agent.forward.lines"].event and not names["agent.forward.waiting"].event

    (job,) = definition.start(Config(definition.configure({}), "h", 10, ()))
    first = Emit()
    job.collect(first)
    assert not [name for name in (*first.events(), *first.gauges()) if "forward" in name], "nothing is forwarded"
    way = FakeForwarder()
    counters.forwarding = way.totals
    second, third = Emit(), Emit()
    job.collect(second)
    job.collect(third)
    assert second.events()["agent.forward.lines"] == 3 and third.events()["agent.forward.lines"] == 0
    assert second.events()["agent.forward.lost.age"] == 1
    assert third.gauges()["agent.forward.waiting"] == 2


@pytest.mark.parametrize(("flags", "problem"), [
    (["--forward", "a:1", "--server", "b:1"], "server is set, and forward, which takes the place of server"),
    (["--forward", "a:1", "--transport", "tcp"], "transport is set, and forward"),
    (["--stat-port", "8125"], "stat-port takes what is to be forwarded, and nothing is"),
    (["--stat-path", "/run/x"], "stat-path takes what is to be forwarded, and nothing is"),
    (["--forward", "a:1,a:1"], "forward has a:1 in more than one entry"),
])
def test_settings_that_do_not_fit_each_other_are_told(flags: list[str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load(flags, {})
    assert problem in caught.value.problems[0]


def test_forwarding_is_off_unless_it_is_asked_for() -> None:
    values = DECLARATION.load([], {})
    assert (values["forward"], values["stat-port"], values["stat-path"]) == ((), OFF, None)


def test_the_spools_folder_is_made_and_what_is_in_its_way_is_told(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a/spool", "")
    prepare_folder(tmp_path / "a/spool", "")
    assert (tmp_path / "a/spool").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="name another with --spool"):
        prepare_folder(tmp_path / "file/spool", "")
