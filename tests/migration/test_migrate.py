"""`istat migrate`: what becomes of istatd's configuration, counters and settings, and that those stay as they were."""

from __future__ import annotations

import json
import os
import time
import tomllib
from pathlib import Path

import pytest

from istat.cli import command
from istat.clock import FakeClock
from istat.settings.declaration import HostPort
from istat.settings.types import OFF
from istat_agent.options import DECLARATION as AGENT
from istat_server.keyvalue import syntax
from istat_server.options import DECLARATION as SERVER
from istat_server.tools import brought
from tests.foreign.istatd_writer import Counter

NOW = int(time.time()) // 10 * 10
CONFIG = """# a site's
--store {old}/store
--settings settings
--stat-port 18001
--http-port 8011
--admin-port 8031
--thread-count 8
--retention 10s:1d,5m:30d
--flush 300
--daemonize
--pid-file /var/run/istatd.pid
--agent other:18001
--prometheus-port 0
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What an istatd of before left: a configuration file, a store with two counters, settings."""
    folder = tmp_path / "old"
    for name, event in (("cpu/user", False), ("hits", True)):
        counter = Counter(NOW - 600, event, levels=(("10s", 10, 8640), ("5m", 300, 8640)))
        for k in range(30):
            counter.add(NOW - 600 + 10 * k, 5.0)
        counter.write(folder / "store" / name)
    (folder / "settings").mkdir()
    (folder / "settings/cit.set").write_bytes(syntax.encode({"dashboard.mine": "a=1", "n": "2"}))
    (folder / "settings/users.set").write_bytes(syntax.encode({"user.cit": '{"password":"x"}'}))
    (folder / "istatd.cfg").write_text(CONFIG.format(old=folder))
    return folder


def migrate(old: Path, *more: str) -> int:
    """The command, with files and store beside the old folder."""
    out = old.parent
    return command.main(["migrate", "--from-istatd", str(old / "istatd.cfg"), "--output", str(out), "--store",
                         str(out / "store"), *more], clock=FakeClock(NOW), brought=brought())


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_all_of_it_and_the_old_data_stay_as_they_are(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(old)
    assert migrate(old) == 0
    said = capsys.readouterr()
    assert content(old) == before
    assert "--thread-count: one process with one event loop serves all" in said.out
    assert "Other than before: --agent: as lines" in said.out
    assert "  counters                      2" in said.out
    assert "settings 'cit': 2 keys, taken\nsettings 'users': 1 keys, taken\n" in said.out
    out = old.parent
    assert said.out.endswith(f"\nNext:\n    istat-server --config {out}/server.toml --check-config\n"
                             f"    istat-server --config {out}/server.toml\n"
                             "    export ISTAT_URL=http://127.0.0.1:8011\n"
                             "    istat status           # and when all is there, the old store may go\n")
    kept = syntax.decode((out / "store/settings/cit.set").read_bytes())
    assert kept == {"dashboard.mine": "a=1", "n": "2"}


def test_the_settings_mean_what_they_meant(old: Path) -> None:
    assert migrate(old) == 0
    path = old.parent / "server.toml"
    values = SERVER.load(["--config", str(path)], {})
    assert (values["stat-port"], values["http-port"], values["admin-port"]) == (18001, 8011, 8031)
    assert values["prometheus-port"] == OFF
    assert values["listen-address"] == values["http-listen-address"] == "*"
    assert values["retention"].text == "10s:1d,5m:30d" and values["flush"] == 300
    assert values["store"] == old.parent / "store" and values["settings"] is None
    assert values["daemonize"] is False and values["pid-file"] is None, "a service of systemd needs them not"
    text = path.read_text()
    assert "#daemonize = true" in text and '#pid-file = "/var/run/istatd.pid"' in text
    assert "#settings-open = true" in text and "#admin-token" in text
    assert "# Not taken over: --thread-count: one process with one event loop serves all" in text
    assert values["settings-open"] is False
    assert not (old.parent / "agent.toml").exists()


def test_said_again_it_does_nothing_twice(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(old) == 0
    capsys.readouterr()
    after = content(old.parent / "store/settings")
    assert migrate(old) == 0
    said = capsys.readouterr().out
    assert "server.toml is there already" in said and "there is nothing new" in said
    assert "settings 'cit': 2 keys, there already" in said
    assert content(old.parent / "store/settings") == after


def test_what_was_changed_here_meanwhile_stays(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(old) == 0
    (old.parent / "store/settings/cit.set").write_bytes(syntax.encode({"new": "1"}))
    assert migrate(old) == 0
    assert "settings 'cit': kept as it is here" in capsys.readouterr().err
    assert syntax.decode((old.parent / "store/settings/cit.set").read_bytes()) == {"new": "1"}


def test_a_dry_run_writes_nothing(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(old.parent)
    assert migrate(old, "--dry-run") == 0
    said = capsys.readouterr().out
    assert content(old.parent) == before and not (old.parent / "store").exists()
    assert 'stat-port = 18001' in said and "dry run" in said and "settings 'cit': 2 keys, taken" in said


def test_a_file_that_says_something_else_is_not_written_over(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = old.parent / "server.toml"
    place.write_text("stat-port = 1\n")
    assert migrate(old) == 1
    assert f"{place} is there and says something else" in capsys.readouterr().err
    assert place.read_text() == "stat-port = 1\n"


def test_a_sample_is_written_over_and_stays_whose_it_is(old: Path) -> None:
    place = old.parent / "server.toml"
    place.write_text(SERVER.sample())
    place.chmod(0o640)
    assert migrate(old) == 0
    assert tomllib.loads(place.read_text())["stat-port"] == 18001
    assert place.stat().st_mode & 0o777 == 0o640


def test_settings_that_cannot_be_read_are_told_and_the_others_taken(old: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    (old / "settings/big.set").write_bytes(b"# istatd settings 1\n" + b"a=" + b"x" * (1 << 20))
    assert migrate(old) == 0
    assert "settings 'big': cannot be read" in capsys.readouterr().err
    assert (old.parent / "store/settings/cit.set").exists()


def test_an_agents_file_makes_an_agents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "istatd.cfg").write_text("--agent master:18001\n--stat-port 8001\n--local-stats ^host.h1^role.db\n"
                                       "--log-level 1\n--daemonize\n")
    assert migrate(folder) == 0
    values = AGENT.load(["--config", str(tmp_path / "agent.toml")], {})
    assert [str(group) for group in values["forward"]] == ["istatd:master:18001"]
    assert (values["stat-port"], values["host"]) == (8001, "h1")
    assert values["tags"] == ("role.db",) and values["log-level"] == "warning"
    assert values.tables["plugins"]["cpu"] == {"naming": "istatd"}
    assert not (tmp_path / "server.toml").exists() and not (tmp_path / "store").exists()
    assert "--stat-port: from programs of this machine only" in capsys.readouterr().out


def test_a_server_that_looked_at_its_machine_gets_an_agent_too(old: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    (old / "istatd.cfg").write_text(CONFIG.format(old=old) + "--local-stats .h1\n")
    assert migrate(old) == 0
    said = capsys.readouterr().out
    assert "Other than before: --local-stats: istat-agent looks at the machine, as agent.toml says" in said
    assert "Not taken over: --local-stats" not in said
    path = old.parent / "agent.toml"
    assert "Not taken over" not in path.read_text(), "it is the server that is told of there"
    values = AGENT.load(["--config", str(path)], {})
    assert values["server"] == HostPort("127.0.0.1", 18001) and values["interval"] == 5


@pytest.mark.parametrize(("more", "where"), [
    ("--listen-address 10.0.0.5\n", HostPort("10.0.0.5", 18001)), ("--listen-address 0.0.0.0\n",
                                                                   HostPort("127.0.0.1", 18001)),
    ("--listen-address ::\n", HostPort("::1", 18001)), ("--stat-port 0\n", HostPort("127.0.0.1", 8111)),
])
def test_that_agent_sends_to_where_the_server_listens(more: str, where: HostPort, old: Path) -> None:
    (old / "istatd.cfg").write_text(CONFIG.format(old=old) + "--local-stats .h1\n" + more)
    assert migrate(old) == 0
    assert AGENT.load(["--config", str(old.parent / "agent.toml")], {})["server"] == where


def test_what_is_written_is_taken(old: Path) -> None:
    """Numbers beyond our bounds are moved into them; what means nothing here is refused before a file is written."""
    text = CONFIG.format(old=old)
    (old / "istatd.cfg").write_text(text + "--num-files 16\n--udp-buffer-size 1\n--rollup 40\n--max-matrics-count -1\n")
    assert migrate(old, "--output", str(old.parent / "new/folder")) == 0
    values = SERVER.load(["--config", str(old.parent / "new/folder/server.toml")], {})
    assert (values["num-files"], values["udp-buffer-size"], values["rollup"]) == (64, 8, 16)
    (old / "istatd.cfg").write_text(text + "--retention 10s:1d,25s:2d\n--http-port 99999\n")
    assert migrate(old, "--output", str(old.parent / "other")) == 78
    assert not (old.parent / "other").exists()


@pytest.mark.parametrize(("listens", "url"), [
    ("10.0.0.5", "http://10.0.0.5:8011"), ("0.0.0.0", "http://127.0.0.1:8011"), ("::1", "http://[::1]:8011"),
    ('""', "http://127.0.0.1:8011"),
])
def test_the_status_is_asked_by_the_address_that_is_listened_on(old: Path, listens: str, url: str,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    (old / "istatd.cfg").write_text(CONFIG.format(old=old) + f"--listen-address {listens}\n")
    assert migrate(old) == 0
    assert f"export ISTAT_URL={url}\n" in capsys.readouterr().out


def test_without_a_port_for_pages_nothing_is_said_to_come_by_it(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old / "istatd.cfg").write_text(CONFIG.format(old=old) + "--http-port 0\n")
    assert migrate(old) == 0
    assert "istat status" not in capsys.readouterr().out


def test_the_usual_port_needs_no_address(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old / "istatd.cfg").write_text(CONFIG.format(old=old) + "--http-port 8000\n")
    assert migrate(old) == 0
    said = capsys.readouterr().out
    assert "    istat status " in said and "ISTAT_URL" not in said


@pytest.mark.parametrize(("text", "code", "told"), [
    ("stat-port = 1\n", 78, "is no configuration file of istatd"),
    ("--stat-port 1\n", 78, "names neither a store nor where to send to"),
    ("--store x\n--stat-prt 1\n", 78, "did you mean 'stat-port'"),
])
def test_what_is_wrong_with_the_file_is_told(tmp_path: Path, text: str, code: int, told: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "istatd.cfg").write_text(text)
    assert migrate(folder) == code
    assert told in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["old"]


def test_what_is_no_text_or_too_large_is_told(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = old / "istatd.cfg"
    before = config.read_bytes()
    config.write_bytes(before + b"# caf\xe9\n--user caf\xe9\n--local-stats ^host.h1\n")
    assert migrate(old) == 78
    assert "istatd.cfg: --user is not UTF-8" in capsys.readouterr().err
    config.write_bytes(before + b"# caf\xe9\n")
    assert migrate(old, "--dry-run") == 0, "comments may be in any coding"
    config.write_bytes(before + b"#" * (1 << 20))
    assert migrate(old) == 78
    assert "has more than 1,048,576 bytes" in capsys.readouterr().err
    assert not (old.parent / "server.toml").exists()


def test_an_agent_beside_a_server_has_nothing_of_the_exporter(old: Path) -> None:
    config = old / "istatd.cfg"
    config.write_text(config.read_text() + f"--local-stats ^host.h1\n--tagnames-path {old}/tags\n"
                                           "--max-matrics-count 7\n")
    assert migrate(old) == 0
    assert tomllib.loads((old.parent / "server.toml").read_text())["max-metrics-count"] == 7
    found = tomllib.loads((old.parent / "agent.toml").read_text())
    assert "tagnames-path" not in found and "max-metrics-count" not in found


def test_what_is_missing_is_told(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old / "istatd.cfg").write_text(f"--store {old}/nothing\n--settings nowhere\n")
    assert migrate(old) == 0
    said = capsys.readouterr().err
    assert f"{old}/nothing holds no ring files" in said and f"there is no folder {old}/nowhere of settings" in said
    assert migrate(old, "--old-store", str(old / "no")) == 2


def test_as_json_it_is_one_object(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(old, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counters"][0]["totals"]["counters"] == 2
    assert [one["name"] for one in said["namespaces"]] == ["cit", "users"]
    assert said["idle"]["thread-count"] and list(said["files"]) == [str(old.parent / "server.toml")]
