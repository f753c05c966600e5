"""istatd's configuration files and flags: what they are as our settings, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import SettingsError
from istat.settings import dialect, istatd
from istat.settings.declaration import Declaration, Values
from istat.settings.dialect import Dialect
from istat.settings.types import OFF
from istat_agent.options import DECLARATION as AGENT
from istat_server.options import DECLARATION as SERVER

# All options that istatd had, with a value that asks for something.
OPTIONS = {
    "admin-port": "8031", "agent": "master:18001", "agent-interval": "10", "agentCount": "2",
    "allocation-strategy": "2", "blacklist-path": "black", "blacklist-period": "60", "config": "x", "daemonize": None,
    "debug": "http", "disallow-compressed-responses": None, "dont-recursively-create-counters": None,
    "dont-translate-metric-names": None, "fake-time": "1325395000", "files-dir": "files", "flush": "300",
    "http-port": "8011", "listen-address": "127.0.0.1", "listen-overflow-backlog": "4096", "local-stats": "^host.h1",
    "log-file": "x.log", "log-level": "2", "max-matrics-count": "1000", "metrics-cleanup-period": "30",
    "min-space": "1000", "num-files": "945000", "pid-file": "x.pid", "prometheus-port": "18120",
    "prune-empty-directories-interval": "120", "replica-of": "other:1", "replica-port": "8040", "retention": "10s:10d",
    "rollup": "2", "settings": "settings", "stat-port": "18001", "store": "store", "tagnames-path": "tags",
    "test": None, "thread-count": "8", "udp-buffer-size": "1024", "user": "istatd",
}
# The file of the server that istatd's package had.
PACKAGED = """# the server
--store /var/db/istatd/store
--stat-port 18001
--http-port 8011
--thread-count 8
--num-files 945000
--flush 300
--retention 10s:10d,5m:1y9d,1h:6y12d
--log-level 2
"""


def read(declaration: Declaration, folder: Path, text: str, *flags: str) -> Values:
    """The settings of a program with this file, on this command line."""
    path = folder / "istatd.cfg"
    path.write_text(text)
    return declaration.load(["--config", str(path), *flags], {})


def refused(declaration: Declaration, folder: Path, text: str, *flags: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(declaration, folder, text, *flags)
    return [problem.replace(str(folder), "F") for problem in caught.value.problems]


def test_a_file_of_istatds_is_read_as_our_settings(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, PACKAGED)
    assert (values["stat-port"], values["http-port"], values["num-files"]) == (18001, 8011, 945_000)
    assert values["flush"] == 300.0 and values["log-level"] == "info"
    assert str(values["store"]) == "/var/db/istatd/store"
    assert values["retention"].text == "10s:10d,5m:1y9d,1h:6y12d"
    assert values.source("flush") == "file"


def test_what_does_nothing_any_more_is_named_in_one_warning(tmp_path: Path) -> None:
    text = '--store s\n--thread-count 8\n--agentCount 2\n--replica-port 0\n--blacklist-path ""\n'
    assert [told.replace(str(tmp_path), "F") for told in read(SERVER, tmp_path, text).warnings] == [
        "F/istatd.cfg: not all is here as it was in istatd. --thread-count: one process with one event loop serves "
        "all; --agentCount: one connection carries it all"]
    assert read(SERVER, tmp_path, "--store s\n").warnings == ()


@pytest.mark.parametrize(("text", "is_istatds"), [
    (PACKAGED, True), ("\n  # x\n\t--daemonize\n", True), ("", False), ("# --store x\n", False),
    ('store = "x"\n', False), ('# one\nlog-file = """\n--store x"""\n', False), ("[plugins.toy]\n", False),
    ("store x\n", False),
])
def test_it_is_told_from_toml_by_what_is_in_it(text: str, is_istatds: bool) -> None:
    assert dialect.is_istatds(text) is is_istatds


def test_the_command_line_beats_the_file_and_the_last_one_its_like(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--stat-port 1\n--stat-port 2\n--daemonize\n", "--store", "t",
                  "--no-daemonize", "--http-port=0", "--")
    assert (values["stat-port"], str(values["store"]), values["daemonize"]) == (2, "t", False)
    assert values["http-port"] == OFF


def test_words_that_are_left_over_are_told_each(tmp_path: Path) -> None:
    assert refused(SERVER, tmp_path, "--store s\n", "one", "--http-port", "1", "--", "two", "--stat-port") == [
        "'one' is no flag: write --NAME VALUE", "'two' stands behind --, where nothing is read: leave it out",
        "'--stat-port' stands behind --, where nothing is read: leave it out"]


@pytest.mark.parametrize(("name", "text", "value"), [
    ("flush", "0", 1.0), ("flush", "-1", 1.0), ("flush", "100000", 3600.0), ("rollup", "99", 16), ("rollup", "-1", 0),
    ("udp-buffer-size", "0", 8), ("max-matrics-count", "-1", 100_000), ("max-matrics-count", "0", 100_000),
    ("max-metrics-count", "7", 7), ("metrics-cleanup-period", "0", 1.0)])
def test_numbers_are_moved_into_our_bounds(tmp_path: Path, name: str, text: str, value: float) -> None:
    ours = name.replace("matrics", "metrics")
    assert read(SERVER, tmp_path, f"--store s\n--{name} {text}\n")[ours] == value


@pytest.mark.parametrize("text", ["--5", "1e3", "5s", "9" * 5000, "\u0665"])
def test_what_is_no_number_is_told_in_our_words(tmp_path: Path, text: str) -> None:
    assert refused(SERVER, tmp_path, f"--store s\n--flush {text}\n") == [
        f"F/istatd.cfg: line 2: --flush wants a whole number, not {text!r}"]


def test_settings_lie_beside_the_store_or_in_it(tmp_path: Path) -> None:
    assert read(SERVER, tmp_path, f"--store {tmp_path}/db/store\n")["settings"] is None
    other = read(SERVER, tmp_path, "--store /old/store\n--settings kept\n", "--store", f"{tmp_path}/db/store")
    assert other["settings"] == tmp_path / "db/kept", "the command line says where the store is"
    for given_, place in (("kept", tmp_path / "db/kept"), ("/var/kept", Path("/var/kept"))):
        assert read(SERVER, tmp_path, f"--store {tmp_path}/db/store\n--settings {given_}\n")["settings"] == place


def test_blanks_quotes_comments_and_empty_values(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, '  --store   "/with a/blank"  \r\n\n#--stat-port 1\n--stat-port\t7\n--user ""\n')
    assert (str(values["store"]), values["stat-port"], values["user"]) == ("/with a/blank", 7, "")


def test_a_flag_with_a_value_is_on_as_it_was_and_that_is_told(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--daemonize false\n")
    assert values["daemonize"] is True
    assert "--daemonize: is on, as in istatd, though 'false' is its value" in values.warnings[0]


def test_a_rollup_that_did_nothing_and_now_does_is_told(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--rollup 1\n")
    assert values["rollup"] == 1
    assert "--rollup: samples do feed so many ancestors now" in values.warnings[0]
    assert read(SERVER, tmp_path, '--store s\n--rollup 0\n--debug ""\n').warnings == ()


def test_wrong_lines_are_told_with_their_numbers(tmp_path: Path) -> None:
    text = "--store s\nstat-port 1\n--stat-prt 1\n--http-port\n--flush often\n--stat-port x\n"
    told = refused(SERVER, tmp_path, text)
    assert told[:4] == [
        "F/istatd.cfg: line 2: 'stat-port 1' is no flag with its value: write --NAME VALUE, or # before it",
        "F/istatd.cfg: line 3: --stat-prt is no flag of istatd and no setting (did you mean 'stat-port'?)",
        'F/istatd.cfg: line 4: --http-port wants a value; "" is an empty one',
        "F/istatd.cfg: line 5: --flush wants a whole number, not 'often'"]
    assert told[4].startswith("F/istatd.cfg: stat-port wants ")


def test_a_flag_that_nobody_has_is_refused_on_the_command_line(tmp_path: Path) -> None:
    assert refused(SERVER, tmp_path, "--store s\n", "--stat-prt", "1")[0] == (
        "--stat-prt is no setting of istat-server (did you mean 'stat-port'?)")


def test_a_file_must_name_a_store_or_where_to_send(tmp_path: Path) -> None:
    told = refused(SERVER, tmp_path, "--agent master:18001\n")
    assert told == ["F/istatd.cfg: it names no store: that of an agent is for istat-agent --config, which sends to a "
                    "server; for a server add --store FOLDER"]
    assert read(SERVER, tmp_path, "--stat-port 1\n", "--store", "s")["stat-port"] == 1
    assert refused(AGENT, tmp_path, "--store s\n") == [
        "F/istatd.cfg: it does not say where to send to: add --agent HOST:PORT"]


def test_whoever_reaches_the_machine_may_connect_as_before_unless_an_address_is_named(tmp_path: Path) -> None:
    for text, listen in (("", "*"), ('--listen-address ""\n', "*"), ("--listen-address 10.0.0.5\n", "10.0.0.5")):
        values = read(SERVER, tmp_path, "--store s\n" + text)
        assert {values[name] for name in istatd.LISTENERS if name != istatd.ADMIN} == {listen}
        assert values[istatd.ADMIN] == ("" if listen == "*" else listen), "this machine only, unless one is named"
    values = read(SERVER, tmp_path, "--store s\n", "--listen-address", "127.0.0.1")
    assert (values["listen-address"], values["http-listen-address"]) == ("127.0.0.1", "127.0.0.1")


def test_a_port_of_0_is_off_as_it_was(tmp_path: Path) -> None:
    names = ("stat-port", "http-port", "admin-port", "prometheus-port")
    text = "--store s\n" + "".join(f"--{name} 0\n" for name in names[:2])
    values = read(SERVER, tmp_path, text, "--admin-port", "0", "--prometheus-port", "0")
    assert [values[name] for name in names] == [OFF] * 4
    assert SERVER.load(["--http-port", "0"], {})["http-port"] == 0, "a free one, where no file of istatd's is named"


@pytest.mark.parametrize(("level", "ours"), [("0", "error"), ("1", "warning"), ("2", "info"), ("3", "debug"),
                                             ("4", "debug"), ("warning", "warning")])
def test_log_levels_are_numbers_or_words(tmp_path: Path, level: str, ours: str) -> None:
    assert read(SERVER, tmp_path, f"--store s\n--log-level {level}\n")["log-level"] == ours
    assert SERVER.load(["--log-level", level], {})["log-level"] == ours


def test_istatds_flags_are_taken_without_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("istatd.cfg").write_text("--http-port 7\n")       # nobody names it
    values = SERVER.load(["--stat-port", "18001", "--thread-count", "8", "--debug", "http,audit", "--store", "s"], {})
    assert (values["stat-port"], values["http-port"], values["log-level"]) == (18001, 8000, "debug")
    assert values.warnings[0].startswith("the command line: not all is here as it was in istatd. --thread-count: ")
    assert values["listen-address"] == "", "this machine only, as without such a file"


def test_what_went_into_the_background_logs_where_istatd_did(tmp_path: Path) -> None:
    assert str(read(SERVER, tmp_path, "--store s\n--daemonize\n")["log-file"]) == "istat.log"
    assert read(SERVER, tmp_path, "--store s\n")["log-file"] is None
    assert str(read(SERVER, tmp_path, "--store s\n--daemonize\n", "--log-file", "x")["log-file"]) == "x"
    for declaration, text in ((SERVER, "--store s\n"), (AGENT, "--agent m:1\n")):     # as an init script says it
        assert str(read(declaration, tmp_path, text, "--daemonize")["log-file"]) == "istat.log"
        assert read(declaration, tmp_path, text + "--daemonize\n", "--no-daemonize")["log-file"] is None
    assert "daemonize wants" in refused(SERVER, tmp_path, "--store s\n", "--daemonize=maybe")[0]


def test_web_files_lie_beside_the_store_where_there_are_any(tmp_path: Path) -> None:
    store = tmp_path / "db/store"
    assert read(SERVER, tmp_path, f"--store {store}\n--files-dir files\n")["files-dir"] is None
    (tmp_path / "db/files").mkdir(parents=True)
    assert read(SERVER, tmp_path, f"--store {store}\n--files-dir files\n")["files-dir"] == tmp_path / "db/files"


def test_an_agents_file(tmp_path: Path) -> None:
    values = read(AGENT, tmp_path, "--agent master:18001\n--stat-port 8001\n--local-stats ^host.h1^role.db\n"
                                   "--log-level 1\n--http-port 0\n--admin-port 0\n")
    assert [str(group) for group in values["forward"]] == ["istatd:master:18001"] and values["stat-port"] == 8001
    assert (values["host"], values["tags"], values["interval"]) == ("h1", ("role.db",), 5)
    assert values["log-level"] == "warning"
    assert values.tables["plugins"]["cpu"] == {"naming": "istatd"}, "the names that dashboards have"
    flagged = AGENT.load(["--agent", "m:1", "--local-stats", ".h1"], {})
    assert set(flagged.tables["plugins"]) == {"cpu", "disk", "load", "memory", "network", "processes"}
    (tmp_path / "own.toml").write_text('[plugins.cpu]\nextra = true\n[plugins.load]\nnaming = "ours"\n')
    beside = AGENT.load(["--config", str(tmp_path / "own.toml"), "--agent", "m:1", "--local-stats", ".h1"], {})
    assert beside.tables["plugins"]["cpu"] == {"naming": "istatd", "extra": True}
    assert beside.tables["plugins"]["load"] == {"naming": "ours"}, "the file says so"
    assert beside.tables["plugins"]["disk"] == {"naming": "istatd"}
    assert "plugins" not in read(AGENT, tmp_path, "--agent m:1\n--interval 10\n").tables
    assert "--stat-port: from programs of this machine only" in values.warnings[0]
    assert "--agent: as lines, which any istatd takes and none acknowledges" in values.warnings[0]
    assert "http-port" not in values.warnings[0]


def test_an_agent_takes_lines_where_istatds_did(tmp_path: Path) -> None:
    assert read(AGENT, tmp_path, "--agent m:1\n")["stat-port"] == 8111
    assert read(AGENT, tmp_path, "--agent m:1\n--stat-port 0\n")["stat-port"] == OFF
    assert read(AGENT, tmp_path, "--stat-port 0\n", "--server", "m:1")["forward"] == ()
    assert read(AGENT, tmp_path, "--log-level 1\n", "--server", "m:1")["stat-port"] == OFF
    told = refused(AGENT, tmp_path, "--agent m:1\n", "--server", "n:1")
    assert told == ["server is set, and forward, which takes the place of server: leave one of them out"]


def test_a_server_that_was_an_agent_too_forwards(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--agent master:18001\n--agent-interval 10\n")
    assert [str(group) for group in values["forward"]] == ["istatd:master:18001"]
    assert "take istatd: out of the setting forward" in values.warnings[0]


def test_the_blacklist_is_ours(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--blacklist-path /etc/black\n--blacklist-period 100000\n")
    assert (values["blacklist-path"], values["blacklist-period"]) == (Path("/etc/black"), 65535)


def test_istatds_replica_is_none_and_the_address_of_a_master_is_one(tmp_path: Path) -> None:
    assert "istatd's never replicated" in read(SERVER, tmp_path, "--store s\n--replica-of other:1\n").warnings[0]
    assert istatd.SERVER.meanings["replica-of"].gives is not None
    assert istatd.SERVER.meanings["replica-of"].gives("http://m:8000") == {"replica-of": "http://m:8000"}


def test_secrets_in_a_file_that_all_may_read_are_told(tmp_path: Path) -> None:
    values = read(SERVER, tmp_path, "--store s\n--admin-token abc\n")
    assert values["admin-token"] == "abc"
    assert "in which stands admin-token" in values.warnings[-1] and "abc" not in values.warnings[-1]


@pytest.mark.parametrize("program", [istatd.SERVER, istatd.AGENT], ids=["server", "agent"])
def test_every_option_of_istatd_has_a_meaning_or_a_reason(program: Dialect) -> None:
    assert set(OPTIONS) <= set(program.meanings)
    for name, text in OPTIONS.items():
        meaning = program.meanings[name]
        assert meaning.valued == (text is not None), name
        assert meaning.gives is not None or meaning.why, name
    assert "max-metrics-count" in program.meanings, "the misspelt name and the right one"


@pytest.mark.parametrize("declaration", [SERVER, AGENT], ids=["server", "agent"])
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "test"])
def test_what_an_option_gives_is_a_setting_that_takes_it(declaration: Declaration, name: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    needed = "--agent m:1\n" if declaration is AGENT else f"--store {tmp_path}/store\n"
    values = read(declaration, tmp_path, f"{needed}--{name} {OPTIONS[name] or ''}\n")
    assert declaration.istatd is not None
    meaning = declaration.istatd.meanings[name]
    for ours in meaning.gives(OPTIONS[name] or "") if meaning.gives else ():
        if declaration is SERVER or ours in declaration.settings:
            assert values.source(ours) == "file", ours


def test_the_built_in_tests_are_gone_and_that_is_told(tmp_path: Path) -> None:
    assert "--test is gone" in refused(SERVER, tmp_path, "--store s\n--test\n")[0]


def test_check_config_reads_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(SERVER, tmp_path, "--store s\n--thread-count 8\n", "--check-config")
    said = capsys.readouterr()
    assert caught.value.code == 0 and "the settings are fine" in said.out and "--thread-count" in said.err


@given(st.text(alphabet=st.sampled_from("-a \t\n\"#=store0'\\\x00é"), max_size=60))
def test_any_text_is_read_or_refused_in_sentences(text: str) -> None:
    reading = dialect.read(f"--\n{text}", "F", istatd.SERVER, {"stat-port": True})
    assert all(problem.startswith("F: line ") for problem in reading.problems)
    found: dict[str, Any] = dict(reading.given)
    list(istatd.SERVER.complete(reading.given, {}))
    assert all(os.sep in reading.given[name] for name in found if name == "settings" and found[name])
